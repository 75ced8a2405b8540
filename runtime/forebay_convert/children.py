"""Starts the two sealed processes of a conversion, and says in words how one of them failed."""

import signal

from forebay_convert.failures import ConversionError, passing, refusal
from forebay_convert.reports import Hearing, RefusalError, printable
from forebay_convert.sandbox.seal import UNSEALED
from forebay_convert.sandbox.supervisor import Ended
from forebay_convert.sandbox.watchdog import Breach
from forebay_schema.conversion import ConversionFailure, Stage

_REFUSED = 3
_STAGES: dict[str, Stage] = {"load": "load", "convert": "convert", "verify": "verify"}
_DO_NOT_USE = "otherwise do not use this file."
_REMEDIES = {
    "memory": f"Raise the conversion's memory limit if the model is really that big; {_DO_NOT_USE}",
    "time": f"Raise the conversion's time limit if the model is really that slow; {_DO_NOT_USE}",
    "disk": f"No model needs that much room: {_DO_NOT_USE.removeprefix('otherwise ')}",
    "threads": f"No model needs that many threads: {_DO_NOT_USE.removeprefix('otherwise ')}",
    "output": f"No model prints that much: {_DO_NOT_USE.removeprefix('otherwise ')}",
}
_VERBS = {
    "memory": "used more memory than the conversion may use",
    "time": "did not come to an end",
    "disk": "wrote more files than the conversion may write",
    "threads": "started more threads than the conversion may start",
    "output": "printed without end",
}


def check_ended(ended: Ended, hearing: Hearing, subject: str, stage: Stage) -> None:
    """Go on only after a child that came to its end; what it said of a failure is passed on.

    Raises:
        ConversionError: it was killed, crashed, or gave up. In words, about `subject`.
    """
    if ended.breach is not None:
        raise ConversionError(_breached(ended.breach, subject, stage, hearing.phase))
    if ended.exit_code == 0:
        return
    if hearing.refused is not None and ended.exit_code == _REFUSED:
        raise ConversionError(_passed_on(hearing.refused, stage))
    raise ConversionError(_crashed(ended, subject, stage))


def _breached(breach: Breach, subject: str, stage: Stage, phase: str) -> ConversionFailure:
    when = f" after it was {phase}" if phase in ("loaded", "recorded", "converted") else ""
    cause = f"{subject} {_VERBS[breach.kind]}{when}: {breach.seen} seen, {breach.allowed} allowed; it was stopped."
    return refusal(stage, cause, _REMEDIES[breach.kind])


def _passed_on(refused: RefusalError, stage: Stage) -> ConversionFailure:
    return refusal(_STAGES.get(refused.stage, stage), refused.cause, refused.remedy)


def _crashed(ended: Ended, subject: str, stage: Stage) -> ConversionFailure:
    said = printable((ended.errors.strip().splitlines() or [""])[-1], 300)
    if ended.exit_code == UNSEALED:
        cause = f"This machine refuses the sandbox in which sources are opened: {said}."
        return passing(stage, cause, "Convert in a Linux container whose runtime allows Landlock and seccomp.")
    if ended.exit_code == -signal.SIGSYS:
        cause = f"{subject} made a system call that the sandbox forbids; it was stopped."
        return refusal(stage, cause, "Only convert files from people you trust; get the model from its author again.")
    if ended.exit_code < 0:
        ending = f"was ended by {_signal_name(-ended.exit_code)}"
    else:
        ending = f"ended with status {ended.exit_code}"
    cause = f"The process for {subject[0].lower()}{subject[1:]} {ending}" + (f": {said}" if said else ".")
    return refusal(stage, cause, "Check the file; if it is sound, export the model to ONNX yourself and give that.")


def _signal_name(number: int) -> str:
    """Real-time signals have no name but for the first and the last."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

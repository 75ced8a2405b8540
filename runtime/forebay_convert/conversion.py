"""A conversion from its order to its result: all stages in one process tree, or one of them in a container of its own."""

import time
from collections.abc import Callable
from pathlib import Path

from forebay_convert.failures import ConversionError
from forebay_convert.progress import Deadline, Progress
from forebay_convert.publishing import Destination
from forebay_convert.rooms import Room
from forebay_convert.sandbox.levels import available_level
from forebay_convert.stages import Task, run_stage
from forebay_convert.want_of_room import unwritable
from forebay_convert.workplace import own_folder
from forebay_schema.conversion import ConversionFailure, ConversionOrder, ConversionResult, Stage
from forebay_schema.conversion_stages import ConversionStage, stages_of
from forebay_schema.manifest import SandboxLevel

_FOLDER = "forebay-convert-"
_SAID: dict[ConversionStage, Stage] = {"fetch": "fetch", "find": "publish", "convert": "convert", "publish": "publish"}
"""What a stage is called where it fails for a reason of its own."""


def convert(
    order: ConversionOrder,
    destination: Callable[[], Destination],
    work: Path,
    progress: Progress,
    level: Callable[[], SandboxLevel] = available_level,
) -> ConversionResult:
    """Carry out an order; never raises for what sources, stores and networks do: the result says it.

    `work` is where the conversion makes a folder of its own.
    """
    started = time.monotonic()
    try:
        with own_folder(work, _FOLDER) as top:
            result = _all_stages(Task(order, Room(top), destination, Deadline(order.limits.seconds), progress, level))
    except Exception as error:  # a fault of ours must reach the controller as a result too
        result = _fault("fetch", order.options.source.sha256, error, progress, work)
    return result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})


def carry_out(
    stage: ConversionStage,
    order: ConversionOrder,
    destination: Callable[[], Destination],
    work: Path,
    progress: Progress,
) -> ConversionResult | None:
    """One stage of an order, over the folder `work` that all of its stages share; None: the next one goes on."""
    room = Room(work)
    try:
        work.mkdir(parents=True, exist_ok=True)
        fetched = room.fetched()
    except Exception as error:  # as above
        return _fault(stage, order.options.source.sha256, error, progress, work)
    began_at = time.time() if fetched is None else fetched.began_at
    # Clocks may be set meanwhile; then a stage has all the time or none, and says so.
    deadline = Deadline(order.limits.seconds, elapsed_s=max(0.0, time.time() - began_at))
    result = _one_stage(stage, Task(order, room, destination, deadline, progress, available_level))
    return result and result.model_copy(update={"seconds": round(max(0.0, time.time() - began_at), 3)})


def _all_stages(task: Task) -> ConversionResult:
    for stage in stages_of(task.options.source.sha256):
        result = _one_stage(stage, task)
        if result is not None:
            return result
    raise ValueError("the last stage has a result")


def _one_stage(stage: ConversionStage, task: Task) -> ConversionResult | None:
    try:
        return run_stage(stage, task)
    except ConversionError as error:
        return ConversionResult(source_sha256=task.source_sha256(), failure=error.failure)
    except Exception as error:  # as above
        return _fault(stage, task.options.source.sha256, error, task.progress, task.room.top)


def _fault(stage: ConversionStage, sha256: str | None, error: Exception, progress: Progress, work: Path) -> ConversionResult:
    unwritten = unwritable(_SAID[stage], error, work)
    if unwritten is not None:
        return ConversionResult(source_sha256=sha256, failure=unwritten)
    progress("unexpected error", error=repr(error))
    failure = ConversionFailure(
        stage=_SAID[stage],
        cause=f"The conversion stopped at an error of its own: {type(error).__name__}: {error}",
        remedy="Convert again; if it stays so, report it together with the log.",
        retryable=True,
    )
    return ConversionResult(source_sha256=sha256, failure=failure)

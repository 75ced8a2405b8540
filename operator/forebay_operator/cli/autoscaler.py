"""`forebay autoscaler --stdio`: Forebay's scaling policy for any simulator, one JSON object a line in and out.

In: `{"t": 12.0, "replicas_ready": 1, "replicas_starting": 0, "waiting": 3, "executing": 1, "held": 0, "arrivals_per_s": 2.5,
"busy_share": 0.8}`. `t` in seconds, never going back; a signal that is null or absent is not known. Out:
`{"replicas": 2, "reason": "…"}`, or `{"error": "line 7: …"}` for a line that cannot be read, which changes nothing. What the
policy remembers goes from line to line.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TextIO

from forebay_operator.api.fields import seconds
from forebay_operator.cli.naming import Commands
from forebay_operator.domain.autoscaling import Observation, ScalingMemory, decide
from forebay_operator.domain.deployment import Autoscaling

_COUNTS: Final = ("replicas_ready", "replicas_starting")
_SIGNALS: Final = ("waiting", "executing", "held", "arrivals_per_s", "busy_share")
_KNOWN: Final = frozenset({"t", *_COUNTS, *_SIGNALS})
_DEFAULTS: Final = Autoscaling()
_HOLD_SECONDS: Final = 45.0
_MOST: Final = 1e12
"""Larger than any time or count that is meant."""


class LineError(ValueError):
    """A line that cannot be read; the message says why."""


@dataclass(slots=True)
class Session:
    """One simulator's run: the policy, and what it remembers from line to line."""

    policy: Autoscaling
    hold_seconds: float = _HOLD_SECONDS
    notes: TextIO = field(default_factory=lambda: sys.stderr)
    """Where keys that nobody knows are named, each once."""
    _memory: ScalingMemory = field(default_factory=ScalingMemory)
    _now: float = -math.inf
    _named: set[str] = field(default_factory=set[str])

    def answer(self, number: int, line: bytes) -> str:
        """The answer to a line of input, as a line of JSON."""
        try:
            seen = _observation(self._read(line), self._now)
        except LineError as error:
            return json.dumps({"error": f"line {number}: {error}"}, ensure_ascii=False)
        self._now = seen.now
        decision = decide(self.policy, self._memory, seen, hold_seconds=self.hold_seconds)
        self._memory = decision.memory
        return json.dumps({"replicas": decision.replicas, "reason": decision.reason}, ensure_ascii=False)

    def _read(self, line: bytes) -> Mapping[str, object]:
        values = _parsed(line)
        unknown = sorted(values.keys() - _KNOWN - self._named)
        if unknown:
            self._named.update(unknown)
            self.notes.write(f"forebay autoscaler: ignored: {', '.join(unknown)}; known are {', '.join(sorted(_KNOWN))}\n")
        return values


def add(commands: Commands) -> None:
    parser = commands.add_parser("autoscaler", help="answer a simulator with our scaling policy, one JSON object a line")
    _add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Answer line by line until the input ends."""
    if options.min_replicas > options.max_replicas:
        sys.stderr.write(f"forebay: --min-replicas {options.min_replicas} is above --max-replicas {options.max_replicas}\n")
        return 2
    serve(session_of(options), sys.stdin.buffer, sys.stdout)
    return 0


def serve(session: Session, lines: Iterable[bytes], out: TextIO) -> None:
    """One answer for every line, at once."""
    for number, line in enumerate(lines, start=1):
        out.write(f"{session.answer(number, line)}\n")
        out.flush()


def session_of(options: argparse.Namespace) -> Session:
    policy = Autoscaling(
        min_replicas=options.min_replicas,
        max_replicas=options.max_replicas,
        target_queue_depth=options.target_queue_depth,
        scale_down_delay_s=options.scale_down_delay,
        idle_timeout_s=options.idle_timeout,
    )
    return Session(policy, options.hold_seconds)


def main() -> int:
    """The command alone: `python -m forebay_operator.cli.autoscaler --stdio`."""
    parser = argparse.ArgumentParser(prog="forebay autoscaler", description=__doc__)
    _add_options(parser)
    return run(parser.parse_args())


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stdio", action="store_true", required=True, help="read standard input, answer on standard output")
    options: tuple[tuple[str, Callable[[str], float], float, str], ...] = (
        ("--min-replicas", _count, _DEFAULTS.min_replicas, "never fewer"),
        ("--max-replicas", _count, _DEFAULTS.max_replicas, "never more"),
        ("--target-queue-depth", _positive, _DEFAULTS.target_queue_depth, "waiting requests per replica"),
        ("--scale-down-delay", _seconds, _DEFAULTS.scale_down_delay_s, "seconds, or 60s, 5m: how long fewer must be enough"),
        ("--idle-timeout", _seconds, _DEFAULTS.idle_timeout_s, "seconds, or 60s, 5m: how long idle before going to zero"),
        ("--hold-seconds", _positive, _HOLD_SECONDS, "how long a request may wait for the first replica"),
    )
    for name, kind, default, what in options:
        parser.add_argument(name, type=kind, default=default, metavar="X", help=f"{what} (default: %(default)s)")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of replicas: write 0, 1, 2, …")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _seconds(text: str) -> float:
    """Seconds, or a duration as a ModelDeployment has it."""
    try:
        return float(int(text)) if text.isdecimal() else seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parsed(line: bytes) -> dict[str, object]:
    try:
        values = json.loads(line)
    except UnicodeDecodeError as error:
        raise LineError(f"it is no UTF-8 ({error})") from error
    except (ValueError, RecursionError) as error:
        raise LineError(f"it is no JSON ({error})" if line.strip() else "it is empty") from error
    if not isinstance(values, dict):
        raise LineError(f"it is no JSON object, but {line.decode().strip()[:80]}")
    return values


def _observation(values: Mapping[str, object], not_before: float) -> Observation:
    now = _number(values, "t")
    if now < not_before:
        raise LineError(f"t goes back from {not_before:g} to {now:g}")
    signals = {name: None if values.get(name) is None else _number(values, name) for name in _SIGNALS}
    share = signals["busy_share"]
    if share is not None and share > 1.0:
        raise LineError(f"busy_share is {share:g}: it is the mean share of a replica, from 0 to 1")
    ready, starting = (_whole(values, name) for name in _COUNTS)
    return Observation(now=now, replicas_ready=ready, replicas_starting=starting, **signals)


def _whole(values: Mapping[str, object], name: str) -> int:
    value = _number(values, name)
    if value != int(value):
        raise LineError(f"{name} is {value:g}: it has to be a whole number")
    return int(value)


def _number(values: Mapping[str, object], name: str) -> float:
    if name not in values:
        raise LineError(f"{name} is missing")
    value = values[name]
    # In Python, true is a number, too.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LineError(f"{name} is {json.dumps(value)}: it has to be a number")
    if not 0.0 <= value <= _MOST:
        raise LineError(f"{name} is {str(value)[:20]}: it has to be a number from 0 to {_MOST:g}")
    return float(value)


if __name__ == "__main__":
    sys.exit(main())

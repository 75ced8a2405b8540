"""`make fuzz MINUTES=10 PARSERS="orders devices"`: goes round these parsers, or all, and prints what each took.

MINUTES are for all together, `--each` gives them to each. With `--state FILE` what was found is written there every minute,
and a run that finds the file goes on from there. With `--keep`, short inputs that reached something new are kept for
`make test`, 50 KB of them in all at most.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fuzz_targets import TARGETS
from fuzzing import Fault, Fuzzer, fuzzers, read_corpus, read_state, write_corpus, write_state

_TURN_S = 1.0
_WRITE_S = 60.0
_SLOW_S = 2.0
_KEPT_LENGTH = 300
_KEPT_EACH = 5
_NAMES = [target.name for target in TARGETS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1: a parser has a fault, or takes seconds for a few kilobytes."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("parsers", nargs="*", metavar="PARSER", help="only these: " + ", ".join(_NAMES))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--each", action="store_true", help="the minutes are each parser's own")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--state", type=Path, metavar="FILE", help="go on from what this file holds, and write it")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args(arguments)
    if unknown := set(given.parsers) - set(_NAMES):
        parser.error(f"there is no parser {', '.join(sorted(unknown))}: choose from {', '.join(_NAMES)}")
    made = fuzzers([target for target in TARGETS if target.name in (given.parsers or _NAMES)], given.seed)
    read_state(made, given.state)
    print(f"seed {given.seed}, {len(made)} parsers")
    seconds = given.minutes * 60 * (len(made) if given.each else 1)
    faults = go_round(made, time.monotonic() + seconds, given.state)
    for fuzzer in made:
        print(
            f"{fuzzer.target.name:18} {fuzzer.runs:9} inputs {len(fuzzer.lines):5} lines {len(fuzzer.found):4} new"
            f" {fuzzer.slowest_s * 1000:8.1f} ms at most"
        )
    for fault in faults:
        print(f"FAULT {fault.target}: {fault.error}\n  {fault.data[:400]!r}")
    print(f"{sum(fuzzer.runs for fuzzer in made)} inputs, {len(faults)} faults")
    if given.keep:
        keep(made)
    return 1 if faults or any(fuzzer.slowest_s > _SLOW_S for fuzzer in made) else 0


def go_round(made: Sequence[Fuzzer], end: float, state: Path | None) -> list[Fault]:
    """The first fault of each kind of error that each parser has."""
    faults: dict[tuple[str, str], Fault] = {}
    for fuzzer in made:
        for seed in list(fuzzer.seeds):
            if fault := fuzzer.try_out(seed):
                faults.setdefault((fault.target, fault.error[:20]), fault)
    written = time.monotonic()
    while (now := time.monotonic()) < end:
        if now - written > _WRITE_S:
            write_state(made, state)
            written = now
        turn = min(_TURN_S, (end - now) / len(made))
        for fuzzer in made:
            over = time.monotonic() + turn
            while time.monotonic() < over:
                if fault := fuzzer.round():
                    faults.setdefault((fault.target, fault.error[:20]), fault)
    write_state(made, state)
    return list(faults.values())


def keep(made: Sequence[Fuzzer]) -> None:
    corpus: dict[str, Sequence[bytes]] = dict(read_corpus())
    for fuzzer in made:
        short = sorted((data for data in fuzzer.found if len(data) <= _KEPT_LENGTH), key=len)
        corpus[fuzzer.target.name] = [*corpus.get(fuzzer.target.name, []), *short[-_KEPT_EACH:]]
    write_corpus(corpus)


if __name__ == "__main__":
    sys.exit(main())

"""`make fuzz MINUTES=10`: goes round all parsers for so many minutes, and prints what each took.

With `--keep`, short inputs that reached something new are kept for `make test`, 50 KB of them in all at most.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from fuzz_targets import TARGETS
from fuzzing import Fault, Fuzzer, fuzzers, read_corpus, write_corpus

_TURN_S = 1.0
_SLOW_S = 2.0
_KEPT_LENGTH = 300
_KEPT_EACH = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1: a parser has a fault, or takes seconds for a few kilobytes."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--target", choices=[target.name for target in TARGETS], help="only this one")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args(arguments)
    made = fuzzers([target for target in TARGETS if given.target in (None, target.name)], given.seed)
    print(f"seed {given.seed}, {len(made)} parsers")
    faults = go_round(made, time.monotonic() + given.minutes * 60)
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


def go_round(made: Sequence[Fuzzer], end: float) -> list[Fault]:
    """The first fault of each kind of error that each parser has."""
    faults: dict[tuple[str, str], Fault] = {}
    for fuzzer in made:
        for seed in list(fuzzer.seeds):
            if fault := fuzzer.try_out(seed):
                faults.setdefault((fault.target, fault.error[:20]), fault)
    while (now := time.monotonic()) < end:
        turn = min(_TURN_S, (end - now) / len(made))
        for fuzzer in made:
            over = time.monotonic() + turn
            while time.monotonic() < over:
                if fault := fuzzer.round():
                    faults.setdefault((fault.target, fault.error[:20]), fault)
    return list(faults.values())


def keep(made: Sequence[Fuzzer]) -> None:
    corpus: dict[str, Sequence[bytes]] = dict(read_corpus())
    for fuzzer in made:
        short = sorted((data for data in fuzzer.found if len(data) <= _KEPT_LENGTH), key=len)
        corpus[fuzzer.target.name] = [*corpus.get(fuzzer.target.name, []), *short[-_KEPT_EACH:]]
    write_corpus(corpus)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m forebay_operator.worlds.simulated`: replays one simulated world, or runs many and adds them up.

Exit status 1 when a world broke an invariant.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Sequence

from forebay_operator.worlds.simulated.drawing import draw_story
from forebay_operator.worlds.simulated.report import Totals, failure
from forebay_operator.worlds.simulated.simulation import Course, simulate

PROGRESS_EVERY = 100


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    seeds = range(options.first, options.first + options.worlds)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    totals = Totals()
    for course in _courses(seeds, options.jobs, trace=options.trace):
        totals.add(course)
        if course.violations:
            print("\n".join(failure(course)), file=sys.stderr, flush=True)
        if totals.worlds % PROGRESS_EVERY == 0:
            print(f"{totals.worlds} of {len(seeds)} worlds, {len(totals.failed)} broke an invariant", file=sys.stderr)
    print("\n".join(totals.lines()))
    return 1 if totals.failed else 0


def run_seed(seed: int) -> Course:
    return simulate(draw_story(seed))


def _courses(seeds: range, jobs: int, *, trace: bool) -> Iterator[Course]:
    if trace:
        yield from (simulate(draw_story(seed), tell=_tell) for seed in seeds)
    elif jobs == 1 or len(seeds) == 1:
        yield from map(run_seed, seeds)
    else:
        with multiprocessing.Pool(jobs) as pool:
            yield from pool.imap(run_seed, seeds, chunksize=5)


def _tell(seconds: float, line: str) -> None:
    print(f"{seconds:8.2f}  {line}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m forebay_operator.worlds.simulated",
        description="Run the control step in simulated worlds, with faults, and check its invariants after each step.",
    )
    parser.add_argument("--seed", type=int, help="the one world to run")
    parser.add_argument("--trace", action="store_true", help="tell what happens")
    parser.add_argument("--worlds", type=int, default=300, help="how many worlds to run (default: 300)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="seed of the first of them (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="worlds at a time (default: 1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""`python -m forebay_operator.worlds.simulated`: replays one simulated world, runs many and adds them up, or searches for the
worst wait.

Exit status 1 when a world broke an invariant.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Sequence

from forebay_operator.worlds.simulated.changing import Lineage
from forebay_operator.worlds.simulated.drawing import draw_story
from forebay_operator.worlds.simulated.report import COMMAND, Totals, failure
from forebay_operator.worlds.simulated.searching import search
from forebay_operator.worlds.simulated.simulation import Course, simulate

PROGRESS_EVERY = 100


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.search is not None:
        return _search(options.search, options.first)
    if options.changes:
        return _replay(Lineage(options.seed or 0, options.changes), trace=options.trace)
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


def _replay(lineage: Lineage, *, trace: bool) -> int:
    """Run a world that a search found."""
    course = simulate(lineage.story(), tell=_tell if trace else None)
    print(f"the longest wait of an answered request: {max(course.waited, default=0.0):.1f} s")
    print("\n".join(str(violation) for violation in course.violations) or "no invariant is broken")
    return 1 if course.violations else 0


def _search(worlds: int, first: int) -> int:
    """Tell every world that is worse than those before it, and all that break an invariant."""
    broken = 0
    for found in search(worlds, first):
        broken += bool(found.course.violations)
        changes = ",".join(map(str, found.lineage.changes))
        arguments = f"--seed {found.lineage.seed}" + (f" --changes {changes}" if changes else "")
        said = "; ".join(str(violation) for violation in found.course.violations) or "no invariant is broken"
        print(f"{found.longest_s:6.1f} s  {said}\n          replay: {COMMAND} {arguments}", flush=True)
    print(f"{worlds} worlds were looked at, {broken} broke an invariant")
    return 1 if broken else 0


def _numbers(text: str) -> tuple[int, ...]:
    """Numbers with commas between them; ValueError where they are none."""
    return tuple(int(number) for number in text.split(","))


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
    parser.add_argument("--search", type=int, metavar="WORLDS", help="search so many worlds for the longest wait of a request")
    parser.add_argument("--changes", type=_numbers, metavar="N,N,…", help="with --seed: a world that a search found")
    parser.add_argument("--jobs", type=int, default=1, help="worlds at a time (default: 1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

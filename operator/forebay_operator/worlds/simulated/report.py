"""Adds up what became of many worlds, and lays it out as a table."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from forebay_operator.worlds.simulated.requests import Outcome
from forebay_operator.worlds.simulated.simulation import Course

COMMAND = "python -m forebay_operator.worlds.simulated"


@dataclass(slots=True)
class Totals:
    worlds: int = 0
    seconds: float = 0.0
    steps: int = 0
    requests: Counter[Outcome] = field(default_factory=Counter[Outcome])
    faults: Counter[str] = field(default_factory=Counter[str])
    actions: Counter[str] = field(default_factory=Counter[str])
    rules: Counter[str] = field(default_factory=Counter[str])
    failed: list[Course] = field(default_factory=list[Course])

    def add(self, course: Course) -> None:
        self.worlds += 1
        self.seconds += course.seconds
        self.steps += course.steps
        self.requests += course.requests
        self.faults += course.faults
        self.actions += course.actions
        if course.violations:
            self.rules.update({violation.rule for violation in course.violations})
            self.failed.append(course)

    def lines(self) -> Iterator[str]:
        """The table, and how to replay each world that failed."""
        yield _row("worlds", self.worlds)
        yield _row("virtual hours", round(self.seconds / 3600, 1))
        yield _row("steps", self.steps)
        yield _row("requests", sum(self.requests.values()))
        yield from (_row(f"  {outcome.value}", self.requests[outcome]) for outcome in Outcome)
        yield _row("actions", sum(self.actions.values()))
        yield from (_row(f"  {kind}", count) for kind, count in sorted(self.actions.items()))
        yield _row("faults", sum(self.faults.values()))
        yield from (_row(f"  {kind}", count) for kind, count in sorted(self.faults.items()))
        yield _row("worlds that broke an invariant", len(self.failed))
        yield from (_row(f"  {rule}", count) for rule, count in sorted(self.rules.items()))
        for course in sorted(self.failed, key=lambda course: course.story.seed):
            yield from failure(course)


def failure(course: Course) -> Iterator[str]:
    """What broke in one world, and the command that replays it."""
    yield f"seed {course.story.seed}:"
    yield from (f"  {violation}" for violation in course.violations)
    yield f"  replay: {COMMAND} --seed {course.story.seed} --trace"


def _row(name: str, value: float) -> str:
    return f"{name:<46} {value:>12,}"

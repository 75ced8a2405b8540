"""Runs a story: lets time pass, steps, checks the invariants after each step, and where the world ends.

A world has three parts. While it is busy there are edits, faults and changing load. Then load goes on evenly, and nothing
goes wrong. Then nobody asks any more, and the world must come to rest.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from forebay_operator.domain.actions import Action, LoadReplica, WriteStatus
from forebay_operator.domain.fleet import OrderKind
from forebay_operator.domain.memory import Memory
from forebay_operator.domain.snapshot import HoldingPhase, Snapshot
from forebay_operator.domain.step import StepResult, step
from forebay_operator.worlds.simulated.convergence import check_end, check_requests
from forebay_operator.worlds.simulated.disasters import plan_disasters, strike
from forebay_operator.worlds.simulated.faults import ControllerRestarts
from forebay_operator.worlds.simulated.invariants import Violation, check
from forebay_operator.worlds.simulated.moment import Moment
from forebay_operator.worlds.simulated.narration import describe_edit, describe_fault, describe_step
from forebay_operator.worlds.simulated.requests import Outcome
from forebay_operator.worlds.simulated.steadiness import Steadiness
from forebay_operator.worlds.simulated.story import Story
from forebay_operator.worlds.simulated.world import SimulatedWorld
from forebay_schema.addresses import ModelAddress

Step = Callable[[Snapshot, Memory], StepResult]
Tell = Callable[[float, str], None]
"""Takes the seconds since the beginning, and what happened."""

LOOK_S = 0.25
"""How soon a step follows the first request for a model without a ready replica."""
SETTLING_S = 15.0
"""How long after the busy time its load may still have an effect."""
PAGE_S = 2.5
"""Until the page of a server shows what was done there, and a step has seen it."""
RESTLESS_S = 40.0
"""How long after the last request steps still come every second; later ones come every `STRIDE_S`."""
STRIDE_S = 20.0
SILENT_S = 500.0
"""How long nobody asks at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What became of a story."""

    story: Story
    seconds: float
    steps: int
    requests: Counter[Outcome]
    faults: Counter[str]
    actions: Counter[str]
    violations: tuple[Violation, ...]
    waited: tuple[float, ...]
    """Seconds from arrival to answer of each answered request."""


@dataclass(slots=True, eq=False)
class Simulation:
    """One run of a story. It ends early with the first step that breaks an invariant."""

    story: Story
    step: Step = step
    tell: Tell | None = None
    world: SimulatedWorld = field(init=False)
    memory: Memory = field(default_factory=Memory)
    violations: list[Violation] = field(default_factory=list[Violation])
    steps: int = 0
    actions: Counter[str] = field(default_factory=Counter[str])
    _restarts: list[ControllerRestarts] = field(init=False)
    _steadiness: Steadiness = field(init=False)
    _away_until: float = 0.0
    _memory_since: float = 0.0
    _forgotten: Memory | None = None
    """What the controller knew before it was restarted, until its first step."""
    _said: dict[str, int] = field(default_factory=dict[str, int])
    _failed: set[tuple[ModelAddress, int]] = field(default_factory=set[tuple[ModelAddress, int]])
    _told_until: float = -1.0
    _last_moment: Moment | None = None
    _last_order_at: float = 0.0

    def __post_init__(self) -> None:
        self.world = SimulatedWorld(self.story)
        even_from, even_until = self.story.busy_s + SETTLING_S, self.story.busy_s + self.story.steady_s
        self._steadiness = Steadiness(even_from, even_until)
        plan_disasters(self.world, self.story.faults, self.story.busy_s)
        restarts = [fault for fault in self.story.faults if isinstance(fault, ControllerRestarts)]
        self._restarts = sorted(restarts, key=lambda fault: fault.at, reverse=True)

    def run(self) -> Course:
        for seconds, due in _looks(self.story):
            self.advance(seconds, step=due)
            if self.violations:
                return self._course()
        if self._last_moment is not None:
            self.violations += check_end(self.world, self._last_moment, self._last_order_at)
        return self._course()

    def advance(self, seconds: float, *, step: bool = True) -> None:
        """Let time pass up to so many seconds since the beginning; then step, or only if something is urgent."""
        self._tell_story_until(seconds)
        self.world.advance(seconds)
        self._restart_if_due(seconds)
        if (step or self.world.attention) and seconds >= self._away_until:
            self._take_step()

    def _take_step(self) -> None:
        snapshot = self.world.observe()
        try:
            result = self.step(snapshot, self.memory)
            moment = self._moment(snapshot, result.actions)
        except Exception as error:
            self.violations.append(_crash(self.world.seconds, error))
            return
        self.memory, self._forgotten = result.memory, None
        self.steps += 1
        self.violations += check(moment)
        self.violations += self._steadiness.check(moment)
        self.violations += check_requests(self.world)
        self._note(moment)
        self.world.act(result.actions)

    def _moment(self, snapshot: Snapshot, actions: Sequence[Action]) -> Moment:
        with_memory = None if self._forgotten is None else tuple(self.step(snapshot, self._forgotten).actions)
        return Moment(
            seconds=self.world.seconds,
            snapshot=snapshot,
            actions=tuple(actions),
            digests={deployment.uid: self.world.digests_of(deployment.uid) for deployment in snapshot.deployments},
            last_arrival=self.world.ledger.last_arrival,
            said=self._said if self._forgotten is None else _said_by_statuses(snapshot),
            given_before={key for key, order in self.memory.orders.items() if order.kind is OrderKind.UNLOAD},
            failed_before=self._failed,
            remembers_s=self.world.seconds - self._memory_since,
            orders_are_late=snapshot.now <= self.world.delivery.late_until + PAGE_S,
            actions_with_memory=with_memory,
        )

    def _note(self, moment: Moment) -> None:
        """Remember what the step said, and tell it."""
        if self.tell is not None:
            before = self._last_moment.snapshot if self._last_moment else None
            for line in describe_step(moment, before):
                self.tell(moment.seconds, line)
        if moment.actions_with_memory is not None:
            self._said = dict(moment.said)
        self._said |= {
            action.uid: action.status.scaling.wanted for action in moment.statuses if action.status.scaling is not None
        }
        self.actions.update(type(action).__name__ for action in moment.actions)
        self._failed.update(_failed_in(moment.snapshot))
        self._last_moment = moment
        if any(not _is_asking_again(action, moment) for action in moment.actions):
            self._last_order_at = moment.seconds

    def _restart_if_due(self, seconds: float) -> None:
        while self._restarts and self._restarts[-1].at <= seconds:
            fault = self._restarts.pop()
            strike(self.world, fault)
            self._forgotten = self._forgotten or self.memory
            self.memory = Memory()
            self._away_until = self._memory_since = seconds + fault.away_s

    def _tell_story_until(self, seconds: float) -> None:
        if self.tell is None:
            return
        lines = [
            *((edit.at, describe_edit(edit)) for edit in self.story.edits),
            *((fault.at, describe_fault(fault)) for fault in self.story.faults),
        ]
        for at, line in sorted(lines):
            if self._told_until < at <= seconds:
                self.tell(at, line)
        self._told_until = seconds

    def _course(self) -> Course:
        return Course(
            story=self.story,
            seconds=self.world.seconds,
            steps=self.steps,
            requests=self.world.ledger.by_outcome(),
            faults=Counter(type(fault).__name__ for fault in self.story.faults if fault.at <= self.world.seconds),
            actions=self.actions,
            violations=tuple(self.violations),
            waited=tuple(self.world.ledger.waited),
        )


def simulate(story: Story, *, step: Step = step, tell: Tell | None = None) -> Course:
    """Run a story to its end, or to the first step that breaks an invariant."""
    return Simulation(story, step, tell).run()


def _crash(seconds: float, error: Exception) -> Violation:
    """A step has to answer whatever it sees."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return Violation(seconds, "crash", f"{error!r} in {where.filename}:{where.lineno} {where.name}")


def _looks(story: Story) -> Iterator[tuple[float, bool]]:
    """When to look at the world, and whether a step is due then. Nothing is urgent once nobody asks."""
    asked_s = story.busy_s + story.steady_s
    count = round(asked_s / LOOK_S)
    yield from ((number * LOOK_S, number % round(1.0 / LOOK_S) == 0) for number in range(count))
    yield from ((asked_s + number, True) for number in range(round(RESTLESS_S)))
    seconds = asked_s + RESTLESS_S
    while seconds <= asked_s + SILENT_S:
        yield seconds, True
        seconds += STRIDE_S


def _failed_in(snapshot: Snapshot) -> Iterator[tuple[ModelAddress, int]]:
    for server in snapshot.servers:
        for holding in server.holdings:
            if holding.phase is HoldingPhase.FAILED:
                yield ModelAddress(server.pool.namespace, holding.model), holding.version


def _said_by_statuses(snapshot: Snapshot) -> dict[str, int]:
    return {
        deployment.uid: deployment.status.scaling.wanted
        for deployment in snapshot.deployments
        if deployment.status is not None and deployment.status.scaling is not None
    }


def _is_asking_again(action: Action, moment: Moment) -> bool:
    """Whether it is about a load that a server refused: that is tried again for ever, ever more rarely."""
    if isinstance(action, WriteStatus):
        return any(holding.phase is HoldingPhase.FAILED for _, holding in moment.holdings_of(action.address))
    return isinstance(action, LoadReplica) and any(
        server.name == action.server and holding.phase is HoldingPhase.FAILED
        for server, holding in moment.holdings_of(action.address)
    )

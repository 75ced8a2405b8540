"""Lets a load come to a model second by second, asks a policy, and notes what becomes of both."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from forebay_operator.cli.simulate.fluid import STEP_S, Fluid, Waits
from forebay_operator.cli.simulate.pace import Pace
from forebay_operator.cli.simulate.policies import Policy
from forebay_operator.domain.observation import Observation

STEPS_PER_S: Final = round(1.0 / STEP_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the model runs."""

    pace: Pace
    ready_delay_s: float
    """From the order of a replica until it is ready."""
    room: int
    """How many replicas there is room for, those that are leaving included."""
    hold_s: float = 45.0
    initial: int = 0
    """Replicas that are ready at the beginning."""


@dataclass(slots=True)
class Second:
    """What a second looked like at its end."""

    arrivals: float
    queued: float
    held: float
    wanted: int
    ready: int
    present: int
    """Replicas that take room: starting, ready and leaving."""


@dataclass(slots=True)
class Course:
    """One run: what happened every second, and what became of the requests."""

    policy: str
    seconds: list[Second] = field(default_factory=list[Second])
    waits: Waits = field(default_factory=Waits)
    replica_seconds: float = 0.0
    changes: list[float] = field(default_factory=list[float])
    """When another number of replicas was wanted."""


def run(site: Site, arrivals: Sequence[float], policy: Policy) -> Course:
    """Let requests arrive: so many in each step of `STEP_S`. Ends with the load; what still waits then is answered in turn."""
    run = _Run(site, policy)
    for start in range(0, len(arrivals), STEPS_PER_S):
        run.second(arrivals[start : start + STEPS_PER_S])
    return run.finished()


class _Run:
    def __init__(self, site: Site, policy: Policy) -> None:
        self._site, self._policy = site, policy
        self._fluid = Fluid(site.pace, site.hold_s)
        self._course = Course(policy.name, waits=self._fluid.waits)
        self._starting: deque[float] = deque()
        """When each that is on its way will be ready, the next one first."""
        self._wanted = site.initial
        self._step = 0
        self._arrived_before = 0.0
        self._has_new = False
        """Whether a replica got ready in this second: its counters are read for the first time, and say nothing yet."""
        if site.initial:
            self._fluid.add(site.initial)

    def second(self, arrivals: Sequence[float]) -> None:
        """One second, and the decision at its end."""
        arrived, ready_s, present_s = 0.0, 0, 0
        fluid = self._fluid
        for mass in arrivals:
            self._step += 1
            now = self._step * STEP_S
            self._get_ready(now)
            arrived += mass
            fluid.flow(now, mass)
            if mass and not fluid.groups and not self._wanted:
                self._decide(now, self._arrived_before, self._busy_share(ready_s))
            ready = fluid.ready
            ready_s += ready
            present_s += ready + len(self._starting) + fluid.draining
        self._course.replica_seconds += present_s * STEP_S
        busy = self._busy_share(ready_s)
        fluid.busy_s, self._has_new = 0.0, False
        self._arrived_before = arrived / (len(arrivals) * STEP_S)
        self._decide(self._step * STEP_S, self._arrived_before, busy)
        self._note(arrived)

    def finished(self) -> Course:
        """What became of it. Those that are still held are waited for; that costs nothing, as the load is over."""
        course, cost, noted, changes = (
            self._course,
            self._course.replica_seconds,
            len(self._course.seconds),
            len(self._course.changes),
        )
        while self._fluid.held:
            self.second([0.0] * STEPS_PER_S)
        course.replica_seconds = cost
        del course.seconds[noted:], course.changes[changes:]
        return course

    def _get_ready(self, now: float) -> None:
        # Half a step of grace: times are sums of steps, and not exact.
        while self._starting and self._starting[0] <= now + STEP_S / 2:
            self._starting.popleft()
            self._fluid.add(1)
            self._has_new = True

    def _busy_share(self, ready_steps: int) -> float | None:
        """As the control step reads it: of the second so far, for all replicas or not at all."""
        if self._has_new:
            return None
        instances = ready_steps * STEP_S * self._site.pace.instances
        return min(1.0, self._fluid.busy_s / instances) if instances else 0.0

    def _decide(self, now: float, arrivals_per_s: float, busy_share: float | None) -> None:
        fluid = self._fluid
        ready, queued = fluid.ready, fluid.queued
        seen = Observation(
            now=now,
            replicas_ready=ready,
            replicas_starting=len(self._starting),
            waiting=queued,
            executing=fluid.inside - queued,
            held=fluid.held,
            arrivals_per_s=arrivals_per_s,
            busy_share=busy_share,
        )
        wanted = self._policy.wanted(seen)
        if wanted != self._wanted:
            self._course.changes.append(now)
            self._wanted = wanted
        self._order(now, wanted)

    def _order(self, now: float, wanted: int) -> None:
        fluid, starting = self._fluid, self._starting
        missing = wanted - fluid.ready - len(starting)
        if missing > 0:
            room = self._site.room - fluid.ready - len(starting) - fluid.draining
            starting.extend([now + self._site.ready_delay_s] * min(missing, max(room, 0)))
        while missing < 0 and starting:
            starting.pop()
            missing += 1
        if missing < 0:
            fluid.remove(-missing)

    def _note(self, arrived: float) -> None:
        fluid = self._fluid
        ready = fluid.ready
        present = ready + len(self._starting) + fluid.draining
        self._course.seconds.append(Second(arrived, fluid.queued, fluid.held, self._wanted, ready, present))

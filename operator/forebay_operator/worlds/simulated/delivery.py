"""How actions get to where they happen: at once and once, unless a fault loses, delays or doubles them."""

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from forebay_operator.domain.actions import (
    Action,
    CollectArtifact,
    ForgetConversion,
    LoadReplica,
    ResizePool,
    SetRoutes,
    StartConversion,
    UnloadReplica,
    WriteStatus,
)
from forebay_operator.worlds.simulated.faults import ActionsDoubled, ActionsLate, ActionsLost
from forebay_operator.worlds.simulated.timeline import Timeline


@dataclass(slots=True, eq=False)
class Delivery:
    """A late action does not overtake a newer one for the same object. Loads and unloads may: their sequence is for that."""

    timeline: Timeline
    chance: random.Random
    happen: Callable[[Action], None]
    lost: ActionsLost | None = None
    late: ActionsLate | None = None
    doubled: ActionsDoubled | None = None
    late_until: float = 0.0
    """When the last action that is late happens."""
    _count: int = 0
    _newest: dict[Hashable, int] = field(default_factory=dict[Hashable, int])

    def send(self, action: Action) -> None:
        self._count += 1
        number = self._count
        delay = self._delay(action)
        if self._hit(self.lost):
            return
        if delay > 0.0:
            self.late_until = max(self.late_until, self.timeline.now + delay)
            self.timeline.after(delay, lambda: self._arrive(action, number))
        else:
            self._arrive(action, number)
        if self.doubled is not None and not isinstance(action, CollectArtifact) and self._hit(self.doubled):
            self.timeline.after(self.doubled.again_s, lambda: self._arrive(action, number))

    def _delay(self, action: Action) -> float:
        """Files are deleted where they are: a collection is never late, and never done again later."""
        if self.late is None or isinstance(action, CollectArtifact) or not self._hit(self.late):
            return 0.0
        return self.late.late_s

    def _hit(self, fault: ActionsLost | ActionsLate | ActionsDoubled | None) -> bool:
        return fault is not None and self.chance.random() < fault.share

    def _arrive(self, action: Action, number: int) -> None:
        target = target_of(action)
        if target is not None:
            if number < self._newest.get(target, 0):
                return
            self._newest[target] = number
        self.happen(action)


def target_of(action: Action) -> Hashable | None:
    """The object that an action writes as a whole. None: its receiver tells old orders from new ones."""
    match action:
        case SetRoutes():
            return "routes"
        case ResizePool():
            return action.pool
        case WriteStatus():
            return ("status", action.uid)
        case StartConversion() | ForgetConversion():
            return action.id
        case CollectArtifact():
            return (action.namespace, action.digest)
        case LoadReplica() | UnloadReplica():
            return None

"""Invariants that take more than one step to see: a model that has replicas is not left waiting, and load that does not change
moves nothing to and fro."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.routes import RouteState
from forebay_operator.worlds.simulated.invariants import Violation
from forebay_operator.worlds.simulated.moment import Moment

LONGEST_HOLD_S = 40.0
"""How long requests may wait for a model that has ready replicas: a swap, with orders lost all the while."""


@dataclass(slots=True, eq=False)
class Steadiness:
    """Looks at one moment after the other."""

    steady_from: float
    """Seconds since the beginning: from then on, load goes on evenly and nothing goes wrong."""
    steady_until: float
    _held_since: dict[str, float] = field(default_factory=dict[str, float])
    _wanted: dict[str, int] = field(default_factory=dict[str, int])
    _lowered: set[str] = field(default_factory=set[str])

    def check(self, moment: Moment) -> list[Violation]:
        sentences = [
            (rule, sentence)
            for deployment in moment.snapshot.deployments
            for rule, sentence in (*self._waiting(moment, deployment), *self._swinging(moment, deployment))
        ]
        return [Violation(moment.seconds, rule, sentence) for rule, sentence in sentences]

    def _waiting(self, moment: Moment, deployment: Deployment) -> Iterator[tuple[str, str]]:
        route = next((route for route in moment.routes if route.address == deployment.address), None)
        is_held = route is not None and route.state is RouteState.HELD
        if not is_held or not moment.wanted(deployment) or not moment.ready_replicas(deployment):
            self._held_since.pop(deployment.uid, None)
            return
        since = self._held_since.setdefault(deployment.uid, moment.seconds)
        if moment.seconds - since > LONGEST_HOLD_S:
            count = len(moment.ready_replicas(deployment))
            yield "3 held", f"{deployment.address}: requests wait since {since:.0f} s although {count} replicas are ready"

    def _swinging(self, moment: Moment, deployment: Deployment) -> Iterator[tuple[str, str]]:
        """A number that was lowered and is raised again, both while load is even and replicas are ready."""
        uid, wanted = deployment.uid, moment.wanted(deployment) or 0
        before = self._wanted.get(uid, wanted)
        self._wanted[uid] = wanted
        if not self.steady_from <= moment.seconds <= self.steady_until or not moment.ready_replicas(deployment):
            self._lowered.discard(uid)
        elif 0 < wanted < before:
            self._lowered.add(uid)
        elif wanted > before > 0 and uid in self._lowered:
            yield (
                "8 flapping",
                f"{deployment.address}: {before} replicas are too few again for the same load: {wanted} are wanted",
            )

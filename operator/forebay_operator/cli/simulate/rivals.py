"""Other ways to decide on the same load: what others ship, a fixed number, and what nobody can have, foresight."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from forebay_operator.cli.simulate.clairvoyant import Clairvoyant
from forebay_operator.cli.simulate.figures import peak_need
from forebay_operator.cli.simulate.pace import Pace
from forebay_operator.cli.simulate.policies import FixedPolicy, ForebayPolicy, Policy
from forebay_operator.domain.observation import Observation

if TYPE_CHECKING:
    from forebay_operator.cli.simulate.scenario import Plan

TARGET_UTILISATION: Final = 0.7
"""Of what a replica takes at a time: Knative's `container-concurrency-target-percentage`, and taken for the HPA, too."""


def policy_named(name: str, plan: "Plan") -> Policy:
    """A policy of this package, with the limits of the plan."""
    site, spec = plan.site, plan.spec
    target = TARGET_UTILISATION * concurrency(site.pace)
    least, most = spec.min_replicas, min(spec.max_replicas, site.room)
    if name == "static":
        return FixedPolicy(min(peak_need(site, plan.arrivals), site.room))
    if name == "kpa":
        return KnativePolicy(target, least, most)
    if name == "hpa":
        return HorizontalPolicy(target, max(least, 1), most)
    if name == "clairvoyant":
        return Clairvoyant(site, plan.arrivals)
    return ForebayPolicy(spec, site.hold_s, site.ready_delay_s if site.initial else None)


def concurrency(pace: Pace) -> float:
    """Requests in a replica with which it does all it can: what one who knows it would set as `containerConcurrency`."""
    return float(pace.instances) if pace.largest_batch == 1 else pace.full


def _in_flight(seen: Observation) -> float:
    return (seen.waiting or 0.0) + (seen.executing or 0.0) + (seen.held or 0.0)


@dataclass(slots=True)
class _Window:
    """The mean over the newest seconds."""

    seconds: int
    _values: deque[float] = field(default_factory=deque[float])
    _sum: float = 0.0

    def mean(self, value: float) -> float:
        self._values.append(value)
        self._sum += value
        if len(self._values) > self.seconds:
            self._sum -= self._values.popleft()
        return self._sum / len(self._values)


@dataclass(slots=True)
class KnativePolicy:
    """Knative's pod autoscaler with its shipped settings (knative/serving, `pkg/autoscaler/scaling/autoscaler.go` and
    `pkg/reconciler/autoscaling/kpa/scaler.go`; `config/core/configmaps/autoscaler.yaml`).

    Decides every 2 s on the concurrency over a stable window of 60 s. When that over the panic window of 6 s calls for twice
    what is ready, it panics: for a stable window it only ever adds. At most 1000 times as many at once, at least half; the
    last pod goes after a grace of 30 s without a request in the stable window.
    """

    target: float
    least: int
    most: int
    name: str = "kpa"
    _stable: _Window = field(default_factory=lambda: _Window(60))
    _panic: _Window = field(default_factory=lambda: _Window(6))
    _panics_since: float | None = None
    _most_in_panic: int = 0
    _idle_since: float | None = None
    _wanted: int | None = None
    _decided_at: float = -math.inf

    def wanted(self, seen: Observation) -> int:
        stable, panic = self._stable.mean(_in_flight(seen)), self._panic.mean(_in_flight(seen))
        if self._wanted is None:
            self._wanted = seen.replicas_ready + seen.replicas_starting
        wakes = self._wanted == 0 and bool(_in_flight(seen))
        if seen.now - self._decided_at >= _KPA_TICK_S or wakes:
            self._decided_at = seen.now
            desired = self._desired(seen, stable, panic)
            self._wanted = min(max(self._to_zero(seen.now, desired), self.least), self.most)
        return self._wanted

    def close(self) -> None:
        """Nothing to end."""

    def _desired(self, seen: Observation, stable: float, panic: float) -> int:
        ready = max(1, seen.replicas_ready)
        upper, lower = math.ceil(_KPA_UP * ready), math.floor(ready / _KPA_DOWN)
        by_stable, by_panic = math.ceil(stable / self.target), math.ceil(panic / self.target)
        over = by_panic / ready >= _KPA_PANIC
        if over:
            self._panics_since = seen.now
        elif self._panics_since is not None and self._panics_since + _KPA_STABLE_S < seen.now:
            self._panics_since, self._most_in_panic = None, 0
        desired = min(max(by_stable, lower), upper)
        if self._panics_since is None:
            return desired
        self._most_in_panic = max(self._most_in_panic, min(max(by_panic, lower), upper), desired)
        return self._most_in_panic

    def _to_zero(self, now: float, desired: int) -> int:
        if desired:
            self._idle_since = None
            return desired
        if self._idle_since is None:
            self._idle_since = now
        return 0 if self._wanted == 0 or now - self._idle_since >= _KPA_GRACE_S else 1


_KPA_TICK_S: Final = 2.0 - 0.01
_KPA_STABLE_S: Final = 60.0
_KPA_PANIC: Final = 2.0
_KPA_UP: Final = 1000.0
_KPA_DOWN: Final = 2.0
_KPA_GRACE_S: Final = 30.0


@dataclass(slots=True)
class HorizontalPolicy:
    """Kubernetes' HorizontalPodAutoscaler on a Pods metric, the requests in each pod, with its default behaviour
    (kubernetes/kubernetes, `pkg/controller/podautoscaler/horizontal.go` and `replica_calculator.go`,
    `pkg/apis/autoscaling/v2/defaults.go`).

    Every 15 s: ready pods x metric / target, unless within a tenth; pods that are not ready count as idle when it would add.
    Up by 4 or by as many as there are, whichever is more, in 15 s; down to the highest of the last 300 s. Never below one.
    """

    target: float
    least: int
    most: int
    name: str = "hpa"
    _recommended: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    _wanted: int | None = None
    _decided_at: float = -math.inf

    def wanted(self, seen: Observation) -> int:
        if self._wanted is None:
            self._wanted = max(seen.replicas_ready + seen.replicas_starting, self.least)
        if seen.now - self._decided_at >= _HPA_SYNC_S:
            self._decided_at = seen.now
            self._wanted = self._settled(seen.now, self._wanted, self._desired(seen))
        return self._wanted

    def close(self) -> None:
        """Nothing to end."""

    def _desired(self, seen: Observation) -> int:
        present, ready = self._wanted or 0, seen.replicas_ready
        usage = _in_flight(seen) / self.target
        if not ready:
            # No pod has a metric: it does nothing. One who holds requests in front exports them, so they count here.
            return max(present, math.ceil(usage)) if seen.held else present
        ratio = usage / ready
        if ratio > 1.0 and seen.replicas_starting:
            pods = ready + seen.replicas_starting
            ratio = usage / pods
            return present if ratio <= 1.0 + _HPA_TOLERANCE else math.ceil(ratio * pods)
        return present if abs(1.0 - ratio) <= _HPA_TOLERANCE else math.ceil(usage)

    def _settled(self, now: float, before: int, desired: int) -> int:
        desired = min(max(desired, self.least), self.most)
        while self._recommended and now - self._recommended[0][0] > _HPA_STABILISATION_S:
            self._recommended.popleft()
        self._recommended.append((now, desired))
        if desired >= before:
            return min(desired, before + max(_HPA_PODS, before))
        return min(before, max(replicas for _, replicas in self._recommended))


_HPA_SYNC_S: Final = 15.0 - 0.01
_HPA_TOLERANCE: Final = 0.1
_HPA_STABILISATION_S: Final = 300.0
_HPA_PODS: Final = 4

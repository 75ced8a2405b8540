"""What is seen of the demand for one model: gauges as they are, rates from counters that may start anew."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from forebay_operator.domain.fleet import Replica, ReplicaKey
from forebay_operator.domain.observation import Observation
from forebay_operator.domain.snapshot import GatewayDemand, Holding, HoldingPhase

_RATES_EVERY_S = 0.9
"""Counters are read about once a second: over less, their differences mean little."""
_STALE_AFTER_S = 10.0
"""Pages of a server that are older say nothing of its load."""


@dataclass(frozen=True, slots=True)
class BusyCounter:
    """The busy seconds of one replica as they were read last, and the share of the time before."""

    observed_at: float
    busy_seconds: float
    share: float | None
    """None: it was read for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadMemory:
    """The counters of one model as they were seen last."""

    at: float
    arrivals: int
    arrivals_per_s: float | None
    """Of the time before `at`; None: not known."""
    busy: Mapping[ReplicaKey, BusyCounter] = field(default_factory=dict[ReplicaKey, BusyCounter])


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What a model's demand is observed from."""

    now: float
    serving: int
    """The version that requests go to."""
    replicas: tuple[Replica, ...]
    fading: Collection[ReplicaKey]
    """Replicas that get no new requests."""
    starting: int
    gateway: GatewayDemand | None
    """None: no gateway answers."""
    counted_since: float | None = None
    """A later time than that of the memory at which its counters were still the same."""


def observe(before: LoadMemory | None, signals: Signals) -> tuple[Observation, LoadMemory]:
    """The demand now, and the counters to compare with next time."""
    routed = [each for each in signals.replicas if _is_routed(each, signals)]
    busy = {each.key: counter for each in routed if (counter := _busy(before, each, signals.counted_since)) is not None}
    shares = [busy[each.key].share if each.key in busy and not _is_stale(each, signals.now) else None for each in routed]
    memory = _arrivals(before, signals, busy)
    observation = Observation(
        now=signals.now,
        replicas_ready=len(routed),
        replicas_starting=signals.starting,
        waiting=waiting_at(routed, signals.now),
        executing=_total(_gauge(each, signals.now, _executing) for each in signals.replicas if each.holding is not None),
        held=None if signals.gateway is None else float(signals.gateway.held),
        arrivals_per_s=memory.arrivals_per_s,
        busy_share=_mean(shares),
    )
    return observation, memory


def waiting_at(replicas: Iterable[Replica], now: float) -> float | None:
    """Requests in the queues of replicas; None: one of them does not say."""
    return _total(_gauge(each, now, _waiting) for each in replicas)


def _is_routed(replica: Replica, signals: Signals) -> bool:
    return replica.is_ready and replica.version == signals.serving and replica.key not in signals.fading


def _is_stale(replica: Replica, now: float) -> bool:
    observed = replica.server.observed_at
    return observed is None or now - observed > _STALE_AFTER_S


def _waiting(holding: Holding) -> int | None:
    return holding.waiting


def _executing(holding: Holding) -> int | None:
    # What loads or failed executes nothing, and its page need not say so.
    quiet = holding.phase is HoldingPhase.LOADING or holding.phase is HoldingPhase.FAILED
    return 0 if quiet and holding.executing is None else holding.executing


def _gauge(replica: Replica, now: float, of: Callable[[Holding], int | None]) -> float | None:
    if replica.holding is None or _is_stale(replica, now):
        return None
    value = of(replica.holding)
    return None if value is None else float(value)


def _total(values: Iterable[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _mean(shares: list[float | None]) -> float | None:
    total = _total(shares)
    return None if total is None else total / max(len(shares), 1)


def _busy(before: LoadMemory | None, replica: Replica, counted_since: float | None) -> BusyCounter | None:
    holding, observed = replica.holding, replica.server.observed_at
    if holding is None or holding.busy_seconds is None or observed is None:
        return None
    known = before.busy.get(replica.key) if before else None
    if known is None:
        return BusyCounter(observed, holding.busy_seconds, None)
    elapsed = observed - max(known.observed_at, counted_since or known.observed_at)
    if elapsed < _RATES_EVERY_S / 2:
        return known
    # A counter that fell began anew: all it shows came since.
    grown = holding.busy_seconds - known.busy_seconds
    spent = grown if grown >= 0 else holding.busy_seconds
    share = min(1.0, spent / elapsed / max(holding.instances, 1))
    return BusyCounter(observed, holding.busy_seconds, share)


def _arrivals(before: LoadMemory | None, signals: Signals, busy: Mapping[ReplicaKey, BusyCounter]) -> LoadMemory:
    gateway, now = signals.gateway, signals.now
    if gateway is None:
        return LoadMemory(at=now, arrivals=before.arrivals if before else 0, arrivals_per_s=None, busy=busy)
    if before is None:
        return LoadMemory(at=now, arrivals=gateway.arrivals, arrivals_per_s=None, busy=busy)
    since = max(before.at, signals.counted_since or before.at)
    if now - since < _RATES_EVERY_S:
        return LoadMemory(at=since, arrivals=before.arrivals, arrivals_per_s=before.arrivals_per_s, busy=busy)
    grown = gateway.arrivals - before.arrivals
    came = grown if grown >= 0 else gateway.arrivals
    return LoadMemory(at=now, arrivals=gateway.arrivals, arrivals_per_s=came / (now - since), busy=busy)

"""How many replicas the load calls for: up on what waits, down on how busy they are, to zero when idle.

The sizes come from the offered load (arrivals times the busy seconds that one takes), not from the length of the queue: that
only says that there are too few. What a lower number would have been called for by is remembered for the length of the
scale-down delay, and the highest of it is kept (as the stabilisation window of Kubernetes' HorizontalPodAutoscaler does it).
"""

import math
from dataclasses import dataclass, field, replace

from forebay_operator.domain import load_window, ready_times
from forebay_operator.domain.deployment import Autoscaling
from forebay_operator.domain.load_window import LoadSample, LoadWindow
from forebay_operator.domain.ready_times import ReadyTimes
from forebay_operator.domain.throughput import Throughput, measure
from forebay_operator.domain.wording import clause, counted, rate_text, seconds_text, sentence

SHORT_WINDOW_S = 6.0
SAFE_UTILISATION = 0.75
"""Fewer replicas are enough if the load seen would keep them busy no more than this."""
PLANNED_UTILISATION = 0.8
"""More replicas are sized so that they are busy no more than this. Above `SAFE_UTILISATION`: what was added is not taken away
by the same load."""

_SMOOTHING_S = 15.0
_CROWDED = 0.95
_DRAIN_S = 10.0
"""Held requests should be answered within this time."""
_DELAY_PER_READY_TIME = 1.5
_LONGEST_DELAY_S = 900.0
_MOST_REGRETS = 3
_REGRETTED_WITHIN = 5.0
"""Times the delay."""
_MOST_GROWTH = 1.5
"""Arrivals are not foreseen to rise by more than this factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is seen of one model. None: the signal is not known."""

    now: float
    replicas_ready: int
    replicas_starting: int
    """On their way: they have a place."""
    waiting: float | None
    """Requests in the queues of servers."""
    executing: float | None
    held: float | None
    """Requests that wait at the gateway."""
    arrivals_per_s: float | None
    busy_share: float | None
    """Mean share of the time in which the ready replicas were executing, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingMemory:
    """What the policy remembers of one model. Without it, the present number is kept for a whole delay."""

    wanted: int | None = None
    window: LoadWindow = ()
    needs: tuple[tuple[float, int], ...] = ()
    """When how many replicas were called for: falling numbers, each the highest since its time."""
    ready_times: ReadyTimes = field(default_factory=ReadyTimes)
    throughput: Throughput = field(default_factory=Throughput)
    active_at: float = 0.0
    """When anything was last asked of the model, or when it was not known."""
    lowered_at: float | None = None
    regrets: int = 0
    """How often in a row replicas were missed soon after they had been taken away: each doubles the delay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    replicas: int
    reason: str
    """What was seen, what was wanted, which limit bound."""
    memory: ScalingMemory
    unknown: str = ""
    """The signals that are missing, in a sentence; empty: none is."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A number of replicas that something calls for, and what."""

    replicas: int
    reason: str


def decide(
    policy: Autoscaling, memory: ScalingMemory, seen: Observation, *, present: int | None = None, hold_seconds: float = 45.0
) -> Decision:
    """The number of replicas to have now.

    `present`: the number to start from without a memory (None: those ready and starting). `hold_seconds`: how long a request
    may wait for the first replica.
    """
    started = _started(policy, memory, seen, present)
    before = started.wanted or 0
    unknown = _unknown(seen)
    sampled = _sampled(policy, started, seen)
    call = _called_for(policy, sampled, seen, before, unknown)
    chosen, remembered = _settle(policy, sampled, seen, call)
    if chosen.replicas and not unknown:
        chosen, remembered = _idle(policy, remembered, seen, chosen, hold_seconds=hold_seconds)
    bound = _within_limits(policy, chosen)
    return Decision(
        replicas=bound.replicas,
        reason=bound.reason,
        memory=_noted(policy, remembered, seen, before, bound.replicas),
        unknown=unknown,
    )


def _started(policy: Autoscaling, memory: ScalingMemory, seen: Observation, present: int | None) -> ScalingMemory:
    """The memory with what this observation teaches; a new one begins with the replicas there are."""
    times = ready_times.learn(memory.ready_times, seen.now, seen.replicas_ready, seen.replicas_starting)
    if memory.wanted is not None:
        return replace(memory, ready_times=times)
    there = seen.replicas_ready + seen.replicas_starting if present is None else present
    there = min(max(there, policy.min_replicas), policy.max_replicas)
    return replace(memory, ready_times=times, wanted=there, needs=((seen.now, there),), active_at=seen.now)


def _sampled(policy: Autoscaling, memory: ScalingMemory, seen: Observation) -> ScalingMemory:
    if seen.waiting is None or seen.held is None:
        return replace(memory, active_at=seen.now)
    sample = LoadSample(
        at=seen.now,
        waiting=seen.waiting + seen.held,
        executing=seen.executing,
        arrivals_per_s=seen.arrivals_per_s,
        busy=None if seen.busy_share is None else seen.busy_share * seen.replicas_ready,
        ready=seen.replicas_ready,
    )
    window = load_window.extend(memory.window, sample)
    quiet = seen.waiting == 0 and seen.held == 0 and seen.executing == 0 and seen.arrivals_per_s == 0
    return replace(
        memory,
        window=window,
        throughput=measure(memory.throughput, window, policy.target_queue_depth),
        active_at=memory.active_at if quiet else seen.now,
    )


def _unknown(seen: Observation) -> str:
    signals = {
        "waiting requests": seen.waiting,
        "executing requests": seen.executing,
        "held requests": seen.held,
        "arrivals": seen.arrivals_per_s,
        "the busy share": seen.busy_share,
    }
    missing = [name for name, value in signals.items() if value is None]
    return f"Not known: {', '.join(missing)}." if missing else ""


def _called_for(policy: Autoscaling, memory: ScalingMemory, seen: Observation, before: int, unknown: str) -> _Call:
    """The number that this moment calls for, before delays and limits."""
    if before == 0:
        return _wake(policy, memory, seen)
    if seen.waiting is None or seen.held is None:
        return _Call(before, f"Holds {before}. {unknown}")
    more = _more(policy, memory, seen, before)
    if more is not None and more.replicas > before:
        return more
    if unknown:
        return _Call(before, f"Holds {before}. {unknown}")
    fewer = _enough(policy, memory, seen, before)
    return more if more is not None and more.replicas >= fewer.replicas else fewer


def _wake(policy: Autoscaling, memory: ScalingMemory, seen: Observation) -> _Call:
    if not seen.held and not seen.arrivals_per_s:
        return _Call(0, "Nothing is asked of it." if seen.held is not None else "Stays at zero: held requests are not known.")
    sized = _sized(policy, memory, seen, 1)
    cause = f"{counted(round(seen.held), 'request')} held" if seen.held else f"{rate_text(seen.arrivals_per_s or 0.0)} arrive"
    return _Call(max(1, sized.replicas), f"{cause} and no replica; {sized.reason}")


def _more(policy: Autoscaling, memory: ScalingMemory, seen: Observation, before: int) -> _Call | None:
    """What the queue calls for; None: it is short enough."""
    short = load_window.last(memory.window, SHORT_WINDOW_S)
    queue = load_window.mean(each.waiting for each in short) or 0.0
    per_replica = queue / max(seen.replicas_ready, 1)
    cause = ""
    if seen.held:
        cause = f"{counted(round(seen.held), 'request')} held with {counted(seen.replicas_ready, 'replica')} ready"
    elif per_replica > policy.target_queue_depth:
        cause = f"{per_replica:.1f} waiting per replica, above the target of {policy.target_queue_depth:g}"
    elif _will_pass_target(policy, memory, seen, short):
        cause = f"{per_replica:.1f} waiting per replica and rising past the target of {policy.target_queue_depth:g}"
    if not cause:
        return _foreseen(memory, seen, before)
    sized = _sized(policy, memory, seen, before)
    return _Call(sized.replicas, f"{cause}; {sized.reason}")


def _will_pass_target(policy: Autoscaling, memory: ScalingMemory, seen: Observation, short: LoadWindow) -> bool:
    """Whether the queue, as it grows now, passes the target before a replica that is started now is ready."""
    target = policy.target_queue_depth * max(seen.replicas_ready, 1)
    if not short or short[-1].waiting <= target / 2:
        return False
    line = load_window.trend(short, lambda sample: sample.waiting)
    outlook = min(memory.ready_times.learned or 0.0, load_window.LONGEST_S)
    return line is not None and short[-1].waiting + line.surely_rising * outlook > target


def _foreseen(memory: ScalingMemory, seen: Observation, before: int) -> _Call | None:
    """What arrivals call for that rise faster than replicas get ready, where it is known how much one can do."""
    capacity, ready_time = memory.throughput.capacity, memory.ready_times.learned
    if capacity is None or ready_time is None or not seen.arrivals_per_s:
        return None
    crowded = _CROWDED * capacity * before
    if seen.arrivals_per_s * _MOST_GROWTH <= crowded:
        return None
    ahead = _arrivals_ahead(memory.window, ready_time)
    if ahead <= crowded:
        return None
    needed = _ceil(ahead / (capacity * PLANNED_UTILISATION))
    cause = f"{rate_text(ahead)} foreseen in {seconds_text(ready_time)}, when a new replica would be ready"
    return _Call(needed, f"{cause}; at {rate_text(capacity)} a replica they need {needed}")


def _arrivals_ahead(window: LoadWindow, ready_time: float) -> float:
    """Arrivals per second when a replica that is started now is ready, as far as noise and a single step do not explain it."""
    smooth, short = load_window.last(window, _SMOOTHING_S), load_window.last(window, SHORT_WINDOW_S)
    rates = [load_window.mean(each.arrivals_per_s for each in part) or 0.0 for part in (smooth, short)]
    slopes = [load_window.trend(part, lambda sample: sample.arrivals_per_s) for part in (window, smooth)]
    rise = min(line.surely_rising if line else 0.0 for line in slopes)
    rate = min(rates)
    sure = max(0.0, rate - math.sqrt(rate / _SMOOTHING_S))
    return min(sure + rise * (ready_time + SHORT_WINDOW_S), _MOST_GROWTH * rate)


def _sized(policy: Autoscaling, memory: ScalingMemory, seen: Observation, before: int) -> _Call:
    """How many replicas the arrivals and what is held need. What waits at a replica cannot move: it does not count."""
    rate = _arrival_rate(memory.window)
    capacity = memory.throughput.per_replica
    held = seen.held or 0.0
    if rate is None or capacity is None or capacity <= 0:
        return _guessed(policy, memory, seen, before)
    needed = _ceil(rate / (capacity * PLANNED_UTILISATION) + held / (capacity * _DRAIN_S))
    return _Call(max(1, needed), f"{rate_text(rate)} at {rate_text(capacity)} a replica need {max(1, needed)}")


def _guessed(policy: Autoscaling, memory: ScalingMemory, seen: Observation, before: int) -> _Call:
    """One more for every fourfold of what waits: as long as it is not known what a replica can do."""
    newest = memory.window[-1].waiting if memory.window else seen.held or 0.0
    needed = max(before, 1 + int(math.log(max(newest / policy.target_queue_depth, 1.0), 4)))
    return _Call(needed, f"{newest:.0f} waiting call for {needed} while it is not known what a replica can do")


def _arrival_rate(window: LoadWindow) -> float | None:
    """Arrivals per second: the mean of the short window, or what the last seconds surely are above it."""
    short = load_window.last(window, SHORT_WINDOW_S)
    rate = load_window.mean(each.arrivals_per_s for each in short)
    recent = load_window.mean(each.arrivals_per_s for each in load_window.last(window, 2.0))
    if rate is None or recent is None:
        return rate
    return max(rate, recent - math.sqrt(recent / 2.0))


def _enough(policy: Autoscaling, memory: ScalingMemory, seen: Observation, before: int) -> _Call:
    """How many replicas the busy share calls for: never fewer because a queue is empty."""
    smoothing = min(_SMOOTHING_S, max(_delay(policy, memory) / 4, 2.0))
    busy = load_window.mean(each.busy for each in load_window.last(memory.window, smoothing))
    short = load_window.last(memory.window, SHORT_WINDOW_S)
    queue = (load_window.mean(each.waiting for each in short) or 0.0) / max(seen.replicas_ready, 1)
    text = f"{queue:.1f} waiting per replica, {busy or 0.0:.1f} of {seen.replicas_ready} busy"
    if busy is None or queue > policy.target_queue_depth:
        return _Call(before, f"Holds {before}: {text}.")
    # Busy replicas alone never call for more: where requests are batched, one with room to spare can be busy all the time.
    return _Call(min(before, max(1, _ceil(busy / SAFE_UTILISATION))), text)


def _settle(policy: Autoscaling, memory: ScalingMemory, seen: Observation, call: _Call) -> tuple[_Call, ScalingMemory]:
    """Up at once; down to the highest number that was called for within the delay."""
    before = memory.wanted or 0
    needs = _pushed(memory.needs, seen.now, call.replicas, _delay(policy, memory))
    remembered = replace(memory, needs=needs)
    if call.replicas > before:
        return call, remembered
    highest = min(needs[0][1], before)
    if highest == before:
        reason = call.reason if call.reason.startswith("Holds") or not before else f"Holds {before}: {call.reason}."
        return _Call(before, reason), remembered
    delay = seconds_text(_delay(policy, memory))
    text = f"{call.reason}: no more than {highest} called for in {delay}, at most {SAFE_UTILISATION:.0%} busy"
    return _Call(highest, text), remembered


def _pushed(
    needs: tuple[tuple[float, int], ...], now: float, replicas: int, horizon_s: float
) -> tuple[tuple[float, int], ...]:
    """A sliding maximum: falling numbers with the time each was last called for; the first is the highest of the horizon."""
    falling = [each for each in needs if each[1] > replicas and now - each[0] < horizon_s]
    return (*falling, (now, replicas))


def _idle(
    policy: Autoscaling, memory: ScalingMemory, seen: Observation, chosen: _Call, *, hold_seconds: float
) -> tuple[_Call, ScalingMemory]:
    """To zero, when nothing was asked for long enough and the next request could wait for a replica."""
    quiet = seen.now - memory.active_at
    if policy.min_replicas > 0 or quiet < policy.idle_timeout_s:
        return chosen, memory
    wake_up = memory.ready_times.learned
    if wake_up is not None and wake_up > hold_seconds:
        limits = f"getting ready takes {seconds_text(wake_up)}, and requests wait at most {seconds_text(hold_seconds)}"
        return _Call(chosen.replicas, f"Holds {chosen.replicas} though idle: {limits}."), memory
    reason = f"Idle for {seconds_text(quiet)}, idleTimeout is {seconds_text(policy.idle_timeout_s)}"
    return _Call(0, reason), replace(memory, needs=((seen.now, 0),))


def _within_limits(policy: Autoscaling, call: _Call) -> _Call:
    if call.replicas > policy.max_replicas:
        return _Call(policy.max_replicas, sentence(f"{clause(call.reason)}; maxReplicas {policy.max_replicas} is the limit"))
    if call.replicas < policy.min_replicas:
        return _Call(policy.min_replicas, sentence(f"{clause(call.reason)}; minReplicas {policy.min_replicas} is the limit"))
    return _Call(call.replicas, sentence(call.reason))


def _noted(policy: Autoscaling, memory: ScalingMemory, seen: Observation, before: int, after: int) -> ScalingMemory:
    """The memory after a decision. To need again soon what was let go is a regret: the next time it is kept for longer."""
    memory = replace(memory, wanted=after)
    if after < before:
        return replace(memory, lowered_at=seen.now)
    if memory.lowered_at is None:
        return memory
    since, soon = seen.now - memory.lowered_at, _REGRETTED_WITHIN * _delay(policy, replace(memory, regrets=0))
    if since > soon:
        return replace(memory, lowered_at=None, regrets=max(0, memory.regrets - 1))
    if after > before > 0:
        return replace(memory, lowered_at=None, regrets=min(memory.regrets + 1, _MOST_REGRETS))
    return memory


def _delay(policy: Autoscaling, memory: ScalingMemory) -> float:
    """For how long the highest number called for is kept: longer where replicas take long, or were missed before."""
    learned = memory.ready_times.learned or 0.0
    delay = max(policy.scale_down_delay_s, _DELAY_PER_READY_TIME * learned) * 2.0**memory.regrets
    return min(delay, max(_LONGEST_DELAY_S, policy.scale_down_delay_s))


def _ceil(value: float) -> int:
    # What is a whole number but for rounding is that number.
    return math.ceil(value - 1e-6)

"""How many replicas a model has: up on what waits, down on how busy they are, to zero when idle.

The sizes come from the offered load (arrivals times the busy seconds that one takes), not from the length of the queue: that
only says that there are too few. What is called for is remembered for the length of the scale-down delay, and the highest of
it is kept, as the stabilisation window of Kubernetes' HorizontalPodAutoscaler does it.
"""

from dataclasses import dataclass, field, replace

from forebay_operator.domain import calls, load_window, ready_times
from forebay_operator.domain.calls import SAFE_UTILISATION, Call, Moment
from forebay_operator.domain.deployment import Autoscaling
from forebay_operator.domain.load_window import LoadSample, LoadWindow
from forebay_operator.domain.observation import Observation
from forebay_operator.domain.ready_times import ReadyTimes
from forebay_operator.domain.throughput import Throughput, measure
from forebay_operator.domain.wording import clause, seconds_text, sentence

__all__ = ["Decision", "Needs", "Observation", "ScalingMemory", "decide", "prolonged", "same_until"]

_DELAY_PER_READY_TIME = 1.5
_LONGEST_DELAY_S = 1800.0
_MOST_DOUBLED = 8.0
"""Times the delay without regrets."""
_REGRETTED_WITHIN = 10.0
"""Times the delay without regrets."""
_WORTH_KEEPING = 10.0
"""Times the ready time: for so long a replica is kept at most rather than waited for. A second for which requests wait is
counted as ten seconds of the replicas that they wait for (the threshold of ski rental, with the price of waiting so set)."""
_LONGER_THAN_MISSED = 1.25

Needs = tuple[tuple[float, int], ...]
"""A sliding maximum: falling numbers of replicas, each with the time at which it was last called for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingMemory:
    """What the policy remembers of one model. Without it, the present number is kept for a whole delay."""

    wanted: int | None = None
    window: LoadWindow = ()
    needs: Needs = ()
    ready_times: ReadyTimes = field(default_factory=ReadyTimes)
    throughput: Throughput = field(default_factory=Throughput)
    active_at: float = 0.0
    """When anything was last asked of the model, or when it was not known."""
    lowered_at: float | None = None
    kept_s: float = 0.0
    """For how long replicas are kept because they were missed soon after they had been taken away. 0: they were not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    replicas: int
    reason: str
    """What was seen, what was wanted, which limit bound."""
    memory: ScalingMemory
    unknown: str = ""
    """The signals that are missing, in a sentence; empty: none is."""


def decide(
    policy: Autoscaling, memory: ScalingMemory, seen: Observation, *, present: int | None = None, hold_seconds: float = 45.0
) -> Decision:
    """The number of replicas to have now.

    `present`: the number to start from without a memory (None: those ready and starting). `hold_seconds`: how long a request
    may wait for the first replica.
    """
    known = _look(policy, memory, seen, present)
    before = known.wanted or 0
    delay = _delay(policy, known)
    moment = Moment(
        policy=policy,
        seen=seen,
        window=known.window,
        throughput=known.throughput,
        ready_time=known.ready_times.learned,
        before=before,
    )
    called = calls.call(moment, delay)
    needs = _pushed(known.needs, seen.now, called.replicas, delay)
    chosen = _settle(called, before, needs, delay)
    if chosen.replicas and not seen.unknown:
        chosen = _idle(policy, known, seen, chosen, hold_seconds=hold_seconds)
        needs = needs if chosen.replicas else ((seen.now, 0),)
    chosen = _within_limits(policy, chosen)
    return Decision(
        replicas=chosen.replicas,
        reason=chosen.reason,
        memory=_noted(policy, known, seen.now, chosen.replicas, needs),
        unknown=seen.unknown,
    )


def same_until(policy: Autoscaling, memory: ScalingMemory, seen: Observation) -> float:
    """Until when the decision stands if nothing but time changes; never, unless nothing is asked of the model."""
    window = load_window.last(memory.window, load_window.LONGEST_S)
    if not seen.is_quiet or seen.busy_share != 0 or any(each.busy or each.waiting for each in window):
        return seen.now
    due = [memory.needs[0][0] + _delay(policy, memory)] if len(memory.needs) > 1 else []
    if policy.min_replicas == 0 and memory.wanted:
        due.append(memory.active_at + policy.idle_timeout_s)
    return min(due, default=float("inf"))


def _look(policy: Autoscaling, memory: ScalingMemory, seen: Observation, present: int | None) -> ScalingMemory:
    """The memory with what this observation teaches; a new one begins with the replicas there are."""
    times = ready_times.learn(memory.ready_times, seen.now, seen.replicas_ready, seen.replicas_starting)
    window, throughput = memory.window, memory.throughput
    if seen.waiting is not None and seen.held is not None:
        window = load_window.extend(window, _sample(seen, seen.waiting + seen.held))
        throughput = measure(throughput, window, policy.target_queue_depth)
    wanted, needs, active_at = memory.wanted, memory.needs, memory.active_at if seen.is_quiet else seen.now
    if wanted is None:
        there = seen.replicas_ready + seen.replicas_starting if present is None else present
        wanted = min(max(there, policy.min_replicas), policy.max_replicas)
        needs, active_at = ((seen.now, wanted),), seen.now
    return ScalingMemory(
        wanted=wanted,
        window=window,
        needs=needs,
        ready_times=times,
        throughput=throughput,
        active_at=active_at,
        lowered_at=memory.lowered_at,
        kept_s=memory.kept_s,
    )


def _sample(seen: Observation, waiting: float) -> LoadSample:
    return LoadSample(
        at=seen.now,
        waiting=waiting,
        executing=seen.executing,
        arrivals_per_s=seen.arrivals_per_s,
        busy=None if seen.busy_share is None else seen.busy_share * seen.replicas_ready,
        ready=seen.replicas_ready,
    )


def _settle(called: Call, before: int, needs: Needs, delay_s: float) -> Call:
    """Up at once; down to the highest number that was called for within the delay."""
    if called.replicas > before:
        return called
    highest = min(needs[0][1], before)
    if highest == before:
        return called if called.replicas == before == 0 or called.reason.startswith("Holds") else _held(called, before)
    calm = f"no more than {highest} called for in {seconds_text(delay_s)}"
    return Call(highest, f"{called.reason}: {calm}, so that they are at most {SAFE_UTILISATION:.0%} busy")


def _held(called: Call, before: int) -> Call:
    return Call(before, f"Holds {before}: {called.reason}.")


def _pushed(needs: Needs, now: float, replicas: int, horizon_s: float) -> Needs:
    falling = [each for each in needs if each[1] > replicas and now - each[0] < horizon_s]
    return (*falling, (now, replicas))


def _idle(policy: Autoscaling, memory: ScalingMemory, seen: Observation, chosen: Call, *, hold_seconds: float) -> Call:
    """To zero, when nothing was asked for long enough and the next request could wait for a replica."""
    quiet = seen.now - memory.active_at
    if policy.min_replicas > 0 or quiet < policy.idle_timeout_s:
        return chosen
    wake_up = memory.ready_times.learned
    if wake_up is not None and wake_up > hold_seconds:
        limits = f"getting ready takes {seconds_text(wake_up)}, and requests wait at most {seconds_text(hold_seconds)}"
        return Call(chosen.replicas, f"Holds {chosen.replicas} though idle: {limits}.")
    return Call(0, f"Idle for {seconds_text(quiet)}, idleTimeout is {seconds_text(policy.idle_timeout_s)}")


def _within_limits(policy: Autoscaling, chosen: Call) -> Call:
    if chosen.replicas > policy.max_replicas:
        limit = f"maxReplicas {policy.max_replicas} is the limit"
        return Call(policy.max_replicas, sentence(f"{clause(chosen.reason)}; {limit}"))
    if chosen.replicas < policy.min_replicas:
        limit = f"minReplicas {policy.min_replicas} is the limit"
        return Call(policy.min_replicas, sentence(f"{clause(chosen.reason)}; {limit}"))
    return Call(chosen.replicas, sentence(chosen.reason))


def _noted(policy: Autoscaling, memory: ScalingMemory, now: float, after: int, needs: Needs) -> ScalingMemory:
    """The memory after a decision. To need again soon what was let go is a regret: the next time it is kept for longer."""
    lowered_at, kept_s = _regretted(policy, memory, now, after)
    return ScalingMemory(
        wanted=after,
        window=memory.window,
        needs=needs,
        ready_times=memory.ready_times,
        throughput=memory.throughput,
        active_at=memory.active_at,
        lowered_at=lowered_at,
        kept_s=kept_s,
    )


def _regretted(policy: Autoscaling, memory: ScalingMemory, now: float, after: int) -> tuple[float | None, float]:
    before, lowered_at, kept_s = memory.wanted or 0, memory.lowered_at, memory.kept_s
    if after == 0:
        # Whoever comes then wakes it, which tells nothing of the time for which more than one should be kept.
        return None, kept_s
    if after < before:
        return now, kept_s
    if lowered_at is None:
        return None, kept_s
    base = _delay_before_regrets(policy, memory.ready_times)
    if now - lowered_at > _REGRETTED_WITHIN * base:
        return None, kept_s / 2 if kept_s > 2 * base else 0.0
    if after > before > 0:
        return None, _kept_longer(policy, memory, now - lowered_at)
    return lowered_at, kept_s


def _kept_longer(policy: Autoscaling, memory: ScalingMemory, missing_s: float) -> float:
    """For how long what is missed again so long after it went is kept from now on: twice as long as before, or until after it
    would have been missed, if waiting for it costs more than that."""
    delay = _delay(policy, memory)
    unused_s = delay + missing_s
    doubled = min(2 * delay, _MOST_DOUBLED * _delay_before_regrets(policy, memory.ready_times))
    is_worth_it = unused_s <= _WORTH_KEEPING * (memory.ready_times.learned or 0.0)
    return max(doubled, _LONGER_THAN_MISSED * unused_s) if is_worth_it else doubled


def _delay(policy: Autoscaling, memory: ScalingMemory) -> float:
    """For how long the highest number called for is kept: longer where replicas take long, or were missed before."""
    delay = max(_delay_before_regrets(policy, memory.ready_times), memory.kept_s)
    return min(delay, max(_LONGEST_DELAY_S, policy.scale_down_delay_s))


def _delay_before_regrets(policy: Autoscaling, times: ReadyTimes) -> float:
    return min(
        max(policy.scale_down_delay_s, _DELAY_PER_READY_TIME * (times.learned or 0.0)),
        max(_LONGEST_DELAY_S, policy.scale_down_delay_s),
    )


def prolonged(memory: ScalingMemory, until: float) -> ScalingMemory:
    """The memory when everything has been the same until a later time, and was not looked at."""
    return replace(memory, window=load_window.prolong(memory.window, until))

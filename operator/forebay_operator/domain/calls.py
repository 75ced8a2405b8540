"""How many replicas a moment calls for, before delays and limits: by what waits, what arrives, and how busy replicas are."""

import math
from dataclasses import dataclass

from forebay_operator.domain import load_window
from forebay_operator.domain.deployment import Autoscaling
from forebay_operator.domain.load_window import LoadWindow
from forebay_operator.domain.observation import Observation
from forebay_operator.domain.throughput import Throughput
from forebay_operator.domain.wording import counted, rate_text, seconds_text

SHORT_WINDOW_S = 6.0
SAFE_UTILISATION = 0.75
"""Fewer replicas are enough if the load seen would keep them busy no more than this."""
PLANNED_UTILISATION = 0.8
"""More replicas are sized so that they are busy no more than this. Above `SAFE_UTILISATION`: what was added is not taken away
by the same load."""

_SMOOTHING_S = 15.0
_RECENT_S = 2.0
_CROWDED = 0.95
_LEARNED_WITHIN_S = 3.0
_DRAIN_S = 10.0
"""Held requests should be answered within this time, or within a ready time: more that are ordered now are there only then."""
_MOST_GROWTH = 1.5
"""Arrivals are not foreseen to rise by more than this factor."""


@dataclass(frozen=True, slots=True)
class Call:
    """A number of replicas that something calls for, and what."""

    replicas: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a call is made from."""

    policy: Autoscaling
    seen: Observation
    window: LoadWindow
    throughput: Throughput
    ready_time: float | None
    """Seconds that a replica takes to get ready, as learned."""
    before: int
    """Replicas wanted so far."""

    @property
    def servers_of_queue(self) -> int:
        return max(self.seen.replicas_ready, 1)


def call(moment: Moment, delay_s: float) -> Call:
    """The number called for. `delay_s`: for how long a higher number will be kept.

    | wanted | signals                                | calls for                                        |
    |--------|----------------------------------------|--------------------------------------------------|
    | 0      | nothing held, nothing arrives          | 0                                                |
    | 0      | anything held or arriving              | at least 1, sized by arrivals and what is held   |
    | ≥ 1    | waiting or held unknown                | as many as there are                             |
    | ≥ 1    | held, or queue above or passing target | sized by arrivals and what is held               |
    | ≥ 1    | arrivals rise towards more than it can | sized by the arrivals foreseen                   |
    | ≥ 1    | any other unknown                      | as many as there are                             |
    | ≥ 1    | none of these                          | as few as stay at most 75 % busy, at least 1     |
    """
    seen, before = moment.seen, moment.before
    if before == 0:
        return _wake(moment)
    if seen.waiting is None or seen.held is None:
        return Call(before, f"Holds {before}. {seen.unknown}")
    short = load_window.last(moment.window, SHORT_WINDOW_S)
    queue = (load_window.mean(each.waiting for each in short) or 0.0) / moment.servers_of_queue
    more = _more(moment, short, queue)
    if more is not None and more.replicas > before:
        return more
    if seen.unknown:
        return Call(before, f"Holds {before}. {seen.unknown}")
    fewer = _enough(moment, queue, delay_s)
    return more if more is not None and more.replicas >= fewer.replicas else fewer


def _wake(moment: Moment) -> Call:
    seen = moment.seen
    if not seen.held and not seen.arrivals_per_s:
        return Call(0, "Nothing is asked of it." if seen.held is not None else "Stays at zero: held requests are not known.")
    sized = _sized(moment)
    cause = f"{counted(round(seen.held), 'request')} held" if seen.held else f"{rate_text(seen.arrivals_per_s or 0.0)} arrive"
    return Call(max(1, sized.replicas), f"{cause} and no replica; {sized.reason}")


def _more(moment: Moment, short: LoadWindow, queue: float) -> Call | None:
    """What the queue calls for; None: it is short enough."""
    seen, target = moment.seen, moment.policy.target_queue_depth
    cause = ""
    if seen.held:
        cause = f"{counted(round(seen.held), 'request')} held with {counted(seen.replicas_ready, 'replica')} ready"
    elif queue > target:
        cause = f"{queue:.1f} waiting per replica, above the target of {target:g}"
    elif _will_pass_target(moment, short):
        cause = f"{queue:.1f} waiting per replica and rising past the target of {target:g}"
    if not cause:
        return _foreseen(moment)
    sized = _sized(moment)
    return Call(sized.replicas, f"{cause}; {sized.reason}")


def _will_pass_target(moment: Moment, short: LoadWindow) -> bool:
    """Whether the queue, as it grows now, passes the target before a replica that is started now is ready."""
    target = moment.policy.target_queue_depth * moment.servers_of_queue
    if not short or short[-1].waiting <= target / 2:
        return False
    line = load_window.trend(short, lambda sample: sample.waiting)
    outlook = min(moment.ready_time or 0.0, load_window.LONGEST_S)
    return line is not None and short[-1].waiting + line.surely_rising * outlook > target


def _foreseen(moment: Moment) -> Call | None:
    """What arrivals call for that rise faster than replicas get ready, where it is known how much one can do."""
    learned, ready_time = moment.throughput, moment.ready_time
    arriving = moment.seen.arrivals_per_s
    if learned.capacity is None or ready_time is None or not arriving:
        return None
    # What a server that stalled had taught of large batches is disproved by small ones that do more.
    capacity = max(learned.capacity, learned.per_replica or 0.0)
    crowded = _CROWDED * capacity * moment.before
    if arriving * _MOST_GROWTH <= crowded:
        return None
    ahead = _arrivals_ahead(moment.window, ready_time)
    if ahead <= crowded:
        return None
    needed = ceiling(ahead / (capacity * PLANNED_UTILISATION))
    cause = f"{rate_text(ahead)} foreseen in {seconds_text(ready_time)}, when a new replica would be ready"
    return Call(needed, f"{cause}; at {rate_text(capacity)} a replica they need {needed}")


def _arrivals_ahead(window: LoadWindow, ready_time: float) -> float:
    """Arrivals per second when a replica that is started now is ready, as far as noise and a single step do not explain it."""
    smooth, short = load_window.last(window, _SMOOTHING_S), load_window.last(window, SHORT_WINDOW_S)
    rate = min(load_window.mean(each.arrivals_per_s for each in part) or 0.0 for part in (smooth, short))
    lines = [load_window.trend(part, lambda sample: sample.arrivals_per_s) for part in (window, smooth)]
    rise = min(line.surely_rising if line else 0.0 for line in lines)
    sure = max(0.0, rate - math.sqrt(rate / _SMOOTHING_S))
    return min(sure + rise * (ready_time + SHORT_WINDOW_S), _MOST_GROWTH * rate)


def _sized(moment: Moment) -> Call:
    """How many replicas the arrivals and what is held need. What waits at a replica cannot move: it does not count."""
    rate, capacity = _arrival_rate(moment.window), moment.throughput.per_replica
    if rate is None or not capacity:
        return _guessed(moment) if _has_been_watched(moment) else Call(moment.before, "what a replica can do is being learned")
    held, drain_s = moment.seen.held or 0.0, max(_DRAIN_S, moment.ready_time or 0.0)
    needed = max(1, ceiling(rate / (capacity * PLANNED_UTILISATION) + held / (capacity * drain_s)))
    return Call(needed, f"{rate_text(rate)} at {rate_text(capacity)} a replica need {needed}")


def _has_been_watched(moment: Moment) -> bool:
    """Whether what a replica can do would be known by now, if it could be."""
    if moment.seen.replicas_ready == 0 or moment.seen.arrivals_per_s is None or moment.seen.busy_share is None:
        return True
    first = next(each.at for each in moment.window if each.ready)
    return moment.seen.now - first >= _LEARNED_WITHIN_S


def _guessed(moment: Moment) -> Call:
    """One more for every fourfold of what waits: as long as it is not known what a replica can do."""
    waiting = moment.window[-1].waiting if moment.window else moment.seen.held or 0.0
    above = max(waiting / moment.policy.target_queue_depth, 1.0)
    needed = max(moment.before, 1 + int(math.log(above, 4)))
    return Call(needed, f"{waiting:.0f} waiting call for {needed} while it is not known what a replica can do")


def _arrival_rate(window: LoadWindow) -> float | None:
    """Arrivals per second: the mean of the short window, or what the last seconds surely are above it."""
    rate = load_window.mean(each.arrivals_per_s for each in load_window.last(window, SHORT_WINDOW_S))
    recent = load_window.mean(each.arrivals_per_s for each in load_window.last(window, _RECENT_S))
    if rate is None or recent is None:
        return rate
    return max(rate, recent - math.sqrt(recent / _RECENT_S))


def _enough(moment: Moment, queue: float, delay_s: float) -> Call:
    """How many replicas the busy share calls for, or what arrives where that is less: never fewer because a queue is empty."""
    before = moment.before
    smoothing = min(_SMOOTHING_S, max(delay_s / 4, _RECENT_S))
    busy = load_window.mean(each.busy for each in load_window.last(moment.window, smoothing))
    text = f"{queue:.1f} waiting per replica, {busy or 0.0:.1f} of {moment.seen.replicas_ready} busy"
    if busy is None or (queue > moment.policy.target_queue_depth and busy > SAFE_UTILISATION * moment.seen.replicas_ready):
        return Call(before, f"Holds {before}: {text}.")
    # A queue while replicas have room to spare waits at a few of them. It cannot move: others do not help it.
    # Busy replicas alone never call for more: where requests are batched, one with room to spare can be busy all the time.
    needed = min(before, max(1, ceiling(busy / SAFE_UTILISATION)))
    by_arrivals = _enough_for_arrivals(moment, smoothing)
    if by_arrivals is not None and by_arrivals.replicas < needed:
        return by_arrivals
    return Call(needed, text)


def _enough_for_arrivals(moment: Moment, smoothing_s: float) -> Call | None:
    """How many replicas take what arrives in larger batches than now; None: what one can do with large ones is not known."""
    capacity = moment.throughput.capacity
    rate = load_window.mean(each.arrivals_per_s for each in load_window.last(moment.window, smoothing_s))
    if rate is None or not capacity:
        return None
    needed = max(1, ceiling(rate / (capacity * SAFE_UTILISATION)))
    return Call(needed, f"{rate_text(rate)} arrive, and a replica was seen to do {rate_text(capacity)}")


def ceiling(value: float) -> int:
    # What is a whole number but for rounding is that number.
    return math.ceil(value - 1e-6)

"""The holder: decides on every request that Envoy brings it, keeps those that must wait, and lets them go."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Final, Protocol

from forebay_gateway.holder.answers import (
    LET_GO,
    NOT_READY,
    READY,
    Answer,
    ending,
    mirrored,
    not_set_up,
    stopped,
    too_late,
    unknown_model,
    unreachable,
)
from forebay_gateway.holder.calls import ModelCall, ReadyCall, RequestHead
from forebay_gateway.holder.pacing import TURN_S, Pace, after_bounce
from forebay_gateway.holder.queue import MOST_REQUESTS, Held, HoldQueue
from forebay_gateway.holder.surges import Load, Surges
from forebay_gateway.routing import NO_ROUTES, RouteIndex
from forebay_gateway.xds.routes import FINAL_ATTEMPT
from forebay_schema import headers
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import Route

UNKNOWN_SIZE: Final = 1 << 20
"""Bytes that a request of unknown length is charged."""

_LINGER_S: Final = 0.5
"""How long it is remembered how fast replicas took what was let go, after the last of it: some may come back."""
_LAST_FIRST_ATTEMPT: Final = 2
"""Later attempts than this are of requests that were let go before."""
_TICK_S: Final = 0.05
_REPORT_OVERDUE_S: Final = 2.0
_SHORTEST_REPORT_S: Final = 0.01


class Exchange(Protocol):
    """A request that can be answered once."""

    def answer(self, answer: Answer) -> None: ...


@dataclass(frozen=True, slots=True)
class _Due:
    """Something that comes at a time of the event loop's. What uvloop gives for one that is due by now does not say when."""

    at: float
    handle: asyncio.Handle


@dataclass(slots=True)
class HolderCounts:
    """Since the start, or since the model is there, per model."""

    first: Counter[ModelAddress]
    """Requests that came here at their first attempt."""
    released: Counter[ModelAddress]
    refused: Counter[ModelAddress]
    gone: Counter[ModelAddress]
    waits: Counter[ModelAddress]
    """How often a request's waiting has ended, however it did."""
    waited_ms: Counter[ModelAddress]
    """How long they waited together, in milliseconds."""

    def keep(self, present: Set[ModelAddress]) -> None:
        """Forget all other models."""
        for counts in (self.first, self.released, self.refused, self.gone, self.waits, self.waited_ms):
            for address in counts.keys() - present:
                del counts[address]


class Holder:
    """Envoy knows `acknowledged`; `newest` is the controller's last word. A request is let go when both have replicas."""

    def __init__(
        self,
        clock: Callable[[], float],
        date: Callable[[], float],
        woken: Callable[[], None],
        most_requests: int = MOST_REQUESTS,
    ) -> None:
        """`clock` gives seconds that only go on, `date` those since the epoch, which Envoy dates requests by.

        `woken` is called when the first request waits for a model. `most_requests`: that may wait for all models together.
        """
        self._clock = clock
        self._date = date
        self._woken = woken
        self._newest: RouteIndex = NO_ROUTES
        self._acknowledged: RouteIndex = NO_ROUTES
        self._queue: HoldQueue[Exchange] = HoldQueue(most_requests)
        self._paces: dict[ModelAddress, Pace] = {}
        self._waves: dict[ModelAddress, _Due] = {}
        self._reported_at = 0.0
        self._surges = Surges()
        self._loads_at = clock()
        self._tick: asyncio.TimerHandle | None = None
        self._is_ending = False
        self.is_leaving = False
        """Nothing is held any more: whatever comes goes back to Envoy at once."""
        self.counts = HolderCounts(*(Counter[ModelAddress]() for _ in range(6)))

    @property
    def default_namespace(self) -> str:
        return self._newest.default_namespace

    @property
    def letting_go(self) -> bool:
        """Whether requests wait for room in ready replicas."""
        return bool(self._paces)

    @property
    def surging(self) -> frozenset[ModelAddress]:
        """The models whose requests should come here first, whatever their replicas do."""
        return self._surges.addresses

    def replicas(self, address: ModelAddress) -> int:
        """How many replicas of a model requests may be let go to."""
        return min(self._newest.replicas(address), self._acknowledged.replicas(address))

    def held(self, address: ModelAddress) -> int:
        return self._queue.count(address)

    def held_bytes(self, address: ModelAddress) -> int:
        return self._queue.size(address)

    def addresses(self) -> list[ModelAddress]:
        return self._queue.addresses()

    def follow(self, newest: RouteIndex) -> None:
        """Take the controller's newest table: requests for models that are gone or stopped end now."""
        self._newest = newest
        for address in self._queue.addresses():
            verdict = self._verdict(address)
            if verdict:
                self._finish(address, verdict)
        self.counts.keep(newest.routes.keys())
        self._surges.keep(newest.routes.keys())

    def acknowledge(self, index: RouteIndex) -> None:
        """Envoy has this table: let go what has a replica now."""
        self._acknowledged = index
        for address in self._queue.addresses():
            self._start_letting_go(address)

    def take_reports(self, in_flight: Mapping[ModelAddress, int]) -> None:
        """Take Envoy's load report: how many requests are at the replicas of each model."""
        self._reported_at = self._clock()
        for address in list(self._paces):
            self._paces[address] = self._paces[address].with_report(in_flight.get(address, 0))
            # One that is to come has its pause for a reason: what was let go came back.
            if self._queue.count(address) and address not in self._waves:
                self._wave(address)

    def take_loads(self, loads: Mapping[ModelAddress, Load]) -> bool:
        """Take the same report with what was answered since the one before; whether there are other surges now."""
        now = self._clock()
        seconds, self._loads_at = max(now - self._loads_at, _SHORTEST_REPORT_S), now
        changed = self._surges.take(loads, seconds, self)
        for address in self._surges.addresses | self._paces.keys():
            replicas = self.replicas(address)
            pace = self._paces.get(address, Pace(replicas)).with_replicas(replicas)
            self._keep_pace(address, pace.with_bound(self._surges.window(address), self._surges.rate(address)))
            if address not in self._surges:
                self._schedule_wave(address, _LINGER_S)
        return changed

    def ready_answer(self, call: ReadyCall) -> Answer:
        """Ready, also with no replica: a request would wait and be answered."""
        route = self._newest.find(call.address)
        if route is None:
            return unknown_model(call.address.name)
        return NOT_READY if route.state == "stopped" else READY

    def arrive(self, call: ModelCall, head: RequestHead, exchange: Exchange) -> Held[Exchange] | None:
        """Hold a request, or answer it and return None."""
        route = self._newest.find(call.address)
        if route is None:
            # Not counted: clients can think of names without end.
            exchange.answer(unknown_model(call.address.name))
            return None
        attempt = _attempt(head)
        if attempt == 1:
            self.counts.first[call.address] += 1
        refusal = self._refusal(call.address, head, attempt)
        if refusal:
            self.counts.refused[call.address] += 1
            exchange.answer(refusal)
            return None
        if self.is_leaving:
            exchange.answer(LET_GO)
            return None
        return self._hold(route, head, attempt, exchange)

    def turn_away(self, call: ModelCall) -> Answer:
        """The answer to a request for which Envoy had no cluster: let go, it could not reach a replica."""
        return self._verdict(call.address) or not_set_up(call.address)

    def learn_size(self, held: Held[Exchange], size: int) -> None:
        """A request of unknown length turned out to have this many bytes."""
        route = self._newest.find(held.address)
        refusal = self._queue.resize(held, size, route.hold) if route else None
        if refusal and self._queue.leave(held):
            self._refuse(held, refusal)

    def depart(self, held: Held[Exchange]) -> None:
        """The client has gone away."""
        if self._queue.leave(held):
            self.counts.gone[held.address] += 1
            self._note_wait(held)

    def let_all_go(self) -> None:
        """Give every request back to Envoy, now and from now on, which tries again: our successor may be there by then."""
        self.is_leaving = True
        for address in self._queue.addresses():
            for held in self._queue.take(address, self._queue.count(address)):
                held.exchange.answer(LET_GO)

    def refuse_all(self) -> int:
        """Refuse whatever waits, and what is to wait from now on, as nobody will answer it; how many there were."""
        self._is_ending = True
        addresses = self._queue.addresses()
        waiting = [held for address in addresses for held in self._queue.take(address, self._queue.count(address))]
        for held in waiting:
            self._refuse(held, ending(held.address))
        return len(waiting)

    def _refusal(self, address: ModelAddress, head: RequestHead, attempt: int) -> Answer | None:
        verdict = self._verdict(address)
        if verdict:
            return verdict
        if headers.MIRROR in head.headers:
            return mirrored(address)
        if self._is_ending and not self.replicas(address):
            return ending(address)
        return unreachable(address) if attempt > FINAL_ATTEMPT else None

    def _verdict(self, address: ModelAddress) -> Answer | None:
        """Why nothing can wait for this model, if so."""
        route = self._newest.find(address)
        if route is None:
            return unknown_model(address.name)
        return stopped(address, route.reason) if route.state == "stopped" else None

    def _hold(self, route: Route, head: RequestHead, attempt: int, exchange: Exchange) -> Held[Exchange] | None:
        came_back = attempt > _LAST_FIRST_ATTEMPT
        deadline = self._start(head) + route.hold.seconds
        held = Held(route.address, _size(head), deadline, exchange, self._clock(), came_back)
        refusal = self._queue.admit(held, route.hold, first=came_back)
        if refusal and route.address in self._surges and not came_back:
            # There are replicas: it may wait in one of them.
            self._let_go_at_once(held)
            return None
        if refusal:
            self.counts.refused[held.address] += 1
            exchange.answer(refusal)
            return None
        self._schedule_tick()
        if self.replicas(route.address):
            self._pace_bounces(route.address, came_back=came_back)
        elif self._queue.count(route.address) == 1:
            self._woken()
        return held

    def _start_letting_go(self, address: ModelAddress) -> None:
        replicas = self.replicas(address)
        if not replicas:
            self._paces.pop(address, None)
            return
        pace = self._paces.get(address, Pace(replicas)).with_replicas(replicas)
        self._keep_pace(address, pace.with_bound(self._surges.window(address), self._surges.rate(address)))
        self._wave(address)

    def _pace_bounces(self, address: ModelAddress, *, came_back: bool) -> None:
        """A request waits although its model is ready: the replicas had no room for it, or could not be reached."""
        pace = self._paces.get(address) or after_bounce(self.replicas(address))
        self._keep_pace(address, pace.with_bounce() if came_back else pace)
        self._schedule_wave(address, pace.pause_s)

    def _keep_pace(self, address: ModelAddress, pace: Pace) -> None:
        if not self._paces:
            self._reported_at = self._clock()
        self._paces[address] = pace

    def _wave(self, address: ModelAddress) -> None:
        """Let go what there is room for, a few at a time."""
        if coming := self._waves.pop(address, None):
            coming.handle.cancel()
        pace = self._paces.pop(address, None)
        waiting = self._queue.count(address)
        goes_on = waiting or (pace is not None and pace.bounced) or address in self._surges
        if pace is None or not self.replicas(address) or not goes_on:
            return
        pace = pace.before_wave()
        wave = self._queue.take(address, min(pace.wave, pace.room_after(self._clock() - self._reported_at)))
        self._paces[address] = pace.after_wave(len(wave))
        for held in wave:
            self._let_go(held)
        if len(wave) == waiting:
            self._schedule_wave(address, _LINGER_S)
        elif wave or pace.rate:
            # Without any there is no room until the next load report, or until some should be finished.
            self._schedule_wave(address, pace.pause_s if wave else TURN_S)

    def _schedule_wave(self, address: ModelAddress, delay_s: float) -> None:
        """The next wave comes after this time, or earlier if one was to come earlier."""
        loop = asyncio.get_running_loop()
        coming, due = self._waves.get(address), loop.time() + delay_s
        if coming is not None and coming.at <= due:
            return
        if coming is not None:
            coming.handle.cancel()
        self._waves[address] = _Due(due, loop.call_at(due, self._wave, address))

    def _let_go(self, held: Held[Exchange]) -> None:
        self.counts.released[held.address] += 1
        self._note_wait(held)
        held.exchange.answer(LET_GO)

    def _let_go_at_once(self, held: Held[Exchange]) -> None:
        """Past the others that wait."""
        if pace := self._paces.get(held.address):
            self._paces[held.address] = pace.with_released(1)
        self._let_go(held)

    def _refuse(self, held: Held[Exchange], refusal: Answer) -> None:
        self.counts.refused[held.address] += 1
        self._note_wait(held)
        held.exchange.answer(refusal)

    def _note_wait(self, held: Held[Exchange]) -> None:
        self.counts.waits[held.address] += 1
        self.counts.waited_ms[held.address] += max(0, round((self._clock() - held.since) * 1000))

    def _finish(self, address: ModelAddress, verdict: Answer) -> None:
        self._paces.pop(address, None)
        for held in self._queue.take(address, self._queue.count(address)):
            self._refuse(held, verdict)

    def _schedule_tick(self) -> None:
        if self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(_TICK_S, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        now = self._clock()
        for held in self._queue.expired(now):
            if held.address in self._surges and not held.returned:
                self._let_go_at_once(held)
                continue
            route = self._newest.find(held.address)
            self._refuse(held, too_late(held.address, route.hold) if route else unknown_model(held.address.name))
        if self._paces and now - self._reported_at > _REPORT_OVERDUE_S:
            self.take_reports({})
        if len(self._queue):
            self._schedule_tick()

    def _start(self, head: RequestHead) -> float:
        """When Envoy received the request, by our clock: kept over its retries and our restarts.

        Its date is looked at once, when the request comes: a clock that is set later ends no waiting.
        """
        try:
            waited = self._date() - float(head.headers.get(headers.START, ""))
        except ValueError:
            return self._clock()
        return self._clock() - max(0.0, waited)


def _attempt(head: RequestHead) -> int:
    text = head.headers.get(headers.ATTEMPT, "1")
    return int(text) if text.isdecimal() else 1


def _size(head: RequestHead) -> int:
    text = head.headers.get("content-length", "")
    if text.isdecimal():
        return int(text)
    return 0 if head.ended else UNKNOWN_SIZE

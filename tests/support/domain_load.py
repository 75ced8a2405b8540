"""A model under load in virtual time: arrivals, replicas with a queue each, batches, ready times; scaled by the policy."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from forebay_operator.domain import autoscaling
from forebay_operator.domain.autoscaling import Decision, Observation, ScalingMemory
from forebay_operator.domain.deployment import Autoscaling

Load = Callable[[float], float]
"""Arrivals per second at a time."""


@dataclass
class Replica:
    ready_at: float
    leaving: bool = False
    queue: list[float] = field(default_factory=list[float])
    """Arrival times of waiting requests."""
    batch: list[float] = field(default_factory=list[float])
    done_at: float = 0.0
    busy_s: float = 0.0
    """Time in execution since the last look."""

    def accrue(self, since: float, until: float) -> None:
        if self.batch:
            self.busy_s += max(0.0, min(until, self.done_at) - since)


@dataclass(frozen=True)
class Step:
    at: float
    seen: Observation
    decision: Decision


@dataclass
class LoadedModel:
    """Ticks of 20 ms; the policy is asked every second."""

    policy: Autoscaling
    load: Load
    service_s: float = 0.1
    per_item_s: float = 0.0
    """A batch takes `service_s + per_item_s * items`; without it, requests go one by one."""
    max_batch: int = 1
    ready_time_s: float = 5.0
    seed: int | None = None
    """Arrivals are random (Poisson) with a seed, evenly spaced without."""
    replicas: list[Replica] = field(default_factory=list[Replica])
    held: list[float] = field(default_factory=list[float])
    memory: ScalingMemory = field(default_factory=ScalingMemory)
    steps: list[Step] = field(default_factory=list[Step])
    latencies: list[float] = field(default_factory=list[float])
    replica_seconds: float = 0.0
    tick_s: float = 0.02

    def run(self, seconds: float) -> "LoadedModel":
        draw = random.Random(self.seed)
        owed = 0.0
        arrived = 0
        for tick in range(int(seconds / self.tick_s)):
            now = tick * self.tick_s
            if tick % round(1 / self.tick_s) == 0:
                self._decide(now, arrived)
                arrived = 0
            expected = self.load(now) * self.tick_s
            owed += expected if self.seed is None else _poisson(draw, expected)
            while owed >= 1.0:
                owed -= 1.0
                arrived += 1
                self.held.append(now)
            self._serve(now)
        return self

    def _serve(self, now: float) -> None:
        ready = [each for each in self.replicas if each.ready_at <= now and not each.leaving]
        heap = [(len(each.queue) + len(each.batch), index) for index, each in enumerate(ready)]
        heapq.heapify(heap)
        while self.held and heap:
            depth, index = heapq.heappop(heap)
            ready[index].queue.append(self.held.pop(0))
            heapq.heappush(heap, (depth + 1, index))
        for each in self.replicas:
            self._execute(each, now)
        self.replicas = [each for each in self.replicas if not each.leaving or each.queue or each.batch]
        self.replica_seconds += self.tick_s * len(self.replicas)

    def _execute(self, each: Replica, now: float) -> None:
        each.accrue(now - self.tick_s, now)
        if each.batch and each.done_at <= now:
            self.latencies.extend(now - arrival for arrival in each.batch)
            each.batch = []
        if each.queue and not each.batch:
            each.batch, each.queue = each.queue[: self.max_batch], each.queue[self.max_batch :]
            each.done_at = now + self.service_s + self.per_item_s * len(each.batch)

    def _decide(self, now: float, arrived: int) -> None:
        here = [each for each in self.replicas if not each.leaving]
        ready = [each for each in here if each.ready_at <= now]
        seen = Observation(
            now=now,
            replicas_ready=len(ready),
            replicas_starting=len(here) - len(ready),
            waiting=sum(len(each.queue) for each in ready),
            executing=sum(len(each.batch) for each in ready),
            held=len(self.held),
            arrivals_per_s=arrived,
            busy_share=min(1.0, sum(each.busy_s for each in ready) / len(ready)) if ready else 0.0,
        )
        for each in self.replicas:
            each.busy_s = 0.0
        decision = autoscaling.decide(self.policy, self.memory, seen)
        self.memory = decision.memory
        self.steps.append(Step(now, seen, decision))
        self._scale(now, here, decision.replicas)

    def _scale(self, now: float, here: list[Replica], wanted: int) -> None:
        for _ in range(wanted - len(here)):
            self.replicas.append(Replica(ready_at=now + self.ready_time_s))
        surplus = sorted(here, key=lambda each: -each.ready_at)[: max(0, len(here) - wanted)]
        for each in surplus:
            each.leaving = True

    def changes(self, after: float = 0.0) -> list[tuple[float, int, int, str]]:
        """Times, numbers before and after, and reasons of the changes."""
        found: list[tuple[float, int, int, str]] = []
        for before, step in zip(self.steps, self.steps[1:], strict=False):
            if step.decision.replicas != before.decision.replicas and step.at >= after:
                found.append((step.at, before.decision.replicas, step.decision.replicas, step.decision.reason))
        return found

    def wanted_at(self, at: float) -> int:
        return next(step.decision.replicas for step in reversed(self.steps) if step.at <= at)


def _poisson(draw: random.Random, expected: float) -> int:
    count, elapsed = 0, draw.expovariate(1.0)
    while elapsed < expected:
        count += 1
        elapsed += draw.expovariate(1.0)
    return count

"""The same replicas with single requests and single batches in the order of time: what the fluid is compared with."""

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from forebay_operator.cli.simulate.pace import Pace


@dataclass
class _Replica:
    queue: deque[float] = field(default_factory=deque[float])
    running: int = 0
    inside: int = 0


def exact_waits(pace: Pace, replicas: int, arrivals: Iterable[float]) -> list[float]:
    """How long each request waits for its batch: it goes to the replica with the fewest, and batches are what waits."""
    waits: list[float] = []
    servers = [_Replica() for _ in range(replicas)]
    ends: list[tuple[float, int, int]] = []

    def begin(now: float, place: int) -> None:
        server = servers[place]
        while server.queue and server.running < pace.instances:
            batch = [server.queue.popleft() for _ in range(min(pace.largest_batch, len(server.queue)))]
            waits.extend(now - arrived for arrived in batch)
            server.running += 1
            heapq.heappush(ends, (now + pace.batch_s(len(batch)), place, len(batch)))

    def end() -> None:
        now, place, items = heapq.heappop(ends)
        servers[place].running -= 1
        servers[place].inside -= items
        begin(now, place)

    for now in arrivals:
        while ends and ends[0][0] <= now:
            end()
        place = min(range(replicas), key=lambda number: servers[number].inside)
        servers[place].queue.append(now)
        servers[place].inside += 1
        begin(now, place)
    while ends:
        end()
    return waits

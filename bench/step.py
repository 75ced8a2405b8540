"""How long the control step takes with 5,000 ModelDeployments and 500 servers: `python bench/step.py`.

Times are of the processor, so that what else runs on the machine counts less. Three steps of the same installation are
measured: nothing changed, only figures changed (every server's page was read again, and a tenth of the active models got
requests), and structure changed, too (a hundred specs were edited).
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from domain_builders import GIB, SIMULATED, ObedientWorld, a_deployment, a_spec, a_world, an_address
from forebay_operator.domain.deployment import Autoscaling, Deployment
from forebay_operator.domain.memory import Memory
from forebay_operator.domain.snapshot import Capacity, GatewayDemand, Snapshot
from forebay_operator.domain.step import step
from forebay_schema.addresses import ModelAddress

MODELS = 5_000
ACTIVE = 1_000
SERVERS = 500
ROUNDS = 15


def installation() -> ObedientWorld:
    """A settled world: most models at zero, the others with one replica, two to a server."""
    deployments = [_deployment(number) for number in range(MODELS)]
    world = a_world(*deployments, capacity=(Capacity(device=SIMULATED, servers=SERVERS),))
    for number in range(ACTIVE):
        world.footprint_bytes[_address(number).name] = 7 * GIB
    world.settle(400)
    for _ in range(15):
        # Until every model was seen without load for longer than the autoscaler looks back.
        world.step(5.0)
    return world


def _address(number: int) -> ModelAddress:
    return an_address(f"model-{number:04}", namespace=f"team-{number % 10}")


def _deployment(number: int) -> Deployment:
    least = 1 if number < ACTIVE else 0
    scaling = Autoscaling(min_replicas=least, max_replicas=4)
    spec = a_spec(f"data:{number}", autoscaling=scaling)
    if number < ACTIVE:
        spec = replace(spec, placement=replace(spec.placement, memory_bytes=7 * GIB))
    return a_deployment(_address(number), spec)


def measure(name: str, world: ObedientWorld, change: Callable[[Snapshot, int], Snapshot]) -> None:
    """Step times for one kind of change; each round changes the settled world anew."""
    took: list[float] = []
    actions = 0
    memory = world.memory
    for round_number in range(ROUNDS):
        now = world.snapshot.now + 1.0 + round_number
        snapshot = change(replace(world.snapshot, now=now), round_number)
        began = time.process_time()
        result = step(snapshot, memory)
        took.append((time.process_time() - began) * 1000)
        memory = world.memory if result.actions else result.memory
        actions += len(result.actions)
    times = f"median {statistics.median(took):6.1f} ms   best {min(took):6.1f} ms   worst {max(took):6.1f} ms"
    print(f"{name:24} {times}   {actions / ROUNDS:6.1f} actions a step")


def unchanged(snapshot: Snapshot, _: int) -> Snapshot:
    return snapshot


def figures(snapshot: Snapshot, round_number: int) -> Snapshot:
    servers = tuple(
        replace(
            server,
            observed_at=snapshot.now,
            holdings=tuple(replace(held, busy_seconds=(held.busy_seconds or 0.0) + 0.3) for held in server.holdings),
        )
        for server in snapshot.servers
    )
    demand = {_address(number): GatewayDemand(arrivals=5 * round_number) for number in range(0, ACTIVE, 10)}
    return replace(snapshot, servers=servers, demand=demand)


def edits(snapshot: Snapshot, round_number: int) -> Snapshot:
    changed = list(snapshot.deployments)
    for index in range(100):
        place = (round_number * 100 + index) % MODELS
        before = changed[place]
        spec = replace(before.spec, source=replace(before.spec.source, uri=f"data:{place}-{round_number}"))
        changed[place] = replace(before, spec=spec, generation=before.generation + 1)
    return replace(figures(snapshot, round_number), deployments=tuple(changed))


def cold(world: ObedientWorld) -> None:
    began = time.process_time()
    step(world.snapshot, Memory())
    print(f"{'memory lost':24} once   {(time.process_time() - began) * 1000:6.1f} ms")


def main() -> None:
    began = time.process_time()
    world = installation()
    print(
        f"{len(world.snapshot.deployments)} ModelDeployments, {len(world.snapshot.servers)} servers with "
        f"{sum(len(server.holdings) for server in world.snapshot.servers)} replicas, "
        f"settled after {len(world.history)} steps in {time.process_time() - began:.0f} s"
    )
    measure("unchanged", world, unchanged)
    measure("figures changed", world, figures)
    measure("100 specs edited", world, edits)
    cold(world)


if __name__ == "__main__":
    main()

"""Random stories: small worlds with much going on in them, each drawn from one seed."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from forebay_operator.domain.deployment import Autoscaling, DeploymentSpec, Placement, Serving, Source, Verification
from forebay_operator.domain.snapshot import Capacity, ConversionFailure, DeviceClass, Settings
from forebay_operator.worlds.simulated.arrivals import Arrivals, Bursts, Constant, Even, OnOff, Ramp, Silence
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.faults import (
    ActionsDoubled,
    ActionsLate,
    ActionsLost,
    ControllerRestarts,
    ConversionsFail,
    Fault,
    FiguresMissing,
    GatewaySilent,
    LoadsFail,
    ServerDies,
    ServerHangsAtStart,
    ServersOutdated,
    ServerStalls,
)
from forebay_operator.worlds.simulated.fleet import FleetSettings
from forebay_operator.worlds.simulated.gateway import GatewaySettings
from forebay_operator.worlds.simulated.story import Apply, Delete, Edit, Load, Story
from forebay_schema.addresses import ModelAddress

GIB = 1 << 30
STEADY_S = 50.0


def draw_story(seed: int) -> Story:
    """The story of a seed: the same for ever, as long as this module stays as it is."""
    chance = random.Random(seed)
    busy_s = chance.uniform(60.0, 150.0)
    capacity = _capacity(chance)
    sources = {f"file:///models/{number}.onnx": _behaviour(chance) for number in range(chance.randint(2, 5))}
    addresses = _addresses(chance)
    lives = [_Life(chance, address, sorted(sources), capacity, busy_s) for address in addresses]
    return Story(
        seed=seed,
        capacity=capacity,
        sources=sources,
        edits=tuple(edit for life in lives for edit in life.edits()),
        loads=tuple(load for address in addresses for load in _loads(chance, address, busy_s)),
        faults=tuple(_faults(chance, busy_s)),
        settings=_settings(chance),
        fleet=FleetSettings(
            start_s=chance.uniform(0.5, 6.0), gone_after_s=chance.uniform(0.0, 3.0), tells_what_loads_need=seed % 2 == 0
        ),
        gateway=GatewaySettings(hold_s=chance.choice((15.0, 45.0)), hold_requests=chance.choice((50, 10_000))),
        busy_s=busy_s,
        steady_s=STEADY_S,
    )


def happens(chance: random.Random, share: float) -> bool:
    """Whether something comes true that does so in a share of all cases."""
    return chance.random() < share


def _settings(chance: random.Random) -> Settings:
    return Settings(
        warm_servers=chance.choice((0, 0, 0, 1)),
        server_idle_s=chance.choice((5.0, 20.0, 40.0)),
        server_start_timeout_s=15.0,
        artifact_grace_s=chance.choice((20.0, 60.0)),
    )


def _capacity(chance: random.Random) -> tuple[Capacity, ...]:
    devices = [DeviceClass("simulated", "simulated", chance.choice((8, 16, 24)) * GIB)]
    if happens(chance, 0.3):
        devices.append(DeviceClass("gpu", "NVIDIA-H100", 32 * GIB))
    if happens(chance, 0.3):
        devices.append(DeviceClass("cpu", "cpu", 16 * GIB))
    return tuple(
        Capacity(device=device, servers=None if happens(chance, 0.05) else chance.randint(1, 4)) for device in devices
    )


def _behaviour(chance: random.Random) -> ModelBehaviour:
    estimate = int(chance.uniform(0.5, 9.0) * GIB)
    refusal = ConversionFailure(stage="convert", cause="an operator is unknown", remedy="export it again")
    return ModelBehaviour(
        convert_s=chance.uniform(1.0, 10.0),
        refusal=refusal if happens(chance, 0.08) else None,
        estimate_bytes=estimate,
        footprint_bytes=int(estimate * chance.uniform(0.7, 1.0)) if happens(chance, 0.8) else int(estimate * 1.15),
        load_s=chance.choice((0.5, 2.0, 6.0)),
        base_s=chance.uniform(0.01, 0.1),
        per_item_s=chance.uniform(0.002, 0.05),
    )


def _addresses(chance: random.Random) -> list[ModelAddress]:
    namespaces = ("blue",) if happens(chance, 0.6) else ("blue", "green")
    names = ("adam", "bert", "cora", "dora")[: chance.randint(1, 4)]
    return [ModelAddress(chance.choice(namespaces), name) for name in names]


class _Life:
    """The edits of one ModelDeployment, one after the other."""

    def __init__(
        self, chance: random.Random, address: ModelAddress, uris: list[str], capacity: tuple[Capacity, ...], end_s: float
    ) -> None:
        self._chance = chance
        self._address = address
        self._uris = uris
        self._capacity = capacity
        self._end_s = end_s

    def edits(self) -> Iterator[Edit]:
        time = self._chance.uniform(0.0, 0.3 * self._end_s)
        spec = self._spec()
        yield Apply(at=time, address=self._address, spec=spec)
        for _ in range(self._chance.choice((0, 1, 1, 2, 4))):
            time += self._chance.uniform(1.0, 0.4 * self._end_s)
            if time >= self._end_s:
                return
            if happens(self._chance, 0.15):
                lingers_s = self._chance.choice((0.0, 5.0))
                yield Delete(at=time, address=self._address, lingers_s=lingers_s)
                if happens(self._chance, 0.4):
                    return
                time += self._chance.uniform(0.1, 15.0)
                spec = self._spec()
            else:
                spec = self._changed(spec)
            yield Apply(at=min(time, self._end_s), address=self._address, spec=spec)

    def _spec(self) -> DeploymentSpec:
        spec = DeploymentSpec(source=self._source(), placement=self._placement(), serving=self._serving())
        return self._scaled(spec)

    def _changed(self, spec: DeploymentSpec) -> DeploymentSpec:
        changes: list[Callable[[DeploymentSpec], DeploymentSpec]] = [
            self._resourced,
            self._resourced,
            self._scaled,
            lambda spec: replace(spec, serving=self._serving()),
            lambda spec: replace(spec, stopped=not spec.stopped),
            lambda spec: replace(spec, verification=Verification(min_agreement=self._chance.choice((0.9, 0.99)))),
            lambda spec: replace(spec, placement=self._placement()),
        ]
        return self._chance.choice(changes)(spec)

    def _resourced(self, spec: DeploymentSpec) -> DeploymentSpec:
        return replace(spec, source=self._source())

    def _scaled(self, spec: DeploymentSpec) -> DeploymentSpec:
        if happens(self._chance, 0.25):
            return replace(spec, replicas=self._chance.randint(0, 3), autoscaling=None)
        least = self._chance.choice((0, 0, 0, 1, 2))
        autoscaling = Autoscaling(
            min_replicas=least,
            max_replicas=max(1, least + self._chance.randint(0, 3)),
            target_queue_depth=self._chance.choice((1.0, 4.0, 10.0)),
            scale_down_delay_s=self._chance.choice((5.0, 15.0, 30.0)),
            idle_timeout_s=self._chance.choice((10.0, 20.0, 60.0)),
        )
        return replace(spec, autoscaling=autoscaling)

    def _source(self) -> Source:
        return Source(uri="file:///models/missing.onnx" if happens(self._chance, 0.03) else self._chance.choice(self._uris))

    def _serving(self) -> Serving:
        return Serving(
            max_batch_size=self._chance.choice((1, 8, 32)),
            instances=self._chance.choice((0, 1, 2)),
            max_queue_size=self._chance.choice((0, 0, 20)),
        )

    def _placement(self) -> Placement:
        device = self._chance.choice(self._capacity).device
        names = (None, None, None, device.name if device.kind != "cpu" else None)
        exclusive = happens(self._chance, 0.2)
        return Placement(
            device="auto" if happens(self._chance, 0.8) else "cpu" if device.kind == "cpu" else "gpu",
            gpu_class=self._chance.choice(names),
            memory_bytes=int(self._chance.uniform(1.0, 8.0) * GIB) if happens(self._chance, 0.1) else None,
            exclusive=exclusive,
            pod_template=self._chance.choice((None, '{"labels":{"team":"blue"}}')) if exclusive else None,
        )


def _loads(chance: random.Random, address: ModelAddress, busy_s: float) -> Iterator[Load]:
    """Load while the world is busy, then a small and even load for a while."""
    start = chance.uniform(0.0, 0.5 * busy_s)
    yield Load(at=start, until=busy_s, address=address, arrivals=draw_arrivals(chance))
    steady = Even(chance.choice((0.2, 1.0, 4.0))) if happens(chance, 0.6) else Silence()
    yield Load(at=busy_s, until=busy_s + STEADY_S, address=address, arrivals=steady)


def draw_arrivals(chance: random.Random) -> Arrivals:
    """A shape of load."""
    rate = chance.choice((0.05, 0.5, 2.0, 8.0))
    shapes: tuple[Arrivals, ...] = (
        Silence(),
        Constant(rate),
        OnOff(2.0 * rate, on_s=chance.uniform(5.0, 30.0), off_s=chance.uniform(5.0, 40.0)),
        Bursts(0.2 * rate, size=chance.choice((10, 40, 100)), every_s=40.0),
        Ramp(0.0, 2.0 * rate, over_s=60.0),
        Constant(0.05),
    )
    return chance.choice(shapes)


def _faults(chance: random.Random, busy_s: float) -> Iterator[Fault]:
    for _ in range(chance.choice((0, 1, 2, 4, 6))):
        yield draw_fault(chance, chance.uniform(0.0, 0.95 * busy_s))


def draw_fault(chance: random.Random, at: float) -> Fault:
    """Something that goes wrong at a time."""
    pick, seconds, share = chance.random(), chance.uniform(2.0, 20.0), chance.choice((0.2, 0.5, 1.0))
    faults: tuple[Fault, ...] = (
        ServerDies(at=at, pick=pick),
        ServerDies(at=at, pick=pick),
        ServerStalls(at=at, pick=pick, seconds=seconds),
        ServerHangsAtStart(at=at),
        ServersOutdated(at=at),
        LoadsFail(at=at, pick=pick, count=chance.randint(1, 3)),
        ConversionsFail(at=at, count=chance.randint(1, 2), retryable=happens(chance, 0.7)),
        FiguresMissing(at=at, pick=pick, seconds=seconds),
        GatewaySilent(at=at, seconds=seconds),
        ActionsLost(at=at, seconds=seconds, share=share),
        ActionsLate(at=at, seconds=seconds, share=share, late_s=chance.uniform(0.5, 6.0)),
        ActionsDoubled(at=at, seconds=seconds, share=share, again_s=chance.uniform(0.0, 6.0)),
        ControllerRestarts(at=at, away_s=chance.choice((0.0, 3.0, 15.0)), forgets_conversions=happens(chance, 0.5)),
    )
    return chance.choice(faults)

"""Builders for tests of the simulated world: small stories, servers and orders with defaults."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from forebay_operator.domain.actions import LoadReplica, ResizePool, UnloadReplica
from forebay_operator.domain.deployment import DeploymentSpec, Serving, Source
from forebay_operator.domain.routes import Endpoint, Route, RouteState, WeightedVersion
from forebay_operator.domain.snapshot import Capacity, DeviceClass, Pool, ServerPhase
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.gateway import GatewaySettings, SimulatedGateway
from forebay_operator.worlds.simulated.replica import Batch
from forebay_operator.worlds.simulated.requests import Ledger, Request
from forebay_operator.worlds.simulated.server import SimulatedServer
from forebay_operator.worlds.simulated.timeline import Timeline
from forebay_schema.addresses import ModelAddress

GIB = 1 << 30
DIGITS = ModelAddress("blue", "digits")
DEVICE = DeviceClass("simulated", "simulated", 16 * GIB)
POOL = Pool("blue", DEVICE)
CAPACITY = (Capacity(device=DEVICE, servers=2),)
SOURCE = "file:///models/digits.onnx"
ENDPOINT = Endpoint("127.0.0.1", 1, 2)


def a_spec(uri: str = SOURCE, **changes: object) -> DeploymentSpec:
    return DeploymentSpec(source=Source(uri=uri), **changes)  # type: ignore[arg-type]  # the test names the fields


def a_load(
    *,
    address: ModelAddress = DIGITS,
    version: int = 1,
    digest: str = "one",
    sequence: int = 1,
    limit: int = 0,
    serving: Serving | None = None,
) -> LoadReplica:
    return LoadReplica(
        server="a",
        address=address,
        version=version,
        digest=digest,
        serving=serving or Serving(max_batch_size=4),
        memory_limit_bytes=limit,
        sequence=sequence,
    )


def an_unload(*, version: int = 1, sequence: int = 2) -> UnloadReplica:
    return UnloadReplica(server="a", address=DIGITS, version=version, sequence=sequence)


def a_resize(servers: int, *victims: str) -> ResizePool:
    return ResizePool(pool=POOL, servers=servers, victims=victims)


def a_route(*endpoints: Endpoint, state: RouteState = RouteState.ROUTED, version: int = 1) -> Route:
    versions = (WeightedVersion(version, 100, endpoints),) if endpoints else ()
    return Route(address=DIGITS, state=state, versions=versions)


@dataclass
class Surroundings:
    """What a server needs of its world, and what it told it."""

    behaviours: dict[str, ModelBehaviour] = field(default_factory=lambda: {"one": ModelBehaviour(), "two": ModelBehaviour()})
    faults: list[str] = field(default_factory=list[str])
    answers: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Number of each answered request, and the version that answered."""
    killed: list[int] = field(default_factory=list[int])
    ended: list[str] = field(default_factory=list[str])

    def fetch(self, namespace: str, digest: str) -> ModelBehaviour | None:  # noqa: ARG002 - the protocol's parameters
        return self.behaviours.get(digest)

    def load_fault(self, address: ModelAddress) -> str:  # noqa: ARG002 - the protocol's parameters
        return self.faults.pop() if self.faults else ""

    def answered(self, server: SimulatedServer, batch: Batch, version: int) -> None:  # noqa: ARG002 - as above
        self.answers += [(request.number, version) for request in batch]

    def died(self, requests: list[Request]) -> None:
        self.killed += [request.number for request in requests]

    def drained(self, server: SimulatedServer) -> None:
        self.ended.append(server.name)


def a_server(surroundings: Surroundings | None = None) -> SimulatedServer:
    """A ready server at time 0, with 16 GiB and nothing on it."""
    server = SimulatedServer(
        name="a",
        pool=POOL,
        endpoint=ENDPOINT,
        started_at=0.0,
        timeline=Timeline(0.0),
        surroundings=surroundings or Surroundings(),
    )
    server.phase = ServerPhase.READY
    return server


def a_request(number: int = 1, address: ModelAddress = DIGITS) -> Request:
    return Request(number, address, 0.0)


def a_gateway(offer: Callable[[Endpoint, Request, int], bool], **settings: float) -> SimulatedGateway:
    return SimulatedGateway(
        GatewaySettings(**settings),  # type: ignore[arg-type]  # the test names the settings
        Timeline(0.0),
        Ledger(),
        random.Random(1),
        offer,
        lambda: None,
    )

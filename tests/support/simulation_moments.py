"""Builders of moments: what one step saw and ordered, as the invariants look at it."""

from forebay_operator.domain.actions import Action, LoadReplica, UnloadReplica, WriteStatus
from forebay_operator.domain.deployment import Deployment, DeploymentSpec, Serving
from forebay_operator.domain.fleet import ReplicaKey
from forebay_operator.domain.routes import Endpoint, Route
from forebay_operator.domain.snapshot import GatewayDemand, Holding, HoldingPhase, Server, ServerPhase, Snapshot
from forebay_operator.domain.status import (
    Artifact,
    DeploymentStatus,
    RevisionRecord,
    ScalingStatus,
    VerificationReport,
)
from forebay_operator.worlds.simulated.moment import Moment
from simulation_builders import CAPACITY, DIGITS, GIB, POOL, a_spec

NOW = 1000.0
A, B = Endpoint("127.0.0.1", 1, 2), Endpoint("127.0.0.1", 3, 4)
ENDPOINTS = {"a": A, "b": B}


def a_holding(
    version: int = 1, *, phase: HoldingPhase = HoldingPhase.READY, footprint: int | None = 4 * GIB, model: str = "digits"
) -> Holding:
    return Holding(model=model, version=version, phase=phase, digest=f"digest-{version}", footprint_bytes=footprint)


def a_seen_server(name: str = "a", *holdings: Holding, phase: ServerPhase = ServerPhase.READY) -> Server:
    return Server(name=name, pool=POOL, phase=phase, started_at=0.0, endpoint=ENDPOINTS[name], holdings=holdings)


def an_artifact(version: int = 1, memory: int = 4 * GIB) -> Artifact:
    report = VerificationReport(samples=1, samples_drawn=True, max_relative_error=0.0, agreement=1.0)
    return Artifact(
        digest=f"digest-{version}",
        size_bytes=1,
        source_sha256="",
        converted_with="",
        verification=report,
        memory_bytes=memory,
    )


def a_status(*versions: int, wanted: int | None = None, memory: int = 4 * GIB) -> DeploymentStatus:
    records = tuple(
        RevisionRecord(number=version, id=f"id-{version}", serving="{}", artifact=an_artifact(version, memory))
        for version in versions
    )
    return DeploymentStatus(
        observed_generation=1,
        revision=versions[0] if versions else 0,
        replicas=1,
        ready_replicas=1,
        selector="",
        summary="as it is",
        revisions=records,
        scaling=None if wanted is None else ScalingStatus(wanted=wanted, queue_depth=0.0),
    )


def a_deployment(
    spec: DeploymentSpec | None = None, status: DeploymentStatus | None = None, *, deleting: bool = False
) -> Deployment:
    return Deployment(
        address=DIGITS,
        uid="uid",
        generation=1,
        spec=spec or a_spec(),
        status=status or a_status(1),
        deleting=deleting,
    )


def load_order(version: int = 1, server: str = "a") -> LoadReplica:
    return LoadReplica(
        server=server,
        address=DIGITS,
        version=version,
        digest=f"digest-{version}",
        serving=Serving(),
        memory_limit_bytes=0,
        sequence=1,
    )


def unload_order(version: int = 1, server: str = "a") -> UnloadReplica:
    return UnloadReplica(server=server, address=DIGITS, version=version, sequence=1)


def a_write(status: DeploymentStatus, uid: str = "uid") -> WriteStatus:
    return WriteStatus(address=DIGITS, uid=uid, status=status)


def a_moment(
    *actions: Action,
    deployment: Deployment | None = None,
    servers: tuple[Server, ...] = (),
    routes: tuple[Route, ...] = (),
    acknowledged: tuple[Route, ...] | None = (),
    known_demand: bool = True,
    held: int = 0,
    last_arrival: float = NOW,
    said: int | None = None,
    with_memory: tuple[Action, ...] | None = None,
    given_before: tuple[ReplicaKey, ...] = (),
    seconds: float = 10.0,
) -> Moment:
    return Moment(
        seconds=seconds,
        snapshot=Snapshot(
            now=NOW,
            deployments=(deployment or a_deployment(),),
            servers=servers,
            capacity=CAPACITY,
            demand={DIGITS: GatewayDemand(held=held)} if known_demand else None,
            routes=routes,
            routes_acknowledged=acknowledged,
        ),
        actions=actions,
        digests={"uid": frozenset({"digest-1", "digest-2"})},
        last_arrival={DIGITS: last_arrival},
        said={} if said is None else {"uid": said},
        given_before=frozenset(given_before),
        failed_before=frozenset(),
        remembers_s=100.0,
        orders_are_late=False,
        actions_with_memory=with_memory,
    )

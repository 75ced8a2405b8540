"""Values of the domain with defaults, and a world that does at once what the step says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from forebay_operator.domain.actions import (
    Action,
    CollectArtifact,
    ForgetConversion,
    LoadReplica,
    ResizePool,
    SetRoutes,
    StartConversion,
    UnloadReplica,
    WriteStatus,
)
from forebay_operator.domain.deployment import Deployment, DeploymentSpec, Source
from forebay_operator.domain.fleet import Replica, ReplicaStage
from forebay_operator.domain.memory import Memory
from forebay_operator.domain.routes import Endpoint
from forebay_operator.domain.snapshot import (
    Capacity,
    Conversion,
    ConversionFailure,
    ConversionId,
    ConversionPhase,
    DeviceClass,
    GatewayDemand,
    Holding,
    HoldingPhase,
    Pool,
    Server,
    ServerPhase,
    Snapshot,
    StoredArtifact,
)
from forebay_operator.domain.status import Artifact, DeploymentStatus, RevisionRecord, VerificationReport
from forebay_operator.domain.step import StepResult, step
from forebay_schema.addresses import ModelAddress
from forebay_schema.digests import digest_of

GIB = 1 << 30
NOW = 1_000.0
GPU = DeviceClass("gpu", "NVIDIA-H100", 80 * GIB)
SIMULATED = DeviceClass("simulated", "simulated", 16 * GIB)
CPU = DeviceClass("cpu", "cpu", 32 * GIB)
POOL = Pool("default", SIMULATED)
DIGITS = ModelAddress("default", "digits")


def an_address(name: str, namespace: str = "default") -> ModelAddress:
    return ModelAddress(namespace, name)


def a_spec(uri: str = "data:a", **fields: object) -> DeploymentSpec:
    return replace(DeploymentSpec(source=Source(uri=uri)), **fields)  # type: ignore[arg-type]  # fields of the spec, by name


def a_deployment(address: ModelAddress = DIGITS, spec: DeploymentSpec | None = None, **fields: object) -> Deployment:
    made = Deployment(address=address, uid=f"uid-{address}", generation=1, spec=spec or a_spec())
    return replace(made, **fields)  # type: ignore[arg-type]  # fields of the deployment, by name


def an_artifact(digest: str = "a", memory_bytes: int = GIB) -> Artifact:
    return Artifact(
        digest=digest,
        size_bytes=1000,
        source_sha256="0" * 64,
        converted_with="skl2onnx 1.20.0",
        verification=VerificationReport(samples=64, samples_drawn=False, max_relative_error=0.0, agreement=1.0),
        memory_bytes=memory_bytes,
    )


def a_record(number: int = 1, memory_bytes: int = GIB) -> RevisionRecord:
    return RevisionRecord(number=number, id=f"id-{number}", serving="{}", artifact=an_artifact(f"a{number}", memory_bytes))


def a_holding(model: str = "digits", version: int = 1, phase: HoldingPhase = HoldingPhase.READY, **fields: object) -> Holding:
    measured = GIB if phase is HoldingPhase.READY else None
    made = Holding(
        model=model,
        version=version,
        phase=phase,
        footprint_bytes=measured,
        provider="cpu",
        waiting=0,
        executing=0,
        busy_seconds=0.0,
        completed=0,
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # fields of the holding, by name


def a_server(name: str = "s-1", *holdings: Holding, pool: Pool = POOL, **fields: object) -> Server:
    port = sum(map(ord, name)) + 20_000
    made = Server(
        name=name,
        pool=pool,
        phase=ServerPhase.READY,
        started_at=NOW - 100,
        endpoint=Endpoint("127.0.0.1", port, port + 1000),
        holdings=holdings,
        observed_at=NOW,
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # fields of the server, by name


def a_replica(
    name: str = "s-1",
    version: int = 1,
    stage: ReplicaStage = ReplicaStage.READY,
    *,
    address: ModelAddress = DIGITS,
    pool: Pool = POOL,
    footprint_bytes: int | None = GIB,
) -> Replica:
    shown = {ReplicaStage.ORDERED: None, ReplicaStage.LEAVING: HoldingPhase.READY}
    phase = shown[stage] if stage in shown else HoldingPhase(stage.value)
    holding = None if phase is None else a_holding(address.name, version, phase, footprint_bytes=footprint_bytes)
    return Replica.of(a_server(name, *([holding] if holding else []), pool=pool), address, version, stage, holding)


@dataclass
class ObedientWorld:
    """Does what it is told, at once; the next look shows it. Loads and conversions can be made to fail."""

    snapshot: Snapshot
    memory: Memory = field(default_factory=Memory)
    footprint_bytes: dict[str, int] = field(default_factory=dict[str, int])
    """Device memory by model; 1 GiB where not said."""
    failing_loads: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    """Models and versions that no server can load."""
    failing_servers: set[str] = field(default_factory=set[str])
    refused_bytes: dict[str, int] = field(default_factory=dict[str, int])
    """Models whose loads are refused, and what they are found to need."""
    failing_sources: dict[str, ConversionFailure] = field(default_factory=dict[str, ConversionFailure])
    """By URI."""
    keeps: Callable[[Action], bool] = lambda _: True
    """Actions that arrive."""
    repeats: int = 1
    """How often each action is done."""
    servers_started: int = 0
    history: list[tuple[Action, ...]] = field(default_factory=list[tuple[Action, ...]])

    def step(self, seconds: float = 1.0) -> StepResult:
        """One step, and what it orders done; then time passes."""
        result = step(self.snapshot, self.memory)
        self.memory = result.memory
        self.history.append(result.actions)
        actions = [action for action in result.actions if self.keeps(action)]
        self._convert([action for action in actions if isinstance(action, StartConversion)])
        self._forget({action.id for action in actions if isinstance(action, ForgetConversion)})
        self._write([action for action in actions if isinstance(action, WriteStatus)])
        for action in actions * self.repeats:
            self._do(action)
        self.pass_time(seconds)
        return result

    def pass_time(self, seconds: float) -> None:
        now = self.snapshot.now + seconds
        servers = tuple(replace(server, observed_at=now) for server in self.snapshot.servers)
        self.snapshot = replace(self.snapshot, now=now, servers=servers)

    def settle(self, steps: int = 40) -> StepResult:
        """Steps until nothing is ordered any more."""
        for _ in range(steps):
            result = self.step()
            if not result.actions:
                return result
        raise AssertionError(f"still ordering after {steps} steps: {self.history[-1]}")

    def status(self, address: ModelAddress = DIGITS) -> DeploymentStatus:
        status = self.deployment(address).status
        assert status is not None
        return status

    def deployment(self, address: ModelAddress = DIGITS) -> Deployment:
        return next(each for each in self.snapshot.deployments if each.address == address)

    def apply(self, address: ModelAddress, spec: DeploymentSpec) -> None:
        """A user changes or makes a ModelDeployment."""
        before = next((each for each in self.snapshot.deployments if each.address == address), None)
        others = tuple(each for each in self.snapshot.deployments if each.address != address)
        made = a_deployment(address, spec) if before is None else replace(before, spec=spec, generation=before.generation + 1)
        self.snapshot = replace(self.snapshot, deployments=(*others, made))

    def change(self, address: ModelAddress, **fields: object) -> None:
        """A user changes fields of a spec."""
        self.apply(address, replace(self.deployment(address).spec, **fields))  # type: ignore[arg-type]  # fields by name

    def demand(self, address: ModelAddress = DIGITS, **fields: int) -> None:
        known = dict(self.snapshot.demand or {})
        known[address] = replace(known.get(address, GatewayDemand()), **fields)
        self.snapshot = replace(self.snapshot, demand=known)

    def holding(self, server: str, model: str = "digits") -> list[int]:
        """The versions of a model that a server has ready."""
        found = next(each for each in self.snapshot.servers if each.name == server)
        return [each.version for each in found.holdings if each.model == model and each.phase is HoldingPhase.READY]

    def ready(self, address: ModelAddress = DIGITS) -> list[int]:
        """The versions of a model that are ready anywhere, one for each replica."""
        namespaced = [each for each in self.snapshot.servers if each.pool.namespace == address.namespace]
        return sorted(version for each in namespaced for version in self.holding(each.name, address.name))

    def ordered(self, *kinds: type[Action]) -> list[Action]:
        """Everything of these kinds that was ordered so far."""
        return [action for actions in self.history for action in actions if isinstance(action, kinds)]

    def _do(self, action: Action) -> None:
        match action:
            case ResizePool():
                self._resize(action)
            case LoadReplica():
                self._load(action)
            case UnloadReplica():
                self._hold(action.server, lambda held: (held.model, held.version) != (action.address.name, action.version))
            case SetRoutes():
                self.snapshot = replace(self.snapshot, routes=action.routes, routes_acknowledged=action.routes)
            case CollectArtifact():
                kept_artifacts = tuple(each for each in self.snapshot.artifacts if each.digest != action.digest)
                self.snapshot = replace(self.snapshot, artifacts=kept_artifacts)
            case StartConversion() | ForgetConversion() | WriteStatus():
                pass

    def _forget(self, ids: set[ConversionId]) -> None:
        kept = tuple(each for each in self.snapshot.conversions if each.id not in ids)
        self.snapshot = replace(self.snapshot, conversions=kept)

    def _write(self, actions: list[WriteStatus]) -> None:
        said = {action.address: action.status for action in actions}
        written = tuple(
            replace(each, status=said[each.address]) if each.address in said else each for each in self.snapshot.deployments
        )
        self.snapshot = replace(self.snapshot, deployments=written)

    def _convert(self, actions: list[StartConversion]) -> None:
        conversions = {each.id: each for each in self.snapshot.conversions}
        artifacts = {(each.namespace, each.digest): each for each in self.snapshot.artifacts}
        for action in actions:
            done = self._converted(action)
            conversions[action.id] = done
            if done.artifact is not None:
                stored = StoredArtifact(
                    namespace=action.id.namespace, digest=done.artifact.digest, stored_at=self.snapshot.now
                )
                artifacts[stored.namespace, stored.digest] = stored
        found = tuple(conversions.values())
        self.snapshot = replace(self.snapshot, conversions=found, artifacts=tuple(artifacts.values()))

    def _converted(self, action: StartConversion) -> Conversion:
        failure = self.failing_sources.get(action.source.uri)
        digest = digest_of([action.source.uri, action.max_batch_size])
        return Conversion(
            id=action.id,
            phase=ConversionPhase.FAILED if failure else ConversionPhase.SUCCEEDED,
            attempt=action.attempt,
            started_at=self.snapshot.now,
            finished_at=self.snapshot.now,
            artifact=None if failure else an_artifact(digest),
            failure=failure,
        )

    def _resize(self, action: ResizePool) -> None:
        up = (ServerPhase.READY, ServerPhase.STARTING)
        here = [each for each in self.snapshot.servers if each.pool == action.pool and each.phase in up]
        going = set(action.victims[: max(0, len(here) - action.servers)])
        kept = [each for each in self.snapshot.servers if each.name not in going]
        for _ in range(action.servers - len(here)):
            self.servers_started += 1
            kept.append(a_server(f"new-{self.servers_started}", pool=action.pool, observed_at=self.snapshot.now))
        self.snapshot = replace(self.snapshot, servers=tuple(kept))

    def _load(self, action: LoadReplica) -> None:
        name = action.address.name
        refused = self.refused_bytes.get(name)
        fails = bool(refused) or (name, action.version) in self.failing_loads or action.server in self.failing_servers
        phase = HoldingPhase.FAILED if fails else HoldingPhase.READY
        held = a_holding(
            name,
            action.version,
            phase,
            digest=action.digest,
            footprint_bytes=None if fails else self.footprint_bytes.get(name, GIB),
            reason="out of luck" if fails else "",
            failed_at=self.snapshot.now + 0.5 if fails else None,
            refused_bytes=refused,
        )
        self._hold(action.server, lambda other: (other.model, other.version) != (name, action.version), held)

    def _hold(self, name: str, stays: Callable[[Holding], bool], *new: Holding) -> None:
        servers = [
            replace(each, holdings=(*filter(stays, each.holdings), *new)) if each.name == name else each
            for each in self.snapshot.servers
        ]
        self.snapshot = replace(self.snapshot, servers=tuple(servers))


def a_world(
    *deployments: Deployment, devices: int | None = 2, servers: Iterable[Server] = (), **fields: object
) -> ObedientWorld:
    made = Snapshot(
        now=NOW,
        deployments=deployments,
        servers=tuple(servers),
        capacity=(Capacity(device=SIMULATED, servers=devices),),
        demand={},
        routes_acknowledged=(),
    )
    return ObedientWorld(replace(made, **fields))  # type: ignore[arg-type]  # fields of the snapshot, by name

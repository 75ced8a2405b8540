"""What the control step wants done, as data. Every action is idempotent: done twice, late, or lost, it does no harm."""

from dataclasses import dataclass

from forebay_operator.domain.deployment import Serving, Source, Verification
from forebay_operator.domain.routes import Route
from forebay_operator.domain.snapshot import ConversionId, Pool
from forebay_operator.domain.status import DeploymentStatus
from forebay_schema.addresses import ModelAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConversion:
    """Convert a source. One that runs already is left alone; an attempt that was made already is not made again."""

    id: ConversionId
    attempt: int
    source: Source
    verification: Verification
    max_batch_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetConversion:
    """Nobody waits for it any more: end it if it runs, and drop what is known of it."""

    id: ConversionId


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizePool:
    """Have this many servers; when there are more, the named ones go, after they have drained."""

    pool: Pool
    servers: int
    victims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReplica:
    """Have a server hold a version of a model. An order with an older `sequence` than one seen is ignored there."""

    server: str
    address: ModelAddress
    version: int
    digest: str
    serving: Serving
    memory_limit_bytes: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloadReplica:
    """Have a server let go of a version, after the requests in it have been answered."""

    server: str
    address: ModelAddress
    version: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRoutes:
    """The whole route table, sorted by address."""

    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteStatus:
    address: ModelAddress
    uid: str
    status: DeploymentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectArtifact:
    """Delete an artifact and the conversion records that name it."""

    namespace: str
    digest: str


Action = (
    StartConversion | ForgetConversion | ResizePool | LoadReplica | UnloadReplica | SetRoutes | WriteStatus | CollectArtifact
)

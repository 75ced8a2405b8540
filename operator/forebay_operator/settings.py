"""What the operator is told at its start: the chart's document, some arguments, and from the environment who it is."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from forebay_operator.api.fields import bytes_of
from forebay_operator.domain.snapshot import DeviceClass
from forebay_operator.domain.snapshot import Settings as StepSettings
from forebay_operator.manifests import installation
from forebay_operator.worlds.gpu_memory import usable_bytes
from forebay_operator.worlds.kubernetes.capacity import DeclaredDevices
from forebay_operator.worlds.kubernetes.lease import Terms
from forebay_schema.logs import Logger

_LEAST_KEY: Final = 16
_OPENS_A_STORE: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_CA_BUNDLE",
        "AWS_REQUEST_CHECKSUM_CALCULATION",
        "AWS_RESPONSE_CHECKSUM_VALIDATION",
    }
)
"""Variables that are handed on to every namespace with models. What else is in the Secret is nobody's there."""
_log: Final = Logger("forebay.settings")
_STOPPING_S: Final = 2.0
"""What an operator may take to stop when it cannot renew its Lease."""
_MIB: Final = 1 << 20


class SettingsError(Exception):
    """The operator cannot start with these settings; the message says what to change."""


class _Part(BaseModel):
    """A part of the document: camelCase, and nothing that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


def _as_text(value: object) -> object:
    """A quantity that was written as a number: `cpu: 2`."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return format(Decimal(repr(value)), "f") if is_number else value


Quantity = Annotated[str, BeforeValidator(_as_text)]


class Store(_Part):
    uri: str
    claim: str = ""
    has_credentials: bool = False
    has_reading_credentials: bool = False


class PodUser(_Part):
    """Whom pods run as; null: the cluster chooses."""

    run_as_user: int | None = installation.USER
    run_as_group: int | None = installation.USER
    fs_group: int | None = installation.USER

    def meant(self) -> installation.PodUser:
        return installation.PodUser(user=self.run_as_user, group=self.run_as_group, group_of_volumes=self.fs_group)


class Variable(_Part):
    name: str
    value: str = ""
    value_from: dict[str, Any] | None = None
    """In place of a value, as in a pod."""

    def content(self) -> dict[str, Any]:
        return {"value": self.value} if self.value_from is None else {"valueFrom": self.value_from}


class _Pods(_Part):
    """What is said of servers' pods and of conversions' alike."""

    limits: dict[str, Quantity] = Field(default_factory=dict[str, str])
    requests: dict[str, Quantity] = Field(default_factory=dict[str, str])
    environment: tuple[Variable, ...] = ()
    """Of several of one name the last counts."""
    volumes: tuple[dict[str, Any], ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()
    service_account: str = ""
    priority_class: str = ""
    node_selector: dict[str, str] = Field(default_factory=dict[str, str])
    tolerations: tuple[dict[str, Any], ...] = ()
    pod_labels: dict[str, str] = Field(default_factory=dict[str, str])
    pod_annotations: dict[str, str] = Field(default_factory=dict[str, str])

    def fields(self) -> dict[str, Any]:
        """By the names that the manifests have for them."""
        named = dict(self)
        return named | {"environment": {each.name: each.content() for each in self.environment}}


class Servers(_Pods):
    cpu_image: str
    gpu_image: str
    scratch: str = "8Gi"
    drain_seconds: int = 90
    max_unavailable: int | str | None = None
    """In a PodDisruptionBudget for each pool; None: there are none."""
    simulated_pace: str = ""
    gpu_runtime_class: str = ""


class Conversions(_Pods):
    image: str
    images: dict[str, str] = Field(default_factory=dict[str, str])
    work: str = "8Gi"
    seconds: int = 900
    trust_source: bool = False


class DeclaredServers(_Part):
    servers: int = 0
    """-1: as many as find room."""
    memory: str = "2Gi"


class AutoscaledGpu(_Part):
    product: str
    memory: int
    """MiB, as nodes are labelled."""


class Devices(_Part):
    cpu: DeclaredServers = DeclaredServers()
    simulated: DeclaredServers = DeclaredServers()
    autoscaled: tuple[AutoscaledGpu, ...] = ()


class Step(_Part):
    warm_servers: int = 0
    server_idle_seconds: float = 300
    server_start_seconds: float = 300
    artifact_grace_seconds: float = 3600
    hold_seconds: float = 45


class Leadership(_Part):
    name: str = "forebay-operator"
    duration_seconds: float = 10
    deadline_seconds: float = 7
    retry_seconds: float = 1

    @model_validator(mode="after")
    def _stops_in_time(self) -> Self:
        """Who cannot renew has stopped before another may begin."""
        if not 0 < self.retry_seconds < self.deadline_seconds <= self.duration_seconds - _STOPPING_S:
            raise ValueError(
                f"retrySeconds {self.retry_seconds:g} must be below deadlineSeconds {self.deadline_seconds:g}, and that "
                f"{_STOPPING_S:g} s below durationSeconds {self.duration_seconds:g}: an operator stops before another begins"
            )
        return self


class OperatorSettings(_Part):
    """The document."""

    schema_: Literal["forebay.dev/installation/v1"] = Field(alias="schema")
    namespaces: tuple[str, ...] = ()
    """Where the operator acts; empty: everywhere."""
    gateway_host: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    security_context: PodUser = PodUser()
    store: Store
    servers: Servers
    conversions: Conversions
    devices: Devices = Devices()
    settings: Step = Step()
    leadership: Leadership = Leadership()
    audit_seconds: float = 60
    log_level: str = "info"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the document, as JSON or YAML.

        Raises:
            SettingsError: it cannot be read, or says something that is not known or cannot be.
        """
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise SettingsError(f"the settings {path} cannot be read: {error.strerror}") from None
        except yaml.YAMLError as error:
            raise SettingsError(f"the settings {path} are neither JSON nor YAML: {error}") from None
        except ValidationError as error:
            raise SettingsError(f"the settings {path} are wrong: {_in_words(error)}") from None

    def installation(self) -> installation.Installation:
        servers = self.servers.fields()
        servers["drain_s"] = servers.pop("drain_seconds")
        return installation.Installation(
            store=installation.StoreSettings(**self.store.model_dump()),
            servers=installation.ServerSettings(**servers),
            conversions=installation.ConversionSettings(**self.conversions.fields()),
            gateway_host=self.gateway_host,
            pull_policy=self.pull_policy,
            pull_secrets=self.pull_secrets,
            pod_user=self.security_context.meant(),
        )

    def step_settings(self) -> StepSettings:
        said = self.settings
        return StepSettings(
            warm_servers=said.warm_servers,
            server_idle_s=said.server_idle_seconds,
            server_start_timeout_s=said.server_start_seconds,
            hold_seconds=said.hold_seconds,
            artifact_grace_s=said.artifact_grace_seconds,
        )

    def declared_devices(self) -> DeclaredDevices:
        """Raises SettingsError: a size of memory is none."""
        devices = self.devices
        return DeclaredDevices(
            cpu_memory_bytes=_bytes(devices.cpu.memory, "devices.cpu.memory") if devices.cpu.servers else 0,
            cpu_servers=None if devices.cpu.servers < 0 else devices.cpu.servers,
            simulated_memory_bytes=_bytes(devices.simulated.memory, "devices.simulated.memory"),
            simulated_servers=devices.simulated.servers,
            grown=tuple(DeviceClass("gpu", each.product, usable_bytes(each.memory * _MIB)) for each in devices.autoscaled),
        )

    def terms(self) -> Terms:
        said = self.leadership
        return Terms(duration_s=said.duration_seconds, deadline_s=said.deadline_seconds, retry_s=said.retry_seconds)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is."""

    name: str
    namespace: str
    """Where it runs: the Lease and the gateways are there."""
    kubeconfig: str


def identity(environment: Mapping[str, str] = os.environ) -> Identity:
    """`POD_NAME` and `POD_NAMESPACE`, as the chart sets them; `KUBECONFIG` outside a cluster."""
    return Identity(
        name=environment.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        namespace=environment.get("POD_NAMESPACE") or "default",
        kubeconfig=environment.get("KUBECONFIG", ""),
    )


def read_key(path: Path) -> bytes:
    """The key that the servers' repository tokens are made of.

    Raises:
        SettingsError: there is none, or one that can be guessed.
    """
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"the key {path} cannot be read: {error.strerror}") from None
    if len(key) < _LEAST_KEY:
        raise SettingsError(f"the key {path} has {len(key)} characters: give it {_LEAST_KEY} or more, made at random")
    return key


def read_store_credentials(folder: Path | None) -> dict[str, str]:
    """The variables that open the store: a folder of files, each named like its variable, as Secrets are mounted. Others are
    left out, with a warning.

    Raises:
        SettingsError: it cannot be read.
    """
    if folder is None:
        return {}
    try:
        files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
        found = {path.name: path.read_text(encoding="utf-8").strip() for path in files if path.name in _OPENS_A_STORE}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the store's credentials {folder} cannot be read: {error}") from None
    ignored = [path.name for path in files if path.name not in found]
    if ignored:
        remedy = f"keep them in another Secret; a store is opened by {', '.join(sorted(_OPENS_A_STORE))}"
        _log.warning("some of the store's credentials are ignored", ignored=", ".join(ignored), remedy=remedy)
    return found


def _bytes(text: str, field: str) -> int:
    try:
        return bytes_of(text)
    except ValueError as error:
        raise SettingsError(f"{field}: {error}") from None


def _in_words(error: ValidationError) -> str:
    def word(details: Any) -> str:
        return f"{'.'.join(str(part) for part in details['loc'])}: {details['msg']}"

    return "; ".join(word(details) for details in error.errors(include_url=False))

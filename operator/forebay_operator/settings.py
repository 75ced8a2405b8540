"""What the operator is told at its start: one YAML file, and from the environment only who it is."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from forebay_operator.api.fields import bytes_of, seconds
from forebay_operator.domain.snapshot import DeviceClass, Settings
from forebay_operator.manifests.installation import (
    ConversionSettings,
    Installation,
    Ports,
    ServerSettings,
    StoreSettings,
)
from forebay_operator.worlds.kubernetes.capacity import DeclaredDevices
from forebay_operator.worlds.kubernetes.lease import Terms

_LEAST_KEY: Final = 16


class SettingsError(Exception):
    """The operator cannot start with these settings; the message says what to change."""


class _Part(BaseModel):
    """A part of the file: camelCase, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Store(_Part):
    uri: str
    claim: str = ""
    credentials: Path | None = None
    """A folder of files: each a variable of the environment that opens the store, as a mounted Secret is."""


class Servers(_Part):
    image: str
    gpu_image: str = ""
    """Empty: the same."""
    ports: dict[str, int] = Field(default_factory=dict[str, int])
    limits: dict[str, str] = Field(default_factory=lambda: {"memory": "4Gi"})
    requests: dict[str, str] = Field(default_factory=lambda: {"cpu": "500m", "memory": "2Gi"})
    scratch: str = "8Gi"
    drain: str = "90s"
    warm: int = Field(default=0, ge=0)
    idle: str = "300s"
    start_timeout: str = "600s"
    priority_class: str = ""
    gpu_runtime_class: str = ""
    pod_annotations: dict[str, str] = Field(default_factory=dict[str, str])


class Conversions(_Part):
    image: str
    images: dict[str, str] = Field(default_factory=dict[str, str])
    limits: dict[str, str] = Field(default_factory=lambda: {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "12Gi"})
    requests: dict[str, str] = Field(default_factory=lambda: {"cpu": "500m", "memory": "1Gi"})
    work: str = "8Gi"
    deadline: str = "900s"
    trust_source: bool = False
    priority_class: str = ""


class Cpu(_Part):
    memory: str = "0"
    """Memory for the models of one CPU server; 0: no CPU servers."""
    servers: int | None = None


class Simulated(_Part):
    servers: int = 0
    memory: str = "16Gi"
    pace: str = ""


class Devices(_Part):
    cpu: Cpu = Cpu()
    simulated: Simulated = Simulated()
    grown: dict[str, str] = Field(default_factory=dict[str, str])
    """GPU products that an autoscaler makes nodes for, with the memory that models may take of one."""


class Leadership(_Part):
    name: str = "forebay-operator"
    duration: str = "10s"
    deadline: str = "7s"
    retry: str = "1s"


class Gateway(_Part):
    host: str = "forebay-gateway.forebay.svc.cluster.local"
    hold_seconds: float = 45.0


class Pods(_Part):
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()


class OperatorSettings(_Part):
    """The file."""

    store: Store
    servers: Servers
    conversions: Conversions
    token_key: Path
    """A file with the secret key that the servers' repository tokens are made of."""
    gateway: Gateway = Gateway()
    devices: Devices = Devices()
    pods: Pods = Pods()
    watch_namespaces: tuple[str, ...] = ()
    """Empty: all."""
    artifact_grace: str = "1h"
    leadership: Leadership = Leadership()
    listen: str = "0.0.0.0:8080"
    log_level: str = "info"
    audit_period: str = "60s"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file.

        Raises:
            SettingsError: it cannot be read, or says something that is not known or cannot be.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            return cls.model_validate(content)
        except OSError as error:
            raise SettingsError(f"the settings {path} cannot be read: {error.strerror}") from None
        except yaml.YAMLError as error:
            raise SettingsError(f"the settings {path} are no YAML: {error}") from None
        except ValidationError as error:
            raise SettingsError(f"the settings {path} are wrong: {_in_words(error)}") from None

    def installation(self) -> Installation:
        servers, conversions = self.servers, self.conversions
        return Installation(
            store=StoreSettings(
                uri=self.store.uri, claim=self.store.claim, has_credentials=self.store.credentials is not None
            ),
            servers=ServerSettings(
                cpu_image=servers.image,
                gpu_image=servers.gpu_image or servers.image,
                ports=Ports(**servers.ports),
                limits=servers.limits,
                requests=servers.requests,
                scratch=servers.scratch,
                drain_s=int(seconds(servers.drain)),
                simulated_pace=self.devices.simulated.pace,
                priority_class=servers.priority_class,
                gpu_runtime_class=servers.gpu_runtime_class,
                pod_annotations=servers.pod_annotations,
            ),
            conversions=ConversionSettings(
                image=conversions.image,
                images=conversions.images,
                limits=conversions.limits,
                requests=conversions.requests,
                work=conversions.work,
                seconds=int(seconds(conversions.deadline)),
                trust_source=conversions.trust_source,
                priority_class=conversions.priority_class,
            ),
            gateway_host=self.gateway.host,
            pull_policy=self.pods.pull_policy,
            pull_secrets=self.pods.pull_secrets,
        )

    def step_settings(self) -> Settings:
        return Settings(
            warm_servers=self.servers.warm,
            server_idle_s=seconds(self.servers.idle),
            server_start_timeout_s=seconds(self.servers.start_timeout),
            hold_seconds=self.gateway.hold_seconds,
            artifact_grace_s=seconds(self.artifact_grace),
        )

    def declared_devices(self) -> DeclaredDevices:
        devices = self.devices
        return DeclaredDevices(
            cpu_memory_bytes=0 if devices.cpu.memory == "0" else bytes_of(devices.cpu.memory),
            cpu_servers=devices.cpu.servers,
            simulated_memory_bytes=bytes_of(devices.simulated.memory),
            simulated_servers=devices.simulated.servers,
            grown=tuple(DeviceClass("gpu", product, bytes_of(memory)) for product, memory in devices.grown.items()),
        )

    def terms(self) -> Terms:
        said = self.leadership
        return Terms(duration_s=seconds(said.duration), deadline_s=seconds(said.deadline), retry_s=seconds(said.retry))

    def read_token_key(self) -> bytes:
        """Raises SettingsError: there is no key, or one that can be guessed."""
        try:
            key = self.token_key.read_bytes().strip()
        except OSError as error:
            raise SettingsError(f"the token key {self.token_key} cannot be read: {error.strerror}") from None
        if len(key) < _LEAST_KEY:
            raise SettingsError(f"the token key {self.token_key} has {len(key)} characters: give it {_LEAST_KEY} or more")
        return key

    def store_environment(self) -> dict[str, str]:
        """The variables that open the store, as they are now.

        Raises:
            SettingsError: the folder cannot be read.
        """
        folder = self.store.credentials
        if folder is None:
            return {}
        try:
            files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
            return {path.name: path.read_text(encoding="utf-8").strip() for path in files}
        except OSError as error:
            raise SettingsError(f"the store's credentials {folder} cannot be read: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is."""

    name: str
    namespace: str
    kubeconfig: str


def identity(environment: Mapping[str, str] = os.environ) -> Identity:
    """`POD_NAME` and `POD_NAMESPACE`, as the chart sets them; `KUBECONFIG` outside a cluster."""
    return Identity(
        name=environment.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        namespace=environment.get("POD_NAMESPACE", ""),
        kubeconfig=environment.get("KUBECONFIG", ""),
    )


def _in_words(error: ValidationError) -> str:
    def word(details: Any) -> str:
        return f"{'.'.join(str(part) for part in details['loc'])}: {details['msg']}"

    return "; ".join(word(details) for details in error.errors(include_url=False))

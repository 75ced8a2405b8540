"""What one gateway process is told at its start, and where its sockets are."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forebay_gateway.xds.names import PROTOCOLS, Protocol
from forebay_schema.network import address_for, split_authority

LONGEST_SOCKET_PATH: Final = 107
"""A Unix socket's address holds 108 bytes, the last of them zero."""


class SettingsError(ValueError):
    """The process cannot start with these settings; the message says what to change."""


@dataclass(frozen=True, slots=True)
class ClusterScope:
    """Which ModelDeployments of an API server are routed to."""

    namespaces: tuple[str, ...]
    """None: all."""
    default_namespace: str
    hold_seconds: float
    """How long a request may wait for a replica."""


@dataclass(frozen=True, slots=True)
class Settings:
    routes: Path | None
    """The route table's file; without one, routes are those of a cluster."""
    cluster: ClusterScope | None
    run_dir: Path
    control_socket: Path
    control_address: str
    """HOST:PORT for the same by TCP, or empty."""
    ready_file: Path | None
    http_address: str
    http_port: int
    grpc_port: int
    concurrency: int
    keep_envoy: bool
    envoy_patience_seconds: float
    """An Envoy that does not answer for so long hangs, and is replaced."""
    hold_surges: bool
    """Whether requests wait in front of replicas that have more of them than they can do soon."""
    drain_seconds: float
    """How long requests may still take when the process is asked to end."""
    refuse_while_draining: bool
    """No other gateway is there to take new connections then: refuse them, so that there is an end."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """The Unix sockets between Envoy and our process."""

    folder: Path

    @property
    def xds(self) -> Path:
        return self.folder / "xds.sock"

    @property
    def admin(self) -> Path:
        return self.folder / "admin.sock"

    @property
    def ours(self) -> list[Path]:
        """Those that our process listens on."""
        return [self.xds, *map(self.holder, PROTOCOLS), *map(self.answers, PROTOCOLS)]

    def holder(self, protocol: Protocol) -> Path:
        """Where a model's cluster brings requests that must wait."""
        return self.folder / f"hold-{protocol}.sock"

    def answers(self, protocol: Protocol) -> Path:
        """Where requests go that no cluster of a model was found for: nothing can wait there."""
        return self.folder / f"answer-{protocol}.sock"


def sockets_for(run_dir: Path, temporary: Path) -> Sockets:
    """Where the sockets are: in `run_dir`, or if that is too long in a folder under `temporary`, the same at every start."""
    here = Sockets(run_dir)
    if len(os.fsencode(here.answers("h"))) <= LONGEST_SOCKET_PATH:
        return here
    digest = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:16]
    return Sockets(temporary / f"forebay-{os.getuid()}-{digest}")


def split_address(text: str) -> tuple[str, int]:
    """The host and port of `HOST:PORT`, as they are listened on; IPv6 in brackets.

    Raises:
        SettingsError: it is something else.
    """
    try:
        host, port = split_authority(text)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    return address_for(host), port


def check_socket_path(path: Path) -> None:
    """Refuse a path that no socket can be bound to.

    Raises:
        SettingsError: it is too long.
    """
    length = len(os.fsencode(path))
    if length > LONGEST_SOCKET_PATH:
        raise SettingsError(
            f"{path} is {length} bytes long, a Unix socket's path may have {LONGEST_SOCKET_PATH}: choose a shorter one"
        )

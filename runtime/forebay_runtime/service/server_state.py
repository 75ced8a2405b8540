"""What a server was told to hold: kept on its scratch volume, so that it loads by itself after a restart."""

import os
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from forebay_runtime.domain.orders import OrderBook, VersionKey
from forebay_schema.documents import Document, DocumentError, Part
from forebay_schema.logs import Logger
from forebay_schema.repository import LoadOrder

_log = Logger(__name__)


class HeldVersion(Part):
    """A version this server holds, with the order that said so."""

    model: str
    order: LoadOrder
    config: str
    """The order's `config` parameter, JSON."""

    @property
    def key(self) -> VersionKey:
        return VersionKey(self.model, self.order.forebay_version)


class SeenOrder(Part):
    """The newest sequence about a version, held or not."""

    model: str
    version: int
    sequence: int


class ServerState(Document):
    document_name: ClassVar[str] = "server-state"

    held: tuple[HeldVersion, ...] = ()
    seen: tuple[SeenOrder, ...] = ()

    def order_book(self) -> OrderBook:
        return OrderBook({VersionKey(seen.model, seen.version): seen.sequence for seen in self.seen})


class StateFile:
    """Replaced atomically: after a crash it is the old one or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unwritten: ServerState | None = None

    def read(self) -> ServerState:
        """What was written last; nothing where there is no file, or none that can be read."""
        try:
            return ServerState.from_json(self._path.read_bytes())
        except FileNotFoundError:
            return ServerState()
        except (OSError, DocumentError) as error:
            _log.error("server state cannot be read, starting empty", path=str(self._path), reason=str(error))
            return ServerState()

    def write(self, state: ServerState) -> None:
        """Where that fails the server goes on: should it be started anew, whoever gives it orders gives them again."""
        try:
            self._write(state)
        except OSError as error:
            _log.error("what is held cannot be written down: make room", path=str(self._path), reason=str(error))
            self._unwritten = state
        else:
            self._unwritten = None

    def catch_up(self) -> None:
        """To be called now and then: write what could not be written, as soon as it can."""
        if self._unwritten is not None:
            with suppress(OSError):
                self._write(self._unwritten)
                self._unwritten = None
                _log.info("what is held is written down again", path=str(self._path))

    def _write(self, state: ServerState) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            file.write(state.to_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)

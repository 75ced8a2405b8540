"""The last routes of a cluster in a file: a gateway that starts while the API server is away serves on with them."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from forebay_gateway import atomicfile
from forebay_gateway.routing import RouteTableError, index_of
from forebay_schema.addresses import ModelAddress
from forebay_schema.documents import DocumentError
from forebay_schema.logs import Logger
from forebay_schema.routes import Route, RouteTable

_log: Final = Logger(__name__)

_EVERY_S: Final = 5.0


class Keepsake:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._routes: Mapping[ModelAddress, Route] = {}
        self._changed = asyncio.Event()

    def load(self) -> Mapping[ModelAddress, Route]:
        """What was kept; nothing if there is nothing that makes sense."""
        try:
            return index_of(RouteTable.from_json(self._path.read_bytes())).routes
        except FileNotFoundError:
            return {}
        except (OSError, DocumentError, RouteTableError) as error:
            _log.warning("the routes that were kept cannot be read", path=self._path, reason=error)
            return {}

    def keep(self, routes: Mapping[ModelAddress, Route]) -> None:
        """Have these in the file soon."""
        if routes is not self._routes:
            self._routes = routes
            self._changed.set()

    async def run(self) -> None:
        """Write what is to be kept until cancelled: not at each change, and not while others wait for it."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await asyncio.to_thread(self._write, self._routes)
            except OSError as error:
                _log.warning("the routes cannot be kept for the next start", path=self._path, reason=error)
            await asyncio.sleep(_EVERY_S)

    def _write(self, routes: Mapping[ModelAddress, Route]) -> None:
        atomicfile.write(self._path, RouteTable(routes=tuple(routes.values())).to_json())

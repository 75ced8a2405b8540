"""The route table's file: replaced atomically by the controller, watched by the gateway."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from forebay_gateway.routing import RouteIndex, RouteTableError, index_of
from forebay_schema.documents import DocumentError
from forebay_schema.logs import Logger
from forebay_schema.routes import RouteTable

_log: Final = Logger(__name__)
_POLL_S: Final = 0.05

_Stamp = tuple[int, int, int]


class RouteFile:
    """Reads the table again whenever the file is another one. A table that cannot be read leaves the last good one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: _Stamp | None = None
        self._left_out: tuple[str, ...] = ()
        self.complaint = ""
        """Why the file's present content is not served; empty if it is."""

    async def follow(self, take: Callable[[RouteIndex], None]) -> None:
        """Hand out each good table, from the first on, until cancelled."""
        async for index in self.tables():
            take(index)

    async def tables(self) -> AsyncIterator[RouteIndex]:
        """Each good table, from the first on."""
        while True:
            index = self._read_if_changed()
            if index:
                yield index
            await asyncio.sleep(_POLL_S)

    def _read_if_changed(self) -> RouteIndex | None:
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return None
            content = self._path.read_bytes()
            # Only now: a file that could not be read is tried again.
            self._stamp = stamp
            index = index_of(RouteTable.from_json(content))
        except (OSError, DocumentError, RouteTableError) as error:
            self._complain(error)
            return None
        self.complaint = ""
        self._tell_left_out(index)
        _log.info("route table read", models=len(index.routes), digest=index.mark[:12])
        return index

    def _look(self) -> _Stamp:
        status = self._path.stat()
        return (status.st_ino, status.st_mtime_ns, status.st_size)

    def _tell_left_out(self, index: RouteIndex) -> None:
        before, self._left_out = self._left_out, index.left_out
        for reason in index.left_out:
            if reason not in before:
                _log.error("route left out", path=self._path, reason=reason)

    def _complain(self, error: Exception) -> None:
        complaint = f"route table {self._path} cannot be served, the last good one stays: {error}"
        if complaint != self.complaint:
            self.complaint = complaint
            _log.error("route table refused", path=self._path, reason=error)

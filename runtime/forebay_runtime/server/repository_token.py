"""The token that opens repository control, in a file that may be replaced while the server runs."""

import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_AGAIN_S: Final = 1.0
"""How often the file is read anew, however often somebody asks with a token that is wrong."""


class RepositoryToken:
    """What has to be shown. Kubernetes replaces the files of a Secret within a minute or two of its change."""

    def __init__(self, path: Path | None, now: Callable[[], float] = time.monotonic) -> None:
        """`path` None: nothing has to be shown. An empty file: nobody may.

        Raises:
            OSError: the file cannot be read.
        """
        self._path = path
        self._now = now
        self._token = b"" if path is None else path.read_bytes().strip()
        self._read_at = now()

    def opens(self, given: str) -> bool:
        """Whether this is the token, as the file has it by now."""
        return self._path is None or self._is(given) or (self._read_again(self._path) and self._is(given))

    def _is(self, given: str) -> bool:
        return bool(self._token) and hmac.compare_digest(given.encode(errors="replace"), self._token)

    def _read_again(self, path: Path) -> bool:
        """Whether there is another one now."""
        if self._now() - self._read_at < _AGAIN_S:
            return False
        self._read_at = self._now()
        before = self._token
        try:
            # What is there while it is being replaced is no reason to refuse the one that was.
            self._token = path.read_bytes().strip() or before
        except OSError:
            return False
        return self._token != before

"""Fetches sources and samples: files, http(s), s3 and data URIs, with digest, size limit and time limit."""

import base64
import binascii
import hashlib
import os
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

import fsspec

from forebay_convert.addresses import SCHEMES, scheme_of, shown
from forebay_convert.failures import ConversionError, passing, refusal
from forebay_convert.progress import Deadline, Progress
from forebay_convert.want_of_room import is_for_want_of_room, no_room
from forebay_schema.conversion import ConversionFailure

_CHUNK = 1 << 20
_SILENCE_S = 30.0
_LEAST_S = 1.0
_TELL_EVERY_S = 2.0
_FORBIDDEN = (401, 403)
_MISSING = (404, 410)
_ADDRESS = "Check the address, or put it there; a path is looked up on the machine where the conversion runs."
_CREDENTIALS = "Check the credentials: source.secretRef in a cluster, the AWS_* variables on a laptop."


T = TypeVar("T")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Fetched:
    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """What to fetch; `what` names it in messages (`source`, `samples`)."""

    what: str
    uri: str
    most_bytes: int
    sha256: str | None = None


def fetch(wanted: Fetch, target: Path, deadline: Deadline, progress: Progress) -> Fetched:
    """Copy it to `target`.

    Raises:
        ConversionError: it is not there, may not be read, is too big, takes too long, or has another digest.
    """
    with _translated(wanted), _opened(wanted, deadline) as stream:
        digest, size = hashlib.sha256(), 0
        told = time.monotonic()
        with target.open("xb") as file:
            while chunk := _in_time(lambda: stream.read(_CHUNK), deadline):
                size += len(chunk)
                _check_bounds(wanted, size, deadline)
                digest.update(chunk)
                _write(file, chunk, wanted)
                if time.monotonic() - told > _TELL_EVERY_S:
                    told = time.monotonic()
                    progress("fetching", what=wanted.what, bytes=size)
    _check_content(wanted, size, digest.hexdigest())
    return Fetched(target, size, digest.hexdigest())


def _write(file: BinaryIO, chunk: bytes, wanted: Fetch) -> None:
    try:
        file.write(chunk)
        # Here, and not where the file is closed: what fails there is taken for a trouble of the source's.
        file.flush()
    except OSError as error:
        if not is_for_want_of_room(error):
            raise
        raise ConversionError(no_room("fetch", f"the {wanted.what}", Path(file.name).parent)) from error


def _check_bounds(wanted: Fetch, size: int, deadline: Deadline) -> None:
    if size > wanted.most_bytes:
        raise ConversionError(
            refusal(
                "fetch",
                f"The {wanted.what} at {shown(wanted.uri)} is larger than the {wanted.most_bytes} bytes that are allowed.",
                "Give a smaller file, or raise the conversion's size limit.",
            )
        )
    if deadline.remaining() < 0:
        raise _too_late(deadline)


def _in_time(work: Callable[[], T], deadline: Deadline) -> T:
    """What the work gives, in a thread that is left alone when time is up: a server may send a byte now and then for ever."""
    doing: Future[T] = Future()

    def do() -> None:
        try:
            doing.set_result(work())
        except Exception as error:
            doing.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    try:
        return doing.result(max(_LEAST_S, deadline.remaining()))
    except TimeoutError:
        # The work's own, unless it is not done.
        if doing.done():
            raise
        raise _too_late(deadline) from None


def _too_late(deadline: Deadline) -> TimeoutError:
    return TimeoutError(f"not complete after {deadline.seconds:.0f} s")


def _check_content(wanted: Fetch, size: int, found: str) -> None:
    if size == 0:
        raise ConversionError(refusal("fetch", f"The {wanted.what} at {shown(wanted.uri)} is empty.", "Upload it again."))
    if wanted.sha256 is not None and wanted.sha256.lower() != found:
        raise ConversionError(
            refusal(
                "fetch",
                f"The {wanted.what} at {shown(wanted.uri)} has sha256 {found}, not {wanted.sha256} as given.",
                "Correct the sha256 if the file was meant to change, else restore the file.",
            )
        )


@contextmanager
def _translated(wanted: Fetch) -> Generator[None]:
    """Turn what file systems raise into sentences. Their clients' classes share no base but Exception."""
    try:
        yield
    except ConversionError:
        raise
    except Exception as error:
        raise ConversionError(_in_words(_reason(error), wanted)) from error


def _reason(error: BaseException) -> BaseException:
    """fsspec calls every failed look at a web address a missing file; its cause says what it was."""
    while isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _in_words(error: BaseException, wanted: Fetch) -> ConversionFailure:
    where, said = f"The {wanted.what} at {shown(wanted.uri)}", _said(error, wanted.uri)
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in _MISSING:
        # Not for good: it may be put there, as credentials may be corrected, without a change of the order.
        return passing("fetch", f"{where} does not exist.", _ADDRESS)
    if isinstance(error, PermissionError) or status in _FORBIDDEN:
        return passing("fetch", f"{where} may not be read: {said}.", _CREDENTIALS)
    if isinstance(error, TimeoutError):
        cause = f"{where} did not arrive in time: {said}."
        return passing("fetch", cause, "Try again, or raise the conversion's time limit.")
    remedy = _CREDENTIALS if "redential" in said else "Try again; check that the address can be reached from here."
    return passing("fetch", f"{where} could not be fetched: {said}.", remedy)


def _said(error: BaseException, uri: str) -> str:
    """The error in one line. Clients like to repeat the address, which may hold a secret."""
    text = " ".join(str(error).replace(uri, shown(uri)).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def _opened(wanted: Fetch, deadline: Deadline) -> Generator[_Readable]:
    scheme = scheme_of(wanted.uri)
    if scheme not in SCHEMES:
        raise ConversionError(
            refusal(
                "fetch",
                f"The {wanted.what} at {shown(wanted.uri)} has an address of a kind that is not supported: {scheme}.",
                f"Use one of {', '.join(SCHEMES)}, or a path.",
            )
        )
    if scheme == "data":
        yield _Inline(_decoded(wanted))
        return
    if scheme == "file":
        _check_plain_file(wanted)
    silence_s = max(_LEAST_S, min(_SILENCE_S, deadline.remaining()))
    file = _in_time(lambda: _open_remote(wanted.uri, scheme, silence_s), deadline)
    try:
        yield file
    finally:
        file.close()


def _open_remote(uri: str, scheme: str, silence_s: float) -> Any:
    files, path = fsspec.core.url_to_fs(uri, **_client_options(scheme, silence_s))
    # A block size of zero streams: no range requests, which not every server knows.
    return files.open(path, "rb", **({"block_size": 0} if scheme in ("http", "https") else {}))


def _client_options(scheme: str, silence_s: float) -> dict[str, object]:
    if scheme in ("http", "https"):
        from aiohttp import ClientTimeout  # noqa: PLC0415 - slow to import, and few sources come by http

        timeout = ClientTimeout(total=None, sock_connect=silence_s, sock_read=silence_s)
        # Proxies are named by the environment, as for S3.
        return {"client_kwargs": {"timeout": timeout, "trust_env": True}, "skip_instance_cache": True}
    if scheme == "s3":
        retries = {"max_attempts": 2}
        return {"config_kwargs": {"connect_timeout": silence_s, "read_timeout": silence_s, "retries": retries}}
    return {}


def _check_plain_file(wanted: Fetch) -> None:
    """A folder or a device is not read: some never end."""
    path = Path(wanted.uri.removeprefix("file://"))
    path.stat()
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no plain file"
        raise ConversionError(refusal("fetch", f"The {wanted.what} at {path} is {what}.", "Give the path of a file."))
    if not os.access(path, os.R_OK):
        raise PermissionError(f"the file belongs to another user ({path.owner()})")


@dataclass(slots=True)
class _Inline:
    content: bytes

    def read(self, size: int, /) -> bytes:
        chunk, self.content = self.content[:size], self.content[size:]
        return chunk


def _decoded(wanted: Fetch) -> bytes:
    head, _, body = wanted.uri.partition(",")
    try:
        return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except (ValueError, binascii.Error) as error:
        raise ConversionError(
            refusal("fetch", f"The {wanted.what} is a data URI that cannot be read: {error}.", "Use data:;base64,CONTENT.")
        ) from error

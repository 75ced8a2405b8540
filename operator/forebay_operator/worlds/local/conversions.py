"""Conversions: one process each, two at a time, what became of them kept in the state folder."""

import asyncio
import contextlib
import dataclasses
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from forebay_operator.domain.actions import StartConversion
from forebay_operator.domain.snapshot import Conversion, ConversionFailure, ConversionId, ConversionPhase
from forebay_operator.domain.status import Artifact
from forebay_operator.worlds.conversion_documents import order_of, outcome_of
from forebay_operator.worlds.local import log_files
from forebay_operator.worlds.local.processes import Command, Process
from forebay_operator.worlds.local.state import replace_text
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_schema.conversion import ConversionOrder, ConversionResult
from forebay_schema.documents import Document, DocumentError
from forebay_schema.logs import Logger

AT_ONCE: Final = 2
GRACE_S: Final = 60.0
"""How long past its own time limit a conversion may take to end itself."""
_LOOK_S: Final = 0.3
_log: Final = Logger("forebay.conversions")


class FinishedConversion(Document):
    """A conversion that ended, as it lies in the state folder."""

    document_name: ClassVar[str] = "finished-conversion"

    namespace: str
    digest: str
    attempt: int
    started_at: float
    finished_at: float
    result: ConversionResult


@dataclass(frozen=True, slots=True)
class _Places:
    """The files of one conversion."""

    order: Path
    result: Path
    work: Path
    log: Path
    record: Path


class Conversions:
    """Starts conversions and remembers what became of them."""

    def __init__(self, around: Surroundings, *, trust_source: bool) -> None:
        self._around = around
        self._folder = around.folder
        self._trust_source = trust_source
        self._known = {conversion.id: conversion for conversion in self._recorded()}
        self._tasks: dict[ConversionId, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def seen(self) -> tuple[Conversion, ...]:
        """Every conversion that was started and not forgotten."""
        return tuple(self._known[key] for key in sorted(self._known))

    def log_of(self, key: ConversionId) -> Path:
        """Where a conversion writes its progress."""
        return self._places(key).log

    def start(self, action: StartConversion) -> None:
        """Convert, unless this attempt was made already or an earlier one still runs."""
        known = self._known.get(action.id)
        if action.id in self._tasks or (known and known.attempt >= action.attempt):
            return
        self._known[action.id] = Conversion(
            id=action.id,
            phase=ConversionPhase.RUNNING,
            attempt=action.attempt,
            started_at=self._around.clock.now(),
            progress="waits for its turn" if self._room.locked() else "",
        )
        task = asyncio.ensure_future(self._convert(action))
        self._tasks[action.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(action.id, None))

    def forget(self, key: ConversionId) -> None:
        """End a conversion if it runs, and drop what is known of it."""
        if task := self._tasks.get(key):
            task.cancel()
        self._known.pop(key, None)
        self._places(key).record.unlink(missing_ok=True)

    async def close(self) -> None:
        """End those that run; they are started again by the next `forebay up`."""
        tasks = list(self._tasks.values())
        for task in tasks:
            # One that is being cancelled already waits for the end of its process: that wait must not be cancelled, too.
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _convert(self, action: StartConversion) -> None:
        places = self._places(action.id)
        try:
            async with self._room:
                order = order_of(action, str(self._folder.store), trust_source=self._trust_source)
                result = await self._run(action.id, order, places)
        except Exception as error:  # a conversion must come to an end, whatever this machine lacks
            _log.exception("a conversion could not be carried out", namespace=action.id.namespace, digest=action.id.digest)
            result = _not_carried_out(error)
        if action.id in self._known:
            self._finish(action.id, result, places)

    async def _run(self, key: ConversionId, order: ConversionOrder, places: _Places) -> ConversionResult:
        shutil.rmtree(places.work, ignore_errors=True)
        places.work.mkdir(parents=True)
        places.result.unlink(missing_ok=True)
        replace_text(places.order, order.to_json())
        process = self._around.host.start(_command(places))
        try:
            await self._watch(key, process, order.limits.seconds + GRACE_S)
            return _result(places.result, process)
        finally:
            await process.stop(grace_s=1.0)
            shutil.rmtree(places.work, ignore_errors=True)

    async def _watch(self, key: ConversionId, process: Process, limit_s: float) -> None:
        """Return when the process has ended; keep what it says of its progress up to date."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while process.running:
                    await asyncio.wait([process.ended], timeout=_LOOK_S)
                    if progress := _progress(log_files.last_line(process.log)):
                        self._known[key] = dataclasses.replace(self._known[key], progress=progress)

    def _finish(self, key: ConversionId, result: ConversionResult, places: _Places) -> None:
        known = self._known[key]
        finished = FinishedConversion(
            namespace=key.namespace,
            digest=key.digest,
            attempt=known.attempt,
            started_at=known.started_at,
            finished_at=self._around.clock.now(),
            result=result,
        )
        self._known[key] = _conversion(finished)
        try:
            replace_text(places.record, finished.to_json())
        except OSError as error:
            self._around.tell("conversions", f"what became of one is known only until the next start: {error}")
        self._around.changed()

    def _recorded(self) -> list[Conversion]:
        found: list[Conversion] = []
        for path in self._folder.conversions.glob("*.json"):
            with contextlib.suppress(DocumentError, OSError):
                found.append(_conversion(FinishedConversion.from_json(path.read_bytes())))
        return found

    def _places(self, key: ConversionId) -> _Places:
        name = f"{key.namespace}-{key.digest[:32]}"
        scratch = self._folder.scratch / "conversions" / name
        return _Places(
            order=scratch / "order.json",
            result=scratch / "result.json",
            work=scratch / "work",
            log=self._folder.logs / f"conversion-{name}.log",
            record=self._folder.conversions / f"{name}.json",
        )


def _command(places: _Places) -> Command:
    files = ("--order", str(places.order), "--result", str(places.result), "--work", str(places.work))
    return Command(
        name=places.log.stem, arguments=(sys.executable, "-m", "forebay_convert", *files), log=places.log, environment={}
    )


def _conversion(finished: FinishedConversion) -> Conversion:
    outcome = outcome_of(finished.result)
    succeeded = isinstance(outcome, Artifact)
    return Conversion(
        id=ConversionId(finished.namespace, finished.digest),
        phase=ConversionPhase.SUCCEEDED if succeeded else ConversionPhase.FAILED,
        attempt=finished.attempt,
        started_at=finished.started_at,
        finished_at=finished.finished_at,
        artifact=outcome if isinstance(outcome, Artifact) else None,
        failure=outcome if isinstance(outcome, ConversionFailure) else None,
    )


def _result(path: Path, process: Process) -> ConversionResult:
    """What the process answered; where it answered nothing, that."""
    try:
        return ConversionResult.from_json(path.read_bytes())
    except (OSError, DocumentError):
        cause = f"The conversion process ended without an answer: {process.how_it_ended()}."
    return _failed(cause, f"Look into {process.log}.")


def _not_carried_out(error: Exception) -> ConversionResult:
    cause = f"The conversion could not be carried out on this machine: {type(error).__name__}: {error}"
    return _failed(cause, "See that the state folder can be written and the machine can start processes.")


def _failed(cause: str, remedy: str) -> ConversionResult:
    return ConversionResult.model_validate(
        {"failure": {"stage": "convert", "cause": cause, "remedy": remedy, "retryable": True}}
    )


def _progress(line: str) -> str:
    """What a line of progress says to a person."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    message = said.get("message", "") if isinstance(said, dict) else ""
    return message if isinstance(message, str) else ""

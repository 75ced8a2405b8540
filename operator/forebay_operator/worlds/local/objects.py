"""The ModelDeployments that people asked for, and what the controller says of them: one JSON file each."""

import dataclasses
import enum
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forebay_operator import translate
from forebay_operator.api.objects import refused_changes
from forebay_operator.api.v1alpha1 import ModelDeployment
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.status import DeploymentStatus
from forebay_operator.worlds.local.state import read_json, replace_text
from forebay_schema.addresses import ModelAddress


class Outcome(enum.Enum):
    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"


class RefusedChangeError(ValueError):
    """An object cannot be changed like this; the message says which field and what to do."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One ModelDeployment."""

    content: ModelDeployment
    """As it was asked for, with identity and generation; without status."""
    deployment: Deployment
    """The same for the step, with the status last written."""
    origin: str
    """The file it came from; empty: it was applied."""

    def to_object(self) -> dict[str, Any]:
        """Plain data in the form of the custom resource, with its status."""
        shown = self.content.to_object()
        if self.deployment.status is not None:
            shown["status"] = translate.status_to_api(self.deployment.status).to_object()
        return shown


class Objects:
    """All ModelDeployments of this state folder."""

    def __init__(self, folder: Path, tell: Callable[[str, str], None]) -> None:
        """Read what is there. A file that holds no object is told, and left as it is."""
        self._folder = folder
        self._tell = tell
        self._by_address: dict[ModelAddress, StoredObject] = {}
        self._unwritten: set[ModelAddress] = set()
        self._told_of = ""
        for stored in self._read():
            self._by_address[stored.deployment.address] = stored

    def all(self) -> tuple[StoredObject, ...]:
        """Sorted by address."""
        return tuple(self._by_address[address] for address in sorted(self._by_address))

    def get(self, address: ModelAddress) -> StoredObject | None:
        return self._by_address.get(address)

    def apply(self, wanted: ModelDeployment, origin: str) -> Outcome:
        """Make an object what it is wanted to be.

        Raises:
            RefusedChangeError: a field that cannot be changed was changed.
            OSError: it cannot be written down; then nothing is changed.
        """
        known = self._by_address.get(wanted.address)
        if known is None:
            self._keep(_new(wanted, origin))
            return Outcome.CREATED
        if refused := list(refused_changes(known.content.spec, wanted.spec, "spec")):
            raise RefusedChangeError("; ".join(f"{violation.field}: {violation.message}" for violation in refused))
        if known.content.spec == wanted.spec:
            if known.origin != origin:
                self._keep(dataclasses.replace(known, origin=origin))
            return Outcome.UNCHANGED
        self._keep(_changed(known, wanted, origin))
        return Outcome.CONFIGURED

    def delete(self, address: ModelAddress) -> bool:
        """Forget an object. What it left on servers is the step's to clear. Returns whether there was one."""
        known = self._by_address.pop(address, None)
        if known is not None:
            self._path(address).unlink(missing_ok=True)
        return known is not None

    def write_status(self, address: ModelAddress, uid: str, status: DeploymentStatus) -> DeploymentStatus | None:
        """Keep a status, if the object is still the same one. Returns the status before.

        Where it cannot be written down it is kept all the same: the step goes on by it.
        """
        known = self._by_address.get(address)
        if known is None or known.deployment.uid != uid:
            return None
        before = known.deployment.status
        self._by_address[address] = dataclasses.replace(known, deployment=dataclasses.replace(known.deployment, status=status))
        self._unwritten.add(address)
        self.catch_up()
        return before

    def catch_up(self) -> None:
        """Write the statuses that could not be written yet; to be called now and then. What hinders it is told once."""
        for address in sorted(self._unwritten & self._by_address.keys()):
            try:
                self._write(self._by_address[address])
            except OSError as error:
                why = f"cannot be written ({error.strerror}): make room in {self._folder}, or mend it"
                self._tell_once(f"{why}; all goes on meanwhile")
                return
        self._unwritten.clear()
        if self._told_of:
            self._tell_once("")
            self._tell("state", "is written again")

    def _tell_once(self, sentence: str) -> None:
        if sentence and sentence != self._told_of:
            self._tell("state", sentence)
        self._told_of = sentence

    def _keep(self, stored: StoredObject) -> None:
        self._write(stored)
        self._by_address[stored.deployment.address] = stored

    def _write(self, stored: StoredObject) -> None:
        text = json.dumps({"origin": stored.origin, "object": stored.to_object()}, ensure_ascii=False, indent=1)
        replace_text(self._path(stored.deployment.address), text)

    def _path(self, address: ModelAddress) -> Path:
        return self._folder / address.namespace / f"{address.name}.json"

    def _read(self) -> Iterator[StoredObject]:
        for path in self._folder.glob("*/*.json"):
            said = read_json(path) or {}
            try:
                yield _stored(ModelDeployment.from_object(said["object"]), str(said.get("origin", "")))
            except (ValidationError, KeyError, TypeError) as error:
                # A file that a broken disk or a hand left is no reason not to serve the others.
                self._tell(f"{path.parent.name}/{path.stem}", _unreadable(path, error))


def _unreadable(path: Path, error: Exception) -> str:
    why = "it holds no object"
    if isinstance(error, ValidationError):
        why = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return f"is not served, as {path} cannot be read ({why}): mend the file and start again, or apply the model again"


def _new(wanted: ModelDeployment, origin: str) -> StoredObject:
    created = datetime.now(UTC).replace(microsecond=0)
    identity = {"uid": str(uuid.uuid4()), "generation": 1, "creation_timestamp": created}
    metadata = wanted.metadata.model_copy(update=identity)
    return _stored(wanted.model_copy(update={"metadata": metadata, "status": None}), origin)


def _changed(known: StoredObject, wanted: ModelDeployment, origin: str) -> StoredObject:
    metadata = known.content.metadata
    update = {
        "generation": (metadata.generation or 0) + 1,
        "labels": wanted.metadata.labels,
        "annotations": wanted.metadata.annotations,
    }
    content = known.content.model_copy(update={"spec": wanted.spec, "metadata": metadata.model_copy(update=update)})
    changed = _stored(content, origin)
    status = known.deployment.status
    return dataclasses.replace(changed, deployment=dataclasses.replace(changed.deployment, status=status))


def _stored(content: ModelDeployment, origin: str) -> StoredObject:
    return StoredObject(content.model_copy(update={"status": None}), translate.deployment_of(content), origin)

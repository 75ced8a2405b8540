"""Reads files and folders of YAML into ModelDeployments. What is wrong comes back as values that name file, line and field."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final, cast

from pydantic import ValidationError

from forebay_operator.api.documents import Document, Fault, documents
from forebay_operator.api.refusals import Path, dotted, refusals
from forebay_operator.api.v1alpha1 import API_VERSION, KIND, ModelDeployment
from forebay_schema.addresses import ModelAddress

MAX_FILE_BYTES: Final = 2 << 20
SUFFIXES: Final = (".yaml", ".yml", ".json")

_URIS: Final[tuple[Path, ...]] = (("spec", "model", "source", "uri"), ("spec", "verification", "samples", "uri"))
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something was not read: what is wrong where, and what to do."""

    file: str
    line: int
    """From 1; 0 where it is about the whole file."""
    field: str
    """Dotted, as `spec.model.inputs[0].name`; empty where it is about no field."""
    message: str
    remedy: str

    @property
    def place(self) -> str:
        """File and line, as editors and terminals find them."""
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def text(self) -> str:
        """What is wrong there."""
        return ": ".join(part for part in (self.field, self.message, self.remedy) if part)

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an object was read."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read: valid objects of different names, in the order of their files, and what is wrong with the rest."""

    objects: tuple[ModelDeployment, ...] = ()
    problems: tuple[Problem, ...] = ()
    origins: Mapping[ModelAddress, Origin] = field(default_factory=dict[ModelAddress, Origin])


def load(paths: Iterable[FilePath]) -> Loaded:
    """Read files, and folders' *.yaml, *.yml and *.json files (not those of folders in them), sorted by name."""
    reader = _Reader()
    for path in paths:
        for file in reader.files_of(path):
            reader.read_file(file)
    return reader.loaded()


def load_text(text: str, file: str = "<stdin>", folder: FilePath | None = None, namespace: str = "") -> Loaded:
    """Read YAML text. `file` is what problems call it, `folder` what paths in it are relative to (the current one if None),
    `namespace` that of objects that name none (the resource's own default if empty)."""
    reader = _Reader(namespace)
    reader.read_text(text, file, folder or FilePath.cwd())
    return reader.loaded()


class _Reader:
    """Gathers objects and problems over many documents."""

    def __init__(self, namespace: str = "") -> None:
        self._namespace = namespace
        self._objects: dict[ModelAddress, ModelDeployment] = {}
        self._origins: dict[ModelAddress, Origin] = {}
        self._problems: list[Problem] = []

    def loaded(self) -> Loaded:
        return Loaded(tuple(self._objects.values()), tuple(self._problems), self._origins)

    def files_of(self, path: FilePath) -> list[FilePath]:
        try:
            if not path.is_dir():
                return [path]
            return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))
        except OSError as error:
            message = f"it cannot be read ({error.strerror})"
            self._problems.append(Problem(str(path), 0, "", message, "check its permissions"))
            return []

    def read_file(self, file: FilePath) -> None:
        try:
            text = text_of(file)
        except UnreadableError as error:
            self._problems.append(Problem(str(file), 0, "", error.message, error.remedy))
        else:
            self.read_text(text, str(file), file.parent)

    def read_text(self, text: str, file: str, folder: FilePath) -> None:
        for document in documents(text):
            if isinstance(document, Fault):
                self._problems.append(_problem(document, file))
            else:
                self._read_document(document, file, folder)

    def _read_document(self, document: Document, file: str, folder: FilePath) -> None:
        problems = [_problem(fault, file) for fault in document.faults]
        if document.content is None and not problems:
            return
        problems = problems or list(_stranger(document, file))
        if problems:
            self._problems += problems
            return
        content = cast("dict[str, Any]", document.content)
        _make_paths_absolute(content, folder)
        if self._namespace and isinstance(metadata := content.get("metadata"), dict):
            metadata.setdefault("namespace", self._namespace)
        try:
            deployment = ModelDeployment.from_object(content)
        except ValidationError as error:
            self._problems += _invalid(error, document, file)
        else:
            self._add(deployment, Origin(file, document.line))

    def _add(self, deployment: ModelDeployment, origin: Origin) -> None:
        first = self._origins.get(deployment.address)
        if first is None:
            self._objects[deployment.address] = deployment
            self._origins[deployment.address] = origin
            return
        message = f"there is another {KIND} {deployment.metadata.name} of namespace {deployment.metadata.namespace} in {first}"
        remedy = "rename one, or remove it; the first is taken"
        self._problems.append(Problem(origin.file, origin.line, "metadata.name", message, remedy))


class UnreadableError(Exception):
    """A file is no text that can be read; the message says why, the remedy what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def text_of(file: FilePath) -> str:
    """The text of a file.

    Raises:
        UnreadableError: it cannot be read, is too large, or no UTF-8.
    """
    try:
        content = _bytes_of(file)
    except OSError as error:
        raise UnreadableError(f"it cannot be read ({error.strerror})", "check its permissions") from None
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableError(
            f"it is larger than {MAX_FILE_BYTES >> 20} MiB",
            "split it, and name models by URI rather than writing them into it",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"byte {error.start} is no UTF-8", "save the file as UTF-8 text") from None


def _bytes_of(file: FilePath) -> bytes:
    """The beginning of a file: more than is read, where it is larger."""
    if not file.exists():
        raise UnreadableError("there is no such file or folder", "check the path")
    if not file.is_file():
        raise UnreadableError("it is no file", "name a YAML file, or a folder of them")
    with file.open("rb") as stream:
        return stream.read(MAX_FILE_BYTES + 1)


def _problem(fault: Fault, file: str) -> Problem:
    return Problem(file, fault.line, dotted(fault.path), fault.message, fault.remedy)


def _stranger(document: Document, file: str) -> Iterator[Problem]:
    """Says so where a document is no ModelDeployment of the version we know; then nothing else in it matters."""
    content: Any = document.content
    if not isinstance(content, dict):
        yield Problem(file, document.line, "", f"expected a {KIND}, found a plain value or a list", "begin with `apiVersion:`")
        return
    found = cast(dict[str, Any], content)
    for name, known in (("kind", KIND), ("apiVersion", API_VERSION)):
        if found.get(name) != known:
            yield Problem(file, document.line_of((name,)), name, *_strange(name, found.get(name), known))
            return


def _strange(name: str, found: object, known: str) -> tuple[str, str]:
    if found is None:
        return "is missing", f"add `{name}: {known}`"
    message = f"{found} is not {known}, which is all that is read here"
    if str(found).endswith("List"):
        return message, "give each object a document of its own, with `---` between them"
    if difflib.SequenceMatcher(None, str(found).lower(), known.lower()).ratio() > 0.7:  # noqa: PLR2004  (nearly the same)
        return message, f"did you mean {known}?"
    return message, "use kubectl for other objects, and keep them in other files"


def _invalid(error: ValidationError, document: Document, file: str) -> Iterator[Problem]:
    for refusal in sorted(refusals(error), key=lambda refusal: document.line_of(refusal.path)):
        yield Problem(file, document.line_of(refusal.path), refusal.field, refusal.message, refusal.remedy)


def _make_paths_absolute(content: Any, folder: FilePath) -> None:
    """Turn relative paths of a source and of samples, which are relative to `folder`, into absolute ones."""
    for path in _URIS:
        holder: Any = content
        for part in path[:-1]:
            holder = holder.get(part) if isinstance(holder, dict) else None
        uri = holder.get(path[-1]) if isinstance(holder, dict) else None
        if isinstance(uri, str) and uri and not uri.startswith("/") and not _SCHEME.match(uri):
            holder[path[-1]] = os.path.abspath(folder / uri)

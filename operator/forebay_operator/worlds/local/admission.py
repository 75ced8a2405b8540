"""Takes what people wrote, from files and from `forebay apply`, into the objects; says what it did and what was wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forebay_operator.api.loading import Loaded, Origin, Problem, load, load_text
from forebay_operator.api.v1alpha1 import KIND
from forebay_operator.worlds.local.objects import Objects, Outcome, RefusedChangeError
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_operator.worlds.local.watched_files import FileChange, WatchedFiles
from forebay_schema.addresses import ModelAddress
from forebay_schema.logs import Logger

_RENAME: Final = "rename one, or remove it; the first is taken"
_MEND: Final = "make room in the state folder, or mend it"
_log: Final = Logger("forebay.local")


@dataclass(frozen=True, slots=True)
class Document:
    """A text that describes ModelDeployments."""

    name: str
    """What messages call it."""
    folder: Path
    """Relative paths in it start here."""
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of documents."""

    outcomes: tuple[tuple[ModelAddress, Outcome], ...] = ()
    problems: tuple[Problem, ...] = ()
    unsettled: bool = False
    """Something could not be taken that may be taken later, as it is."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read after a file changed; None: it is gone."""

    change: FileChange
    loaded: Loaded | None


def read_changes(files: WatchedFiles) -> list[Reading]:
    """What files say that are new, changed or gone. Large files take long: to be called in a thread where others wait."""
    return [Reading(change, None if change.gone else load([change.path])) for change in files.changes()]


def read_documents(documents: Sequence[Document], namespace: str = "") -> list[Loaded]:
    """What documents say; `namespace`: that of objects that name none; empty: the default one. Takes long, too."""
    return [load_text(each.text, each.name, each.folder, namespace) for each in documents]


class Admission:
    """The only writer of what is wanted."""

    def __init__(self, objects: Objects, around: Surroundings) -> None:
        self._objects = objects
        self._around = around

    def apply(self, documents: Sequence[Loaded]) -> Verdict:
        """Take all objects of the documents that are right; name what is wrong with the others."""
        verdicts = [self._take(loaded, origin="") for loaded in documents]
        return Verdict(
            tuple(outcome for verdict in verdicts for outcome in verdict.outcomes),
            tuple(problem for verdict in verdicts for problem in verdict.problems),
            any(verdict.unsettled for verdict in verdicts),
        )

    def follow(self, readings: Sequence[Reading], files: WatchedFiles) -> None:
        """Make the objects what their files say. A file that this fails for stops no other, and is looked at again."""
        for reading in readings:
            try:
                settled = self._follow(reading)
            except Exception as error:
                _log.exception("a file could not be followed", file=str(reading.change.path))
                self._around.tell(shown(reading.change.path), f"is looked at again: {type(error).__name__}: {error}")
                settled = False
            if not settled:
                files.look_again(reading.change)

    def _follow(self, reading: Reading) -> bool:
        """As long as anything in a file is wrong, nothing of it is deleted. Returns whether that is all there is to do."""
        path = reading.change.path
        if reading.loaded is None:
            self._drop(str(path), keep=set(), why=f"{path.name} is gone")
            return True
        verdict = self._take(reading.loaded, str(path))
        for problem in verdict.problems:
            self._around.tell(f"{shown(path)}:{problem.line}" if problem.line else shown(path), problem.text)
        if not verdict.problems:
            keep = {address for address, _ in verdict.outcomes}
            self._drop(str(path), keep, why=f"it is not in {path.name} any more")
        return not verdict.unsettled

    def forget_other_files(self, files: set[Path]) -> None:
        """Delete the objects that came from files other than these."""
        for stored in self._objects.all():
            if stored.origin and Path(stored.origin) not in files:
                self._drop(stored.origin, keep=set(), why=f"{stored.origin} was not given")

    def delete(self, address: ModelAddress) -> None:
        """Forget an object."""
        if self._objects.delete(address):
            self._around.tell(str(address), "deleted")
            self._around.changed()

    def _drop(self, origin: str, keep: set[ModelAddress], why: str) -> None:
        for stored in self._objects.all():
            if stored.origin == origin and stored.deployment.address not in keep:
                self._around.tell(str(stored.deployment.address), why)
                self.delete(stored.deployment.address)

    def _take(self, loaded: Loaded, origin: str) -> Verdict:
        outcomes: list[tuple[ModelAddress, Outcome]] = []
        problems = list(loaded.problems)
        unsettled = False
        for wanted in loaded.objects:
            place = loaded.origins[wanted.address]
            if other := self._other_file(wanted.address, origin):
                problems.append(_problem(place, f"there is another {KIND} {wanted.address} in {shown(other)}", _RENAME))
                unsettled = True
                continue
            try:
                outcome = self._objects.apply(wanted, origin)
            except RefusedChangeError as error:
                problems.append(_problem(place, str(error)))
            except OSError as error:
                problems.append(_problem(place, f"{wanted.address} cannot be kept ({error})", _MEND))
                unsettled = True
            else:
                outcomes.append((wanted.address, outcome))
                self._tell(wanted.address, outcome)
        return Verdict(tuple(outcomes), tuple(problems), unsettled)

    def _other_file(self, address: ModelAddress, origin: str) -> Path | None:
        """The file that an object belongs to while another one names it, too."""
        known = self._objects.get(address)
        if not origin or known is None or known.origin in ("", origin):
            return None
        return Path(known.origin) if Path(known.origin).exists() else None

    def _tell(self, address: ModelAddress, outcome: Outcome) -> None:
        if outcome is not Outcome.UNCHANGED:
            self._around.tell(str(address), outcome.value)
            self._around.changed()


def shown(path: Path) -> str:
    """A path as short as it can be clicked on: from the folder that `forebay up` was started in, if it is below that."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        # It is elsewhere, or the folder is gone.
        return str(path)


def _problem(origin: Origin, message: str, remedy: str = "") -> Problem:
    return Problem(origin.file, origin.line, "", message, remedy)

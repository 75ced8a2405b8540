"""Takes what people wrote, from files and from `forebay apply`, into the objects; says what it did and what was wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forebay_operator.api.loading import Loaded, Origin, Problem, load, load_text
from forebay_operator.worlds.local.objects import Objects, Outcome, RefusedChangeError
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_operator.worlds.local.watched_files import FileChange, WatchedFiles
from forebay_schema.addresses import ModelAddress
from forebay_schema.logs import Logger

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
    unkept: bool = False
    """Something that is right could not be kept: the same may succeed later."""


class Admission:
    """The only writer of what is wanted."""

    def __init__(self, objects: Objects, around: Surroundings) -> None:
        self._objects = objects
        self._around = around

    def apply(self, documents: Sequence[Document], namespace: str = "") -> Verdict:
        """Take all objects of the documents that are right; name what is wrong with the others. `namespace`: that of objects
        that name none; empty: the default one."""
        verdicts = [self._take(load_text(each.text, each.name, each.folder, namespace), origin="") for each in documents]
        return Verdict(
            tuple(outcome for verdict in verdicts for outcome in verdict.outcomes),
            tuple(problem for verdict in verdicts for problem in verdict.problems),
            any(verdict.unkept for verdict in verdicts),
        )

    def follow_all(self, files: WatchedFiles) -> None:
        """Make the objects what files say that are new, changed or gone. A file that this fails for stops no other, and is
        looked at again."""
        for change in files.changes():
            try:
                done = self.follow(change)
            except Exception as error:
                _log.exception("a file could not be followed", file=str(change.path))
                self._around.tell(shown(change.path), f"is looked at again: {type(error).__name__}: {error}")
                done = False
            if not done:
                files.look_again(change)

    def follow(self, change: FileChange) -> bool:
        """Make the objects of a file what it says now. As long as anything in it is wrong, nothing of it is deleted. Returns
        whether that is all there is to do."""
        origin = str(change.path)
        if change.gone:
            self._drop(origin, keep=set(), why=f"{change.path.name} is gone")
            return True
        verdict = self._take(load([change.path]), origin)
        for problem in verdict.problems:
            self._around.tell(f"{shown(change.path)}:{problem.line}" if problem.line else shown(change.path), problem.text)
        if not verdict.problems:
            keep = {address for address, _ in verdict.outcomes}
            self._drop(origin, keep, why=f"it is not in {change.path.name} any more")
        return not verdict.unkept

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
        unkept = False
        for wanted in loaded.objects:
            try:
                outcome = self._objects.apply(wanted, origin)
            except RefusedChangeError as error:
                problems.append(_problem(loaded.origins[wanted.address], str(error)))
            except OSError as error:
                why = f"{wanted.address} cannot be kept ({error})"
                problems.append(_problem(loaded.origins[wanted.address], why, "make room in the state folder, or mend it"))
                unkept = True
            else:
                outcomes.append((wanted.address, outcome))
                self._tell(wanted.address, outcome)
        return Verdict(tuple(outcomes), tuple(problems), unkept)

    def _tell(self, address: ModelAddress, outcome: Outcome) -> None:
        if outcome is not Outcome.UNCHANGED:
            self._around.tell(str(address), outcome.value)
            self._around.changed()


def shown(path: Path) -> str:
    """A path as short as it can be clicked on: from the folder that `forebay up` was started in, if it is below that."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _problem(origin: Origin, message: str, remedy: str = "") -> Problem:
    return Problem(origin.file, origin.line, "", message, remedy)

"""Takes what people wrote, from files and from `forebay apply`, into the objects; says what it did and what was wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forebay_operator.api.loading import Loaded, load, load_text
from forebay_operator.worlds.local.objects import Objects, Outcome, RefusedChangeError
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_operator.worlds.local.watched_files import FileChange
from forebay_schema.addresses import ModelAddress


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

    outcomes: tuple[tuple[ModelAddress, Outcome], ...]
    problems: tuple[str, ...]


class Admission:
    """The only writer of what is wanted."""

    def __init__(self, objects: Objects, around: Surroundings) -> None:
        self._objects = objects
        self._around = around

    def apply(self, documents: Sequence[Document]) -> Verdict:
        """Take all objects of the documents that are right; name what is wrong with the others."""
        verdicts = [self._take(load_text(each.text, each.name, each.folder), origin="") for each in documents]
        return Verdict(
            tuple(outcome for verdict in verdicts for outcome in verdict.outcomes),
            tuple(problem for verdict in verdicts for problem in verdict.problems),
        )

    def follow(self, change: FileChange) -> None:
        """Make the objects of a file what it says now. As long as anything in it is wrong, nothing of it is deleted."""
        origin = str(change.path)
        if change.gone:
            self._drop(origin, keep=set(), why=f"{change.path.name} is gone")
            return
        verdict = self._take(load([change.path]), origin)
        for problem in verdict.problems:
            self._around.tell(change.path.name, problem)
        if not verdict.problems:
            keep = {address for address, _ in verdict.outcomes}
            self._drop(origin, keep, why=f"it is not in {change.path.name} any more")

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
        problems = [str(problem) for problem in loaded.problems]
        for wanted in loaded.objects:
            try:
                outcomes.append((wanted.address, self._objects.apply(wanted, origin)))
            except RefusedChangeError as error:
                problems.append(f"{loaded.origins[wanted.address]}: {error}")
        self._tell(outcomes)
        return Verdict(tuple(outcomes), tuple(problems))

    def _tell(self, outcomes: Sequence[tuple[ModelAddress, Outcome]]) -> None:
        for address, outcome in outcomes:
            if outcome is not Outcome.UNCHANGED:
                self._around.tell(str(address), outcome.value)
                self._around.changed()

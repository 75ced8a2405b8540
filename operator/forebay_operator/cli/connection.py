"""What the commands talk to: the `forebay up` of this machine, or a cluster. One seam with two sides."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from forebay_operator.worlds.explanation import Chapter
from forebay_schema.addresses import ModelAddress

Json = dict[str, Any]

NOT_RUNNING: Final = 3
"""Exit status when there is nobody to talk to: no `forebay up` runs, or no cluster answers."""
NOT_THERE: Final = 4
"""Exit status when there is no such ModelDeployment."""
WRONG_USAGE: Final = 2


class CommandError(Exception):
    """A command cannot do what it was asked; the message says why and what to do."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Text:
    """A text that describes ModelDeployments."""

    name: str
    """What messages call it."""
    folder: str
    """Relative paths in it start here."""
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of texts: `NAMESPACE/NAME` with what was done, and what was wrong with the rest."""

    outcomes: Sequence[tuple[str, str]]
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Details:
    """One model with what a person wants to know to use it."""

    object: Json
    """In the form of the custom resource."""
    origin: str = ""
    """The file it came from; empty: none that is known."""
    tensors: Sequence[str] = ()
    """Its inputs and outputs, a line each."""
    requests: Sequence[str] = ()
    """Lines to paste that ask it, with what to do with them."""


class Connection(Protocol):
    """Everything that commands can ask. Every method raises CommandError where it cannot do what it promises."""

    @property
    def namespace(self) -> str:
        """The namespace of names that say none."""
        ...

    def scope(self, namespace: str | None, *, everywhere: bool) -> str | None:
        """The namespace that a listing is of when this one was named, or none, or all; None: all."""
        ...

    def objects(self, namespace: str | None) -> Sequence[Json]:
        """All models of a namespace, or of all, in the form of the custom resource, sorted by namespace and name."""
        ...

    def details(self, address: ModelAddress) -> Details:
        """One model."""
        ...

    def explanation(self, address: ModelAddress) -> Sequence[Chapter]:
        """Why a model is as it is: asked, seen, decided, missing."""
        ...

    def logs(self, address: ModelAddress) -> Callable[[], Sequence[str]]:
        """Gives, each time it is called, the lines about a model that were written since the call before."""
        ...

    def pictures(self, namespace: str | None) -> Iterator[Json]:
        """The load as it is now, each time it is asked: models, servers and the time. Ends where there is no more."""
        ...

    def apply(self, texts: Sequence[Text], namespace: str | None) -> Verdict:
        """Add or change models. `namespace`: that of objects that name none; None: the default."""
        ...

    def delete(self, address: ModelAddress) -> str:
        """Forget a model. Returns what a person should know of it; empty: nothing."""
        ...

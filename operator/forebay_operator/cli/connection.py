"""What the commands talk to: the `forebay up` of this machine, or a cluster. One seam with two sides."""

import argparse
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


def connect(options: argparse.Namespace) -> Connection:
    """The side that the options mean: a cluster for `--context` and `--kubeconfig`, and for a plugin of kubectl.

    Raises:
        CommandError: there is nobody on that side, or both are meant.
    """
    state = getattr(options, "state", None)
    if getattr(options, "cluster", False) or options.context or options.kubeconfig:
        if state is not None:
            raise CommandError("--state names a `forebay up` of this machine, --context a cluster: give one", WRONG_USAGE)
        # Imported here: the client of Kubernetes takes longer to import than all else.
        from forebay_operator.cli.cluster.connection import ClusterConnection  # noqa: PLC0415

        return ClusterConnection.open(options.kubeconfig, options.context)
    from forebay_operator.cli.local_connection import LocalConnection  # noqa: PLC0415

    return LocalConnection.open(state)


def address_of(options: argparse.Namespace, connection: Connection) -> ModelAddress:
    """The model that was named: `NAME`, `NAMESPACE/NAME`, or `NAME` with `--namespace`.

    Raises:
        CommandError: that is no name.
    """
    first, slash, second = options.name.partition("/")
    namespace, name = (first, second) if slash else (options.namespace or connection.namespace, first)
    if not namespace or not name or "/" in name:
        raise CommandError(f"{options.name!r} names no model: write NAME or NAMESPACE/NAME", WRONG_USAGE)
    return ModelAddress(namespace, name)

"""Which side a command talks to, and which model it names."""

import argparse

from forebay_operator.cli.connection import WRONG_USAGE, CommandError, Connection
from forebay_operator.cli.local_connection import LocalConnection
from forebay_schema.addresses import ModelAddress


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

"""`forebay delete`: forgets ModelDeployments; their artifacts stay in the store for a while."""

import argparse

from forebay_operator.cli.connection import Connection
from forebay_operator.cli.naming import Commands, add_name, add_state, object_path


def add(commands: Commands) -> None:
    parser = commands.add_parser("delete", help="stop serving a model and forget it")
    add_name(parser)
    add_state(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    said = Connection.open(options.state).delete(object_path(options))
    print(f"modeldeployment {options.name} deleted")  # noqa: T201 - what was asked for
    if said["origin"]:
        print(f"It came from {said['origin']} and comes back when that file changes, or with the next `forebay up`.")  # noqa: T201
    return 0

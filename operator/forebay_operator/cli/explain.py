"""`forebay explain`: why a model is as it is."""

import argparse

from forebay_operator.cli.connection import Connection
from forebay_operator.cli.naming import Commands, add_name, add_state, object_path


def add(commands: Commands) -> None:
    parser = commands.add_parser("explain", help="why a model is as it is: asked, seen, decided, missing")
    add_name(parser)
    add_state(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    said = Connection.open(options.state).get(f"{object_path(options)}/explanation")
    for chapter in said["chapters"]:
        for index, line in enumerate(chapter["lines"]):
            print(f"{chapter['title'] if index == 0 else '':<9} {line}")  # noqa: T201 - what was asked for
    return 0

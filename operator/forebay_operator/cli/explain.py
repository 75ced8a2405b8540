"""`forebay explain`: why a model is as it is."""

import argparse
from typing import Final

from forebay_operator.cli.connecting import address_of, connect
from forebay_operator.cli.naming import Commands, add_connection, add_name
from forebay_operator.cli.paragraphs import terminal_width, titled

_INDENT: Final = 10


def add(commands: Commands) -> None:
    parser = commands.add_parser("explain", help="why a model is as it is: asked, seen, decided, missing")
    add_name(parser)
    add_connection(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    connection = connect(options)
    for chapter in connection.explanation(address_of(options, connection)):
        for line in titled(chapter.title, chapter.lines, _INDENT, terminal_width()):
            print(line)  # noqa: T201 - what was asked for
    return 0

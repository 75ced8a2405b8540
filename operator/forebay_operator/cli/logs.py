"""`forebay logs`: what conversions, servers and the gateway wrote of a model."""

import argparse
import time
from typing import Final

from forebay_operator.cli.connecting import address_of, connect
from forebay_operator.cli.naming import Commands, add_connection, add_name

_POLL_S: Final = 0.5


def add(commands: Commands) -> None:
    parser = commands.add_parser("logs", help="what conversion, servers and gateway wrote of a model")
    add_name(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    connection = connect(options)
    more = connection.logs(address_of(options, connection))
    while True:
        for line in more():
            print(line, flush=True)  # noqa: T201 - what was asked for
        if not options.follow:
            return 0
        time.sleep(_POLL_S)

"""`forebay delete`: forgets ModelDeployments; their artifacts stay in the store for a while."""

import argparse

from forebay_operator.cli.connecting import address_of, connect
from forebay_operator.cli.naming import Commands, add_connection, add_name


def add(commands: Commands) -> None:
    parser = commands.add_parser("delete", help="stop serving a model and forget it")
    add_name(parser)
    add_connection(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    connection = connect(options)
    address = address_of(options, connection)
    remark = connection.delete(address)
    print(f"modeldeployment {address} deleted")  # noqa: T201 - what was asked for
    if remark:
        print(remark)  # noqa: T201
    return 0

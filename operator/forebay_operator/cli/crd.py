"""`forebay crd`: the definition of the custom resource, for `kubectl apply -f -`."""

import argparse
import sys

from forebay_operator.cli.naming import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("crd", help="print the CustomResourceDefinition: forebay crd | kubectl apply -f -")
    parser.set_defaults(run=run)


def run(_options: argparse.Namespace) -> int:
    from forebay_operator.api.crd import rendered  # noqa: PLC0415 - takes long, and only this command needs it

    sys.stdout.write(rendered())
    return 0

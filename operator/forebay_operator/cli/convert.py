"""`forebay convert`: the converter alone, without a running `forebay up`."""

import argparse
import os
import sys

from forebay_operator.cli.naming import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "convert",
        help="convert and verify a model file without serving it: forebay convert SOURCE -o DIR",
        add_help=False,
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Become the converter. Does not return."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.execv(sys.executable, [sys.executable, "-m", "forebay_convert", *options.arguments])

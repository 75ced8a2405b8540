"""How commands name a ModelDeployment: `NAME`, `NAMESPACE/NAME`, or `NAME` with `--namespace`."""

import argparse
from pathlib import Path
from typing import Protocol


class Commands(Protocol):
    """Takes one command after the other (argparse gives its own class for this no public name)."""

    def add_parser(self, name: str, *, help: str, add_help: bool = True) -> argparse.ArgumentParser:  # noqa: A002 - argparse's
        """A parser for one command."""
        ...


def add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="state folder (default: $FOREBAY_STATE, else $XDG_STATE_HOME/forebay, else ~/.local/state/forebay)",
    )


def add_name(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?" if optional else None, help="NAME or NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", default="default", help="its namespace (default: default)")


def object_path(options: argparse.Namespace) -> str:
    """Where the control API has the object."""
    namespace, slash, name = options.name.partition("/")
    return f"/objects/{namespace}/{name}" if slash else f"/objects/{options.namespace}/{options.name}"

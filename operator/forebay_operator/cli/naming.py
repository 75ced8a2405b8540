"""The options that commands share: which Forebay is meant, and which model."""

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


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Which Forebay: that of a state folder, or that of a cluster."""
    add_state(parser)
    parser.add_argument(
        "--context", metavar="NAME", help="talk to a cluster: the one that this context of the kubeconfig names"
    )
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="talk to a cluster: that of this kubeconfig (with --context alone: $KUBECONFIG, else ~/.kube/config)",
    )


def add_namespace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", metavar="NS", help="its namespace (default: default; in a cluster the context's)")


def add_name(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?" if optional else None, help="NAME or NAMESPACE/NAME")
    add_namespace(parser)

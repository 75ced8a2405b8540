"""`forebay apply`: adds or changes ModelDeployments."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from forebay_operator.cli.connection import CommandError, Connection
from forebay_operator.cli.naming import Commands, add_state

_SUFFIXES = {".yaml", ".yml", ".json"}
_WRONG_USAGE = 2


def add(commands: Commands) -> None:
    parser = commands.add_parser("apply", help="add or change models")
    parser.add_argument("files", metavar="FILE", nargs="*", help="file, folder, or - for standard input")
    parser.add_argument(
        "-f",
        "--filename",
        dest="named",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        help="the same, as kubectl has it",
    )
    add_state(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    names = [*options.files, *options.named]
    if not names:
        raise CommandError("say which files to apply: `forebay apply FILE…`", _WRONG_USAGE)
    documents = [_document(path) for path in _files(names)]
    verdict = Connection.open(options.state).post("/apply", {"documents": documents})
    for result in verdict["results"]:
        print(f"modeldeployment {result['address']} {result['outcome']}")  # noqa: T201 - what was asked for
    for problem in verdict["problems"]:
        print(problem, file=sys.stderr)  # noqa: T201
    return 1 if verdict["problems"] else 0


def _files(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        path = Path(name)
        if path.is_dir():
            yield from (str(child) for child in sorted(path.iterdir()) if child.suffix in _SUFFIXES)
        else:
            yield name


def _document(name: str) -> dict[str, str]:
    if name == "-":
        return {"name": "standard input", "folder": str(Path.cwd()), "text": sys.stdin.read()}
    path = Path(name).absolute()
    try:
        return {"name": name, "folder": str(path.parent), "text": path.read_text(encoding="utf-8", errors="replace")}
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}") from None

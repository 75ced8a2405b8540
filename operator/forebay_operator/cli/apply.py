"""`forebay apply`: adds or changes ModelDeployments."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from forebay_operator.api.loading import SUFFIXES, UnreadableError, text_of
from forebay_operator.cli.connecting import connect
from forebay_operator.cli.connection import WRONG_USAGE, CommandError, Text
from forebay_operator.cli.naming import Commands, add_connection


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
    parser.add_argument(
        "-n",
        "--namespace",
        metavar="NS",
        help="the namespace of objects that name none (default: default; in a cluster the context's)",
    )
    add_connection(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    names = [*options.files, *options.named]
    if not names:
        raise CommandError("say which files to apply: `forebay apply FILE…`", WRONG_USAGE)
    texts, problems = _texts(_files(names))
    verdict = connect(options).apply(texts, options.namespace)
    for address, outcome in verdict.outcomes:
        print(f"modeldeployment {address} {outcome}")  # noqa: T201 - what was asked for
    problems += verdict.problems
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201
    if not verdict.outcomes and not problems:
        print("There is no ModelDeployment in what was given.", file=sys.stderr)  # noqa: T201
    return 0 if verdict.outcomes and not problems else 1


def _files(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        path = Path(name)
        yield from _files_of(path) if path.is_dir() else [name]


def _files_of(folder: Path) -> Sequence[str]:
    try:
        found = [str(child) for child in sorted(folder.iterdir()) if child.suffix in SUFFIXES and child.name[0] != "."]
    except OSError as error:
        raise CommandError(f"{folder} cannot be read ({error.strerror}): check its permissions") from None
    if not found:
        raise CommandError(f"there is no file *{', *'.join(SUFFIXES)} in {folder}: name a folder with ModelDeployments")
    return found


def _texts(names: Iterable[str]) -> tuple[list[Text], list[str]]:
    """What can be read, and what is wrong with the rest."""
    texts: list[Text] = []
    problems: list[str] = []
    for name in names:
        try:
            texts.append(_text(name))
        except UnreadableError as error:
            problems.append(f"{name}: {error}: {error.remedy}")
    return texts, problems


def _text(name: str) -> Text:
    if name == "-":
        return Text("standard input", str(Path.cwd()), _decoded(sys.stdin.buffer.read()))
    path = Path(name).absolute()
    if path.is_fifo():
        # What a shell makes of <(COMMAND).
        return Text(name, str(Path.cwd()), _decoded(path.read_bytes()))
    return Text(name, str(path.parent), text_of(path))


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"byte {error.start} is no UTF-8", "write UTF-8 text") from None

"""`forebay get`: which models there are, or one in detail, with requests to paste."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from forebay_operator.cli.connecting import address_of, connect
from forebay_operator.cli.connection import Connection, Details
from forebay_operator.cli.naming import Commands, add_connection, add_name
from forebay_operator.cli.paragraphs import terminal_width, titled
from forebay_operator.domain.wording import bytes_text

_INDENT: Final = 14


def add(commands: Commands) -> None:
    parser = commands.add_parser("get", help="list the models, or show one with requests to paste")
    add_name(parser, optional=True)
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="list those of all namespaces")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    connection = connect(options)
    if options.name is None:
        _list(connection, connection.scope(options.namespace, everywhere=options.all_namespaces))
    else:
        print("\n".join(_lines(connection.details(address_of(options, connection)))))  # noqa: T201 - what was asked for
    return 0


def _list(connection: Connection, namespace: str | None) -> None:
    # Imported when needed: rich takes longer to import than all else that this command does.
    from rich.console import Console  # noqa: PLC0415

    from forebay_operator.cli.tables import objects_table  # noqa: PLC0415

    objects = connection.objects(namespace)
    if not objects:
        where = f" in namespace {namespace}" if namespace else ""
        print(f"There is no ModelDeployment{where}: `forebay apply FILE` adds one.")  # noqa: T201
    elif not objects_table(objects, datetime.now(UTC), namespace).show(Console()):
        print("The whole of a summary: `forebay get NAME`; why it is so: `forebay explain NAME`.")  # noqa: T201


def _lines(details: Details) -> Iterator[str]:
    shown, width = details.object, terminal_width()
    name, namespace = shown["metadata"]["name"], shown["metadata"].get("namespace", "default")
    summary = shown.get("status", {}).get("summary", "Not looked at yet.")
    yield from titled("", [f"{namespace}/{name}: {summary}"], 0, width)
    yield ""
    for title, text in _facts(details):
        if text:
            yield from titled(f"  {title}", [text], _INDENT, width)
    yield ""
    yield from (f"  {tensor}" for tensor in details.tensors)
    if details.tensors:
        yield ""
    # As they are: they are to be pasted.
    yield from details.requests


def _facts(details: Details) -> list[tuple[str, str]]:
    shown = details.object
    status = shown.get("status", {})
    artifact, footprint = status.get("artifact", {}), status.get("footprint", {})
    decisions = status.get("scaling", {}).get("decisions", [])
    return [
        ("source", _short(shown["spec"]["model"]["source"]["uri"])),
        ("file", details.origin),
        ("revision", str(status.get("revision", ""))),
        ("replicas", f"{status.get('readyReplicas', 0)} ready, {status.get('scaling', {}).get('wanted', 0)} wanted"),
        ("artifact", f"{artifact['digest'][:12]} by {artifact.get('convertedWith', '?')}" if artifact else ""),
        ("footprint", f"{bytes_text(footprint['bytes'])}, {footprint['source']}" if footprint else ""),
        ("provider", status.get("provider", "")),
        ("decision", decisions[-1]["reason"] if decisions else ""),
        *_conditions(status.get("conditions", [])),
    ]


def _conditions(conditions: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """What each says; a reason that one has told already is not told again."""
    told: set[str] = set()
    for condition in conditions:
        said = condition.get("message", "")
        yield condition["type"], condition["status"] if said in told or not said else f"{condition['status']}: {said}"
        told.add(said)


def _short(uri: str) -> str:
    return uri if len(uri) < 120 else f"{uri[:100]}… ({len(uri)} characters)"  # noqa: PLR2004 - one line

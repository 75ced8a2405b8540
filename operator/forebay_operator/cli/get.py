"""`forebay get`: which models there are, or one in detail, with requests to paste."""

import argparse
import os
import shlex
import shutil
import sys
from datetime import UTC, datetime
from typing import Any

from forebay_operator.cli.connection import Connection
from forebay_operator.cli.examples import Target, curl_line, grpc_line, python_line
from forebay_operator.cli.naming import Commands, add_name, add_state, object_path
from forebay_operator.worlds.local.sizes import readable


def add(commands: Commands) -> None:
    parser = commands.add_parser("get", help="list the models, or show one with requests to paste")
    add_name(parser, optional=True)
    add_state(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    connection = Connection.open(options.state)
    if options.name is None:
        _list(connection)
    else:
        print("\n".join(_details(connection.get(object_path(options)))))  # noqa: T201 - what was asked for
    return 0


def _list(connection: Connection) -> None:
    # Imported when needed: rich takes longer to import than all else that this command does.
    from rich.console import Console  # noqa: PLC0415

    from forebay_operator.cli.tables import objects_table  # noqa: PLC0415

    objects = connection.get("/objects")["objects"]
    if objects:
        objects_table(objects, datetime.now(UTC)).show(Console())
    else:
        print("There is no ModelDeployment: `forebay apply FILE` adds one.")  # noqa: T201


def _details(said: dict[str, Any]) -> list[str]:
    shown = said["object"]
    status = shown.get("status", {})
    name, namespace = shown["metadata"]["name"], shown["metadata"].get("namespace", "default")
    lines = [f"{namespace}/{name}: {status.get('summary', 'Not looked at yet.')}", ""]
    lines += [f"  {title:<12}{text}" for title, text in _facts(said, status) if text]
    lines += ["", *(f"  {tensor}" for tensor in _tensors(said))]
    return [*lines, *_requests(said, namespace, name)]


def _facts(said: dict[str, Any], status: dict[str, Any]) -> list[tuple[str, str]]:
    artifact, footprint = status.get("artifact", {}), status.get("footprint", {})
    decisions = status.get("scaling", {}).get("decisions", [])
    return [
        ("source", _short(said["object"]["spec"]["model"]["source"]["uri"])),
        ("file", said.get("origin", "")),
        ("revision", str(status.get("revision", ""))),
        ("replicas", f"{status.get('readyReplicas', 0)} of {status.get('replicas', 0)} ready"),
        ("artifact", f"{artifact['digest'][:12]} by {artifact.get('convertedWith', '?')}" if artifact else ""),
        ("footprint", f"{readable(footprint['bytes'])}, {footprint['source']}" if footprint else ""),
        ("provider", status.get("provider", "")),
        ("decision", decisions[-1]["reason"] if decisions else ""),
        *((condition["type"], f"{condition['status']}: {condition['message']}") for condition in status.get("conditions", [])),
    ]


def _short(uri: str) -> str:
    return uri if len(uri) < 120 else f"{uri[:100]}… ({len(uri)} characters)"  # noqa: PLR2004 - one line


def _tensors(said: dict[str, Any]) -> list[str]:
    both = [("input", tensor) for tensor in said["inputs"]] + [("output", tensor) for tensor in said["outputs"]]
    return [f"{kind:<12}{tensor['name']}  {tensor['datatype']}  {tensor['shape']}" for kind, tensor in both]


def _requests(said: dict[str, Any], namespace: str, name: str) -> list[str]:
    if not said["inputs"]:
        return ["Requests to paste appear here once the model is converted."]
    target = Target(
        namespace=namespace,
        name=name,
        http_port=said["ports"]["http"],
        grpc_port=said["ports"]["grpc"],
        inputs=said["inputs"],
        output=said["outputs"][0]["name"],
        batching=said["batching"],
    )
    python = _python()
    return [
        *("", "Ask it with curl:", "", curl_line(target)),
        *("", "with Python over HTTP:", "", python_line(target, python)),
        *("", "with Python over gRPC:", "", grpc_line(target, python)),
    ]


def _python() -> str:
    """The Python that has tritonclient: ours, by its short name where that is the same one."""
    found = shutil.which("python")
    same = found is not None and os.path.realpath(found) == os.path.realpath(sys.executable) and found == sys.executable
    return "python" if same else shlex.quote(sys.executable)

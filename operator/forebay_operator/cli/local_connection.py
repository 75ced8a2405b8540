"""The `forebay up` of this machine, as commands see it."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

from forebay_operator.cli.connection import Details, Json, Text, Verdict
from forebay_operator.cli.examples import Target, curl_line, grpc_line, python_line
from forebay_operator.cli.local_api import LocalApi
from forebay_operator.cli.log_reader import LogReader
from forebay_operator.worlds.explanation import Chapter
from forebay_schema.addresses import ModelAddress

_PERIOD_S: Final = 1.0


class LocalConnection:
    """Asks its control API, and reads its log files."""

    def __init__(self, api: LocalApi) -> None:
        self._api = api

    @property
    def namespace(self) -> str:
        return "default"

    @classmethod
    def open(cls, state: Path | None) -> Self:
        """Find the `forebay up` of a state folder.

        Raises:
            CommandError: none runs there.
        """
        return cls(LocalApi.open(state))

    def scope(self, namespace: str | None, *, everywhere: bool) -> str | None:
        """Everything, unless a namespace is named: it is one machine's."""
        return None if everywhere else namespace

    def objects(self, namespace: str | None) -> Sequence[Json]:
        found: list[Json] = self._api.get("/objects")["objects"]
        return [shown for shown in found if namespace in (None, shown["metadata"].get("namespace", self.namespace))]

    def details(self, address: ModelAddress) -> Details:
        said = self._api.get(_path(address))
        return Details(said["object"], said.get("origin", ""), _tensors(said), _requests(said, address))

    def explanation(self, address: ModelAddress) -> Sequence[Chapter]:
        said = self._api.get(f"{_path(address)}/explanation")
        return [Chapter(chapter["title"], tuple(chapter["lines"])) for chapter in said["chapters"]]

    def logs(self, address: ModelAddress) -> Callable[[], Sequence[str]]:
        reader = LogReader(address.name)

        def more() -> Sequence[str]:
            said = self._api.get(f"{_path(address)}/logs")
            return reader.more(said["own"], said["shared"])

        return more

    def pictures(self, namespace: str | None) -> Iterator[Json]:
        while True:
            yield _of_namespace(self._api.get("/top"), namespace)
            time.sleep(_PERIOD_S)

    def apply(self, texts: Sequence[Text], namespace: str | None) -> Verdict:
        documents = [{"name": each.name, "folder": each.folder, "text": each.text} for each in texts]
        said = self._api.post("/apply", {"documents": documents, "namespace": namespace or ""})
        return Verdict([(each["address"], each["outcome"]) for each in said["results"]], said["problems"])

    def delete(self, address: ModelAddress) -> str:
        origin = self._api.delete(_path(address))["origin"]
        if not origin:
            return ""
        return f"It came from {origin} and comes back when that file changes, or with the next `forebay up`."


def _path(address: ModelAddress) -> str:
    return f"/objects/{address.namespace}/{address.name}"


def _of_namespace(picture: Json, namespace: str | None) -> Json:
    if namespace is None:
        return picture
    chosen = {kind: [each for each in picture[kind] if each["namespace"] == namespace] for kind in ("models", "servers")}
    return {**picture, **chosen}


def _tensors(said: dict[str, Any]) -> list[str]:
    both = [("input", tensor) for tensor in said["inputs"]] + [("output", tensor) for tensor in said["outputs"]]
    return [f"{kind:<12}{tensor['name']}  {tensor['datatype']}  {tensor['shape']}" for kind, tensor in both]


def _requests(said: dict[str, Any], address: ModelAddress) -> list[str]:
    if not said["inputs"] or not said["outputs"]:
        return ["Requests to paste appear here once the model is ready to be asked."]
    target = Target(
        namespace=address.namespace,
        name=address.name,
        http_port=said["ports"]["http"],
        grpc_port=said["ports"]["grpc"],
        inputs=said["inputs"],
        output=said["outputs"][0]["name"],
        batching=said["batching"],
    )
    python = _python()
    return [
        *("Ask it with curl:", "", curl_line(target)),
        *("", "with Python over HTTP:", "", python_line(target, python)),
        *("", "with Python over gRPC:", "", grpc_line(target, python)),
    ]


def _python() -> str:
    """The Python that has tritonclient: ours, by its short name where that is the same one."""
    found = shutil.which("python")
    same = found is not None and os.path.realpath(found) == os.path.realpath(sys.executable) and found == sys.executable
    return "python" if same else shlex.quote(sys.executable)

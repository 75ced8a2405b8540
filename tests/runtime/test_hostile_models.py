"""Models that are made to hurt: other models in the server are served on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime_models import add_model, blowing_up_model, put_model, repeating_model
from runtime_servers import Answer, Server, Wire, running_server, wait_for

ENDLESS = 1 << 62
ONES = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16}]}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    put_model(folder, "add", add_model())
    put_model(folder, "endless", repeating_model(ENDLESS))
    put_model(folder, "repeating", repeating_model())
    put_model(folder, "blowing-up", blowing_up_model())
    return folder


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    arguments = ("--model-control-mode", "explicit", "--model-repository", str(repository), "--warm-up-timeout-secs", "10")
    with running_server(tmp_path_factory.mktemp("server"), *arguments) as running:
        yield running
        running.process.kill()


def load(server: Server, model: str) -> Answer:
    return server.request("POST", f"/v2/repository/models/{model}/load", "{}")


def integers(**inputs: list[int]) -> dict[str, Any]:
    entries = [{"name": name, "datatype": "INT64", "shape": [len(data)], "data": data} for name, data in inputs.items()]
    return {"inputs": entries}


def test_a_model_that_never_ends_is_refused_and_others_are_loaded(server: Server) -> None:
    refused = load(server, "endless")
    assert refused.status == 400
    assert "took more than 10 s (--warm-up-timeout-secs): lower max_batch_size" in refused.json["error"]
    assert load(server, "add").status == 200
    assert server.infer_json("add", ONES).status == 200


def test_what_no_machine_has_in_memory_fails_alone(server: Server) -> None:
    assert (load(server, "blowing-up").status, load(server, "add").status) == (200, 200)
    failed = server.infer_json("blowing-up", integers(x=[1 << 20, 1 << 20]))
    assert (failed.status, "Failed to allocate memory" in failed.json["error"]) == (500, True)
    assert server.infer_json("blowing-up", integers(x=[2, 3])).json["outputs"][0]["shape"] == [2, 3]
    assert server.infer_json("add", ONES).status == 200


def test_a_model_that_is_only_slow_with_some_inputs_keeps_nobody_else_waiting(server: Server) -> None:
    assert (load(server, "repeating").status, load(server, "add").status) == (200, 200)
    assert server.infer_json("repeating", integers(x=[7], n=[3])).json["outputs"][0]["data"] == [7]
    body = json.dumps(integers(x=[7], n=[ENDLESS])).encode()
    head = f"POST /v2/models/repeating/infer HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    # The first may run in the event loop, where it is stopped; after that the model has a thread.
    for _ in range(2):
        with Wire(server.http) as wire:
            wire.send(head + body)
            wait_for(lambda: server.infer_json("add", ONES).status == 200, "others are answered")

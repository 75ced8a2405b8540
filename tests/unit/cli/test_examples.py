import ast
import json
import shlex
from typing import Any

import pytest

from forebay_operator.cli.examples import Target, curl_line, grpc_line, python_line, shape_of

IMAGE = {"name": "image", "datatype": "FP32", "shape": [-1, 64]}


def a_target(*inputs: dict[str, Any], namespace: str = "default", batching: bool = True) -> Target:
    return Target(
        namespace=namespace,
        name="digits",
        http_port=8000,
        grpc_port=8001,
        inputs=inputs or (IMAGE,),
        output="label",
        batching=batching,
    )


def code_of(line: str) -> str:
    """What the shell hands to Python."""
    words = shlex.split(line)
    return words[words.index("-c") + 1]


def test_a_small_payload_is_written_out() -> None:
    words = shlex.split(curl_line(a_target()))
    body = json.loads(words[-1])

    assert words[2] == "http://127.0.0.1:8000/v2/models/digits/infer"
    assert body["inputs"][0]["shape"] == [1, 64]
    assert len(body["inputs"][0]["data"]) == 64


def test_a_payload_too_long_to_paste_is_made_by_python() -> None:
    line = curl_line(a_target({"name": "photo", "datatype": "FP32", "shape": [-1, 3, 224, 224]}))

    assert len(line) < 400
    assert line.endswith("-d @-")
    ast.parse(code_of(line))


@pytest.mark.parametrize(("namespace", "named"), [("default", False), ("team", True)])
def test_a_model_of_another_namespace_is_named_by_its_host(namespace: str, *, named: bool) -> None:
    target = a_target(namespace=namespace)

    assert ("Host: digits.team" in curl_line(target)) is named
    assert ("'Host': 'digits.team'" in python_line(target, "python")) is named
    assert f"'grpc.default_authority', 'digits.{namespace}'" in grpc_line(target, "python")


@pytest.mark.parametrize("datatype", ["BOOL", "UINT8", "INT64", "FP16", "FP32", "FP64", "BYTES"])
def test_the_lines_hold_python_for_every_type(datatype: str) -> None:
    target = a_target(
        {"name": "x", "datatype": datatype, "shape": [-1, 2]}, {"name": "y", "datatype": datatype, "shape": [-1]}
    )

    for line in (python_line(target, "python"), grpc_line(target, "python")):
        ast.parse(code_of(line))


@pytest.mark.parametrize(
    ("shape", "batching", "expected"),
    [
        ([-1, 64], True, [1, 64]),
        ([-1, -1], True, [1, 8]),
        ([-1], True, [1]),
        ([-1], False, [8]),
        ([3, 4], False, [3, 4]),
        ([], False, []),
    ],
)
def test_what_varies_becomes_a_batch_of_one_and_something_small(
    shape: list[int], *, batching: bool, expected: list[int]
) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": shape}

    assert shape_of(tensor, a_target(tensor, batching=batching)) == expected

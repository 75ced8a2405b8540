"""Requests and answers of inference in JSON, binary and protobuf form."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from forebay_runtime.protocol import byte_strings, classification, grpc_wire, infer_grpc, infer_json, json_data
from forebay_runtime.protocol.datatypes import BYTES, DATATYPES, Datatype
from forebay_runtime.protocol.errors import GRPC_STATUS, HTTP_STATUS, InvalidArgumentError, RequestError
from forebay_runtime.protocol.inference import tail_parts, tensors
from forebay_runtime.protocol.signature import ModelSignature, TensorSignature
from forebay_runtime.protocol.triton_messages import service

FIXED = [datatype for datatype in DATATYPES.values() if datatype is not BYTES]
JSON_NUMBERS = [datatype for datatype in FIXED if datatype.in_json]


def signature(datatype: Datatype, *dims: int, max_batch_size: int = 8) -> ModelSignature:
    tensor = (TensorSignature("x", datatype, dims),)
    return ModelSignature("m", 3, max_batch_size, tensor, (TensorSignature("y", datatype, dims),))


def arrays_of(datatype: Datatype) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    shapes = np_st.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4)
    return np_st.arrays(datatype.dtype, shapes)


tensors_of_any_type = st.sampled_from(FIXED).flatmap(lambda datatype: st.tuples(st.just(datatype), arrays_of(datatype)))


@given(tensors_of_any_type)
def test_a_binary_request_gives_the_array_that_was_sent(case: tuple[Datatype, np.ndarray[Any, Any]]) -> None:
    datatype, array = case
    model = signature(datatype, *[-1] * (array.ndim - 1))
    entry = {
        "name": "x",
        "datatype": datatype.name,
        "shape": list(array.shape),
        "parameters": {"binary_data_size": array.nbytes},
    }
    plan = infer_json.plan(json.dumps({"inputs": [entry]}).encode(), model)
    body = memoryview(b"odd" + array.tobytes())[3:]
    received = tensors(plan, tail_parts(plan, body, "m"))["x"]
    assert received.tobytes() == array.tobytes()
    assert (received.shape, received.dtype, plan.rows, plan.reusable) == (array.shape, array.dtype, array.shape[0], True)
    assert received.flags.aligned


@given(st.sampled_from(JSON_NUMBERS).flatmap(lambda datatype: st.tuples(st.just(datatype), arrays_of(datatype))))
def test_json_numbers_come_back_as_they_were(case: tuple[Datatype, np.ndarray[Any, Any]]) -> None:
    datatype, array = case
    text = json_data.list_of(array, datatype)
    if datatype.dtype.kind == "f" and not np.isfinite(array).all():
        assert len(json.loads(text)) == array.size
        return
    back = json_data.array_of(json.loads(text), datatype, array.shape, "x")
    np.testing.assert_array_equal(back, array)


def test_numbers_that_are_none_are_written_as_triton_writes_them() -> None:
    text = json_data.list_of(np.array([1.0, math.inf, math.nan], np.float32), DATATYPES["FP32"])
    assert text == b"[1.0, Infinity, NaN]"


def test_integers_on_both_sides_of_the_sign_bit_are_exact() -> None:
    values = json_data.array_of([(1 << 64) - 1, 0], DATATYPES["UINT64"], (2,), "x")
    assert values.tolist() == [(1 << 64) - 1, 0]


def test_nested_lists_are_taken_like_flat_ones() -> None:
    nested = json_data.array_of([[1, 2], [3, 4]], DATATYPES["INT32"], (2, 2), "x")
    flat = json_data.array_of([1, 2, 3, 4], DATATYPES["INT32"], (2, 2), "x")
    np.testing.assert_array_equal(nested, flat)


@pytest.mark.parametrize(
    ("data", "datatype", "message"),
    [
        ([1.5], "INT32", "expected INT32 values"),
        ([True], "INT32", "expected INT32 values"),
        ([1], "BOOL", "expected BOOL values"),
        (["1"], "FP32", "expected FP32 values"),
        ([[1], [1, 2]], "FP32", "Shape does not match"),
        ([300], "UINT8", "outside of UINT8"),
        ([-1], "UINT64", "outside of UINT64"),
        ([1], "BYTES", "non-string"),
        ("abc", "BYTES", "non-array"),
        ([1], "BF16", "receiving BF16 data via JSON is not supported"),
    ],
)
def test_json_data_that_does_not_fit_is_refused(data: Any, datatype: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        json_data.array_of(data, DATATYPES[datatype], (1,), "x")


@given(st.lists(st.text(), min_size=1, max_size=6))
def test_byte_strings_come_back(texts: list[str]) -> None:
    array = np.array(texts, dtype=object)
    packed = memoryview(byte_strings.pack(array))
    assert byte_strings.unpack(packed, len(texts), "x").tolist() == texts


@given(st.binary(max_size=40), st.integers(0, 5))
def test_any_bytes_are_byte_strings_or_refused(data: bytes, count: int) -> None:
    try:
        assert len(byte_strings.unpack(memoryview(data), count, "x")) == count
    except InvalidArgumentError:
        return


@given(st.binary(max_size=300))
def test_any_json_is_understood_or_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        infer_json.plan(body, signature(DATATYPES["FP32"], 4))


def test_an_answer_is_described_once_for_equal_requests() -> None:
    model = signature(DATATYPES["FP32"], 2)
    entry = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    request = {"id": "a", "inputs": [entry], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}
    plan = infer_json.plan(json.dumps(request).encode(), model)
    first = infer_json.answer(model, plan, {"y": np.zeros((1, 2), np.float32)})
    second = infer_json.answer(model, plan, {"y": np.ones((1, 2), np.float32)})
    assert first.parts[0] is second.parts[0]
    assert json.loads(bytes(first.parts[0])) == {
        "id": "a",
        "model_name": "m",
        "model_version": "3",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}],
    }
    assert bytes(second.parts[1]) == np.ones(2, np.float32).tobytes()


def test_a_raw_request_gets_its_open_dimension_from_its_size() -> None:
    plan = infer_json.raw_plan(signature(DATATYPES["FP32"], -1, 2), 24)
    assert plan.inputs[0].shape == (1, 3, 2)
    with pytest.raises(InvalidArgumentError, match="can not be deduced"):
        infer_json.raw_plan(signature(DATATYPES["FP32"], -1, -1), 24)
    with pytest.raises(InvalidArgumentError, match="byte size mismatch"):
        infer_json.raw_plan(signature(DATATYPES["FP32"], 4), 24)


def test_classes_are_the_largest_first_and_ties_keep_their_order() -> None:
    values = np.array([[1, 5, 5, 0]], np.int32)
    assert classification.classify(values, 3, ["a", "b"], batched=True).tolist() == [["5:1:b", "5:2", "1:0:a"]]
    assert classification.classify(values[0], 1, [], batched=False).tolist() == ["5:1"]


@given(tensors_of_any_type, st.booleans())
def test_a_grpc_message_is_cut_as_protobuf_would_parse_it(
    case: tuple[Datatype, np.ndarray[Any, Any]], tensors_first: bool
) -> None:
    datatype, array = case
    request = service.ModelInferRequest(model_name="m", model_version="3", id="mine")
    request.inputs.add(name="x", datatype=datatype.name, shape=array.shape)
    raw = service.ModelInferRequest(raw_input_contents=[array.tobytes()])
    parts = [request.SerializeToString(), raw.SerializeToString()]
    message = b"".join(reversed(parts) if tensors_first else parts)
    description, raws = grpc_wire.split_request(message)
    assert [bytes(part) for part in raws] == [array.tobytes()]
    assert infer_grpc.target(description) == infer_grpc.Target("m", "3", "mine")
    plan = infer_grpc.plan(description, signature(datatype, *[-1] * (array.ndim - 1)), raw=True)
    infer_grpc.check_raws(plan, raws, "m")
    assert tensors(plan, raws)["x"].tobytes() == array.tobytes()


@given(st.binary(max_size=80))
def test_any_bytes_are_cut_or_refused(message: bytes) -> None:
    try:
        description, raws = grpc_wire.split_request(message)
    except InvalidArgumentError:
        return
    assert len(description) + sum(map(len, raws)) <= len(message)


@given(st.lists(st.binary(max_size=300), max_size=3))
def test_joined_responses_are_protobuf(raws: list[bytes]) -> None:
    message = grpc_wire.join_response(service.ModelInferResponse(id="a").SerializeToString(), raws)
    parsed = service.ModelInferResponse.FromString(message)
    assert (parsed.id, list(parsed.raw_output_contents)) == ("a", raws)
    streamed = service.ModelStreamInferResponse.FromString(infer_grpc.stream_answer(message))
    assert streamed.infer_response.parameters["triton_final_response"].bool_param
    assert list(streamed.infer_response.raw_output_contents) == raws


def test_every_error_has_a_code_in_both_protocols() -> None:
    def leaves(kind: type[RequestError]) -> set[type[RequestError]]:
        return {kind, *(leaf for sub in kind.__subclasses__() for leaf in leaves(sub))}

    kinds = leaves(RequestError) - {RequestError}
    assert kinds == set(HTTP_STATUS) == set(GRPC_STATUS)

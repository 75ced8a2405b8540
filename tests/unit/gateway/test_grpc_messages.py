from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from forebay_gateway.holder.grpc_messages import first_string, message_size

_pb2 = cast(Any, service_pb2)


@given(name=st.text(min_size=1, max_size=300), version=st.text(max_size=10))
def test_the_model_s_name_is_read_from_a_ready_call(name: str, version: str) -> None:
    message = _pb2.ModelReadyRequest(name=name, version=version).SerializeToString()
    body = b"\0" + len(message).to_bytes(4, "big") + message
    assert first_string(body) == name
    assert message_size(body) == len(body)


@pytest.mark.parametrize("body", [b"", b"\0\0\0", b"\0\0\0\0\0", b"\0\0\0\0\1\x12", b"\0\0\0\0\1\x0a", b"\0\0\0\0\2\x0a\xff"])
def test_a_body_without_a_name_has_none(body: bytes) -> None:
    assert first_string(body) == ""


@given(st.binary(max_size=40))
def test_bytes_of_any_kind_are_read(body: bytes) -> None:
    first_string(body)
    assert (message_size(body) is None) == (len(body) < 5)

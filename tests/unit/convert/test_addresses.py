import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_convert.addresses import scheme_of, shown


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [
        ("/models/a.onnx", "file"),
        ("a.onnx", "file"),
        ("file:///models/a.onnx", "file"),
        ("c:model.onnx", "file"),
        ("https://host/a", "https"),
        ("S3://bucket/a", "s3"),
        ("data:;base64,AAAA", "data"),
        ("simplecache::s3://bucket/a", "file"),
        ("github://a", "github"),
    ],
)
def test_an_address_says_of_which_kind_it_is(uri: str, scheme: str) -> None:
    assert scheme_of(uri) == scheme


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("https://user:secret@host/a.onnx?X-Amz-Signature=secret#secret", "https://host/a.onnx"),
        ("data:;base64,c2VjcmV0", "the data URI (21 characters)"),
        ("file:///models/a.onnx", "/models/a.onnx"),
        ("s3://bucket/a?versionId=secret", "s3://bucket/a"),
    ],
)
def test_an_address_is_shown_without_its_secrets(uri: str, text: str) -> None:
    assert shown(uri) == text


@given(st.text(max_size=400))
def test_any_text_can_be_shown(uri: str) -> None:
    assert len(shown(f"/{uri}")) <= 200

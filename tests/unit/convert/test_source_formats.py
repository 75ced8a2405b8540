import gzip
import pickle
import zipfile
from pathlib import Path

import pytest

from convert_onnx import a_network
from forebay_convert.failures import ConversionError
from forebay_convert.source_formats import infer_format
from forebay_schema.conversion import Format

PICKLE = pickle.dumps({"a": list(range(20))})
ONNX = a_network().SerializeToString()


def a_file(folder: Path, content: bytes) -> Path:
    path = folder / "source"
    path.write_bytes(content)
    return path


def a_zip(folder: Path, member: str) -> Path:
    path = folder / "source"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "{}")
    return path


@pytest.mark.parametrize(
    ("content", "uri", "name", "runs_code"),
    [
        (ONNX, "model", "onnx", False),
        (PICKLE, "model.onnx", "sklearn", True),
        (gzip.compress(PICKLE, mtime=0), "model", "sklearn", True),
        (b"\x78\x9c" + PICKLE, "model", "sklearn", True),
        (b"(lp0\n" + b"I1\naI2\na" * 9 + b".", "model.pkl", "sklearn", True),
        (b"(lp0\n" + b"I1\naI2\na" * 9 + b".", "s3://b/model.joblib?versionId=3", "sklearn", True),
    ],
)
def test_content_tells_the_format_and_the_name_only_where_it_does_not(
    content: bytes, uri: str, name: str, runs_code: bool, tmp_path: Path
) -> None:
    found = infer_format(a_file(tmp_path, content), uri, None)

    assert (found.name, found.runs_code) == (name, runs_code)


def test_a_skops_file_is_data_only(tmp_path: Path) -> None:
    found = infer_format(a_zip(tmp_path, "schema.json"), "model", None)

    assert (found.name, found.runs_code) == ("sklearn", False)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"<!DOCTYPE html><html>not found</html>", "is a web page"),
        (b"\n<HTML>not found</HTML>.............", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer"),
        (b'{"learner": {"attributes": {}}}', "is JSON"),
        (b"tree\nversion=v4\nnum_class=1", "is a LightGBM model"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "is a Keras file"),
        (b"hello", "is 5 bytes that no model consists of"),
        (b"some text that is long enough to be a model", "of a format that neither its content nor its name tells"),
    ],
)
def test_what_is_no_model_of_ours_is_named(content: bytes, cause: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        infer_format(a_file(tmp_path, content), "model.bin", None)

    assert cause in caught.value.failure.cause
    assert caught.value.failure.remedy


@pytest.mark.parametrize(("member", "cause"), [("archive/data.pkl", "is a PyTorch file"), ("a.txt", "is a zip archive")])
def test_an_archive_of_another_kind_is_named(member: str, cause: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=cause):
        infer_format(a_zip(tmp_path, member), "model", None)


@pytest.mark.parametrize(("content", "declared", "found"), [(PICKLE, "onnx", "sklearn"), (ONNX, "sklearn", "onnx")])
def test_a_wrong_declaration_is_refused(content: bytes, declared: Format, found: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=f"is declared as {declared}, but its content is {found}"):
        infer_format(a_file(tmp_path, content), "model", declared)

"""Files, web servers, object stores and data URIs as sources; object stores as stores, too."""

import base64
import hashlib
from collections.abc import Generator
from pathlib import Path

import pytest

from convert_commands import an_order
from convert_inside import Told, converted
from convert_onnx import a_network
from convert_servers import Objects, object_server
from forebay_convert.failures import ConversionError
from forebay_convert.fetching import Fetch, fetch
from forebay_convert.progress import Deadline
from forebay_schema.manifest import MANIFEST_FILE, MODEL_FILE

CONTENT = b"model" * 1000
ENOUGH = 1 << 20


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Generator[Objects]:
    with object_server() as objects:
        monkeypatch.setenv("AWS_ENDPOINT_URL", objects.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        yield objects


def fetched(uri: object, folder: Path, *, most_bytes: int = ENOUGH, sha256: str | None = None, seconds: float = 60) -> bytes:
    found = fetch(Fetch("source", str(uri), most_bytes, sha256), folder / "fetched", Deadline(seconds), Told())
    content = found.path.read_bytes()
    assert found.size_bytes == len(content)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    return content


def refused(uri: object, folder: Path, *, most_bytes: int = ENOUGH, sha256: str | None = None, seconds: float = 60) -> str:
    with pytest.raises(ConversionError) as caught:
        fetched(uri, folder, most_bytes=most_bytes, sha256=sha256, seconds=seconds)
    assert caught.value.failure.stage == "fetch"
    assert caught.value.failure.remedy
    return caught.value.failure.cause


def test_a_path_and_a_file_uri_are_fetched(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(CONTENT)
    for folder, uri in (("a", path), ("b", f"file://{path}")):
        (tmp_path / folder).mkdir()
        assert fetched(uri, tmp_path / folder) == CONTENT


def test_a_data_uri_is_fetched(tmp_path: Path) -> None:
    uri = f"data:application/octet-stream;base64,{base64.b64encode(CONTENT).decode()}"

    assert fetched(uri, tmp_path) == CONTENT


def test_a_web_address_is_fetched(server: Objects, tmp_path: Path) -> None:
    server.content["/models/model"] = CONTENT

    assert fetched(f"{server.url}/models/model", tmp_path, sha256=hashlib.sha256(CONTENT).hexdigest().upper()) == CONTENT


def test_an_object_of_an_object_store_is_fetched(server: Objects, tmp_path: Path) -> None:
    server.content["/models/a/model"] = CONTENT

    assert fetched("s3://models/a/model", tmp_path) == CONTENT


def test_an_artifact_goes_to_an_object_store_manifest_last_and_is_found_there(server: Objects, tmp_path: Path) -> None:
    server.content["/models/net.onnx"] = a_network().SerializeToString()
    order = an_order(Path("s3:"), "s3://models/net.onnx").model_copy(update={"store": "s3://artifacts/forebay"})

    result = converted(order, tmp_path)

    assert result.artifact is not None, result.failure
    written = [path for path in server.content if path.startswith("/artifacts")]
    folder = f"/artifacts/forebay/default/artifacts/{result.artifact}"
    assert written[:2] == [f"{folder}/{MODEL_FILE}", f"{folder}/{MANIFEST_FILE}"]
    assert written[2].startswith("/artifacts/forebay/default/conversions/")
    assert converted(order, tmp_path).reused


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        ("{folder}/missing", "The source at {folder}/missing does not exist"),
        ("file://{folder}/missing", "does not exist"),
        ("{folder}", "The source at {folder} is a folder"),
        ("/dev/zero", "is no plain file"),
        ("ftp://host/model", "an address of a kind that is not supported: ftp"),
        ("simplecache::s3://models/model", "does not exist"),
        ("data:;base64,####", "is a data URI that cannot be read"),
        ("data:,", "The source at the data URI (6 characters) is empty"),
        ("http://127.0.0.1:1/model", "could not be fetched: ClientConnectorError"),
        ("{server}/missing?token=secret", "The source at {server}/missing does not exist"),
        ("s3://models/missing", "The source at s3://models/missing does not exist"),
    ],
)
def test_a_source_that_cannot_be_had_is_named(uri: str, cause: str, server: Objects, tmp_path: Path) -> None:
    names = {"folder": str(tmp_path), "server": server.url}

    assert cause.format(**names) in refused(uri.format(**names), tmp_path)


def test_a_source_of_another_digest_is_refused_with_both(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(CONTENT)

    cause = refused(tmp_path / "model", tmp_path, sha256="ab" * 32)

    assert f"has sha256 {hashlib.sha256(CONTENT).hexdigest()}, not {'ab' * 32} as given" in cause


def test_a_source_that_is_too_big_is_refused_before_all_of_it_was_read(tmp_path: Path) -> None:
    with (tmp_path / "model").open("wb") as file:
        file.truncate(1 << 40)

    assert "is larger than the 1048576 bytes that are allowed" in refused(tmp_path / "model", tmp_path)


def test_a_server_that_falls_silent_is_given_up(server: Objects, tmp_path: Path) -> None:
    server.silent.set()

    assert "did not arrive in time" in refused(f"{server.url}/model", tmp_path, seconds=1.0)


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(server: Objects, tmp_path: Path) -> None:
    server.content["/model"] = CONTENT
    server.dripping.set()

    assert "did not arrive in time: TimeoutError: not complete after 1 s" in refused(
        f"{server.url}/model", tmp_path, seconds=1.0
    )


@pytest.mark.parametrize("uri", ["{server}/model?token=secret", "s3://models/model"])
def test_a_source_that_may_not_be_read_is_named(uri: str, server: Objects, tmp_path: Path) -> None:
    server.forbidden.set()

    cause = refused(uri.format(server=server.url), tmp_path)

    assert "may not be read" in cause
    assert "token" not in cause

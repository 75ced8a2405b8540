import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from forebay_convert.failures import ConversionError
from forebay_convert.publishing import FolderDestination, Stored, StoreDestination
from forebay_schema.digests import digest_of
from forebay_schema.manifest import MANIFEST_FILE, MODEL_FILE, ArtifactFile, Manifest, MemoryEstimate, Verification
from forebay_schema.store import ConversionRecord, artifact_uri, conversion_uri

KEY = "k" * 64


def a_manifest(*, size: int = 5, source: str = "ab") -> Manifest:
    return Manifest(
        format="onnx",
        files=(ArtifactFile(name=MODEL_FILE, size_bytes=size, sha256="cd"),),
        source_sha256=source,
        source_bytes=5,
        tools={"onnx": "1.23.2"},
        inputs=(),
        outputs=(),
        batching=True,
        verification=Verification(samples=3, samples_from="drawn", max_relative_error=0.0, agreement=1.0),
        memory=(MemoryEstimate(batch_size=1, bytes=1),),
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "sealed").mkdir()
    path = tmp_path / "sealed" / "model.onnx"
    path.write_bytes(b"model")
    return path


@pytest.fixture(params=["folder", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    bucket = f"memory://{uuid.uuid4().hex}"
    yield bucket
    files, path = fsspec.core.url_to_fs(bucket)
    files.rm(path, recursive=True)


def test_what_was_published_is_found_by_its_key(store: str, model: Path) -> None:
    manifest = a_manifest()

    StoreDestination(store, "default").publish(model, manifest, KEY)

    assert StoreDestination(store, "default").find(KEY) == Stored(manifest.digest(), manifest)
    files, path = fsspec.core.url_to_fs(f"{artifact_uri(store, 'default', manifest.digest())}/{MODEL_FILE}")
    assert files.cat_file(path) == b"model"


def test_nothing_is_found_where_nothing_was_published(store: str, model: Path) -> None:
    StoreDestination(store, "default").publish(model, a_manifest(), KEY)

    assert StoreDestination(store, "default").find("other") is None
    assert StoreDestination(store, "elsewhere").find(KEY) is None


@pytest.mark.parametrize("lost", [MANIFEST_FILE, MODEL_FILE])
def test_an_artifact_that_is_no_longer_whole_is_not_found_and_made_anew(lost: str, store: str, model: Path) -> None:
    manifest = a_manifest()
    destination = StoreDestination(store, "default")
    destination.publish(model, manifest, KEY)
    files, path = fsspec.core.url_to_fs(f"{artifact_uri(store, 'default', manifest.digest())}/{lost}")
    files.rm(path)

    assert destination.find(KEY) is None
    destination.publish(model, manifest, KEY)

    assert destination.find(KEY) == Stored(manifest.digest(), manifest)


def test_an_artifact_that_a_later_version_wrote_is_found_by_its_address_there(store: str, model: Path) -> None:
    later = {**json.loads(a_manifest().to_json()), "signature": "of a later version"}
    address = digest_of(later)
    StoreDestination(store, "default").publish(model, a_manifest(), KEY)
    files, path = fsspec.core.url_to_fs(artifact_uri(store, "default", address))
    record = files._strip_protocol(conversion_uri(store, "default", KEY))  # noqa: SLF001 - as in the code under test
    files.makedirs(path, exist_ok=True)
    files.pipe_file(f"{path}/{MANIFEST_FILE}", json.dumps(later, indent=2).encode())
    files.pipe_file(f"{path}/{MODEL_FILE}", b"model")
    files.pipe_file(record, ConversionRecord(artifact=address).to_json().encode())

    assert StoreDestination(store, "default").find(KEY) == Stored(address, a_manifest())


@pytest.mark.parametrize("record", [b"{", b'{"schema": "forebay.dev/conversion-record/v2", "artifact": "a"}'])
def test_a_record_that_cannot_be_read_is_no_record(record: bytes, store: str, model: Path) -> None:
    destination = StoreDestination(store, "default")
    destination.publish(model, a_manifest(), KEY)
    files, path = fsspec.core.url_to_fs(conversion_uri(store, "default", KEY))
    files.pipe_file(path, record)

    assert destination.find(KEY) is None


def test_publishing_the_same_twice_does_no_harm(store: str, model: Path) -> None:
    destination = StoreDestination(store, "default")

    for _ in range(2):
        destination.publish(model, a_manifest(), KEY)

    assert destination.find(KEY) == Stored(a_manifest().digest(), a_manifest())


def test_a_folder_store_holds_nothing_half_done(tmp_path: Path, model: Path) -> None:
    artifacts = tmp_path / "store" / "default" / "artifacts"
    (artifacts / ".incoming-killed").mkdir(parents=True)

    StoreDestination(str(tmp_path / "store"), "default").publish(model, a_manifest(), KEY)

    assert [path.name for path in artifacts.iterdir()] == [a_manifest().digest()]
    assert (artifacts / a_manifest().digest()).stat().st_mode & 0o755 == 0o755
    assert [path.name for path in (tmp_path / "store" / "default" / "conversions").iterdir()] == [f"{KEY}.json"]


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path, model: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConversionError) as caught:
        StoreDestination(str(tmp_path / "file"), "default").publish(model, a_manifest(), KEY)

    assert f"The store at {tmp_path / 'file'} cannot be used" in caught.value.failure.cause
    assert caught.value.failure.retryable


def test_a_folder_of_ones_own_gets_the_model_and_its_manifest(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "out"
    for manifest in (a_manifest(), a_manifest(source="other")):
        FolderDestination(folder).publish(model, manifest, KEY)

        assert sorted(path.name for path in folder.iterdir()) == [MANIFEST_FILE, MODEL_FILE]
        assert Manifest.from_json((folder / MANIFEST_FILE).read_bytes()) == manifest

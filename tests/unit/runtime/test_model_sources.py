"""Artifacts and repositories, from folders and other file systems; the server's own state."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from pydantic import ValidationError

from convert_servers import object_server
from forebay_runtime.domain.orders import VersionKey
from forebay_runtime.engine.artifacts import ArtifactCache, ArtifactError
from forebay_runtime.engine.model_files import ModelFilesError, ModelRepository
from forebay_runtime.protocol import model_config
from forebay_runtime.service.server_state import HeldVersion, SeenOrder, ServerState, StateFile
from forebay_schema.repository import LoadOrder
from runtime_models import add_model, put_artifact, put_model

LARGE = 1 << 30


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache", LARGE)


def test_an_artifact_is_fetched_once(cache: ArtifactCache, tmp_path: Path) -> None:
    uri, digest = put_artifact(tmp_path / "store", add_model())
    first = cache.fetch(uri, digest)
    (Path(uri) / "model.onnx").unlink()
    assert cache.fetch(uri, digest) == first
    assert (first.folder / "model.onnx").read_bytes() == add_model()


def test_an_artifact_comes_from_any_file_system(cache: ArtifactCache, tmp_path: Path) -> None:
    uri, digest = put_artifact(tmp_path / "store", add_model())
    memory = fsspec.filesystem("memory")
    memory.put(uri + "/", f"/artifacts/{digest}/", recursive=True)
    assert cache.fetch(f"memory://artifacts/{digest}", digest).manifest.digest() == digest


def test_a_damaged_copy_is_fetched_again(cache: ArtifactCache, tmp_path: Path) -> None:
    uri, digest = put_artifact(tmp_path / "store", add_model())
    copy = cache.fetch(uri, digest).folder / "model.onnx"
    copy.write_bytes(b"rotten")
    assert (cache.fetch(uri, digest).folder / "model.onnx").read_bytes() == add_model()


def test_a_manifest_may_not_reach_outside_its_artifact(cache: ArtifactCache, tmp_path: Path) -> None:
    uri, digest = put_artifact(tmp_path / "store", add_model())
    manifest = json.loads((Path(uri) / "manifest.json").read_text())
    manifest["files"][0]["name"] = "../../escaped"
    (Path(uri) / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="outside of its artifact"):
        cache.fetch(uri, digest)


@pytest.mark.parametrize("name", ["", ".", "..", "../cache", "d" * 63, "D" * 64, "d" * 64 + "\n", "/"])
def test_what_is_no_digest_names_no_folder(cache: ArtifactCache, tmp_path: Path, name: str) -> None:
    (tmp_path / "cache").mkdir()
    precious = tmp_path / "precious"
    precious.mkdir()
    digest = str(precious) if name == "/" else name
    with pytest.raises(ArtifactError, match="is no digest of an artifact"):
        cache.fetch("memory://nowhere", digest)
    with pytest.raises(ValidationError, match="forebay_digest"):
        LoadOrder(forebay_artifact="memory://nowhere", forebay_digest=digest, forebay_version=1, forebay_sequence=1)
    assert precious.is_dir()


def test_a_failed_fetch_leaves_nothing(cache: ArtifactCache, tmp_path: Path) -> None:
    uri, _ = put_artifact(tmp_path / "store", add_model())
    with pytest.raises(ArtifactError, match="ordered was"):
        cache.fetch(uri, "f" * 64)
    assert [path for path in tmp_path.rglob("*.onnx") if "store" not in path.parts] == []


@pytest.mark.parametrize("trouble", ["silent", "dripping"])
def test_a_store_that_sends_next_to_nothing_is_given_up_and_is_enough_when_it_sends_again(
    tmp_path: Path, trouble: str
) -> None:
    uri, digest = put_artifact(tmp_path / "store", add_model())
    cache = ArtifactCache(tmp_path / "cache", LARGE, silence_s=1.0)
    with object_server() as objects:
        for file in Path(uri).iterdir():
            objects.content[f"/store/{digest}/{file.name}"] = file.read_bytes()
        event: threading.Event = getattr(objects, trouble)
        event.set()
        with pytest.raises(ArtifactError, match=r"it has sent \d+ bytes of manifest.json in 1 s: see that the store answers"):
            cache.fetch(f"{objects.url}/store/{digest}", digest)
        event.clear()
        assert cache.fetch(f"{objects.url}/store/{digest}", digest).manifest.digest() == digest


def test_the_cache_keeps_what_is_held_and_drops_the_oldest_of_the_rest(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "cache", limit_bytes=1)
    digests: list[str] = []
    for constant in range(3):
        uri, digest = put_artifact(tmp_path / "store", add_model(constant))
        cache.fetch(uri, digest)
        digests.append(digest)
    cache.trim(frozenset({digests[0]}))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [digests[0]]


def test_the_cache_keeps_what_is_in_use(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "cache", limit_bytes=1)
    uri, digest = put_artifact(tmp_path / "store", add_model())
    with cache.in_use(digest):
        artifact = cache.fetch(uri, digest)
        cache.trim(frozenset())
        assert artifact.folder.is_dir()
    cache.trim(frozenset())
    assert not artifact.folder.exists()


def test_an_artifact_may_be_fetched_and_trimmed_from_many_threads(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "cache", limit_bytes=1)
    artifacts = [put_artifact(tmp_path / "store", add_model(constant)) for constant in range(2)]

    def use(index: int) -> bytes:
        uri, digest = artifacts[index % 2]
        with cache.in_use(digest):
            found = (cache.fetch(uri, digest).folder / "model.onnx").read_bytes()
        cache.trim(frozenset())
        return found

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, range(64))) == [add_model(0), add_model(1)] * 32


def test_a_repository_lists_its_models_and_their_versions(tmp_path: Path) -> None:
    put_model(tmp_path, "b", add_model(), version=3, config="max_batch_size: 2")
    put_model(tmp_path, "b", add_model(), version=11)
    put_model(tmp_path, "a", add_model())
    (tmp_path / "notes.txt").write_text("no model")
    repository = ModelRepository(str(tmp_path), tmp_path / "scratch")
    assert repository.names() == ("a", "b")
    assert repository.model("b").versions == (3, 11)
    assert repository.model("b").config.max_batch_size == 2


def test_a_repository_may_be_on_any_file_system(tmp_path: Path) -> None:
    put_model(tmp_path / "here", "far", add_model(), config="max_batch_size: 2")
    fsspec.filesystem("memory").put(f"{tmp_path}/here/", "/repository/", recursive=True)
    model = ModelRepository("memory://repository", tmp_path / "scratch").model("far")
    assert model.config.max_batch_size == 2
    assert model.model_file(1, model.config).read_bytes() == add_model()


def test_a_remote_model_is_copied_again_only_when_its_files_change(tmp_path: Path) -> None:
    remote = fsspec.filesystem("memory")
    remote.pipe("/copies/m/1/model.onnx", add_model())
    repository = ModelRepository("memory://copies", tmp_path / "scratch")
    first = repository.model("m")
    written = first.model_file(1, first.config).stat().st_mtime_ns
    again = ModelRepository("memory://copies", tmp_path / "scratch").model("m")
    assert (again.fingerprint, again.model_file(1, again.config).stat().st_mtime_ns) == (first.fingerprint, written)
    remote.pipe("/copies/m/1/model.onnx", add_model(2.0))
    changed = repository.model("m")
    assert changed.fingerprint != first.fingerprint
    assert changed.model_file(1, changed.config).read_bytes() == add_model(2.0)
    assert first.model_file(1, first.config).read_bytes() == add_model()


def test_copies_of_a_remote_model_do_not_pile_up(tmp_path: Path) -> None:
    remote = fsspec.filesystem("memory")
    repository = ModelRepository("memory://piles", tmp_path / "scratch")
    for constant in range(5):
        remote.pipe("/piles/m/1/model.onnx", add_model(constant))
        model = repository.model("m")
        assert model.model_file(1, model.config).read_bytes() == add_model(constant)
    assert len(list((tmp_path / "scratch" / "repository" / "m").iterdir())) == 2


def test_a_remote_model_may_be_read_from_many_threads(tmp_path: Path) -> None:
    remote = fsspec.filesystem("memory")
    remote.pipe({f"/crowd/m/{version}/model.onnx": add_model(version) for version in range(1, 6)})
    repository = ModelRepository("memory://crowd", tmp_path / "scratch")
    with ThreadPoolExecutor(8) as threads:
        models = list(threads.map(repository.model, ["m"] * 32))
    assert {(model.folder, model.versions) for model in models} == {(models[0].folder, (1, 2, 3, 4, 5))}


@pytest.mark.parametrize("filename", ["../2/model.onnx", "/etc/passwd", "..", "a/b"])
def test_a_configuration_may_not_name_files_elsewhere(tmp_path: Path, filename: str) -> None:
    put_model(tmp_path, "m", add_model())
    model = ModelRepository(str(tmp_path), tmp_path / "scratch").model("m")
    config = model_config.empty()
    config.default_model_filename = filename
    config.output.add(name="y", label_filename=filename)
    with pytest.raises(ModelFilesError, match="must be the name of a file in the version's folder"):
        model.model_file(1, config)
    with pytest.raises(ModelFilesError, match="must be a file in the model's folder"):
        model.labels(config)


def test_folders_that_are_no_versions_are_passed_over(tmp_path: Path) -> None:
    put_model(tmp_path, "m", add_model())
    for name in ("0", "01", "-1", "\N{SUPERSCRIPT TWO}", "9" * 40, "notes"):
        (tmp_path / "m" / name).mkdir()
    assert ModelRepository(str(tmp_path), tmp_path / "scratch").model("m").versions == (1,)


def test_a_change_of_a_file_changes_the_fingerprint(tmp_path: Path) -> None:
    put_model(tmp_path, "m", add_model())
    repository = ModelRepository(str(tmp_path), tmp_path / "scratch")
    before = repository.model("m").fingerprint
    assert repository.model("m").fingerprint == before
    put_model(tmp_path, "m", add_model(width=17))
    assert repository.model("m").fingerprint != before


@pytest.mark.parametrize("name", ["nothing", "..", "a/../b", ""])
def test_what_is_no_model_of_the_repository_is_refused(tmp_path: Path, name: str) -> None:
    put_model(tmp_path, "b", add_model())
    with pytest.raises(ModelFilesError, match="failed to poll from model repository"):
        ModelRepository(str(tmp_path), tmp_path / "scratch").model(name)


def test_a_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match="cannot be read"):
        ModelRepository(str(tmp_path / "nowhere"), tmp_path / "scratch").names()


def test_the_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    order = LoadOrder(forebay_artifact="memory://a", forebay_digest="d" * 64, forebay_version=2, forebay_sequence=5)
    state = ServerState(
        held=(HeldVersion(model="m", order=order, config="{}"),), seen=(SeenOrder(model="m", version=2, sequence=5),)
    )
    file = StateFile(tmp_path / "scratch" / "state.json")
    file.write(state)
    assert file.read() == state
    assert file.read().order_book().newest == {VersionKey("m", 2): 5}


@pytest.mark.parametrize("content", [None, "", "[]", '{"schema": "forebay.dev/server-state/v9"}'])
def test_a_state_that_cannot_be_read_is_an_empty_one(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "state.json"
    if content is not None:
        path.write_text(content)
    assert StateFile(path).read() == ServerState()

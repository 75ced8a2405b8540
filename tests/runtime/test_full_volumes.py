"""Scratch volumes and stores that are really full, or really read-only: what is served goes on, and room is enough."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import onnx
import pytest

from forebay_schema.repository import LoadOrder, UnloadOrder
from real_volumes import MIB, Volume, volume, why_not
from runtime_models import add_model, put_artifact
from runtime_servers import Server, running_server, wait_for

pytestmark = pytest.mark.skipif(why_not() != "", reason=why_not())

LARGE = 4 * MIB
SIZE = 24 * MIB
ONES = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16}]}
SEQUENCE = count(1)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volume]:
    with volume(tmp_path_factory.mktemp("scratch"), SIZE) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def store(scratch: Volume, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volume]:
    with volume(tmp_path_factory.mktemp("store"), SIZE, scratch.within) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def server(scratch: Volume, store: Volume, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), scratch, store) as running:
        yield running


def serving(folder: Path, scratch: Volume, store: Volume) -> AbstractContextManager[Server]:
    arguments = ("--model-control-mode", "explicit", "--scratch", str(scratch.path))
    return running_server(folder, *arguments, within=store.within)


def published(store: Volume, constant: float, size_bytes: int = 0) -> tuple[str, str]:
    """An artifact in the store: URI, as the server has it, and digest."""
    model = onnx.load_from_string(add_model(constant))
    model.doc_string = "x" * size_bytes
    _, digest = put_artifact(store.seen, model.SerializeToString())
    return str(store.path / digest), digest


def load(server: Server, model: str, artifact: tuple[str, str]) -> tuple[int, str]:
    uri, digest = artifact
    order = LoadOrder(forebay_artifact=uri, forebay_digest=digest, forebay_version=1, forebay_sequence=next(SEQUENCE))
    answer = server.load(model, order)
    return answer.status, answer.body.decode()


def unload(server: Server, model: str) -> int:
    return server.unload(model, UnloadOrder(forebay_version=1, forebay_sequence=next(SEQUENCE))).status


def answers(server: Server, model: str) -> float:
    """The first number of its answer to ones."""
    first: float = server.infer_json(model, ONES).json["outputs"][0]["data"][0]
    return first


def test_a_full_scratch_volume_is_named_and_room_on_it_is_enough(server: Server, scratch: Volume, store: Volume) -> None:
    large = published(store, 2.0, LARGE)
    assert load(server, "small", published(store, 1.0))[0] == 200
    scratch.fill(left=LARGE // 2)
    status, said = load(server, "large", large)
    assert (status, answers(server, "small")) == (400, 2.0)
    assert f"there is no room left (No space left on device) for the artifact {large[0]} in {scratch.path}: make room" in said
    # Nothing of the try is left.
    assert list((scratch.seen / "artifacts-partial").iterdir()) == []
    scratch.make_room()
    assert (load(server, "large", large)[0], answers(server, "large")) == (200, 3.0)


def test_what_no_model_needs_makes_room_for_what_one_needs(server: Server, scratch: Volume, store: Volume) -> None:
    assert load(server, "before", published(store, 3.0, LARGE))[0] == 200
    assert unload(server, "before") == 200
    scratch.fill(left=LARGE // 2)
    assert (load(server, "after", published(store, 4.0, LARGE))[0], answers(server, "after")) == (200, 5.0)
    scratch.make_room()


def test_orders_are_obeyed_though_they_cannot_be_written_down_and_are_as_soon_as_they_can(
    scratch: Volume, store: Volume, tmp_path: Path
) -> None:
    small = published(store, 5.0)
    with serving(tmp_path, scratch, store) as first:
        assert (load(first, "kept", small)[0], load(first, "gone", small)[0]) == (200, 200)
        scratch.fill()
        assert unload(first, "gone") == 200
        assert (load(first, "come", small)[0], answers(first, "come")) == (200, 6.0)
        assert "what is held cannot be written down: make room" in first.log.read_text()
        scratch.make_room()
        # As controllers look at it each second.
        first.index()
        first.process.kill()
    with serving(tmp_path, scratch, store) as second:
        wait_for(lambda: second.request("GET", "/v2/health/ready").status == 200, "what was held is loaded")
        assert (answers(second, "kept"), answers(second, "come")) == (6.0, 6.0)
        assert second.infer_json("gone", ONES).status == 404


def test_a_read_only_scratch_volume_is_named_and_what_lies_on_it_is_loaded(
    server: Server, scratch: Volume, store: Volume
) -> None:
    there, new = published(store, 6.0), published(store, 7.0)
    assert load(server, "there", there)[0] == 200
    assert unload(server, "there") == 200
    scratch.set_read_only()
    assert (load(server, "there", there)[0], answers(server, "there")) == (200, 7.0)
    status, said = load(server, "new", new)
    assert (status, f"cannot be copied to {scratch.path}, which is mounted read-only: mount it" in said) == (400, True), said
    scratch.set_writable()
    assert (load(server, "new", new)[0], answers(server, "new")) == (200, 8.0)


def test_a_store_that_is_full_and_read_only_is_loaded_from(server: Server, store: Volume) -> None:
    artifact = published(store, 8.0)
    store.fill()
    store.set_read_only()
    assert (load(server, "stored", artifact)[0], answers(server, "stored")) == (200, 9.0)
    store.set_writable()
    store.make_room()

"""Work folders and stores that are really full, or really read-only: they are named, leave nothing, and room is enough."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from convert_commands import an_order, carry_out
from convert_onnx import a_network
from forebay_schema.conversion import ConversionResult
from real_volumes import MIB, Volume, volume, why_not

pytestmark = pytest.mark.skipif(why_not() != "", reason=why_not())

SIZE = 32 * MIB
SOURCE = 2 * MIB


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volume]:
    with volume(tmp_path_factory.mktemp("work"), SIZE) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def store(work: Volume, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volume]:
    with volume(tmp_path_factory.mktemp("store"), SIZE, work.within) as mounted:
        yield mounted


def source(folder: Path, seed: int) -> Path:
    """A network that is no other test's, in a file of some size."""
    path = folder / "net.onnx"
    model = a_network(seed=seed)
    model.doc_string = "x" * SOURCE
    path.write_bytes(model.SerializeToString())
    return path


def converted(model: Path, work: Volume, store: Volume) -> ConversionResult:
    ran = carry_out(an_order(store.path, model), model.parent, work=work.path, within=store.within)
    return ran.result()


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (SOURCE // 2, ("fetch", "the source")),
        (2 * SOURCE, ("convert", "what the source is converted to")),
        (2 * SOURCE + MIB, ("publish", "the conversion")),
    ],
    ids=["for the source", "for its conversion", "for the copy that is published"],
)
def test_a_work_folder_that_is_full_is_named_at_every_stage(
    left: int, said: tuple[str, str], work: Volume, store: Volume, tmp_path: Path
) -> None:
    stage, what = said
    model = source(tmp_path, seed=left)
    work.fill(left)
    failure = converted(model, work, store).failure
    work.make_room()
    assert failure is not None
    assert (failure.stage, failure.retryable) == (stage, True)
    assert failure.cause.startswith(f"There is no room left for {what} in the work folder {work.path}"), failure.cause
    assert "Make room there" in failure.remedy
    assert list(work.seen.iterdir()) == []


def test_a_work_folder_that_is_read_only_is_named(work: Volume, store: Volume, tmp_path: Path) -> None:
    model = source(tmp_path, seed=1)
    work.set_read_only()
    failure = converted(model, work, store).failure
    work.set_writable()
    assert failure is not None
    assert (failure.cause, failure.retryable) == (f"The work folder {work.path} is mounted read-only.", True)


def test_a_store_that_is_full_is_named_and_left_as_it_was_and_room_in_it_is_enough(
    work: Volume, store: Volume, tmp_path: Path
) -> None:
    model = source(tmp_path, seed=2)
    store.fill(SOURCE // 2)
    failure = converted(model, work, store).failure
    files = [path.name for path in store.seen.rglob("*") if path.is_file()]
    store.make_room()
    assert failure is not None
    assert failure.cause.startswith(f"The store at {store.path} is full: "), failure.cause
    assert (failure.stage, failure.retryable, files) == ("publish", True, ["ballast"])
    assert converted(model, work, store).artifact is not None
    for path in sorted(store.seen.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_store_that_is_read_only_is_named_unless_it_has_the_artifact(work: Volume, store: Volume, tmp_path: Path) -> None:
    model = source(tmp_path, seed=3)
    first = converted(model, work, store)
    store.set_read_only()
    again = converted(model, work, store)
    assert (again.artifact, again.reused) == (first.artifact, True)
    failure = converted(source(tmp_path, seed=4), work, store).failure
    store.set_writable()
    assert failure is not None
    assert failure.cause.startswith(f"The store at {store.path} is mounted read-only: "), failure.cause
    assert (failure.stage, failure.retryable) == ("publish", True)

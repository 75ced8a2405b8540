"""A conversion whose stages run one by one, as in the containers of a pod: nothing but their work folder is between them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from convert_commands import Ran, an_order, run
from convert_inside import Told, converted
from convert_onnx import a_network, saved
from convert_sources import digits_file, digits_samples
from forebay_convert.conversion import carry_out
from forebay_convert.publishing import Destination, StoreDestination
from forebay_schema.conversion import ConversionFailure, ConversionOrder, ConversionResult
from forebay_schema.conversion_stages import ConversionStage, stages_of

SECRET = "hunter2-is-the-secret"


def commanded(stage: ConversionStage, order: ConversionOrder, folder: Path, **environment: str) -> Ran:
    """Run one stage as its container does."""
    (folder / "order.json").write_text(order.to_json())
    files = ("--order", folder / "order.json", "--result", folder / f"{stage}.json", "--work", folder / "work")
    return run(stage, *files, **environment)


def done(stage: ConversionStage, order: ConversionOrder, work: Path) -> ConversionResult | None:
    """Run one stage in this process."""
    return carry_out(stage, order, lambda: StoreDestination(order.store, order.namespace), work, Told())


def all_done(order: ConversionOrder, work: Path) -> ConversionResult:
    results = [done(stage, order, work) for stage in stages_of(order.options.source.sha256)]
    assert results[:-1] == [None, None, None]
    assert results[-1] is not None
    return results[-1]


def failed(result: ConversionResult | None) -> ConversionFailure:
    assert result is not None
    assert result.artifact is None
    assert result.failure is not None
    assert result.failure.remedy
    return result.failure


def _no_store() -> Destination:
    raise AssertionError("this stage has no credentials of the store")


def test_the_stages_publish_what_one_process_tree_publishes(tmp_path: Path) -> None:
    order = an_order(tmp_path / "store", digits_file(tmp_path), samples_uri=str(digits_samples(tmp_path)), min_accuracy=0.9)
    held, away = tmp_path / "work" / "held", tmp_path / "away"

    for stage in ("fetch", "find"):
        assert commanded(stage, order, tmp_path).status == 0
    held.rename(away)
    assert commanded("convert", order.without_addresses(), tmp_path).status == 0
    assert not held.exists()
    away.rename(held)
    ran = commanded("publish", order, tmp_path)

    assert ran.status == 0, ran.errors
    assert ran.result() == ConversionResult.from_json((tmp_path / "publish.json").read_bytes())
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["order.json", "publish.json"]
    assert ran.result().verification is not None
    other = converted(order.model_copy(update={"store": str(tmp_path / "other")}), tmp_path)
    assert other.model_copy(update={"seconds": ran.result().seconds}) == ran.result()


def test_a_source_that_was_converted_before_is_not_converted_again(tmp_path: Path) -> None:
    path = saved(a_network(), tmp_path)
    first = all_done(an_order(tmp_path / "store", path), tmp_path / "one")

    again = all_done(an_order(tmp_path / "store", path), tmp_path / "two")
    path.unlink()
    pinned = all_done(an_order(tmp_path / "store", path, sha256=first.source_sha256), tmp_path / "three")

    for result in (again, pinned):
        assert result.reused
        assert result.artifact == first.artifact
    assert not (tmp_path / "two" / "converted").exists()
    assert not (tmp_path / "three" / "fetched" / "given").exists()


@pytest.mark.parametrize("stage", ["fetch", "convert"])
def test_stages_without_the_stores_credentials_do_not_touch_it(stage: ConversionStage, tmp_path: Path) -> None:
    order = an_order(tmp_path / "store", saved(a_network(), tmp_path))
    if stage == "convert":
        assert done("fetch", order, tmp_path / "work") is None

    assert carry_out(stage, order, _no_store, tmp_path / "work", Told()) is None


def test_a_stage_that_fails_says_why_and_is_the_last(tmp_path: Path) -> None:
    ran = commanded("fetch", an_order(tmp_path / "store", tmp_path / "nowhere.onnx"), tmp_path)

    assert ran.status == 1
    failure = failed(ConversionResult.from_json((tmp_path / "fetch.json").read_bytes()))
    assert (failure.stage, failure.cause) == ("fetch", f"The source at {tmp_path / 'nowhere.onnx'} does not exist.")


def test_a_stage_that_was_begun_before_begins_anew(tmp_path: Path) -> None:
    order = an_order(tmp_path / "store", saved(a_network(), tmp_path))
    for stage in ("fetch", "fetch", "find", "convert", "convert"):
        assert done(stage, order, tmp_path / "work") is None
    for _ in range(2):
        result = done("publish", order, tmp_path / "work")

        assert result is not None
        assert result.failure is None


def test_a_stage_that_comes_too_early_says_so(tmp_path: Path) -> None:
    failure = failed(done("publish", an_order(tmp_path / "store", "m.onnx"), tmp_path / "work"))

    assert f"Nothing was fetched into {tmp_path / 'work'}" in failure.cause


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[ConversionOrder, Path]:
    """A conversion of which all but the last stage is done."""
    folder = tmp_path_factory.mktemp("finished")
    order = an_order(folder / "store", saved(a_network(), folder))
    for stage in ("fetch", "find", "convert"):
        assert done(stage, order, folder / "work") is None
    return order, folder / "work"


def _remove(path: Path) -> None:
    path.unlink()


def _link_outside(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _second_name(path: Path) -> None:
    (path.parent / "second").hardlink_to(path)


def _sparse(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 40)


def _moved_behind_a_link(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to(path.parent / "elsewhere")


def _another_model(path: Path) -> None:
    path.write_bytes(a_network(seed=1).SerializeToString())


def _no_model(path: Path) -> None:
    path.write_bytes(b"no model")


def _words(path: Path) -> None:
    path.write_text('{"schema": "forebay.dev/found-artifact/v1", "notes": []}')


@pytest.mark.parametrize(
    ("name", "tamper", "cause"),
    [
        pytest.param("work/out/model.onnx", _remove, "it left no model.onnx", id="no-model"),
        pytest.param("work/out/model.onnx", _link_outside, "its model.onnx is no plain file", id="link"),
        pytest.param("work/out/model.onnx", _fifo, "its model.onnx is no plain file", id="fifo"),
        pytest.param("work/out/model.onnx", _folder, "its model.onnx is no plain file", id="folder"),
        pytest.param("work/out/model.onnx", _second_name, "its model.onnx is no plain file", id="second-name"),
        pytest.param("work/out/model.onnx", _sparse, "its model.onnx has 1099511627776 bytes", id="sparse"),
        pytest.param("work/out/reference.npz", _link_outside, "its reference.npz is no plain file", id="reference"),
        pytest.param("work/out/samples.npz", _sparse, "its samples.npz has 1099511627776 bytes", id="samples"),
        pytest.param("work/out", _moved_behind_a_link, "its folder out is no folder", id="folder-behind-a-link"),
        pytest.param("work", _moved_behind_a_link, "its folder work is no folder", id="all-behind-a-link"),
        pytest.param("converted.json", _remove, "it left no converted.json", id="no-words"),
        pytest.param("converted.json", _fifo, "its converted.json is no plain file", id="words-never-come"),
        pytest.param("converted.json", _sparse, "its converted.json has 1099511627776 bytes", id="endless-words"),
        pytest.param("converted.json", _words, "it left no converted.json that can be read", id="other-words"),
        pytest.param("work/out/model.onnx", _another_model, "does not agree with its source", id="another-model"),
        pytest.param("work/out/model.onnx", _no_model, "is no ONNX model", id="not-a-model"),
    ],
)
def test_what_the_hostile_stage_left_is_not_believed(
    name: str, tamper: Callable[[Path], None], cause: str, finished: tuple[ConversionOrder, Path], tmp_path: Path
) -> None:
    order, left = finished
    shutil.copytree(left, tmp_path / "work")
    tamper(tmp_path / "work" / "converted" / name)

    failure = failed(done("publish", order, tmp_path / "work"))

    assert cause in failure.cause
    assert not Path(order.store).exists()


def test_words_of_the_hostile_stage_are_for_display_only(finished: tuple[ConversionOrder, Path], tmp_path: Path) -> None:
    order, left = finished
    shutil.copytree(left, tmp_path / "work")
    notes = ", ".join(['"\\u001b[2Jverified ' + "x" * 2000 + '"'] * 20)
    (tmp_path / "work" / "converted" / "converted.json").write_text(
        f'{{"schema": "forebay.dev/converted-source/v1", "notes": [{notes}], "artifact": "0", "sandbox": "full"}}'
    )

    result = done("publish", order.model_copy(update={"store": str(tmp_path / "store")}), tmp_path / "work")

    assert result is not None
    assert result.failure is None
    assert result.artifact != "0"
    assert result.converted_with.isprintable()
    assert len(result.converted_with) < 5000

"""The sealed processes on their own: what they may not do to the machine, and what they leave on it."""

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from convert_inside import Told
from convert_onnx import a_network, an_endless_loop, saved
from forebay_convert.converting import Converted, SourceToConvert, collect_converted, convert_source
from forebay_convert.failures import ConversionError
from forebay_convert.progress import Deadline
from forebay_convert.rooms import Room
from forebay_convert.samples import write_arrays
from forebay_convert.sandbox.levels import available_level
from forebay_convert.verifying import Report, verify_model
from forebay_schema.conversion import ConversionLimits, VerificationDemand

ROWS = np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    (tmp_path / "room").mkdir()
    return Room.within(tmp_path / "room")


def verified(model: ModelProto, wanted: dict[str, np.ndarray], room: Room, *, seconds: float = 600) -> Report:
    """Process B on files as process A might have left them."""
    saved(model, room.sealed)
    write_arrays(room.sealed / "reference.npz", wanted)
    write_arrays(room.sealed / "samples.npz", {"x": ROWS})
    converted = Converted(room.sealed / "model.onnx", "", room.sealed / "reference.npz", room.sealed / "samples.npz")
    return verify_model(
        converted,
        None,
        room,
        level=available_level(),
        demand=VerificationDemand(),
        max_batch_size=4,
        limits=ConversionLimits(),
        deadline=Deadline(seconds),
        progress=Told(),
    )


def test_a_model_that_never_ends_is_stopped_while_it_is_verified(room: Room) -> None:
    with pytest.raises(ConversionError) as caught:
        verified(an_endless_loop(), {"0": ROWS}, room, seconds=3.0)

    assert caught.value.failure.stage == "verify"
    assert "The converted model did not come to an end" in caught.value.failure.cause


def test_outputs_of_another_shape_than_recorded_are_refused(room: Room) -> None:
    with pytest.raises(ConversionError, match=r"output 0 has shape \[6, 3\], its source recorded \[6, 2\]"):
        verified(a_network(), {"0": ROWS[:, :2]}, room)


def test_a_model_in_a_form_that_is_not_served_is_refused(room: Room) -> None:
    with pytest.raises(ConversionError, match="not in the form that is served: IR 13"):
        verified(a_network(opset=26, ir=13), {"0": ROWS[:, :3]}, room)


@pytest.mark.skipif(sys.platform != "linux", reason="telemetry is in the Linux wheels")
def test_onnxruntime_leaves_no_telemetry_in_the_homes_of_the_sealed_processes(room: Room) -> None:
    source = saved(a_network(), room.given)
    to_convert = SourceToConvert(source, source.stat().st_size, "onnx", (), None, available_level())
    assert convert_source(to_convert, room, ConversionLimits(), Deadline(600), Told()) == ()
    converted = collect_converted(room, source.stat().st_size, None)
    with np.load(converted.reference) as reference:
        assert reference.files == ["0"]

    assert sorted(path.name for path in room.work.rglob("*")) == ["model.onnx", "out", "reference.npz", "samples.npz"]
    assert not list(room.scratch.iterdir())


def test_process_b_leaves_nothing_at_all(room: Room) -> None:
    with pytest.raises(ConversionError):
        verified(a_network(), {"0": ROWS[:, :2]}, room)

    assert not list(room.scratch.iterdir())
    assert not list(room.work.rglob("*.*"))

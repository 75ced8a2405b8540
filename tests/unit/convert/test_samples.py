from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_convert.reports import RefusalError
from forebay_convert.samples import Samples, arrange, read_arrays, write_arrays
from forebay_convert.tensors import Tensor

IMAGE = Tensor("image", "FP32", (-1, 4))
MASK = Tensor("mask", "INT64", (-1, 2))
FIXED = Tensor("image", "FP32", (2, 4))
WORD = Tensor("word", "BYTES", (-1, 1))


def test_the_only_array_belongs_to_the_only_input_whatever_its_name() -> None:
    samples = arrange({"X": np.zeros((3, 4))}, [IMAGE], batched=True)

    assert samples.arrays["image"].dtype == np.float32
    assert samples.count == 3


@pytest.mark.parametrize(
    ("given_arrays", "inputs", "batched", "message"),
    [
        ({"image": np.zeros((3, 4))}, [IMAGE, MASK], True, r"named \['image'\], the inputs of the model \['image', 'mask'\]"),
        ({"image": np.zeros((3, 5))}, [IMAGE], True, r"have shape \[3, 5\], the model takes \[-1, 4\]"),
        ({"image": np.zeros(4)}, [IMAGE], True, r"have shape \[4\]"),
        ({"image": np.zeros((0, 4))}, [IMAGE], True, "or are none"),
        ({"image": np.array([["a"] * 4])}, [IMAGE], True, "wants FP32, got <U1"),
        ({"word": np.zeros((3, 1))}, [WORD], True, "wants texts, got float64"),
        ({"image": np.zeros((3, 4)), "mask": np.zeros((2, 2))}, [IMAGE, MASK], True, "differ in number"),
        ({"image": np.zeros((3, 4))}, [FIXED], False, r"have shape \[3, 4\], the model takes \[2, 4\]"),
        ({"image": np.zeros((3, 4))}, [Tensor("image", "BF16", (-1, 4))], True, "samples of BF16 are not supported"),
    ],
)
def test_samples_that_do_not_fit_are_refused_with_both_sides(
    given_arrays: dict[str, Any], inputs: list[Tensor], batched: bool, message: str
) -> None:
    with pytest.raises(RefusalError, match=message):
        arrange(given_arrays, inputs, batched=batched)


@pytest.mark.parametrize("shape", [(2, 4), (6, 4), (3, 2, 4)])
def test_a_model_with_a_fixed_batch_takes_one_call_several_or_a_multiple_of_it(shape: tuple[int, ...]) -> None:
    samples = arrange({"image": np.zeros(shape)}, [FIXED], batched=False)

    assert samples.count == np.prod(shape) // 8
    assert all(call["image"].shape == (2, 4) for call in samples.calls(32))


@given(st.integers(1, 40), st.integers(1, 10))
def test_calls_hold_every_sample_once_and_in_order(count: int, size: int) -> None:
    samples = Samples({"x": np.arange(count).reshape(count, 1)}, batched=True)

    calls = samples.calls(size)

    assert np.concatenate([call["x"] for call in calls]).ravel().tolist() == list(range(count))
    assert all(len(call["x"]) == size for call in calls[:-1])


def test_a_larger_batch_than_there_are_samples_repeats_them() -> None:
    samples = Samples({"x": np.arange(3)}, batched=True)

    assert samples.repeated(7)["x"].tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_arrays_are_read_back_as_they_were_written_whatever_their_names(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3), "allow_pickle": np.array(["a", "bc"])}

    write_arrays(tmp_path / "a.npz", arrays)

    back = read_arrays(tmp_path / "a.npz", "The samples")
    assert {name: array.tolist() for name, array in back.items()} == {"file": [0, 1, 2], "allow_pickle": ["a", "bc"]}


def test_python_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    objects = np.array([object()], dtype=object)
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_arrays(tmp_path / "a.npz", {"x": objects})
    np.savez(tmp_path / "b.npz", x=np.array([{}], dtype=object))

    with pytest.raises(RefusalError, match="The samples cannot be read as arrays: Object arrays"):
        read_arrays(tmp_path / "b.npz", "The samples")


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"PK\x03\x04 cut off"])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)

    with pytest.raises(RefusalError, match="The samples cannot be read as arrays"):
        read_arrays(tmp_path / "a.npz", "The samples")

"""Samples: the inputs on which a converted model is compared with its source."""

import lzma
import zipfile
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from forebay_convert.reports import RefusalError
from forebay_convert.tensors import Array, Tensor, to_datatype

_UNREADABLE = (
    ValueError,
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    TypeError,
    RuntimeError,
)
"""What numpy and `zipfile` raise at an archive that was damaged or made up; NotImplementedError is a RuntimeError."""
_REMEDY = "Save them with numpy.savez(file, NAME=array, …): one array an input, the samples along its first dimension."


@dataclass(frozen=True, slots=True)
class Samples:
    """Arrays by input. Where the model is batched, the samples lie along the first dimension, and any part of them is a
    call; else the first dimension counts calls, and the rest is what the model takes."""

    arrays: Mapping[str, Array]
    batched: bool

    @property
    def count(self) -> int:
        return len(next(iter(self.arrays.values())))

    def calls(self, size: int) -> list[dict[str, Array]]:
        """The inputs of one call after the other, of `size` samples each (the last may have fewer)."""
        if not self.batched:
            return [{name: array[index] for name, array in self.arrays.items()} for index in range(self.count)]
        starts = range(0, self.count, size)
        return [{name: array[start : start + size] for name, array in self.arrays.items()} for start in starts]

    def first(self, count: int) -> "Samples":
        return Samples({name: array[:count] for name, array in self.arrays.items()}, self.batched)

    def repeated(self, size: int) -> dict[str, Array]:
        """One call of `size` samples, the samples repeated as often as that takes."""
        rows = np.arange(size) % self.count
        return {name: array[rows] for name, array in self.arrays.items()}


def read_arrays(path: Path, what: str) -> dict[str, Array]:
    """The arrays of an .npz; `what` names it in messages.

    Raises:
        RefusalError: it is none, or holds Python objects, which could run code when loaded.
    """
    with _translated(what), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: _array(archive[name], name) for name in archive.files}


def _array(content: object, name: str) -> Array:
    """numpy hands out what is no .npy as it is."""
    if not isinstance(content, np.ndarray):
        raise TypeError(f"{name} is no .npy")
    return content


def read_array(path: Path, what: str) -> Array:
    """The array of an .npy.

    Raises:
        RefusalError: as `read_arrays`.
    """
    with _translated(what), path.open("rb") as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
        return array


@contextmanager
def _translated(what: str) -> Generator[None]:
    """Turn what made-up arrays make numpy raise into a sentence: a few bytes may claim to be terabytes."""
    try:
        yield
    except MemoryError as error:
        cause = f"{what} need more memory than the conversion may use: {error}.".replace(": .", ".")
        raise RefusalError("load", cause, "Give fewer samples, or raise the conversion's memory limit.") from error
    except _UNREADABLE as error:
        raise RefusalError("load", f"{what} cannot be read as arrays: {error}.", _REMEDY) from error


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an .npz. Unlike `numpy.savez`, with any names, and without Python objects.

    Raises:
        ValueError: an array holds Python objects.
    """
    with zipfile.ZipFile(path, "x") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def arrange(given: Mapping[str, Array], inputs: Sequence[Tensor], *, batched: bool) -> Samples:
    """Match given arrays to a model's inputs, by name, or the only one to the only one.

    Raises:
        RefusalError: an input is missing, an array is left over, or a shape or type does not fit.
    """
    wanted = [tensor.name for tensor in inputs]
    if len(given) == 1 and len(wanted) == 1:
        given = {wanted[0]: next(iter(given.values()))}
    if set(given) != set(wanted):
        raise RefusalError(
            "load", f"The samples are named {sorted(given)}, the inputs of the model {sorted(wanted)}.", _REMEDY
        )
    arrays = {tensor.name: _fitted(given[tensor.name], tensor, batched=batched) for tensor in inputs}
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise RefusalError("load", f"The samples differ in number, or are none: {counts}.", _REMEDY)
    return Samples(arrays, batched)


def _fitted(array: Array, tensor: Tensor, *, batched: bool) -> Array:
    try:
        typed = to_datatype(array, tensor.datatype)
    except ValueError as error:
        raise RefusalError("load", f"The samples of input {tensor.name!r} do not fit: it {error}.", _REMEDY) from error
    fitted = typed if batched else _by_call(typed, tensor.shape)
    if fitted is None or not _fits(fitted.shape[1:], tensor.shape[1:] if batched else tensor.shape):
        raise RefusalError(
            "load",
            f"The samples of input {tensor.name!r} have shape {list(array.shape)}, the model takes {list(tensor.shape)}.",
            _REMEDY,
        )
    return fitted


def _by_call(array: Array, shape: tuple[int, ...]) -> Array | None:
    """Arrays for a model without a varying batch: one call, calls along a new first dimension, or a multiple of its batch."""
    if _fits(array.shape, shape):
        return array[np.newaxis]
    if array.ndim == len(shape) + 1:
        return array
    if array.ndim == len(shape) >= 1 and shape[0] > 0 and len(array) % shape[0] == 0:
        return array.reshape(-1, shape[0], *array.shape[1:])
    return None


def _fits(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(found) == len(wanted) and all(want in (-1, have) for have, want in zip(found, wanted, strict=True))

"""Small files that unpack to large ones: the conversion is stopped at its limits, and says which."""

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convert_commands import an_order
from convert_inside import converted
from convert_onnx import a_network, saved
from forebay_schema.conversion import ConversionFailure, ConversionResult

UNPACKED = 700 << 20
LIMIT = 256 << 20


def refused(result: ConversionResult) -> ConversionFailure:
    assert result.artifact is None
    assert result.failure is not None
    assert result.failure.remedy
    return result.failure


def _skops(folder: Path) -> Path:
    path = folder / "model.skops"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("schema.json", "w") as file,
    ):
        for _ in range(UNPACKED >> 20):
            file.write(b" " * (1 << 20))
    return path


def _joblib(folder: Path) -> Path:
    path = folder / "model.joblib"
    with gzip.open(path, "wb", compresslevel=1) as file:
        # What the pickle of so many bytes begins with.
        file.write(b"\x80\x04\x8e" + UNPACKED.to_bytes(8, "little"))
        for _ in range(UNPACKED >> 20):
            file.write(bytes(1 << 20))
        file.write(b".")
    return path


@pytest.mark.parametrize("make", [_skops, _joblib])
def test_a_source_that_unpacks_to_more_than_its_memory_is_stopped(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    assert path.stat().st_size < 8 << 20

    failure = refused(converted(an_order(tmp_path / "store", path, memory_bytes=LIMIT), tmp_path))

    # Either its watchdog saw it, or it was told by the kernel that there is no more.
    assert "more memory than the conversion may use" in failure.cause
    assert "memory limit" in failure.remedy
    assert not list((tmp_path / "work").iterdir())


def claiming(elements: int) -> bytes:
    """The beginning of an .npy that says that it holds so many numbers."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (elements, 4)})
    return header.getvalue()


@pytest.mark.parametrize(
    ("member", "content", "cause"),
    [
        pytest.param("x.npy", claiming(1 << 40), "The samples need more memory than", id="samples"),
        pytest.param("labels.npy", claiming(1 << 40), "The labels need more memory than", id="labels"),
        pytest.param("labels.npy", b"\x93NUMPY\x01\x00", "The labels cannot be read as arrays", id="cut-off"),
        pytest.param("x.npy", pickle.dumps([1]), "The samples cannot be read as arrays: x is no .npy", id="pickle"),
    ],
)
def test_samples_that_claim_more_than_there_is_are_refused(member: str, content: bytes, cause: str, tmp_path: Path) -> None:
    rows = io.BytesIO()
    np.save(rows, np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    with zipfile.ZipFile(tmp_path / "samples.npz", "w") as archive:
        for name, each in {"x.npy": rows.getvalue(), member: content}.items():
            archive.writestr(name, each)
    order = an_order(tmp_path / "store", saved(a_network(), tmp_path), samples_uri=str(tmp_path / "samples.npz"))

    assert cause in refused(converted(order, tmp_path)).cause

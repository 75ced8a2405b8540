import zipfile
from pathlib import Path

import numpy as np
import pytest

from forebay_convert.failures import ConversionError
from forebay_convert.given_samples import split_labels

ENOUGH = 1 << 20


def test_labels_are_taken_out_of_what_the_source_gets_to_see(tmp_path: Path) -> None:
    given, samples, labels = tmp_path / "given.npz", tmp_path / "samples.npz", tmp_path / "labels.npy"
    np.savez_compressed(given, input=np.arange(6).reshape(3, 2), labels=np.array([7, 8, 9]))

    assert split_labels(given, samples, labels, ENOUGH)

    with np.load(samples) as kept:
        assert kept.files == ["input"]
        assert kept["input"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert np.load(labels).tolist() == [7, 8, 9]
    assert b"labels" not in samples.read_bytes()


def test_samples_without_labels_stay_as_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "given.npz", a=np.arange(3), b=np.arange(3))

    assert not split_labels(tmp_path / "given.npz", tmp_path / "samples.npz", tmp_path / "labels.npy", ENOUGH)

    with np.load(tmp_path / "samples.npz") as kept:
        assert kept.files == ["a", "b"]
    assert not (tmp_path / "labels.npy").exists()


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "given.npz", a=np.zeros(1 << 20))

    with pytest.raises(ConversionError, match="The samples unpack to 8388736 bytes, more than the 1048576 allowed"):
        split_labels(tmp_path / "given.npz", tmp_path / "samples.npz", tmp_path / "labels.npy", ENOUGH)


def test_labels_alone_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "given.npz", labels=np.arange(3))

    with pytest.raises(ConversionError, match="The samples hold no inputs"):
        split_labels(tmp_path / "given.npz", tmp_path / "samples.npz", tmp_path / "labels.npy", ENOUGH)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "given.npz").write_text("1,2,3")

    with pytest.raises(ConversionError, match=r"The samples are no \.npz"):
        split_labels(tmp_path / "given.npz", tmp_path / "samples.npz", tmp_path / "labels.npy", ENOUGH)


def damaged(path: Path, compression: int) -> None:
    """An archive whose one member is compressed rubbish."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", bytes(range(256)) * 64)
    content = bytearray(path.read_bytes())
    begin = 30 + len("a.npy")  # behind the member's local header
    content[begin : begin + 20] = b"\xff" * 20
    path.write_bytes(content)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_is_refused_for_good(compression: int, tmp_path: Path) -> None:
    damaged(tmp_path / "given.npz", compression)

    with pytest.raises(ConversionError, match=r"The samples are no \.npz that can be read") as caught:
        split_labels(tmp_path / "given.npz", tmp_path / "samples.npz", tmp_path / "labels.npy", ENOUGH)

    assert not caught.value.failure.retryable


def test_trouble_with_the_disk_is_not_blamed_on_the_samples(tmp_path: Path) -> None:
    np.savez(tmp_path / "given.npz", a=np.arange(3))

    with pytest.raises(FileNotFoundError):
        split_labels(tmp_path / "given.npz", tmp_path / "gone" / "samples.npz", tmp_path / "labels.npy", ENOUGH)

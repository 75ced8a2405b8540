"""Takes the labels out of given samples, so that the source never sees them. Moves files only: nothing is decoded here."""

import errno
import lzma
import shutil
import zipfile
import zlib
from pathlib import Path

from forebay_convert.failures import ConversionError, refusal
from forebay_schema.conversion import ConversionFailure

LABELS = "labels.npy"
_UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OverflowError, RuntimeError)
"""What `zipfile` raises at an archive that was damaged or made up; NotImplementedError is a RuntimeError."""
_REMEDY = "Save the samples with numpy.savez(file, NAME=array, labels=classes)."


def split_labels(archive: Path, samples: Path, labels: Path, most_bytes: int) -> bool:
    """Write the archive without its labels to `samples`, and them, if there are any, to `labels`; whether there are.

    Raises:
        ConversionError: it is no .npz, is damaged, holds nothing but labels, or unpacks to more than `most_bytes`.
    """
    try:
        return _split(archive, samples, labels, most_bytes)
    except _UNREADABLE as error:
        raise ConversionError(_no_archive(error)) from error
    except OSError as error:
        # A damaged bzip2 stream, or an offset that cannot be; all else is trouble with this machine's own disk.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise ConversionError(_no_archive(error)) from error


def _split(archive: Path, samples: Path, labels: Path, most_bytes: int) -> bool:
    with zipfile.ZipFile(archive) as given:
        _check(given, most_bytes)
        has_labels = LABELS in given.namelist()
        _copy_others(given, samples)
        if has_labels:
            _copy(given, LABELS, labels)
    return has_labels


def _no_archive(error: Exception) -> ConversionFailure:
    return refusal("fetch", f"The samples are no .npz that can be read: {error}.", _REMEDY)


def _check(given: zipfile.ZipFile, most_bytes: int) -> None:
    size = sum(entry.file_size for entry in given.infolist())
    if size > most_bytes:
        raise ConversionError(
            refusal("fetch", f"The samples unpack to {size} bytes, more than the {most_bytes} allowed.", "Give fewer samples.")
        )
    if not set(given.namelist()) - {LABELS}:
        raise ConversionError(refusal("fetch", "The samples hold no inputs.", _REMEDY))


def _copy_others(given: zipfile.ZipFile, target: Path) -> None:
    with zipfile.ZipFile(target, "x") as copy:
        for name in given.namelist():
            if name != LABELS:
                with given.open(name) as source, copy.open(name, "w", force_zip64=True) as member:
                    shutil.copyfileobj(source, member)


def _copy(given: zipfile.ZipFile, name: str, target: Path) -> None:
    with given.open(name) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)

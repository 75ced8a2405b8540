"""Takes the labels out of given samples, so that the source never sees them. Moves files only: nothing is decoded here."""

import shutil
import zipfile
from pathlib import Path

from forebay_convert.failures import ConversionError, refusal

LABELS = "labels.npy"
_REMEDY = "Save the samples with numpy.savez(file, NAME=array, labels=classes)."


def split_labels(archive: Path, samples: Path, labels: Path, most_bytes: int) -> bool:
    """Write the archive without its labels to `samples`, and them, if there are any, to `labels`; whether there are.

    Raises:
        ConversionError: it is no .npz, holds nothing but labels, or unpacks to more than `most_bytes`.
    """
    try:
        with zipfile.ZipFile(archive) as given:
            _check(given, most_bytes)
            has_labels = LABELS in given.namelist()
            _copy_others(given, samples)
            if has_labels:
                _copy(given, LABELS, labels)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ConversionError(refusal("fetch", f"The samples are no .npz: {error}.", _REMEDY)) from error
    return has_labels


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

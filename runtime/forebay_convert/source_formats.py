"""Which format a source is of, told by its first bytes; its name is asked only where they do not say. Pure but for reading."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from forebay_convert.failures import ConversionError, refusal
from forebay_schema.conversion import Format

_HEAD = 512
_TAIL = 64 << 10
_NEWEST_IR_EVER = 40
_NEWEST_PICKLE = 5

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x04\x22\x4d\x18", b"\x5d\x00\x00", b"ZF")
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_BY_SUFFIX: dict[str, Format] = {
    ".onnx": "onnx",
    ".joblib": "sklearn",
    ".pkl": "sklearn",
    ".pickle": "sklearn",
    ".skops": "sklearn",
}
_ONNX_EXPORT = "Export the model to ONNX and give that as the source."
_FOREIGN = (
    (b"\x89HDF\r\n", "a Keras file (HDF5)", "Keras is not supported yet. " + _ONNX_EXPORT),
    (b"<!DOCTYPE", "a web page", "Give the address of the file itself, not of the page that shows it."),
    (b"<html", "a web page", "Give the address of the file itself, not of the page that shows it."),
    (b"version https://git-lfs", "a Git LFS pointer", "Fetch the file with git lfs pull, and upload that."),
    (b"{", "JSON", "XGBoost and other JSON formats are not supported yet. " + _ONNX_EXPORT),
    (b"tree\nversion", "a LightGBM model", "LightGBM is not supported yet. " + _ONNX_EXPORT),
)


@dataclass(frozen=True, slots=True)
class SourceFormat:
    name: Format
    runs_code: bool
    """Whether opening it can run code that its author chose."""


def infer_format(path: Path, uri: str, declared: Format | None) -> SourceFormat:
    """The format of a fetched file.

    Raises:
        ConversionError: it is of a format that is not supported, or not of the one declared.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found = _from_zip(head, path) if zipfile.is_zipfile(path) else _from_head(head)
    if found is None:
        _refuse_foreign(head.lstrip(), path)
    if found is not None and declared is not None and found.name != declared:
        raise ConversionError(
            refusal(
                "load",
                f"The source is declared as {declared}, but its content is {found.name}.",
                f"Set the format to {found.name}, or leave it out, or give another file.",
            )
        )
    name = found.name if found is not None else declared or _from_name(uri)
    return found or SourceFormat(name, runs_code=name == "sklearn")


def _from_head(head: bytes) -> SourceFormat | None:
    pickled = head[:1] == b"\x80" and head[1:2] and head[1] <= _NEWEST_PICKLE
    if pickled or head.startswith(_COMPRESSED) or head.startswith(_ZLIB):
        return SourceFormat("sklearn", runs_code=True)
    # A serialised ModelProto begins with its field 1, the IR version, as a small number.
    if head[:1] == b"\x08" and len(head) > 2 and 0 < head[1] <= _NEWEST_IR_EVER and head[2] & 7 in (0, 2):  # noqa: PLR2004
        return SourceFormat("onnx", runs_code=False)
    return None


def _from_zip(head: bytes, path: Path) -> SourceFormat:
    """By names in its directory, whose end is at the end of the file. Not all of it is read: one made up may be endless."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        tail = file.read(_TAIL)
    if b"schema.json" in tail:
        return SourceFormat("sklearn", runs_code=False)
    if b"data.pkl" in head or b"data.pkl" in tail:
        raise _unsupported("a PyTorch file", "PyTorch is not supported yet: give what torch.onnx.export writes.")
    raise _unsupported("a zip archive", "Give the model's file itself.")


def _refuse_foreign(head: bytes, path: Path) -> None:
    for magic, what, remedy in _FOREIGN:
        if head.lower().startswith(magic.lower()):
            raise _unsupported(what, remedy)
    if path.stat().st_size < 16:  # noqa: PLR2004 - no model is that small
        raise _unsupported(f"{path.stat().st_size} bytes that no model consists of", "Upload the file again.")


def _from_name(uri: str) -> Format:
    name = uri.partition("?")[0].lower() if not uri.startswith("data:") else ""
    for suffix, known in _BY_SUFFIX.items():
        if name.endswith(suffix):
            return known
    raise _unsupported(
        "of a format that neither its content nor its name tells",
        "Supported are ONNX and scikit-learn (joblib, pickle, skops); say which with format, or give another file.",
    )


def _unsupported(what: str, remedy: str) -> ConversionError:
    return ConversionError(refusal("load", f"The source is {what}.", remedy))

"""Versions of the tools that convert, read without importing them."""

import importlib.metadata
from functools import cache

from forebay_schema.conversion import Format

_TOOLS: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime"),
    "sklearn": ("skl2onnx", "scikit-learn", "onnx", "onnxruntime"),
}
_NAMED_FIRST: dict[Format, int] = {"onnx": 1, "sklearn": 2}


@cache
def converter_version() -> str:
    """Part of every conversion's key: another version converts anew."""
    return f"forebay-convert {importlib.metadata.version('forebay')}"


def tools_of(source_format: Format) -> dict[str, str]:
    """Everything that had a hand in an artifact, for its manifest."""
    versions = {name: importlib.metadata.version(name) for name in _TOOLS[source_format]}
    return {"forebay-convert": importlib.metadata.version("forebay"), **versions}


def in_words(source_format: str, tools: dict[str, str]) -> str:
    """`skl2onnx 1.20.0, scikit-learn 1.9.1`."""
    names = next((names[: _NAMED_FIRST[known]] for known, names in _TOOLS.items() if known == source_format), tuple(tools))
    return ", ".join(f"{name} {tools[name]}" for name in names if name in tools)

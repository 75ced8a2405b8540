"""Byte sizes as people write them."""

import re
from typing import Final

_UNITS: Final = {
    "": 1,
    "k": 1000,
    "M": 1000**2,
    "G": 1000**3,
    "T": 1000**4,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
}
_SIZE: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[kMGT]?i?)")


def bytes_of(text: str) -> int | None:
    """`16Gi`, `512M`, `1024` in bytes; None: this is no size."""
    match = _SIZE.fullmatch(text)
    if match is None or match["unit"] not in _UNITS:
        return None
    return int(float(match["number"]) * _UNITS[match["unit"]])


def readable(size: float) -> str:
    """`1.5 GiB`, `12.0 MiB`, `3 B`: for people."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.1f} {unit}B"
    return f"{size:.0f} B"

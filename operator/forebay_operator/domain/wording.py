"""Quantities as sentences give them: with a unit, rounded to what a reader needs."""

from collections.abc import Iterable

_KIB = 1024
_MINUTE_S = 60.0
_HOUR_S = 3600.0
_ONE_DIGIT = 10.0
"""From here on a decimal says nothing that a reader needs."""


def bytes_text(value: float) -> str:
    """A number of bytes in binary units: `8.0 GiB`, `512 MiB`, `3 KiB`, `17 B`."""
    if value >= _KIB**3:
        return f"{value / _KIB**3:.1f} GiB"
    if value >= _KIB**2:
        return f"{value / _KIB**2:.0f} MiB"
    return f"{value / _KIB:.0f} KiB" if value >= _KIB else f"{value:.0f} B"


def seconds_text(value: float) -> str:
    """A duration: `0.4 s`, `12 s`, `5 min`, `2 h`."""
    if value < _ONE_DIGIT:
        return f"{value:.1f}".removesuffix(".0") + " s"
    if value < 2 * _MINUTE_S:
        return f"{value:.0f} s"
    return f"{value / _MINUTE_S:.0f} min" if value < 2 * _HOUR_S else f"{value / _HOUR_S:.0f} h"


def rate_text(value: float) -> str:
    """Requests per second: `0.4/s`, `120/s`."""
    return f"{value:.1f}/s" if value < _ONE_DIGIT else f"{value:.0f}/s"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 replica`, `2 replicas`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listed(words: Iterable[str], conjunction: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = list(words) or [""]
    return f"{', '.join(most)} {conjunction} {last}" if most else last


def sentence(text: str) -> str:
    """Text that starts like a sentence and ends like one, whoever wrote it."""
    stripped = text.strip()
    if not stripped:
        return ""
    ended = stripped if stripped[-1] in ".!?" else f"{stripped}."
    return ended[0].upper() + ended[1:]


def clause(text: str) -> str:
    """Text without the full stop, to go on after it."""
    return text.strip().rstrip(".")

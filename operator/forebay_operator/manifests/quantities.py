"""Quantities in the one form in which API servers keep them: `1000m` is kept as `1`, `1024Mi` as `1Gi`."""

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>m|Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?")
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = ("m", "", "k", "M", "G", "T", "P", "E")
_BASE: Final = 1024


def canonical(quantity: int | str) -> str:
    """The shortest form of a quantity, in its own kind of unit; what is no quantity is left as it is."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        return str(quantity)
    number, unit = Decimal(match["number"]), match["unit"] or ""
    if unit in _BINARY[1:]:
        return _shortest(int(number * _BASE ** _BINARY.index(unit)), _BINARY, _BASE)
    thousandths = number * 1000 ** _DECIMAL.index(unit)
    return _shortest(int(thousandths.to_integral_value(rounding="ROUND_CEILING")), _DECIMAL, 1000)


def _shortest(value: int, units: tuple[str, ...], base: int) -> str:
    if value == 0:
        return "0"
    index = 0
    while index + 1 < len(units) and value % base == 0:
        value, index = value // base, index + 1
    return f"{value}{units[index]}"


def whole(quantity: str) -> int | None:
    """The number that a quantity stands for, rounded up: bytes, of memory; None: it is no quantity."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        return None
    number, unit = Decimal(match["number"]), match["unit"] or ""
    factor = Decimal(_BASE) ** _BINARY.index(unit) if unit in _BINARY[1:] else Decimal(1000) ** (_DECIMAL.index(unit) - 1)
    return int((number * factor).to_integral_value(rounding="ROUND_CEILING"))


def mebibytes(size: int) -> str:
    """A size in bytes, rounded up to whole MiB."""
    return canonical(f"{-(-size // (1 << 20))}Mi")

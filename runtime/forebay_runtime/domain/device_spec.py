"""How a device is named on the command line: `cpu`, `gpu:1`, `simulated:16Gi,pace=20ms+5ms`."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from forebay_runtime.domain.pace import UNPACED, Pace

DeviceKind = Literal["cpu", "gpu", "simulated"]

_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,18}(?:\.[0-9]{1,18})?)(?P<unit>|Ki|Mi|Gi|Ti|k|M|G|T)")
_UNITS: Final = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_DECIMAL: Final = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_INDEX: Final = re.compile("[0-9]{1,4}")
_DURATION: Final = re.compile(r"(?P<number>[0-9]{1,18}(?:\.[0-9]{1,18})?)(?P<unit>us|ms|s)")
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


class DeviceSpecError(ValueError):
    """A device that is not named right; the message says what was found and what is possible."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """`memory_bytes` 0: what the device has."""

    kind: DeviceKind
    index: int = 0
    memory_bytes: int = 0
    pace: Pace = UNPACED


def parse_device(text: str) -> DeviceSpec:
    """Read the name of a device.

    Raises:
        DeviceSpecError: it names none.
    """
    kind, _, rest = text.partition(":")
    match kind:
        case "cpu" if not rest:
            return DeviceSpec("cpu")
        case "gpu" if not rest or _INDEX.fullmatch(rest):
            return DeviceSpec("gpu", index=int(rest or 0))
        case "simulated" if rest:
            return _simulated(rest)
        case _:
            raise DeviceSpecError(
                f"'{text}' is no device: expected cpu, gpu, gpu:INDEX, or simulated:MEMORY,pace=BASE+ITEM"
                " such as simulated:16Gi,pace=20ms+5ms"
            )


def _simulated(rest: str) -> DeviceSpec:
    memory, _, pace = rest.partition(",")
    if pace and not pace.startswith("pace="):
        raise DeviceSpecError(f"'{pace}' is no pace of a simulated device: expected pace=BASE+ITEM such as pace=20ms+5ms")
    return DeviceSpec("simulated", memory_bytes=parse_size(memory), pace=_pace(pace.removeprefix("pace=")))


def _pace(text: str) -> Pace:
    if not text:
        return UNPACED
    base, _, item = text.partition("+")
    return Pace(base_s=_seconds(base), item_s=_seconds(item) if item else 0.0)


def parse_size(text: str) -> int:
    """Bytes of `16Gi`, `512Mi`, `2G` or a plain number, as Kubernetes writes quantities.

    Raises:
        DeviceSpecError: it is no size above zero.
    """
    match = _SIZE.fullmatch(text)
    size = int(float(match["number"]) * (_UNITS | _DECIMAL)[match["unit"]]) if match else 0
    if size <= 0:
        raise DeviceSpecError(f"'{text}' is no size: expected bytes, or a number with Ki, Mi, Gi or Ti such as 16Gi")
    return size


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise DeviceSpecError(f"'{text}' is no duration: expected a number with us, ms or s such as 20ms")
    return float(match["number"]) * _SECONDS[match["unit"]]

"""Which devices this machine lends to models, as `--devices` says it.

`cpu`, `cpu:N`              N servers on the CPU, which share its memory evenly
`gpu`                       every NVIDIA GPU of this machine
`simulated:2x16Gi`          two simulated GPUs with a memory budget of 16 GiB each: real answers, computed on the CPU
`…,pace=20ms+5ms`           as slow as a GPU would be: each batch takes at least 20 ms and 5 ms an item
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from forebay_operator.api.fields import bytes_of
from forebay_operator.domain.snapshot import Capacity, DeviceClass

FORMS: Final = "cpu, cpu:N, gpu, or simulated:COUNTxMEMORY[,pace=BASE+PER_ITEM], for example simulated:2x16Gi,pace=20ms+5ms"
MOST_DEVICES: Final = 64
_SIMULATED: Final = re.compile(r"(?P<count>\d+)x(?P<memory>[^,]+)(?:,pace=(?P<pace>.+))?")
_DURATION: Final = r"\d+(?:\.\d+)?(?:us|ms|s)"
_PACE: Final = re.compile(rf"(?P<base>{_DURATION})(?:\+(?P<item>{_DURATION}))?")


class DeviceError(ValueError):
    """What `--devices` asks for cannot be; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device of this machine: one server at a time may own it."""

    index: int
    device: DeviceClass
    argument: str
    """`--device` of the server that owns it."""

    @property
    def label(self) -> str:
        """`simulated-0`, `cpu-1`: the server's name begins with it."""
        return f"{self.device.kind}-{self.index}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What the server that owns it needs: CUDA numbers GPUs as the driver does only when it is told to."""
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if self.device.kind == "gpu" else {}


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as the driver names it."""

    index: int
    product: str
    memory_bytes: int
    """What models may take of it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a description of devices is read against."""

    cpus: int
    memory_bytes: int
    gpus: Callable[[], Sequence[Gpu]]
    """Asked only when GPUs are asked for. Raises DeviceError, with the reason, where there are none."""


def devices_of(texts: Sequence[str], machine: Machine) -> tuple[Device, ...]:
    """All devices that the descriptions name together.

    Raises:
        DeviceError: one is no description of devices, names a kind twice, or names what this machine has not.
    """
    if not texts:
        return default_devices(machine)
    kinds = [text.partition(":")[0].strip() for text in texts]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise DeviceError(f"--devices {kind} is given {kinds.count(kind)} times: give each kind once, with its count")
    return tuple(device for text in texts for device in _devices(text.strip(), machine))


def default_devices(machine: Machine) -> tuple[Device, ...]:
    """Without `--devices`: the GPUs, if there are any, and the CPU."""
    on_cpu = _cpus(max(1, min(4, machine.cpus)), machine)
    try:
        return (*_gpus(machine), *on_cpu)
    except DeviceError:
        return on_cpu


def capacity_of(devices: Sequence[Device]) -> tuple[Capacity, ...]:
    """How many servers of each device class there can be."""
    classes = sorted({device.device for device in devices})
    return tuple(Capacity(device=kind, servers=sum(device.device == kind for device in devices)) for kind in classes)


def machine_memory_bytes() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _devices(text: str, machine: Machine) -> tuple[Device, ...]:
    kind, _, rest = text.partition(":")
    if kind == "cpu":
        return _cpus(_count(rest, text), machine)
    if kind == "gpu" and not rest:
        return _gpus(machine)
    if kind == "simulated":
        return _simulated(rest, text)
    raise DeviceError(f"--devices {text!r} names no devices: write {FORMS}")


def _count(text: str, whole: str) -> int:
    if not text:
        return 1
    if not text.isdecimal() or not 1 <= int(text) <= MOST_DEVICES:
        raise DeviceError(f"--devices {whole!r}: {text!r} is no count of servers, write a number from 1 to {MOST_DEVICES}")
    return int(text)


def _cpus(count: int, machine: Machine) -> tuple[Device, ...]:
    # A quarter of the memory stays for everything that is no model.
    share = machine.memory_bytes * 3 // 4 // count
    kind = DeviceClass(kind="cpu", name="cpu", memory_bytes=share)
    return tuple(Device(index, kind, "cpu") for index in range(count))


def _gpus(machine: Machine) -> tuple[Device, ...]:
    return tuple(
        Device(gpu.index, DeviceClass(kind="gpu", name=gpu.product, memory_bytes=gpu.memory_bytes), f"gpu:{gpu.index}")
        for gpu in machine.gpus()
    )


def _simulated(text: str, whole: str) -> tuple[Device, ...]:
    match = _SIMULATED.fullmatch(text)
    if match is None:
        raise DeviceError(f"--devices {whole!r}: write simulated:COUNTxMEMORY, for example simulated:2x16Gi,pace=20ms+5ms")
    count = _count(match["count"], whole)
    kind = DeviceClass(kind="simulated", name="simulated", memory_bytes=_memory(match["memory"], whole))
    argument = f"simulated:{match['memory']}{_pace(match['pace'], whole)}"
    return tuple(Device(index, kind, argument) for index in range(count))


def _memory(text: str, whole: str) -> int:
    """Above zero."""
    try:
        size = bytes_of(text)
    except ValueError:
        size = 0
    if not size:
        raise DeviceError(f"--devices {whole!r}: {text!r} is no memory size, write for example 16Gi or 512Mi")
    return size


def _pace(text: str | None, whole: str) -> str:
    if text is None:
        return ""
    match = _PACE.fullmatch(text)
    if match is None:
        raise DeviceError(
            f"--devices {whole!r}: pace {text!r} is not BASE+PER_ITEM, write for example pace=20ms+5ms (units us, ms, s)"
        )
    return f",pace={match['base']}+{match['item'] or '0ms'}"

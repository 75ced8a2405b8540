"""Which devices a model may be placed on, and what to change when there is none."""

from collections.abc import Iterable
from dataclasses import dataclass

from forebay_operator.domain.deployment import Placement
from forebay_operator.domain.snapshot import Capacity, DeviceClass, Server
from forebay_operator.domain.wording import bytes_text, listed

_CPU = "cpu"
_GPU_KINDS = ("gpu", "simulated")


@dataclass(frozen=True, slots=True)
class Suitable:
    """Device classes that a model may use, the smallest first. None of them: `reason` says why and what to do."""

    classes: tuple[DeviceClass, ...]
    reason: str = ""


def classes_of(capacity: Iterable[Capacity], servers: Iterable[Server]) -> tuple[DeviceClass, ...]:
    """Every device class that there is, the smallest first."""
    found = {entry.device for entry in capacity if entry.servers != 0}
    found.update({server.pool.device for server in servers})
    return tuple(sorted(found, key=lambda device: (device.memory_bytes, device.kind, device.name)))


def suitable(placement: Placement, provider: str, classes: tuple[DeviceClass, ...]) -> Suitable:
    """Those devices that the placement settings and the provider allow.

    `auto` takes GPUs (real or simulated) where there are any, else the CPU. The provider `cuda` needs a real GPU.
    """
    if not classes:
        return Suitable((), "There is no device at all: start Forebay with --devices, or add a node.")
    chosen = tuple(device for device in classes if _is_of_kind(device, placement.device, classes))
    if not chosen:
        return Suitable((), _no_kind(placement.device, classes))
    if placement.gpu_class is not None and placement.device != _CPU:
        named = tuple(device for device in chosen if device.name == placement.gpu_class)
        if not named:
            return Suitable((), _no_class(placement.gpu_class, chosen))
        chosen = named
    if provider == "cuda":
        return _with_cuda(chosen)
    return Suitable(chosen)


def largest_too_small(need_bytes: int, classes: tuple[DeviceClass, ...]) -> str:
    """Why no device of these will ever do; empty when one does."""
    largest = max(classes, key=lambda device: device.memory_bytes)
    if need_bytes <= largest.memory_bytes:
        return ""
    return (
        f"A replica needs {bytes_text(need_bytes)}, the largest device ({largest.name}) has "
        f"{bytes_text(largest.memory_bytes)}: use a smaller model or a smaller maxBatchSize, or add a larger device"
    )


def _is_of_kind(device: DeviceClass, asked: str, classes: tuple[DeviceClass, ...]) -> bool:
    if asked == _CPU:
        return device.kind == _CPU
    is_gpu = device.kind in _GPU_KINDS
    if asked == "gpu" or any(other.kind in _GPU_KINDS for other in classes):
        return is_gpu
    return True


def _with_cuda(chosen: tuple[DeviceClass, ...]) -> Suitable:
    real = tuple(device for device in chosen if device.kind == "gpu")
    if real:
        return Suitable(real)
    kinds = listed(sorted({_spoken(device) for device in chosen}), "or")
    return Suitable((), f"serving.provider is cuda, which {kinds} cannot be: set it to auto, or add an NVIDIA GPU.")


def _no_kind(asked: str, classes: tuple[DeviceClass, ...]) -> str:
    there = listed(sorted({_spoken(device) for device in classes}))
    other = "cpu or auto" if asked == "gpu" else "gpu or auto"
    wanted = "a GPU" if asked == "gpu" else "the CPU"
    return f"placement.device asks for {wanted}, and there is only {there}: set it to {other}, or add such a device."


def _no_class(gpu_class: str, chosen: tuple[DeviceClass, ...]) -> str:
    names = listed(sorted({device.name for device in chosen}))
    return f"placement.gpuClass asks for {gpu_class}, and there is only {names}: set it to one of these, or to any."


def _spoken(device: DeviceClass) -> str:
    return {"cpu": "the CPU", "gpu": f"the GPU {device.name}"}.get(device.kind, "a simulated GPU")

"""What NVML says of a GPU's memory. The only module that uses it."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynvml


class GpuError(RuntimeError):
    """There is no such GPU, or NVML cannot be asked."""


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    uuid: str
    total_bytes: int
    free_bytes: int


def describe(index: int) -> Gpu:
    """A GPU's name and memory.

    Raises:
        GpuError: there is none with this index, or no NVIDIA driver.
    """
    with _handle(index) as handle:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return Gpu(
            name=pynvml.nvmlDeviceGetName(handle),
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            total_bytes=int(memory.total),
            free_bytes=int(memory.free),
        )


def used_by_this_process(index: int) -> int:
    """Bytes that this process holds on the GPU; all that is used, where NVML cannot tell processes apart (containers).

    Raises:
        GpuError: NVML cannot be asked.
    """
    with _handle(index) as handle:
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if process.pid == os.getpid() and process.usedGpuMemory:
                return int(process.usedGpuMemory)
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


@contextmanager
def _handle(index: int) -> Generator[Any]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise GpuError(f"there is no NVIDIA GPU that can be used here: {error}") from None
    try:
        count = pynvml.nvmlDeviceGetCount()
        if index >= count:
            raise GpuError(f"there is no GPU {index}: this machine has {count}, counted from 0")
        yield pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:
        raise GpuError(f"NVML cannot tell about GPU {index}: {error}") from None
    finally:
        pynvml.nvmlShutdown()

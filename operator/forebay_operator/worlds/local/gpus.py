"""The NVIDIA GPUs of this machine, as the driver's management library names them."""

import importlib.util
from collections.abc import Sequence
from typing import Any

from forebay_operator.worlds.gpu_memory import usable_bytes
from forebay_operator.worlds.local.devices import DeviceError, Gpu


def gpus_of_this_machine() -> Sequence[Gpu]:
    """Every GPU, in the driver's order.

    Raises:
        DeviceError: there is none, or the driver does not answer; the message says what is missing.
    """
    if importlib.util.find_spec("pynvml") is None:
        raise DeviceError("GPUs cannot be listed: install the runtime-gpu extra (pip install 'forebay[runtime-gpu]')")
    import pynvml  # noqa: PLC0415 - only where GPUs are asked for, and it may be absent

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise DeviceError(
            f"this machine has no usable NVIDIA GPU ({error}): use --devices cpu or --devices simulated:2x16Gi"
        ) from None
    try:
        return [_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    product = nvml.nvmlDeviceGetName(handle).replace(" ", "-")
    return Gpu(index=index, product=product, memory_bytes=usable_bytes(nvml.nvmlDeviceGetMemoryInfo(handle).total))

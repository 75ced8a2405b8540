"""The device a server owns: what memory it has, and what a model was seen to take of it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from forebay_runtime.domain.device_spec import DeviceKind, DeviceSpec
from forebay_runtime.domain.pace import UNPACED, Pace
from forebay_runtime.engine import gpu_memory
from forebay_runtime.engine.onnx_session import Provider, prepare, shrink

_CPU_SHARE: Final = 0.8
"""What models may take of a machine's memory by default: the rest is for requests and everything else."""


# On CPUs, for each model.
_MOST_INSTANCES: Final = 4
_MOST_THREADS: Final = 8


class Device(Protocol):
    """One device. `used_bytes` is read before and after a load: its growth is what the model takes."""

    @property
    def kind(self) -> DeviceKind: ...
    @property
    def name(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def total_bytes(self) -> int: ...
    @property
    def provider(self) -> Provider: ...
    @property
    def default_instances(self) -> int:
        """How many batches of a model run at once, where its configuration does not say."""
        ...

    def threads(self, instances: int) -> int:
        """How many threads an operator may use, with so many instances of its model."""
        ...

    @property
    def pace(self) -> Pace: ...
    def settle(self) -> None:
        """Before `used_bytes` is read: give back what is kept for later, so that it does not pass for a new model's."""
        ...

    def used_bytes(self) -> int: ...
    def footprint(self, grown_bytes: int, file_bytes: int, estimate_bytes: int) -> int: ...


@dataclass(frozen=True, slots=True)
class CpuDevice:
    """The processor of this machine; a footprint is the growth of the process's resident memory."""

    total_bytes: int
    kind: DeviceKind = "cpu"
    name: str = "cpu"
    index: int = 0
    provider: Provider = "cpu"
    pace: Pace = UNPACED

    @property
    def default_instances(self) -> int:
        return min(_MOST_INSTANCES, usable_cores())

    def threads(self, instances: int) -> int:
        # Each instance brings a thread; the cores that they leave are shared by all of them.
        return max(1, min(_MOST_THREADS, usable_cores() - instances + 1))

    def settle(self) -> None:
        shrink()

    def used_bytes(self) -> int:
        return resident_bytes()

    def footprint(self, grown_bytes: int, file_bytes: int, estimate_bytes: int) -> int:  # noqa: ARG002 - measured here
        # Freed pages that are used again do not show as growth: a model never takes less than its file.
        return max(grown_bytes, file_bytes)


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """An NVIDIA GPU; a footprint is what NVML sees this process take more."""

    index: int
    name: str
    total_bytes: int
    kind: DeviceKind = "gpu"
    provider: Provider = "cuda"
    pace: Pace = UNPACED
    default_instances: int = 1

    def threads(self, instances: int) -> int:  # noqa: ARG002 - the GPU does the work
        return 1

    def settle(self) -> None:
        """Each model keeps memory of its own."""

    def used_bytes(self) -> int:
        return gpu_memory.used_by_this_process(self.index)

    def footprint(self, grown_bytes: int, file_bytes: int, estimate_bytes: int) -> int:  # noqa: ARG002 - measured here
        return max(grown_bytes, file_bytes)


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """A GPU that is not there: real answers from the CPU, memory and pace as told; the estimate is the footprint."""

    total_bytes: int
    pace: Pace
    kind: DeviceKind = "simulated"
    name: str = "simulated"
    index: int = 0
    provider: Provider = "cpu"
    default_instances: int = 1

    def threads(self, instances: int) -> int:  # noqa: ARG002 - several of them share a machine
        return 1

    def settle(self) -> None:
        """Nothing is measured."""

    def used_bytes(self) -> int:
        return 0

    def footprint(self, grown_bytes: int, file_bytes: int, estimate_bytes: int) -> int:  # noqa: ARG002 - not measured here
        return estimate_bytes


def open_device(spec: DeviceSpec, memory_bytes: int = 0) -> Device:
    """The device of the command line; `memory_bytes` above 0 replaces what it would offer.

    Raises:
        SessionError: this environment's onnxruntime cannot use it.
        GpuError: there is no such GPU.
    """
    if spec.kind != "gpu":
        prepare("cpu")
    match spec.kind:
        case "cpu":
            return CpuDevice(memory_bytes or int(machine_memory() * _CPU_SHARE))
        case "simulated":
            return SimulatedDevice(memory_bytes or spec.memory_bytes, spec.pace)
        case "gpu":
            gpu = gpu_memory.describe(spec.index)
            prepare("cuda", spec.index)
            return GpuDevice(spec.index, gpu.name, memory_bytes or gpu.free_bytes)


def usable_cores() -> int:
    """Cores that this process may use: those it may run on, or fewer where its cgroup has a quota; at least 1."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    return max(1, min(cores, round(int(quota) / int(period)))) if quota.isdigit() else cores


def resident_bytes() -> int:
    """Memory that this process takes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def machine_memory() -> int:
    """Bytes that this process may use: the machine's, or less where its cgroup says so."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return physical
    return min(physical, int(limit)) if limit.isdigit() else physical

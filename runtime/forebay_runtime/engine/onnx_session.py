"""ONNX models in onnxruntime. The only module that imports it."""

import copy
import ctypes
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

# onnxruntime reports home unless this is set before it is imported: our users' models are nobody's business.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import numpy.typing as npt
import onnxruntime

from forebay_runtime.protocol.datatypes import BYTES, DATATYPES, Datatype
from forebay_runtime.protocol.model_config import ModelInterface, ModelTensor

Array = npt.NDArray[Any]
Provider = Literal["cpu", "cuda"]

_PROVIDERS: Final[dict[Provider, str]] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# What fails is raised, and logged by us in one form; onnxruntime need not write it as well.
_FATAL_ONLY: Final = 4
_AS_REQUESTED: Final = 1
_CHOSEN_BY_ONNXRUNTIME: Final = ("initial_chunk_size_bytes", "max_dead_bytes_per_chunk", "initial_growth_chunk_size_bytes")
_TIMED_RUNS: Final = 5
_NO_MEMORY: Final = "bad_alloc"
_CPU_NODES: Final = "graph nodes that are assigned to the default CPU EP"
# An ONNX file: y = Identity(x), FP32[1], opset 13, IR 8.
_PROBE: Final = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)

_DATATYPES: Final[dict[str, Datatype]] = {
    "tensor(bool)": DATATYPES["BOOL"],
    "tensor(uint8)": DATATYPES["UINT8"],
    "tensor(uint16)": DATATYPES["UINT16"],
    "tensor(uint32)": DATATYPES["UINT32"],
    "tensor(uint64)": DATATYPES["UINT64"],
    "tensor(int8)": DATATYPES["INT8"],
    "tensor(int16)": DATATYPES["INT16"],
    "tensor(int32)": DATATYPES["INT32"],
    "tensor(int64)": DATATYPES["INT64"],
    "tensor(float16)": DATATYPES["FP16"],
    "tensor(float)": DATATYPES["FP32"],
    "tensor(double)": DATATYPES["FP64"],
    "tensor(string)": BYTES,
}


class SessionError(RuntimeError):
    """A model that onnxruntime does not load or run, or not where it was asked to."""


class RunInterruptedError(SessionError):
    """A run that was stopped because it took too long."""


def check_provider(provider: Provider) -> None:
    """Make sure that this environment's onnxruntime knows the provider.

    Raises:
        SessionError: it does not; the message says what to install.
    """
    if _PROVIDERS[provider] not in onnxruntime.get_available_providers():
        raise SessionError(
            f"the onnxruntime of this environment ({onnxruntime.__version__}) has no {_PROVIDERS[provider]}:"
            " install forebay[runtime-gpu] for GPUs"
        )


def share_memory(limit_bytes: int) -> None:
    """Let all sessions on the CPU that are made from now on take their memory from one arena of at most this size.

    An arena of a session's own doubles what it asks the system for: after one request for more than there is, it would ask
    for all that is left as soon as it is used again, and every other model would be without. Does nothing when repeated.

    Raises:
        SessionError: onnxruntime refuses.
    """
    if _Shared.arena:
        return
    where = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    how = {"max_mem": limit_bytes, "arena_extend_strategy": _AS_REQUESTED, **dict.fromkeys(_CHOSEN_BY_ONNXRUNTIME, -1)}
    try:
        onnxruntime.create_and_register_allocator(where, onnxruntime.OrtArenaCfg(how))
    except Exception as error:
        raise SessionError(f"onnxruntime cannot bound its memory: {_first_line(error)}") from None
    _Shared.arena = True


def shrink() -> None:
    """Give back to the system what the arena that all sessions share keeps for later runs."""
    if _Shared.arena:
        _shrink(_session(_PROBE, "cpu", 0), {"x": np.zeros(1, np.float32)}, "cpu:0")


def _shrink(session: Any, inputs: Mapping[str, Array], arenas: str) -> None:
    options = onnxruntime.RunOptions()
    # It is done at the end of a run, also of one that is stopped before it begins.
    options.terminate = True
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", arenas)
    with suppress(Exception):
        session.run(None, inputs, options)
    # What onnxruntime frees stays with the C library where it was taken by another thread than the first.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


class _Shared:
    """What onnxruntime has once in a process."""

    arena = False


def prepare(provider: Provider, device_index: int = 0) -> None:
    """Run a model of one node, so that what the provider takes once is not counted as the first model's.

    Raises:
        SessionError: the provider is not there, or does not work on this machine.
    """
    check_provider(provider)
    try:
        session = _session(_PROBE, provider, device_index)
        session.run(None, {"x": np.zeros(1, np.float32)})
    except Exception as error:
        raise SessionError(f"{_PROVIDERS[provider]} does not work on this machine: {_first_line(error)}") from None
    if session.get_providers()[0] != _PROVIDERS[provider]:
        raise SessionError(f"{_PROVIDERS[provider]} does not work on this machine: onnxruntime fell back to the CPU")


class OnnxSession:
    """A loaded model. `run` may be called by several threads at once; it releases the GIL."""

    def __init__(self, model: Path, provider: Provider, device_index: int = 0, threads: int = 1) -> None:
        """Load the model file; an operator may use so many threads.

        Raises:
            SessionError: it cannot be loaded, or not on the provider asked for.
        """
        check_provider(provider)
        try:
            self._session = _session(os.fspath(model), provider, device_index, threads)
            self.provider: str = provider
        except Exception as error:
            if _CPU_NODES not in str(error):
                raise SessionError(f"onnxruntime cannot load {model.name}: {_why_not_loaded(error)}") from None
            self._session = _session(os.fspath(model), provider, device_index, threads, nodes_on_cpu=True)
            self.provider = provider_used(_assigned(self._session), _PROVIDERS[provider])
        self._options = onnxruntime.RunOptions()
        self._arenas_beside = f";gpu:{device_index}" if provider == "cuda" else ""
        used = self._session.get_providers()
        if used[0] != _PROVIDERS[provider]:
            raise SessionError(f"asked for {_PROVIDERS[provider]}, onnxruntime fell back to {', '.join(used)}")
        self.interface = ModelInterface(
            inputs=tuple(_tensor(node) for node in self._session.get_inputs()),
            outputs=tuple(_tensor(node) for node in self._session.get_outputs()),
        )

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        """The outputs, in the order of their names.

        Raises:
            RunInterruptedError: it was interrupted meanwhile.
            SessionError: the model failed on these inputs.
        """
        options = self._options
        try:
            results: list[Array] = self._session.run(output_names, inputs, options)
        except Exception as error:
            if options.terminate:
                self.shrink()
                raise RunInterruptedError("the model was stopped: it took too long with these inputs") from None
            raise SessionError(f"onnx runtime error: {_first_line(error)}") from None
        return results

    def interrupt(self) -> None:
        """Stop what runs now, after the operator at which it is; called in any thread."""
        options, self._options = self._options, onnxruntime.RunOptions()
        options.terminate = True

    def twin(self) -> "OnnxSession":
        """The same model for another thread: interrupting one does not interrupt the other."""
        twin = copy.copy(self)
        twin._options = onnxruntime.RunOptions()  # noqa: SLF001 - of its own class
        return twin

    def shrink(self) -> None:
        """Give the memory that onnxruntime keeps for later runs back to the system."""
        inputs = {tensor.name: _zeros(tensor, 0) for tensor in self.interface.inputs}
        _shrink(self._session, inputs, f"cpu:0{self._arenas_beside}")

    def warm_up(self, rows: int) -> None:
        """Run once on zeros with this many rows (0: the model takes no batches), so that memory is what it will be.

        Raises:
            SessionError: the model failed. Some models rightly fail on zeros; the caller decides what that means.
        """
        inputs = {tensor.name: _zeros(tensor, rows) for tensor in self.interface.inputs}
        self.run([tensor.name for tensor in self.interface.outputs], inputs)

    def seconds_per_run(self, rows: int) -> float:
        """The shortest time of a few runs on zeros with this many rows.

        Raises:
            SessionError: the model failed.
        """
        fastest = math.inf
        for _ in range(_TIMED_RUNS):
            start = time.perf_counter()
            self.warm_up(rows)
            fastest = min(fastest, time.perf_counter() - start)
        return fastest


def provider_used(assigned: Mapping[str, Sequence[str]], wanted: str) -> str:
    """What to report of a model that is not on the GPU as a whole: `assigned` has the operators by provider.

    onnxruntime leaves small work on shapes to the CPU by design. That is said, as `cuda+cpu`; a model with nothing on the
    GPU is refused.

    Raises:
        SessionError: none of the model runs on the provider wanted.
    """
    if not assigned.get(wanted):
        operators = sorted({operator for operators in assigned.values() for operator in operators})
        raise SessionError(
            f"{wanted} runs none of this model's operators ({', '.join(operators)}): place it on a device of kind cpu"
        )
    return "cuda+cpu"


def _assigned(session: Any) -> dict[str, list[str]]:
    assigned: dict[str, list[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        assigned.setdefault(part.ep_name, []).extend(node.op_type for node in part.get_nodes())
    return assigned


def _session(
    model: str | bytes, provider: Provider, device_index: int, threads: int = 1, *, nodes_on_cpu: bool = False
) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    # Spinning would eat the event loop's core.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider == "cuda":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "0" if nodes_on_cpu else "1")
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        providers: list[Any] = [(_PROVIDERS["cuda"], {"device_id": str(device_index)})]
    else:
        options.add_session_config_entry("session.use_env_allocators", "1" if _Shared.arena else "0")
        providers = [_PROVIDERS["cpu"]]
    return onnxruntime.InferenceSession(model, options, providers=providers)


def _tensor(node: Any) -> ModelTensor:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise SessionError(f"tensor '{node.name}' is of type {node.type}, which the protocol cannot carry")
    shape = tuple(dim if isinstance(dim, int) else -1 for dim in node.shape)
    return ModelTensor(node.name, datatype, shape)


def _zeros(tensor: ModelTensor, rows: int) -> Array:
    shape = [1 if dim == -1 else dim for dim in tensor.shape]
    if rows and shape:
        shape[0] = rows
    if tensor.datatype is BYTES:
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, tensor.datatype.dtype)


def _why_not_loaded(error: Exception) -> str:
    said = _first_line(error)
    if not isinstance(error, MemoryError) and _NO_MEMORY not in said:
        return said
    return f"there is too little memory left for it ({said or _NO_MEMORY}): give the server more, or have it hold less"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]

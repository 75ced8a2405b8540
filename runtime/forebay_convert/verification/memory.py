"""How much memory a model needs at each batch size: measured here where that is quick, with a static floor under it."""

import gc
import time
from collections.abc import Sequence
from math import prod

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from forebay_convert.graphs import tensors_of
from forebay_convert.samples import Samples
from forebay_convert.sessions import RunError, Session

ACTIVATION_FACTOR = 3
"""A static sum of activations was found 2 to 4 times below what was then measured."""
RESERVE = 1.25
"""On top of what was measured: allocators round up, and another machine's differ."""
_MIB = 1 << 20
_OPEN_DIMENSION = 8


def batch_sizes(largest: int) -> list[int]:
    """1, 2, 4 … and the largest."""
    sizes = [1]
    while sizes[-1] * 2 < largest:
        sizes.append(sizes[-1] * 2)
    return sizes if largest <= 1 else [*sizes, largest]


def estimate(
    content: bytes, model: ModelProto, samples: Samples, sizes: Sequence[int], budget_s: float
) -> tuple[list[tuple[int, int]], Session]:
    """Bytes for each batch size, and the session they were measured with.

    Sizes that would take longer than the budget are extrapolated from the static estimate.
    """
    gc.collect()
    before = own_memory()
    session = Session(content, "verify")
    measured = dict[int, int]()
    started = time.perf_counter()
    for size in sizes:
        if not _answers(session, samples, size):
            break
        measured[size] = max(0, own_memory() - before)
        if time.perf_counter() - started > budget_s:
            break
    return [(size, _with_reserve(_bytes(model, size, measured))) for size in sizes], session


def own_memory() -> int:
    """This process's own memory in bytes, mapped files not counted; 0 where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            rows = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return 0
    return int(rows["RssAnon"].split()[0]) << 10 if "RssAnon" in rows else 0


def static_bytes(model: ModelProto, batch_size: int) -> int:
    """Weights, and `ACTIVATION_FACTOR` times the inputs, the outputs and the two largest tensors between them."""
    graph = model.graph
    weights = sum(_size(tensor.dims, tensor.data_type) for tensor in tensors_of(graph))
    between = sorted((_value_size(value, batch_size) for value in graph.value_info), reverse=True)[:2]
    ends = sum(_value_size(value, batch_size) for value in (*graph.input, *graph.output))
    return weights + ACTIVATION_FACTOR * (ends + sum(between))


def _answers(session: Session, samples: Samples, size: int) -> bool:
    try:
        session.run(samples.repeated(size) if samples.batched else samples.calls(1)[0])
    except RunError:
        return False
    return True


def _bytes(model: ModelProto, size: int, measured: dict[int, int]) -> int:
    static = static_bytes(model, size)
    if size in measured or not measured:
        return max(static, measured.get(size, 0))
    last = max(measured)
    return max(static, measured[last] + max(0, static - static_bytes(model, last)))


def _with_reserve(count: int) -> int:
    """Rounded up to whole MiB: the rest is noise, and would give the same model different manifests."""
    return -(-int(count * RESERVE) // _MIB) * _MIB


def _value_size(value: ValueInfoProto, batch_size: int) -> int:
    tensor = value.type.tensor_type
    sizes = [dimension.dim_value or _OPEN_DIMENSION for dimension in tensor.shape.dim]
    if sizes and not tensor.shape.dim[0].dim_value:
        sizes[0] = batch_size
    return _size(sizes, tensor.elem_type)


def _size(dimensions: Sequence[int], element: int) -> int:
    if element in (TensorProto.UNDEFINED, TensorProto.STRING):
        return 16 * prod(dimensions)
    return prod(dimensions) * int(helper.tensor_dtype_to_np_dtype(element).itemsize)

"""`python -m forebay_runtime.protocol.reading`: reads descriptions of requests that are so large that reading them takes long.

A process of its own, since everything that reads them holds Python's lock meanwhile. It takes one question at a time on
standard input and answers on standard output; see `ask` for what goes over the pipes, which nobody else has an end of.
"""

import pickle
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Final

import numpy as np

from forebay_runtime.protocol import infer_grpc, infer_json
from forebay_runtime.protocol.errors import InternalError, RequestError
from forebay_runtime.protocol.inference import InferPlan
from forebay_runtime.protocol.signature import ModelSignature


def _grpc_plan(description: bytes, signature: ModelSignature, raw: bool) -> InferPlan:
    return infer_grpc.plan(description, signature, raw=raw)


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "http": infer_json.plan,
    "grpc": _grpc_plan,
    "target": infer_grpc.target,
}
_COUNT: Final = struct.Struct("<Q")


def ask(to: BinaryIO, answers: BinaryIO, function: str, description: bytes | memoryview, *rest: Any) -> Any:
    """Have one of the functions called over there with these arguments; its result.

    Raises:
        RequestError: it refused.
        EOFError: there is nobody over there any more.
        OSError: the same.
    """
    _send(to, pickle.dumps((function, rest)), [memoryview(description)])
    head, buffers = _receive(answers)
    result = pickle.loads(head, buffers=buffers)
    if isinstance(result, RequestError):
        raise result
    return result


def serve(questions: BinaryIO, to: BinaryIO) -> None:
    """Answer until there are no more questions."""
    while True:
        try:
            head, buffers = _receive(questions)
        except EOFError:
            return
        function, rest = pickle.loads(head)
        result = _result(function, bytes(buffers[0]), rest)
        parts: list[pickle.PickleBuffer] = []
        described = pickle.dumps(result, protocol=5, buffer_callback=parts.append)
        _send(to, described, [part.raw() for part in parts])
        # What one question took must not lie there beside what the next one takes.
        del buffers, result, parts, rest


def _result(function: str, description: bytes, rest: Sequence[Any]) -> Any:
    try:
        return _FUNCTIONS[function](description, *rest)
    except RequestError as error:
        return error
    except Exception:
        traceback.print_exc()
        return InternalError("internal error, see the server's log")


def _send(to: BinaryIO, head: bytes, buffers: Sequence[memoryview]) -> None:
    to.write(_COUNT.pack(len(head)) + head + _COUNT.pack(len(buffers)))
    for buffer in buffers:
        to.write(_COUNT.pack(buffer.nbytes))
        to.write(buffer)
    to.flush()


def _receive(source: BinaryIO) -> tuple[memoryview, list[memoryview]]:
    head = _block(source, _number(source))
    return head, [_block(source, _number(source)) for _ in range(_number(source))]


def _number(source: BinaryIO) -> int:
    return int(_COUNT.unpack(_block(source, _COUNT.size))[0])


def _block(source: BinaryIO, size: int) -> memoryview:
    block = np.empty(size, np.uint8).data
    filled = 0
    while filled < size:
        count = source.readinto(block[filled:])  # type: ignore[attr-defined] # typeshed has it for the classes only
        if not count:
            raise EOFError
        filled += count
    return block


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)

"""Requests that work as pasted: for a shell with curl, and for one with Python and tritonclient."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_VARIES: Final = 8
"""What stands for a dimension that varies and is no batch: a short sequence, a small picture."""
_MOST_INLINE: Final = 256
"""Elements of a payload that is still written out."""
_NUMPY: Final = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object_",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a model answers, and what it takes."""

    namespace: str
    name: str
    http_port: int
    grpc_port: int
    inputs: Sequence[Mapping[str, Any]]
    output: str
    """The name of an output to show."""
    batching: bool
    by_host: bool = False
    """Name it by its host also where its path would be enough."""

    @property
    def host(self) -> str:
        """The name by which the gateway knows the model, whatever the path says."""
        return f"{self.name}.{self.namespace}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/v2/models/{self.name}/infer"


def curl_line(target: Target) -> str:
    """A request over HTTP with a payload written out, or made by Python where it would be too long to paste."""
    header = "" if target.namespace == "default" and not target.by_host else f" -H 'Host: {target.host}'"
    base = f"curl -s{header} {target.url}"
    if sum(math.prod(shape_of(tensor, target)) for tensor in target.inputs) <= _MOST_INLINE:
        return f"{base} -d {shlex.quote(json.dumps(_body(target)))}"
    inputs = ", ".join(_long_input(tensor, target) for tensor in target.inputs)
    code = f"import json; print(json.dumps({{'inputs': [{inputs}]}}))"
    return f'python3 -c "{code}" | {base} -d @-'


def python_line(target: Target, python: str) -> str:
    """The same with tritonclient over HTTP."""
    headers = "" if target.namespace == "default" else f", headers={{'Host': '{target.host}'}}"
    opened = f"c = t.InferenceServerClient('127.0.0.1:{target.http_port}')"
    return _python(target, python, "tritonclient.http", opened, headers)


def grpc_line(target: Target, python: str) -> str:
    """The same over gRPC, where the model is named by the channel's authority."""
    authority = f"channel_args=[('grpc.default_authority', '{target.host}')]"
    opened = f"c = t.InferenceServerClient('127.0.0.1:{target.grpc_port}', {authority})"
    return _python(target, python, "tritonclient.grpc", opened, "")


def shape_of(tensor: Mapping[str, Any], target: Target) -> list[int]:
    """A shape that fits: a batch of one, and something small for what else varies."""
    shape = [int(dimension) for dimension in tensor["shape"]]
    sized = [dimension if dimension > 0 else _VARIES for dimension in shape]
    return [1, *sized[1:]] if sized and shape[0] < 0 and (target.batching or len(shape) > 1) else sized


def _python(target: Target, python: str, module: str, opened: str, more: str) -> str:
    inputs = ", ".join(_infer_input(tensor, target) for tensor in target.inputs)
    arrays = enumerate(_array(tensor, target) for tensor in target.inputs)
    fill = "; ".join(f"i[{index}].set_data_from_numpy({array})" for index, array in arrays)
    code = (
        f"import numpy as np, {module} as t; {opened}; i = [{inputs}]; {fill};"
        f" print(c.infer('{target.name}', i{more}).as_numpy('{target.output}'))"
    )
    return f'{python} -c "{code}"'


def _infer_input(tensor: Mapping[str, Any], target: Target) -> str:
    return f"t.InferInput('{tensor['name']}', {shape_of(tensor, target)}, '{tensor['datatype']}')"


def _array(tensor: Mapping[str, Any], target: Target) -> str:
    kind = _NUMPY.get(tensor["datatype"], "float32")
    return f"np.full({shape_of(tensor, target)}, {_value(tensor)!r}, np.{kind})"


def _body(target: Target) -> dict[str, Any]:
    return {
        "inputs": [
            {
                "name": tensor["name"],
                "shape": shape_of(tensor, target),
                "datatype": tensor["datatype"],
                "data": [_value(tensor)] * math.prod(shape_of(tensor, target)),
            }
            for tensor in target.inputs
        ]
    }


def _long_input(tensor: Mapping[str, Any], target: Target) -> str:
    shape = shape_of(tensor, target)
    data = f"[{_value(tensor)!r}] * {math.prod(shape)}"
    return f"{{'name': '{tensor['name']}', 'shape': {shape}, 'datatype': '{tensor['datatype']}', 'data': {data}}}"


def _value(tensor: Mapping[str, Any]) -> bool | int | float | str:
    kind = str(tensor["datatype"])
    if kind == "BOOL":
        return True
    if kind == "BYTES":
        return "text"
    return 0.5 if kind.startswith(("FP", "BF")) else 1

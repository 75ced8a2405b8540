"""Reading ONNX graphs: their operators, tensors and promises, and the form in which every server can load them."""

from collections.abc import Iterable, Iterator

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from forebay_convert.reports import RefusalError
from forebay_convert.tensors import Tensor, datatype_of

BATCH = "batch"
NEWEST_OPSETS = {"": 22, "ai.onnx.ml": 5}
"""The operator sets that every onnxruntime we serve with knows; other domains are refused."""
NEWEST_IR = 10
LARGEST_BYTES = (2 << 30) - (1 << 20)
"""Beyond this protobuf cannot hold a model in one file."""

_STANDARD = ("", "ai.onnx")
_MOST_NAMED = 5


def parse(content: bytes, name: str) -> ModelProto:
    """Read a model.

    Raises:
        RefusalError: this is no ONNX, or not all of it.
    """
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's own class depends on its backend
        raise _no_onnx(name, "it does not parse") from error
    if not model.graph.node or not model.opset_import:
        raise _no_onnx(name, "it holds no graph")
    if not inputs_of(model):
        raise RefusalError("load", f"{name} has no inputs, so there is nothing to ask it.", "Export it with its inputs.")
    return model


def _no_onnx(name: str, why: str) -> RefusalError:
    return RefusalError(
        "load",
        f"{name} is no ONNX model, or only a part of one: {why}.",
        "Check that the upload was complete (a sha256 in the source finds that at once), or set the right format.",
    )


def nodes_of(graph: GraphProto) -> Iterator[NodeProto]:
    """Every node, those of nested graphs included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for nested in _graphs_of(attribute):
                yield from nodes_of(nested)


def tensors_of(graph: GraphProto) -> Iterator[TensorProto]:
    """Every constant, those of nested graphs and attributes included."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from _tensors_of_attribute(attribute)


def _tensors_of_attribute(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    for sparse in (*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else ()), *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)
    for nested in _graphs_of(attribute):
        yield from tensors_of(nested)


def _graphs_of(attribute: AttributeProto) -> Iterator[GraphProto]:
    if attribute.type == AttributeProto.GRAPH:
        yield attribute.g
    yield from attribute.graphs


def opsets_of(model: ModelProto) -> dict[str, int]:
    """The newest version asked for of each domain; converters may name a domain twice."""
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain in _STANDARD else entry.domain
        versions[domain] = max(versions.get(domain, 0), entry.version)
    return versions


def inputs_of(model: ModelProto) -> list[ValueInfoProto]:
    """What a request has to bring: a graph's inputs without those that have a constant default."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def tensor_of(value: ValueInfoProto, role: str) -> Tensor:
    """An input or output as the v2 protocol describes it.

    Raises:
        RefusalError: it is no tensor, or of a type that the protocol cannot carry.
    """
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "nothing"
        raise RefusalError(
            "convert",
            f"The {role} {value.name!r} is a {kind.removesuffix('_type')}, not a tensor.",
            "Export the model with tensors only.",
        )
    tensor = value.type.tensor_type
    datatype = datatype_of(tensor.elem_type)
    if datatype is None:
        found = TensorProto.DataType.Name(tensor.elem_type)
        raise RefusalError(
            "convert",
            f"The {role} {value.name!r} is of type {found}, which the inference protocol cannot carry.",
            "Export the model with a usual type, for example float32.",
        )
    return Tensor(value.name, datatype, _shape(value))


def _shape(value: ValueInfoProto) -> tuple[int, ...]:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else -1 for d in dimensions)


def is_batched(model: ModelProto) -> bool:
    """Whether the first dimension of every input and output varies, and among the inputs, as far as named, under one name.

    An output whose shape is not known counts as one that does.
    """
    inputs = inputs_of(model)
    known = [*inputs, *(value for value in model.graph.output if value.type.tensor_type.HasField("shape"))]
    if not inputs or not all(shape and shape[0] == -1 for shape in map(_shape, known)):
        return False
    names = {value.type.tensor_type.shape.dim[0].dim_param for value in inputs}
    return len(names - {""}) <= 1


def refuse_external_data(model: ModelProto) -> None:
    """Weights that lie in other files are refused: the artifact is one file, and a path may point anywhere.

    Raises:
        RefusalError: a tensor's data is outside the file.
    """
    in_functions = (tensor for function in model.functions for tensor in _tensors_of_nodes(function.node))
    for tensor in (*tensors_of(model.graph), *in_functions):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise RefusalError(
                "load",
                f"The model keeps the data of {tensor.name!r} in another file, which is not read.",
                "Save the model as one file: onnx.save(onnx.load(path), 'one-file.onnx', save_as_external_data=False).",
            )


def refuse_unknown_operators(model: ModelProto) -> None:
    """Operators that our servers cannot run are named.

    Raises:
        RefusalError: an operator is of a foreign domain, or its operator set does not have it.
    """
    opsets = opsets_of(model)
    unknown = sorted({_qualified(node) for node in nodes_of(model.graph) if not _is_known(node, opsets)})
    if unknown:
        named = ", ".join(unknown[:_MOST_NAMED]) + (" and others" if len(unknown) > _MOST_NAMED else "")
        raise RefusalError(
            "load",
            f"The model uses operators that no server of ours knows: {named} (opset {opsets.get('', 0)}).",
            "Export it with standard operators only (domains '' and ai.onnx.ml).",
        )


def _qualified(node: NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain not in _STANDARD else node.op_type


def _is_known(node: NodeProto, opsets: dict[str, int]) -> bool:
    domain = "" if node.domain in _STANDARD else node.domain
    if domain not in NEWEST_OPSETS:
        return False
    version = min(opsets.get(domain, 0), onnx.defs.onnx_opset_version() if domain == "" else opsets.get(domain, 0))
    return onnx.defs.has(node.op_type, version, domain)


def refuse_unserved_form(model: ModelProto) -> None:
    """What is published must be loaded by every server, also by those with an older onnxruntime.

    Raises:
        RefusalError: its format or operator sets are too new, or functions of its own or graphs for training are left in it.
    """
    opsets = opsets_of(model)
    too_new = [domain for domain, version in opsets.items() if version > NEWEST_OPSETS.get(domain, 0)]
    parts = bool(model.functions or model.training_info)
    if too_new or parts or model.ir_version > NEWEST_IR or len(model.opset_import) != len(opsets):
        raise RefusalError(
            "verify",
            f"The converted model is not in the form that is served: IR {model.ir_version}, operator sets {opsets}.",
            f"At most IR {NEWEST_IR}, opset {NEWEST_OPSETS['']} and ai.onnx.ml {NEWEST_OPSETS['ai.onnx.ml']} are.",
        )

"""Edits of a graph's outputs: their names, and which of them there are."""

from onnx import GraphProto, ValueInfoProto, helper


def width_of(output: ValueInfoProto) -> int | None:
    """Values in each row, where the graph says so."""
    dimensions = output.type.tensor_type.shape.dim
    if len(dimensions) == 1:
        return 1
    sizes = [dimension.dim_value for dimension in dimensions[1:]]
    if not sizes or 0 in sizes:
        return None
    width = 1
    for size in sizes:
        width *= size
    return width


def drop_output(graph: GraphProto, name: str) -> None:
    """Leave an output out; what computes it goes as well as far as nothing else needs it."""
    kept = [output for output in graph.output if output.name != name]
    del graph.output[:]
    graph.output.extend(kept)
    _drop_unread_nodes(graph)


def rename_output(graph: GraphProto, former: str, name: str) -> None:
    graph.node.append(helper.make_node("Identity", [former], [name], name=f"{former}_as_{name}"))
    for output in graph.output:
        if output.name == former:
            output.name = name


def _drop_unread_nodes(graph: GraphProto) -> None:
    while True:
        read = {output.name for output in graph.output} | {name for node in graph.node for name in node.input}
        unread = [node for node in graph.node if not read & set(node.output) and not _has_nested_graphs(graph)]
        if not unread:
            return
        for node in unread:
            graph.node.remove(node)


def _has_nested_graphs(graph: GraphProto) -> bool:
    """Nested graphs read names from outside that no node lists."""
    return any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute)

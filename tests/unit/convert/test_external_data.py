"""Weights in other files are refused wherever in a model they are named."""

import numpy as np
import pytest
from onnx import AttributeProto, ModelProto, SparseTensorProto, TensorProto, helper

from convert_onnx import a_model, a_network, one_node, with_a_function
from forebay_convert.graphs import refuse_external_data, refuse_unserved_form
from forebay_convert.reports import RefusalError
from forebay_convert.source.normal_form import normalise

FLOAT = TensorProto.FLOAT


def elsewhere(name: str = "w") -> TensorProto:
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    return tensor


def with_constant(attribute: AttributeProto) -> ModelProto:
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.append(attribute)
    nodes = [constant, helper.make_node("Add", ["x", "w"], ["y"])]
    return a_model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4])})


def in_a_sparse_constant() -> ModelProto:
    sparse = SparseTensorProto(values=elsewhere(), indices=TensorProto(data_type=TensorProto.INT64, dims=[4]), dims=[4])
    return with_constant(AttributeProto(name="sparse_value", type=AttributeProto.SPARSE_TENSOR, sparse_tensor=sparse))


def in_a_branch() -> ModelProto:
    branch = with_constant(AttributeProto(name="value", type=AttributeProto.TENSOR, t=elsewhere())).graph
    del branch.input[:]
    node = helper.make_node("If", ["is"], ["y"], then_branch=branch, else_branch=branch)
    constants = {"is": np.array(True)}
    return a_model([node], {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4])}, constants=constants)


def in_a_function() -> ModelProto:
    model = with_a_function()
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.append(AttributeProto(name="value", type=AttributeProto.TENSOR, t=elsewhere()))
    model.functions[0].node.insert(0, constant)
    return model


def in_an_initializer() -> ModelProto:
    model = one_node("Tanh")
    model.graph.initializer.append(elsewhere())
    return model


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(in_an_initializer(), id="initializer"),
        pytest.param(with_constant(AttributeProto(name="value", type=AttributeProto.TENSOR, t=elsewhere())), id="constant"),
        pytest.param(with_constant(AttributeProto(name="value", t=elsewhere())), id="constant-of-no-type"),
        pytest.param(in_a_sparse_constant(), id="sparse-constant"),
        pytest.param(in_a_branch(), id="branch"),
        pytest.param(in_a_function(), id="function"),
    ],
)
def test_a_path_to_another_file_is_refused(model: ModelProto) -> None:
    with pytest.raises(RefusalError, match="keeps the data of 'w' in another file, which is not read"):
        refuse_external_data(model)


def test_graphs_for_training_are_dropped_and_never_served() -> None:
    model = a_network()
    model.training_info.add().algorithm.CopyFrom(in_an_initializer().graph)
    with pytest.raises(RefusalError, match="not in the form that is served"):
        refuse_unserved_form(model)

    assert not normalise(model).training_info

import json

import pytest

from forebay_runtime.protocol import model_config
from forebay_runtime.protocol.datatypes import DATATYPES
from forebay_runtime.protocol.model_config import ConfigError, ModelInterface, ModelTensor, ServedAs
from forebay_schema.serving import ServingConfig


def interface(*shape: int) -> ModelInterface:
    return ModelInterface(
        inputs=(ModelTensor("x", DATATYPES["FP32"], shape),), outputs=(ModelTensor("y", DATATYPES["INT64"], shape),)
    )


def served(text: str, model: ModelInterface, default_max_batch_size: int = 4) -> ServedAs:
    config = model_config.from_text(text)
    model_config.check_supported(config, "m")
    complete = model_config.complete(config, "m", model, default_max_batch_size)
    return model_config.served_as(complete, 1, model, {})


def test_an_empty_configuration_is_completed_from_the_model() -> None:
    result = served("", interface(-1, 16))
    assert result.signature.max_batch_size == 4
    assert [(tensor.name, tensor.dims) for tensor in result.signature.inputs] == [("x", (16,))]
    shown = model_config.to_document(result.config)
    assert shown["output"][0]["data_type"] == "TYPE_INT64"
    assert shown["output"][0]["dims"] == [16]
    assert shown["dynamic_batching"]["preferred_batch_size"] == [4]


def test_a_model_without_a_batch_dimension_takes_none() -> None:
    result = served("", interface(2, 16))
    assert (result.signature.max_batch_size, result.signature.inputs[0].dims) == (0, (2, 16))


def test_a_configuration_with_inputs_and_outputs_is_taken_as_it_is() -> None:
    text = 'input [{name: "x" data_type: TYPE_FP32 dims: [-1, 16]}] output [{name: "y" data_type: TYPE_INT64 dims: [-1, 16]}]'
    assert served(text, interface(-1, 16)).signature.max_batch_size == 0


def test_what_the_scheduler_needs_is_read() -> None:
    result = served(
        """
        max_batch_size: 16
        dynamic_batching {
          preferred_batch_size: [4, 8, 16]
          max_queue_delay_microseconds: 250
          default_queue_policy {
            timeout_action: DELAY default_timeout_microseconds: 9 allow_timeout_override: true max_queue_size: 7
          }
        }
        instance_group [{ count: 2 }, { count: 1 }]
        """,
        interface(-1, 16),
    )
    assert (result.preferred_batch_sizes, result.max_delay_us, result.max_queue_size) == ((4, 8), 250, 7)
    assert (result.default_timeout_us, result.delay_when_late, result.timeout_override) == (9, True, True)
    assert result.instances == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("max_batch: 3", "config.pbtxt cannot be read", id="unknown field"),
        pytest.param('name: "other"', "is for model 'other'", id="another model"),
        pytest.param('platform: "tensorflow_savedmodel"', "this server runs ONNX models", id="platform"),
        pytest.param("sequence_batching {}", "uses sequence_batching", id="sequences"),
        pytest.param("ensemble_scheduling {}", "uses ensemble_scheduling", id="ensemble"),
        pytest.param("model_transaction_policy { decoupled: true }", "is decoupled", id="decoupled"),
        pytest.param("dynamic_batching { priority_levels: 2 }", "priority_levels", id="priorities"),
        pytest.param("max_batch_size: -1", "must be 0 or more", id="negative batch"),
        pytest.param('input [{name: "z"}]', "unexpected inference input 'z', allowed inputs are: x", id="input"),
        pytest.param('output [{name: "z"}]', "unexpected inference output 'z'", id="output"),
        pytest.param('input [{name: "x" data_type: TYPE_INT8}]', "the datatype INT8, the model file FP32", id="datatype"),
        pytest.param('input [{name: "x" dims: [3]}]', "the model expects 2 dimensions", id="dims"),
        pytest.param('input [{name: "x" dims: [-7]}]', "a dimension is a size, or -1 where it varies", id="negative dims"),
        pytest.param(
            'input [{name: "x" data_type: TYPE_FP32 dims: [16]}, {name: "x"}]', "names input 'x' twice", id="input twice"
        ),
        pytest.param("instance_group [{ count: -3 }]", "must be 1 or more", id="negative instances"),
        pytest.param("instance_group [{ count: 2147483647 }]", "asks for 2147483647 instances, expected 256", id="instances"),
        pytest.param("instance_group [{}, { count: 256 }]", "asks for 257 instances", id="instances together"),
        pytest.param("max_batch_size: 4 dynamic_batching { preferred_batch_size: 0 }", "above 0", id="preferred zero"),
        pytest.param("max_batch_size: 4 dynamic_batching { preferred_batch_size: 5 }", "which is 4", id="preferred"),
        pytest.param("dynamic_batching { max_queue_delay_microseconds: 4000000000 }", "wait for hours", id="delay"),
        pytest.param('input [{name: "x" dims: [16] reshape { shape: [4, 4] }}]', "uses reshape", id="reshape"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_field(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        served(text, interface(-1, 16))


def test_batches_of_a_model_that_takes_none_are_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match="set max_batch_size to 0, or export the model with a dynamic batch dimension"):
        served("max_batch_size: 8", interface(1, 16))


def test_the_controllers_configuration_is_understood() -> None:
    serving = ServingConfig(
        max_batch_size=16,
        preferred_batch_sizes=(4, 8),
        max_queue_delay_us=5,
        max_queue_size=100,
        queue_timeout_us=7,
        instances=2,
        provider="cpu",
    )
    config = model_config.from_json(json.dumps(serving.to_triton_config("m")))
    result = model_config.served_as(model_config.complete(config, "m", interface(-1, 4), 0), 9, interface(-1, 4), {})
    assert (result.signature.max_batch_size, result.preferred_batch_sizes, result.max_queue_size) == (16, (4, 8), 100)
    assert (result.max_delay_us, result.default_timeout_us, result.instances) == (5, 7, 2)
    assert model_config.provider(config) == "cpu"


def test_a_model_told_to_take_no_batches_takes_none() -> None:
    config = model_config.from_json(json.dumps(ServingConfig(max_batch_size=0).to_triton_config("m")))
    result = model_config.served_as(model_config.complete(config, "m", interface(-1, 4), 0), 1, interface(-1, 4), {})
    assert (result.signature.max_batch_size, result.signature.inputs[0].dims) == (0, (-1, 4))


@pytest.mark.parametrize(("text", "threads"), [("0", 0), ("6", 6), ("256", 256)])
def test_threads_are_read_as_tritons_backend_has_them(text: str, threads: int) -> None:
    config = model_config.from_text(f'parameters {{ key: "intra_op_thread_count" value {{ string_value: "{text}" }} }}')
    assert model_config.threads(config) == threads
    assert model_config.threads(model_config.empty()) == 0


@pytest.mark.parametrize("text", ["-1", "257", "many", "", "9" * 5000])
def test_what_is_no_number_of_threads_is_refused(text: str) -> None:
    config = model_config.from_text(f'parameters {{ key: "intra_op_thread_count" value {{ string_value: "{text}" }} }}')
    with pytest.raises(ConfigError, match="it must be a number from 0 to 256"):
        model_config.threads(config)


def test_a_configuration_larger_than_any_is_not_read() -> None:
    for text in ("x" * (2 << 20), "[" * 100_000, '{"a":' * 100_000):
        with pytest.raises(ConfigError, match=r"the model configuration \(JSON\)"):
            model_config.from_json(text)


def test_configurations_that_say_the_same_are_one() -> None:
    one = model_config.from_text('max_batch_size: 4 name: "m"')
    other = model_config.from_json('{"name": "m", "maxBatchSize": 4}')
    assert model_config.canonical(one) == model_config.canonical(other)
    with pytest.raises(ConfigError, match="cannot be read"):
        model_config.from_json('{"max_batch_sizes": 4}')

"""Triton's model configuration: `config.pbtxt` and its JSON form, completed from the model itself, read for what we honour."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final, TypeAlias

from google.protobuf import json_format, text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from forebay_runtime.protocol import datatypes
from forebay_runtime.protocol.datatypes import Datatype
from forebay_runtime.protocol.signature import ModelSignature, TensorSignature
from forebay_runtime.protocol.triton_messages import config as messages

ModelConfig: TypeAlias = Any
"""Triton's ModelConfig message: protobuf's generated classes carry no types."""

_BACKENDS: Final = ("", "onnxruntime")
_PLATFORMS: Final = ("", "onnxruntime_onnx")
_NOT_SERVED: Final = ("sequence_batching", "ensemble_scheduling")
_PROVIDER_PARAMETER: Final = "forebay_provider"
_THREADS_PARAMETER: Final = "intra_op_thread_count"
_RUN_TIMEOUT_PARAMETER: Final = "run_timeout_secs"
_LONGEST_RUN_S: Final = 86_400
_MOST_INSTANCES: Final = 256
_MOST_THREADS: Final = 256
_LONGEST_JSON: Final = 1 << 20
_LONGEST_DELAY_US: Final = 3600 * 1_000_000


class ConfigError(ValueError):
    """A configuration that cannot be read or honoured; the message names the field and what to change."""


def empty() -> ModelConfig:
    """A configuration that says nothing."""
    return messages.ModelConfig()


def from_text(text: str) -> ModelConfig:
    """Read a `config.pbtxt`.

    Raises:
        ConfigError: it is not in protobuf's text form, or names a field that does not exist.
    """
    try:
        return text_format.Parse(text, empty())
    except (text_format.ParseError, ValueError) as error:
        raise ConfigError(f"config.pbtxt cannot be read, at line and column {error}") from None


def from_json(text: str) -> ModelConfig:
    """Read the JSON form, as the load call's `config` parameter brings it.

    Raises:
        ConfigError: it is no JSON, names a field that does not exist, or is larger than any configuration.
    """
    if len(text) > _LONGEST_JSON:
        raise ConfigError(f"the model configuration (JSON) has {len(text)} characters, expected {_LONGEST_JSON} at most")
    try:
        return json_format.Parse(text, empty())
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise ConfigError(f"the model configuration (JSON) cannot be read: {error}") from None


def to_document(config: ModelConfig) -> dict[str, Any]:
    """The configuration as Triton shows it: every field of its own names, 64-bit integers as numbers."""
    shown = json_format.MessageToDict(config, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    _integers(config, shown)
    return shown


def _integers(message: Message, shown: dict[str, Any]) -> None:
    # protobuf's JSON form writes 64-bit integers as strings; Triton's clients expect numbers.
    for field_ in message.DESCRIPTOR.fields:
        if field_.name not in shown:
            continue
        value = shown[field_.name]
        if field_.message_type is not None:
            _nested_integers(getattr(message, field_.name), value)
        elif field_.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64):
            shown[field_.name] = [int(item) for item in value] if isinstance(value, list) else int(value)


def _nested_integers(message: Any, shown: Any) -> None:
    if isinstance(message, Message):
        _integers(message, shown)
    elif isinstance(shown, list):
        for item, inner in zip(message, shown, strict=True):
            _nested_integers(item, inner)
    elif isinstance(shown, dict):
        for key, inner in shown.items():
            _nested_integers(message[key], inner)


@dataclass(frozen=True, slots=True)
class ModelTensor:
    """An input or output as the model file declares it; -1 is a dimension that varies."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelInterface:
    """What the model file says of itself."""

    inputs: tuple[ModelTensor, ...]
    outputs: tuple[ModelTensor, ...]

    def least_bytes(self, rows: int) -> int:
        """What the inputs and outputs of a batch take at least: dimensions that vary count as 1."""
        tensors = (*self.inputs, *self.outputs)
        each = [tensor.datatype.itemsize * prod(max(1, dim) for dim in tensor.shape) for tensor in tensors]
        return max(1, rows) * sum(each)

    @property
    def takes_batches(self) -> bool:
        """Whether the first dimension of every input and output varies."""
        return all(tensor.shape and tensor.shape[0] == -1 for tensor in (*self.inputs, *self.outputs))


@dataclass(frozen=True, slots=True)
class ServedAs:
    """A configuration in the terms of this server."""

    config: ModelConfig
    signature: ModelSignature
    preferred_batch_sizes: tuple[int, ...] = ()
    max_delay_us: int = 0
    max_queue_size: int = 0
    default_timeout_us: int = 0
    delay_when_late: bool = False
    timeout_override: bool = False
    instances: int = 0
    """0: the server chooses."""


def check_supported(config: ModelConfig, name: str) -> None:
    """Refuse what this server does not do, rather than to ignore it.

    Raises:
        ConfigError: a field asks for something else than an onnxruntime model.
    """
    if config.name and config.name != name:
        raise ConfigError(f"the configuration is for model '{config.name}', but the model is called '{name}'")
    if config.backend not in _BACKENDS or config.platform not in _PLATFORMS:
        raise ConfigError(
            f"model '{name}' asks for backend '{config.backend or config.platform}'; this server runs ONNX models:"
            " backend 'onnxruntime' or platform 'onnxruntime_onnx'"
        )
    for unsupported in _NOT_SERVED:
        if config.WhichOneof("scheduling_choice") == unsupported:
            raise ConfigError(f"model '{name}' uses {unsupported}, which this server does not support")
    if config.model_transaction_policy.decoupled:
        raise ConfigError(f"model '{name}' is decoupled, which this server does not support: ONNX models give one answer")
    if config.dynamic_batching.priority_levels:
        raise ConfigError(f"model '{name}' sets dynamic_batching.priority_levels, which this server does not support")
    for tensor in (*config.input, *config.output):
        if tensor.HasField("reshape"):
            raise ConfigError(f"tensor '{tensor.name}' of model '{name}' uses reshape, which this server does not support")


def complete(config: ModelConfig, name: str, interface: ModelInterface, default_max_batch_size: int) -> ModelConfig:
    """Fill in what the configuration leaves out from the model file, as Triton's auto-completion does.

    A model whose first dimensions vary takes batches up to `default_max_batch_size` unless the configuration says a size.
    """
    full = empty()
    full.CopyFrom(config)
    full.name = name
    full.backend, full.platform = "onnxruntime", "onnxruntime_onnx"
    full.default_model_filename = full.default_model_filename or "model.onnx"
    if not config.max_batch_size and default_max_batch_size and _may_take_batches(config, interface):
        full.max_batch_size = default_max_batch_size
        full.dynamic_batching.SetInParent()
    if not full.HasField("version_policy"):
        full.version_policy.latest.num_versions = 1
    skip = 1 if full.max_batch_size else 0
    _complete_tensors(full.input, interface.inputs, skip)
    _complete_tensors(full.output, interface.outputs, skip)
    if full.HasField("dynamic_batching") and full.max_batch_size and not full.dynamic_batching.preferred_batch_size:
        full.dynamic_batching.preferred_batch_size.append(full.max_batch_size)
    return full


def _may_take_batches(config: ModelConfig, interface: ModelInterface) -> bool:
    """Whether batches are possible and nothing in the configuration speaks against them."""
    if config.input and config.output:
        # Both are there: the configuration is meant as it is, as in Triton.
        return False
    ranks = {tensor.name: len(tensor.shape) for tensor in (*interface.inputs, *interface.outputs)}
    without_batch = all(
        not tensor.dims or len(tensor.dims) == ranks.get(tensor.name, 0) - 1 for tensor in (*config.input, *config.output)
    )
    return interface.takes_batches and without_batch


def _complete_tensors(configured: Any, declared: Sequence[ModelTensor], skip: int) -> None:
    known = {tensor.name: tensor for tensor in configured}
    for tensor in declared:
        entry = known.get(tensor.name)
        if entry is None:
            entry = configured.add(name=tensor.name)
        if entry.data_type == messages.TYPE_INVALID:
            entry.data_type = messages.DataType.Value(datatypes.config_name(tensor.datatype))
        if not entry.dims:
            entry.dims.extend(tensor.shape[skip:])


def served_as(config: ModelConfig, version: int, interface: ModelInterface, labels: Mapping[str, tuple[str, ...]]) -> ServedAs:
    """Read a complete configuration, and compare it with the model file.

    Raises:
        ConfigError: they contradict each other.
    """
    if config.max_batch_size < 0:
        raise ConfigError(f"max_batch_size of model '{config.name}' is {config.max_batch_size}; it must be 0 or more")
    if config.max_batch_size and not interface.takes_batches:
        raise ConfigError(
            f"max_batch_size of model '{config.name}' is {config.max_batch_size}, but the first dimension of its inputs and"
            " outputs does not vary: set max_batch_size to 0, or export the model with a dynamic batch dimension"
        )
    signature = ModelSignature(
        name=config.name,
        version=version,
        max_batch_size=config.max_batch_size,
        inputs=_signatures(config, config.input, interface.inputs, "input", {}),
        outputs=_signatures(config, config.output, interface.outputs, "output", labels),
    )
    return _with_scheduling(config, signature)


def _signatures(
    config: ModelConfig,
    configured: Any,
    declared: Sequence[ModelTensor],
    kind: str,
    labels: Mapping[str, tuple[str, ...]],
) -> tuple[TensorSignature, ...]:
    by_name = {tensor.name: tensor for tensor in declared}
    tensors: list[TensorSignature] = []
    for entry in configured:
        if any(known.name == entry.name for known in tensors):
            raise ConfigError(f"the configuration of model '{config.name}' names {kind} '{entry.name}' twice")
        tensor = by_name.get(entry.name)
        if tensor is None:
            raise ConfigError(f"unexpected inference {kind} '{entry.name}', allowed {kind}s are: {', '.join(sorted(by_name))}")
        tensors.append(_signature(config, entry, tensor, labels.get(entry.name, ())))
    missing = by_name.keys() - {entry.name for entry in configured}
    if missing and kind == "input":
        raise ConfigError(f"model '{config.name}' has inputs that its configuration lacks: {', '.join(sorted(missing))}")
    return tuple(tensors)


def _signature(config: ModelConfig, entry: Any, declared: ModelTensor, labels: tuple[str, ...]) -> TensorSignature:
    datatype = datatypes.of_config(messages.DataType.Name(entry.data_type))
    dims = tuple(entry.dims)
    if any(dim < -1 for dim in dims):
        raise ConfigError(
            f"the configuration of model '{config.name}' gives '{entry.name}' the dims {list(dims)}: a dimension is a size, or"
            " -1 where it varies"
        )
    full = (-1, *dims) if config.max_batch_size else dims
    if datatype is not declared.datatype:
        found = datatype.name if datatype else "none"
        raise ConfigError(
            f"the configuration of model '{config.name}' gives '{entry.name}' the datatype {found}, the model file"
            f" {declared.datatype.name}"
        )
    fits = len(full) == len(declared.shape) and all(
        -1 in (want, have) or want == have for want, have in zip(full, declared.shape, strict=True)
    )
    if not fits:
        raise ConfigError(
            f"model '{config.name}', tensor '{entry.name}': the model expects {len(declared.shape)} dimensions (shape"
            f" {list(declared.shape)}) but the model configuration specifies {len(full)} dimensions (shape {list(full)})"
        )
    return TensorSignature(entry.name, declared.datatype, dims, labels)


def _with_scheduling(config: ModelConfig, signature: ModelSignature) -> ServedAs:
    batching = config.dynamic_batching
    policy = batching.default_queue_policy
    for size in batching.preferred_batch_size:
        if not 0 < size <= config.max_batch_size:
            raise ConfigError(
                f"preferred_batch_size of model '{config.name}' has {size}; it must be above 0 and not above"
                f" max_batch_size, which is {config.max_batch_size}"
            )
    if batching.max_queue_delay_microseconds > _LONGEST_DELAY_US:
        raise ConfigError(
            f"max_queue_delay_microseconds of model '{config.name}' is {batching.max_queue_delay_microseconds}; requests would"
            f" wait for hours to be joined, expected {_LONGEST_DELAY_US} at most"
        )
    return ServedAs(
        config=config,
        signature=signature,
        preferred_batch_sizes=tuple(size for size in batching.preferred_batch_size if size < config.max_batch_size),
        max_delay_us=batching.max_queue_delay_microseconds,
        max_queue_size=policy.max_queue_size,
        default_timeout_us=policy.default_timeout_microseconds,
        delay_when_late=policy.timeout_action == messages.ModelQueuePolicy.DELAY,
        timeout_override=policy.allow_timeout_override,
        instances=instances(config),
    )


def instances(config: ModelConfig) -> int:
    """How many instances the configuration asks for; 0: it leaves that to the server.

    Raises:
        ConfigError: that is no number of instances.
    """
    count = 0
    for group in config.instance_group:
        if group.count < 0:
            raise ConfigError(f"instance_group.count of model '{config.name}' is {group.count}; it must be 1 or more")
        count += group.count or 1
    if count > _MOST_INSTANCES:
        raise ConfigError(f"model '{config.name}' asks for {count} instances, expected {_MOST_INSTANCES} at most")
    return count


def threads(config: ModelConfig) -> int:
    """How many threads an operator may use, by Triton's parameter of its onnxruntime backend; 0: the server chooses.

    Raises:
        ConfigError: the parameter is no such number.
    """
    return _number(config, _THREADS_PARAMETER, _MOST_THREADS)


def run_timeout_s(config: ModelConfig) -> int:
    """How many seconds one execution may take, by a parameter of ours; 0: as the server's command line says.

    Raises:
        ConfigError: the parameter is no such number.
    """
    return _number(config, _RUN_TIMEOUT_PARAMETER, _LONGEST_RUN_S)


def _number(config: ModelConfig, parameter: str, most: int) -> int:
    if parameter not in config.parameters:
        return 0
    text = str(config.parameters[parameter].string_value)
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(most)) or int(text) > most:
        raise ConfigError(
            f"parameter {parameter} of model '{config.name}' is '{text[:40]}'; it must be a number from 0 to {most}"
        )
    return int(text)


def provider(config: ModelConfig) -> str:
    """The provider that the configuration asks for: cpu, cuda or auto."""
    if _PROVIDER_PARAMETER not in config.parameters:
        return "auto"
    return str(config.parameters[_PROVIDER_PARAMETER].string_value)


def instance_kind(group: Any) -> str:
    """KIND_AUTO, KIND_GPU, KIND_CPU or KIND_MODEL."""
    return str(messages.ModelInstanceGroup.Kind.Name(group.kind))


def with_instances(config: ModelConfig, count: int, kind: str) -> ModelConfig:
    """The configuration with the server's choice of instances where it names none; `kind` as KIND_CPU."""
    if config.instance_group:
        return config
    chosen = empty()
    chosen.CopyFrom(config)
    chosen.instance_group.add(name=f"{config.name}_0", count=count, kind=kind)
    return chosen


def canonical(config: ModelConfig) -> str:
    """One text for all configurations that say the same."""
    return json.dumps(to_document(config), sort_keys=True)

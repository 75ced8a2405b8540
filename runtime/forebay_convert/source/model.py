"""What the conversion needs of a source, whatever its format."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from onnx import ModelProto

from forebay_convert.samples import Samples
from forebay_convert.tensors import Array, Tensor


class SourceModel(Protocol):
    """An opened source. The reference is asked for before the conversion, which may change the model in place."""

    @property
    def inputs(self) -> Sequence[Tensor]: ...

    @property
    def batched(self) -> bool: ...

    def draw(self, generator: np.random.Generator) -> Mapping[str, Array]:
        """Samples within the ranges that the source knows of its inputs."""
        ...

    def record(self, samples: Samples) -> None:
        """Compute what the source answers to the samples, and keep it."""
        ...

    def convert(self) -> ModelProto:
        """The source as ONNX, in whatever form its converter writes."""
        ...

    def reference(self) -> Sequence[Array]:
        """What was recorded for each output of the converted model, in their order. After `convert`."""
        ...

"""scikit-learn estimators as sources."""

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from onnx import ModelProto
from skl2onnx import to_onnx
from skl2onnx.common import data_types
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from forebay_convert.graphs import nodes_of
from forebay_convert.reports import RefusalError, tell_note
from forebay_convert.samples import Samples
from forebay_convert.source.normal_form import normalise
from forebay_convert.source.output_edits import drop_output, rename_output, width_of
from forebay_convert.source.sklearn_ranges import draw_columns
from forebay_convert.tensors import Array, Tensor, to_datatype

INPUT = "input"
_DRAWN = 256
_OPSETS = {"": 22, "ai.onnx.ml": 3}
_METHODS = ("predict", "predict_proba", "decision_function", "transform")
# What skl2onnx calls an output, and which methods may have computed it, the likeliest first.
_COMPUTED_BY = {
    "label": ("predict",),
    "probabilities": ("predict_proba", "decision_function"),
    "scores": ("decision_function", "transform"),
    "variable": ("predict", "transform"),
}
_EXPORT = "Export the model to ONNX yourself and give that as the source, or use another estimator."


class SklearnSource:
    """A fitted estimator: its reference is what `predict`, `predict_proba`, `decision_function` and `transform` answer."""

    def __init__(self, estimator: Any, declared: Sequence[Tensor]) -> None:
        """Take what a file held.

        Raises:
            RefusalError: it is no fitted estimator.
        """
        self._estimator = estimator
        self._check()
        self._inputs = tuple(declared) or (Tensor(INPUT, "FP32", (-1, self._feature_count())),)
        self._recorded: dict[str, Array] = {}
        self._reference: list[Array] = []

    @property
    def inputs(self) -> Sequence[Tensor]:
        return self._inputs

    @property
    def batched(self) -> bool:
        return True

    def draw(self, generator: np.random.Generator) -> Mapping[str, Array]:
        widths = [_width(tensor) for tensor in self._inputs]
        columns = draw_columns(self._estimator, sum(widths), _DRAWN, generator)
        drawn: dict[str, Array] = {}
        for tensor, end in zip(self._inputs, np.cumsum(widths), strict=True):
            part = np.stack(columns[end - _width(tensor) : end], axis=1)
            drawn[tensor.name] = _drawable(part, tensor)
        return drawn

    def record(self, samples: Samples) -> None:
        table = _as_table([samples.arrays[tensor.name] for tensor in self._inputs])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for method in _METHODS:
                if hasattr(self._estimator, method):
                    self._recorded[method] = self._ask(method, table)
        if not self._recorded:
            raise RefusalError("load", f"{self._name()} can neither predict nor transform anything new.", _EXPORT)

    def convert(self) -> ModelProto:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = self._to_onnx()
        self._refuse_foreign_operators(model)
        self._match_outputs(model)
        return normalise(model)

    def reference(self) -> Sequence[Array]:
        return self._reference

    def _check(self) -> None:
        try:
            check_is_fitted(self._estimator)
        except (NotFittedError, TypeError) as error:
            raise RefusalError(
                "load", f"The {self._name()} in the file is not fitted.", "Call fit before you save it."
            ) from error

    def _name(self) -> str:
        return type(self._estimator).__name__

    def _feature_count(self) -> int:
        count = getattr(self._estimator, "n_features_in_", None)
        if count is None:
            raise RefusalError(
                "load",
                f"The {self._name()} does not say how many features it takes.",
                "Say so in model.inputs (or --input NAME:FP32:-1,COUNT). Estimators that take texts are not supported.",
            )
        return int(count)

    def _ask(self, method: str, table: Array) -> Array:
        try:
            return np.asarray(getattr(self._estimator, method)(table))
        except Exception as error:
            raise RefusalError(
                "load",
                f"{self._name()}.{method} fails on the samples: {type(error).__name__}: {error}.",
                "Check that the samples and model.inputs have the features that the estimator was fitted on.",
            ) from error

    def _to_onnx(self) -> ModelProto:
        initial = [(tensor.name, _skl2onnx_type(tensor)) for tensor in self._inputs]
        _prepare(self._estimator)
        options = {id(self._estimator): {"zipmap": False}} if is_classifier(self._estimator) else None
        for attempt in (options, None):
            try:
                model: Any = to_onnx(self._estimator, initial_types=initial, target_opset=dict(_OPSETS), options=attempt)
            except NameError as error:
                if attempt is None:
                    raise self._inconvertible(error) from error
                continue  # not every converter knows the option
            except Exception as error:
                raise self._inconvertible(error) from error
            return cast(ModelProto, model)
        raise AssertionError("the second attempt returns or raises")

    def _inconvertible(self, error: Exception) -> RefusalError:
        found = re.search(r"type '?<class '([\w.]+)'>", str(error))
        if found is not None:
            named = found[1].rsplit(".", 1)[-1]
            where = "" if named == self._name() else f", a part of the {self._name()},"
            return RefusalError("convert", f"{named}{where} cannot be converted: skl2onnx has no converter for it.", _EXPORT)
        first = (str(error).strip().splitlines() or [""])[0]
        return RefusalError("convert", f"The {self._name()} cannot be converted: {type(error).__name__}: {first}", _EXPORT)

    def _refuse_foreign_operators(self, model: ModelProto) -> None:
        foreign = sorted({node.op_type for node in nodes_of(model.graph) if node.domain not in ("", "ai.onnx", "ai.onnx.ml")})
        if foreign:
            raise RefusalError(
                "convert",
                f"The {self._name()} would need operators that no server of ours knows: {', '.join(foreign)}.",
                "Do this step (text splitting, for example) before the request, and convert the rest.",
            )

    def _match_outputs(self, model: ModelProto) -> None:
        """Keep of the converted outputs those that the estimator's own answers can vouch for."""
        dropped: list[str] = []
        for output in list(model.graph.output):
            method = self._computed_by(output.name, width_of(output))
            if method is None:
                drop_output(model.graph, output.name)
                dropped.append(output.name)
                continue
            if output.name == "probabilities" and method == "decision_function":
                rename_output(model.graph, "probabilities", "scores")
            self._reference.append(self._recorded[method])
        if dropped:
            tell_note(f"output {', '.join(dropped)} left out: the source has nothing to compare it with")
        if not self._reference:
            raise RefusalError(
                "convert", f"No output of the converted {self._name()} can be compared with the source.", _EXPORT
            )

    def _computed_by(self, output: str, width: int | None) -> str | None:
        candidates = _COMPUTED_BY.get(output, ("predict", "transform"))
        for method in candidates:
            answer = self._recorded.get(method)
            if answer is not None and width in (None, answer.size // max(len(answer), 1)):
                return method
        return None


def _width(tensor: Tensor) -> int:
    """The features in one input; a declared one must say how many."""
    if len(tensor.shape) != 2 or tensor.shape[1] < 1:  # noqa: PLR2004 - rows and features
        raise RefusalError(
            "load",
            f"The input {tensor.describe()} does not say how many features it has.",
            "Give it a shape of [-1, COUNT].",
        )
    return tensor.shape[1]


def _drawable(part: Array, tensor: Tensor) -> Array:
    if tensor.datatype == "BYTES":
        return part.astype(str)
    return to_datatype(part.astype(np.float64), tensor.datatype)


def _as_table(columns: Sequence[Array]) -> Array:
    """One table as the estimator takes it: of one type if all inputs are of one, else of objects."""
    if len({column.dtype for column in columns}) == 1:
        return np.concatenate(columns, axis=1)
    return np.concatenate([column.astype(object) for column in columns], axis=1)


def _skl2onnx_type(tensor: Tensor) -> Any:
    by_name = {
        "FP32": data_types.FloatTensorType,
        "FP64": data_types.DoubleTensorType,
        "INT64": data_types.Int64TensorType,
        "INT32": data_types.Int32TensorType,
        "BOOL": data_types.BooleanTensorType,
        "BYTES": data_types.StringTensorType,
    }
    if tensor.datatype not in by_name:
        raise RefusalError(
            "convert",
            f"The input {tensor.describe()} is of a type that scikit-learn's converters do not take.",
            f"Use one of {', '.join(by_name)}.",
        )
    return by_name[tensor.datatype]([None, _width(tensor)])


def _prepare(estimator: Any) -> None:
    """Settings that change nothing about predictions, and that skl2onnx insists on."""
    steps = getattr(estimator, "steps", None)
    last = steps[-1][1] if steps else estimator
    if getattr(last, "flatten_transform", False):
        last.flatten_transform = False

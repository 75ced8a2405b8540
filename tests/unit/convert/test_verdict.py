import json
from typing import Any

import pytest

from forebay_convert.failures import ConversionError
from forebay_convert.verifying import Report, judge, read_report
from forebay_schema.conversion import VerificationDemand

GOOD: dict[str, Any] = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    "samples": 100,
    "max_relative_error": 1e-6,
    "beyond": 0,
    "agreement": 1.0,
    "deterministic": True,
    "no_number": [],
    "constant": False,
    "batch_sizes": [1, 3, 32],
    "batching": True,
    "labels": 100,
    "accuracy": 0.97,
    "memory": [{"batch_size": 1, "bytes": 1 << 20}],
}


def a_report(**changes: Any) -> Report:
    return Report.model_validate({**GOOD, **changes})


def test_a_model_that_agrees_is_accepted_with_its_figures() -> None:
    verification = judge(a_report(), VerificationDemand(min_accuracy=0.95), drawn=False)

    assert (verification.samples, verification.samples_from) == (100, "given")
    assert (verification.max_relative_error, verification.agreement, verification.accuracy) == (1e-6, 1.0, 0.97)
    assert verification.batch_sizes == (1, 3, 32)


@pytest.mark.parametrize(
    ("changes", "demand", "cause"),
    [
        ({"agreement": 0.5}, {}, "on 50.0% of 100 given samples both give the same answer, 99.0% are wanted"),
        (
            {"max_relative_error": 0.02, "beyond": 3},
            {},
            "3 of 100 given samples differ by more than the relative error of 0.001 allowed, the worst by 0.02",
        ),
        ({"accuracy": 0.5}, {"min_accuracy": 0.9}, "names the labelled class on 50.0% of 100 samples, 90.0% are wanted"),
        ({"labels": 0, "accuracy": None}, {"min_accuracy": 0.9}, "the samples hold no labels"),
        ({"labels": 7, "accuracy": None}, {"min_accuracy": 0.9}, "the 7 labels do not fit the model's 100 answers"),
        ({"deterministic": False}, {}, "gives different answers to the same samples"),
        ({"no_number": ["y"]}, {}, "answers NaN in y"),
        ({"constant": True}, {}, "gives the same answer to all 100 samples"),
    ],
)
def test_a_broken_promise_is_named(changes: dict[str, Any], demand: dict[str, Any], cause: str) -> None:
    with pytest.raises(ConversionError) as caught:
        judge(a_report(**changes), VerificationDemand(**demand), drawn=False)

    assert cause in caught.value.failure.cause
    assert caught.value.failure.stage == "verify"
    assert caught.value.failure.remedy


def test_a_few_samples_beyond_the_error_are_accepted_and_told() -> None:
    report = a_report(max_relative_error=2.0, beyond=1)

    assert judge(report, VerificationDemand(), drawn=False).beyond == 1
    with pytest.raises(ConversionError, match="1 of 100 given samples differ"):
        judge(report, VerificationDemand(min_agreement=1.0), drawn=False)


@pytest.mark.parametrize("changes", [{"constant": True, "samples": 1}, {"labels": 7, "accuracy": None}])
def test_what_nobody_asked_for_is_no_reason_to_refuse(changes: dict[str, Any]) -> None:
    judge(a_report(**changes), VerificationDemand(), drawn=True)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "no report",
        "[]",
        json.dumps({"report": {**GOOD, "verified": True}}),
        json.dumps({"report": {key: value for key, value in GOOD.items() if key != "agreement"}}),
        json.dumps({"report": {**GOOD, "max_relative_error": float("nan")}}),
        json.dumps({"report": GOOD}) + "\nsomething after it",
    ],
)
def test_a_report_of_another_form_is_not_believed(output: str) -> None:
    with pytest.raises(ConversionError, match="left no report"):
        read_report(output)


def test_the_report_is_the_last_line() -> None:
    assert read_report('{"phase": "comparing"}\n' + json.dumps({"report": GOOD}) + "\n") == a_report()

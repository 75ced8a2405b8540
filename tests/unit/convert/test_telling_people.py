"""What people read: failures of the sealed processes in words, and the summary."""

import signal
from pathlib import Path

import pytest

from convert_commands import an_order
from forebay_convert.children import check_ended
from forebay_convert.failures import ConversionError
from forebay_convert.reports import Hearing, RefusalError
from forebay_convert.sandbox.seal import UNSEALED
from forebay_convert.sandbox.supervisor import Ended
from forebay_convert.sandbox.watchdog import Breach
from forebay_convert.source.attempts import in_words as attempts_in_words
from forebay_convert.stages import key_of
from forebay_convert.summary import in_words
from forebay_convert.versions import in_words as tools_in_words
from forebay_convert.versions import tools_of
from forebay_schema.conversion import ConversionResult
from forebay_schema.manifest import Verification
from forebay_schema.tensors import TensorSpec


def ended(status: int = 0, *, breach: Breach | None = None, errors: str = "") -> Ended:
    return Ended(status, breach, 1.0, "", errors)


def hearing(phase: str = "", refused: RefusalError | None = None) -> Hearing:
    made = Hearing(lambda _: None)
    made.phase, made.refused = phase, refused
    return made


@pytest.mark.parametrize(
    ("end", "heard", "cause"),
    [
        (
            ended(-9, breach=Breach("memory", "300 MiB", "256 MiB")),
            hearing(),
            "The source used more memory than the conversion may use: 300 MiB seen, 256 MiB allowed; it was stopped.",
        ),
        (
            ended(-9, breach=Breach("time", "61 s", "60 s")),
            hearing("recorded"),
            "The source did not come to an end after it was recorded: 61 s seen, 60 s allowed; it was stopped.",
        ),
        (ended(-signal.SIGSEGV), hearing(), "The process for the source was ended by SIGSEGV."),
        (ended(-40), hearing(), "The process for the source was ended by signal 40."),
        (ended(-signal.SIGSYS), hearing(), "The source made a system call that the sandbox forbids; it was stopped."),
        (ended(1, errors="Traceback\nValueError: no"), hearing(), "ended with status 1: ValueError: no"),
        (ended(3), hearing(refused=RefusalError("load", "It is broken.", "Mend it.")), "It is broken."),
        (ended(3), hearing(), "The process for the source ended with status 3."),
        (ended(1), hearing(refused=RefusalError("load", "It is broken.", "Mend it.")), "ended with status 1"),
        (
            ended(UNSEALED, errors="seccomp: Invalid argument"),
            hearing(),
            "refuses the sandbox in which sources are opened: seccomp",
        ),
    ],
)
def test_the_end_of_a_process_is_told_in_words(end: Ended, heard: Hearing, cause: str) -> None:
    with pytest.raises(ConversionError) as caught:
        check_ended(end, heard, "The source", "load")

    assert cause in caught.value.failure.cause
    assert caught.value.failure.remedy


def test_a_process_that_ended_well_is_believed_no_refusal() -> None:
    check_ended(ended(0), hearing(refused=RefusalError("load", "It is broken.", "Mend it.")), "The source", "load")


def test_the_same_bytes_elsewhere_are_the_same_conversion_and_other_options_another(tmp_path: Path) -> None:
    options = an_order(tmp_path, "a.onnx").options

    assert key_of(options, "ab") == key_of(an_order(tmp_path, "b.onnx", sha256="ab").options, "ab")
    assert key_of(options, "ab") != key_of(options, "cd")
    assert key_of(options, "ab") != key_of(an_order(tmp_path, "a.onnx", max_batch_size=4).options, "ab")
    assert key_of(options, "ab") != key_of(an_order(tmp_path, "a.onnx", min_accuracy=0.5).options, "ab")


@pytest.mark.parametrize(
    ("attempts", "text"),
    [
        (["start a process"], "start a process"),
        (["read /a", "start a process"], "read /a and start a process"),
        (["a", "b", "a", "c", "d"], "a, b and c"),
    ],
)
def test_attempts_are_listed_as_people_list(attempts: list[str], text: str) -> None:
    assert attempts_in_words(attempts) == text


def test_tools_are_named_by_what_matters_for_the_format() -> None:
    assert tools_in_words("sklearn", tools_of("sklearn")).startswith("skl2onnx ")
    assert tools_in_words("onnx", tools_of("onnx")).startswith("onnx ")


def test_the_summary_says_how_far_the_model_agrees_and_what_it_takes() -> None:
    result = ConversionResult(
        artifact="ab",
        size_bytes=3 << 20,
        converted_with="skl2onnx 1.20.0",
        verification=Verification(
            samples=40, samples_from="given", max_relative_error=2e-7, agreement=1.0, accuracy=0.975, batch_sizes=(1, 3)
        ),
        memory_bytes=5 << 20,
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(2, 4)),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=(2, 3)),),
        batching=False,
        seconds=2.345,
    )

    assert in_words(result, Path("out")).splitlines() == [
        "Converted with skl2onnx 1.20.0 in 2.3 s",
        "Agrees with the outputs its source reported on 40 samples (given): max relative error 2e-07, "
        "same answer on 100.0%; accuracy 97.5% against labels that the source never saw",
        "  inputs   x FP32 [2, 4]",
        "  outputs  y FP32 [2, 3]",
        "  batches  fixed: serve it with maxBatchSize 0",
        "  memory   about 5 MiB at the largest batch",
        "  written  out/model.onnx (3.0 MiB) and manifest.json",
    ]

from pathlib import Path

import pytest

from convert_commands import an_order
from forebay_convert.command_line import UsageError, parse
from forebay_schema.tensors import TensorSpec


def test_a_file_converted_for_oneself_makes_an_order() -> None:
    source = ["m.joblib", "-o", "out", "--format", "sklearn", "--input", "image:FP32:-1,64", "--trust-source"]
    limits = ["--memory", "512Mi", "--timeout", "2m", "--max-batch-size", "8"]

    invocation = parse([*source, *limits, "--samples", "s.npz", "--min-accuracy", "0.9"])

    order = invocation.order
    assert invocation.folder == Path("out")
    assert order.options.source.uri == "m.joblib"
    assert order.options.source.inputs == (TensorSpec(name="image", datatype="FP32", shape=(-1, 64)),)
    assert order.options.verification.samples_uri == "s.npz"
    assert order.options.verification.min_accuracy == 0.9
    assert order.options.max_batch_size == 8
    assert (order.limits.memory_bytes, order.limits.seconds) == (512 << 20, 120.0)
    assert order.trust_source


def test_an_order_of_the_controllers_is_read_as_it_was_written(tmp_path: Path) -> None:
    order = an_order(tmp_path / "store", "s3://b/m.onnx", sha256="ab" * 32, max_batch_size=4, seconds=30.0)
    (tmp_path / "order.json").write_text(order.to_json())

    invocation = parse(["--order", str(tmp_path / "order.json"), "--result", str(tmp_path / "result.json")])

    assert invocation.order == order
    assert invocation.folder is None
    assert invocation.result == tmp_path / "result.json"


def test_with_an_order_a_stage_may_stand_where_a_source_would(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(an_order(tmp_path, "m.onnx").to_json())
    order = ["--order", str(tmp_path / "order.json")]

    assert parse(["convert", *order, "--work", str(tmp_path)]).stage == "convert"
    assert parse(order).stage is None
    assert parse([*order, "--work", "w"]).work == Path.cwd() / "w"
    assert parse(["fetch", "-o", "out"]).order.options.source.uri == "fetch"
    with pytest.raises(UsageError, match="say which folder the stages of this conversion share: --work DIR"):
        parse(["convert", *order])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --order FILE, or a SOURCE and -o DIR"),
        (["m.onnx", "--order", "o.json"], "give either"),
        (["m.onnx"], "say where the artifact goes: -o DIR"),
        (["--order", "/nowhere/order.json"], "cannot be read: No such file"),
    ],
)
def test_arguments_that_make_no_order_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(arguments)


def test_an_order_of_another_contract_is_refused(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text('{"schema": "forebay.dev/manifest/v1"}')

    with pytest.raises(UsageError, match=r"expected a document of forebay\.dev/conversion-order/v1"):
        parse(["--order", str(tmp_path / "order.json")])


@pytest.mark.parametrize("option", ["--memory=2Gigs", "--timeout=soon", "--input=image", "--input=image:FLOAT:-1,4"])
def test_a_value_that_cannot_be_read_ends_with_status_2(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["m.onnx", "-o", "out", option])

    assert ended.value.code == 2
    assert "for example" in capsys.readouterr().err

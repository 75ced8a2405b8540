from dataclasses import replace
from pathlib import Path

from domain_builders import a_deployment, a_spec
from forebay_operator.domain.deployment import DeploymentSpec, Source
from forebay_operator.domain.revisions import identify
from forebay_operator.worlds.local.editions import Editions


def conversion_of(editions: Editions, uri: str, sha256: str | None = None) -> str:
    spec = DeploymentSpec(source=Source(uri=uri, sha256=sha256))
    return identify("default", editions.of(a_deployment(spec=spec)).spec).conversion.digest


def test_a_file_written_anew_under_the_same_name_is_another_source(tmp_path: Path) -> None:
    model, editions = tmp_path / "model.joblib", Editions()
    model.write_bytes(b"first")
    first = conversion_of(editions, str(model))
    assert conversion_of(editions, str(model)) == first

    model.write_bytes(b"the second")

    assert conversion_of(editions, str(model)) != first


def test_what_was_converted_from_a_file_that_is_gone_stays_the_same_source(tmp_path: Path) -> None:
    model, editions = tmp_path / "model.joblib", Editions()
    model.write_bytes(b"first")
    first = conversion_of(editions, f"file://{model}")

    model.unlink()

    assert conversion_of(editions, f"file://{model}") == first


def test_a_source_with_a_digest_and_one_elsewhere_have_no_edition(tmp_path: Path) -> None:
    model, editions = tmp_path / "model.joblib", Editions()
    model.write_bytes(b"first")
    first = conversion_of(editions, str(model), "0" * 64)

    model.write_bytes(b"the second")

    assert conversion_of(editions, str(model), "0" * 64) == first
    assert editions.of(a_deployment(spec=a_spec("s3://models/m"))).spec.source.edition == ""


def test_a_source_that_is_to_be_read_again_is_another_one_whatever_its_file_looks_like(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"one")
    asked = replace(a_deployment(), spec=DeploymentSpec(source=Source(uri=str(file))))
    again = replace(asked, spec=replace(asked.spec, source=replace(asked.spec.source, edition="again")))
    assert Editions().of(asked).spec.source.edition != Editions().of(again).spec.source.edition


def test_a_spec_that_did_not_change_is_the_same_value_again(tmp_path: Path) -> None:
    model, editions = tmp_path / "model.joblib", Editions()
    model.write_bytes(b"first")
    deployment = a_deployment(spec=a_spec(str(model)))

    assert editions.of(deployment).spec is editions.of(deployment).spec

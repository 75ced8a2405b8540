import os
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from api_cases import ACCEPTED, REFUSED, Accepted, Refused, an_object
from api_examples import unhurried
from forebay_operator.api.loading import MAX_FILE_BYTES, Loaded, load, load_text
from forebay_schema.addresses import ModelAddress

EXAMPLES = Path(__file__).parents[3] / "examples"

VALID = """\
apiVersion: forebay.dev/v1alpha1
kind: ModelDeployment
metadata:
  name: digits
spec:
  model:
    source:
      uri: s3://models/digits.joblib
"""


def written(loaded: Loaded) -> list[str]:
    return [str(problem) for problem in loaded.problems]


def names(loaded: Loaded) -> list[str]:
    return [deployment.metadata.name for deployment in loaded.objects]


def only_problem(text: str) -> str:
    loaded = load_text(text, "x.yaml")
    assert loaded.objects == ()
    [problem] = written(loaded)
    return problem


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "digits.yaml"
    file.write_text("# One model\n" + VALID)

    loaded = load([file])

    assert names(loaded) == ["digits"]
    assert loaded.problems == ()
    assert str(loaded.origins[ModelAddress("default", "digits")]) == f"{file}:2"


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_is_accepted_is_accepted_from_yaml(case: Accepted) -> None:
    loaded = load_text(yaml.safe_dump(case.object))

    assert (names(loaded), written(loaded)) == ([case.object["metadata"]["name"]], [])


# A relative path in a file is no mistake.
LOADED = [case for case in REFUSED if case.before is None and not case.name.startswith(("a source at 'm", "a source at '."))]


@pytest.mark.parametrize("case", LOADED, ids=lambda case: case.name)
def test_every_refusal_names_the_line_of_the_field_or_of_what_lacks_it(case: Refused) -> None:
    text = yaml.safe_dump(case.object, default_flow_style=False)
    path = [part.partition("[")[0] for part in case.field.split(".")]
    expected = next(name for name in reversed(path) if f"{name}:" in text)

    [problem] = load_text(text).problems

    line = text.splitlines()[problem.line - 1].strip()
    assert problem.field == case.field
    assert line.startswith((f"{expected}:", "- ")), line


def test_a_folder_is_read_in_the_order_of_its_names_and_without_what_is_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(VALID.replace("digits", "second"))
    (tmp_path / "a.yml").write_text(VALID.replace("digits", "first"))
    (tmp_path / ".hidden.yaml").write_text("{")
    (tmp_path / "notes.txt").write_text("{")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "c.yaml").write_text("{")

    assert names(load([tmp_path])) == ["first", "second"]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "---\n---\n# nothing\n", "null\n"])
def test_an_empty_file_says_nothing_and_is_fine(text: str) -> None:
    assert load_text(text) == Loaded()


def test_every_document_of_a_file_is_read_and_a_wrong_one_spoils_no_other() -> None:
    text = "---\n".join([VALID, VALID.replace("digits", "Wrong"), VALID.replace("digits", "third")])

    loaded = load_text(text, "models.yaml")

    assert names(loaded) == ["digits", "third"]
    assert written(loaded) == [
        "models.yaml:13: metadata.name: a name has at most 50 lower-case letters, digits and -, begins with a letter"
        " and does not end in -: choose another metadata.name"
    ]


def test_what_stands_before_broken_yaml_is_read() -> None:
    loaded = load_text(VALID + "---\nspec: [\n")

    assert names(loaded) == ["digits"]
    assert [problem.line for problem in loaded.problems] == [11]


def test_a_typo_is_answered_with_its_line_and_the_right_name() -> None:
    text = VALID + "  autoscaling:\n    maxReplica: 8\n    maxReplicas: 8\n"

    [problem] = load_text(text, "x.yaml").problems

    assert (problem.file, problem.line, problem.field) == ("x.yaml", 10, "spec.autoscaling.maxReplica")
    assert problem.message == "there is no field `maxReplica` in spec.autoscaling"
    assert problem.remedy == "did you mean `maxReplicas`?"


@pytest.mark.parametrize(
    ("addition", "problem"),
    [
        ("  replicas: two\n", '9: spec.replicas: "two" is a text, not a whole number: write a whole number without quotes'),
        ("  replicas: -1\n", "9: spec.replicas: -1 is out of bounds: write a number from 0 to 1000"),
        ("  replicas: 1.5\n", "9: spec.replicas: 1.5 is a number, not a whole number: write a whole number"),
        ("  stopped: 1\n", "9: spec.stopped: 1 is a whole number, not true or false: write true or false"),
        ("  stopped: 'no'\n", '9: spec.stopped: "no" is a text, not true or false: write true or false without quotes'),
        ("  serving: 32\n", "9: spec.serving: 32 is a whole number, not a mapping: write a mapping"),
        ("  serving: {provider: gpu}\n", '9: spec.serving.provider: "gpu" is not one of auto, cpu, cuda: did you mean cpu?'),
        (
            "  serving:\n    preferredBatchSizes:\n    - 4\n    - '8'\n",
            '12: spec.serving.preferredBatchSizes[1]: "8" is a text, not a whole number: write a whole number without quotes',
        ),
        (
            "  serving: {maxQueueDelay: 5}\n",
            "9: spec.serving.maxQueueDelay: 5 is a whole number, not a text: write it with its unit, for example 5s",
        ),
        (
            "  serving: {queueTimeout: 5 minutes}\n",
            '9: spec.serving.queueTimeout: "5 minutes" does not fit: write a duration from 0s to 1h, with its unit,'
            " such as 500ms, 60s, 5m or 1h30m",
        ),
        (
            "  autoscaling: {}\n",
            "9: spec.autoscaling.maxReplicas: is missing: add it: Never more replicas.",
        ),
        (
            "  max_replicas: 3\n",
            "9: spec.max_replicas: there is no field `max_replicas` in spec: did you mean `replicas`?",
        ),
        (
            "  replicas: 2\n  replicas: 3\n",
            "10: spec.replicas: `replicas` is there twice, first on line 9: remove one of the two",
        ),
        ("  verification: {maxRelativeError: .nan}\n", "9: spec.verification.maxRelativeError: NaN is out of bounds"),
        ("  serving: {instances: [2]}\n", "9: spec.serving.instances: [2] is a list, not a whole number or a text"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(addition: str, problem: str) -> None:
    assert only_problem(VALID + addition).startswith(f"x.yaml:{problem}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:\n\tb: 1\n", "2: there is a tab in column 1: indent with spaces"),
        ("a: b: c\n", "1: broken YAML in column 5: mapping values are not allowed here"),
        ("a: *b\n", "1: broken YAML in column 4: found undefined alias 'b': put text that begins with * into quotes"),
        ("a: 'b\n", "2: broken YAML in column 1: found unexpected end of stream (while scanning a quoted scalar)"),
        ("a: \x00\n", "1: it is no text that YAML allows"),
        ("- a\n", "1: expected a ModelDeployment, found a plain value or a list"),
        ("hello\n", "1: expected a ModelDeployment, found a plain value or a list"),
        (
            "\nkind: ModelDeploymnt\n",
            "2: kind: ModelDeploymnt is not ModelDeployment, which is all that is read here: did you mean",
        ),
        ("kind: Secret\n", "1: kind: Secret is not ModelDeployment, which is all that is read here: use kubectl"),
        ("kind: List\nitems: []\n", "1: kind: List is not ModelDeployment, which is all that is read here: give each object"),
        ("apiVersion: forebay.dev/v1alpha1\n", "1: kind: is missing: add `kind: ModelDeployment`"),
        ("kind: ModelDeployment\napiVersion: forebay.dev/v1\n", "2: apiVersion: forebay.dev/v1 is not forebay.dev/v1alpha1"),
        ("a: !!python/object:os.system x\n", "1: a: the tag !!python/object:os.system is not read: write the value plainly"),
        ("a: !!binary aGVsbG8=\n", "1: a: the tag !!binary is not read"),
        ("<<: {a: 1}\n", "1: a merge key (<<) is not read: write the fields out"),
        ("? [a]\n: b\n", "1: a list or mapping as the name of a field is not read"),
        ("a: &a [*a]\n", "1: it is nested too deep, or contains itself"),
    ],
)
def test_what_is_no_modeldeployment_is_named_with_its_line(text: str, problem: str) -> None:
    assert only_problem(text).startswith(f"x.yaml:{problem}")


def test_aliases_that_stand_for_a_great_many_values_are_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))

    assert "it has more than 50000 values" in only_problem(bomb)


def test_a_document_is_read_no_further_than_its_bound() -> None:
    # Within the largest size of a file; to read all of it would take a minute.
    problem = only_problem("- a\n" * 500_000)

    assert ":50000: it has more than 50000 values: split it" in problem


def test_a_text_that_is_nested_without_end_is_refused() -> None:
    assert "it is nested too deep" in only_problem("[" * 600)


def test_aliases_within_bounds_are_read() -> None:
    text = VALID.replace("metadata:", "metadata:\n  labels: &labels {team: vision}\n  annotations: *labels")

    [deployment] = load_text(text).objects
    assert deployment.metadata.annotations == {"team": "vision"}


def test_a_field_without_a_value_is_a_field_that_is_not_set() -> None:
    assert load_text(VALID + "  serving:\n  replicas: null\n").objects == load_text(VALID).objects


def test_numbers_are_read_as_kubectl_reads_them() -> None:
    text = VALID + "  verification: {maxRelativeError: 1e-3, minAgreement: 9.5E-1}\n"

    [deployment] = load_text(text).objects
    assert (deployment.spec.verification.max_relative_error, deployment.spec.verification.min_agreement) == (0.001, 0.95)


@pytest.mark.parametrize("date", ["2026-01-31", "2026-01-31T12:00:00Z", "1:30", "0" * 64])
def test_text_that_looks_like_a_date_or_a_number_of_minutes_stays_text(date: str) -> None:
    [deployment] = load_text(VALID.replace("metadata:", f"metadata:\n  labels: {{a: {date}}}")).objects

    assert deployment.metadata.labels == {"a": date}


def test_a_relative_path_is_relative_to_the_file_it_stands_in(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "m.yaml"
    file.write_text(
        VALID.replace("s3://models/digits.joblib", "../weights/m.onnx") + "  verification: {samples: {uri: x.npz}}\n"
    )

    [deployment] = load([file]).objects

    assert deployment.spec.model.source.uri == f"{tmp_path}/weights/m.onnx"
    assert deployment.spec.verification.samples is not None
    assert deployment.spec.verification.samples.uri == f"{tmp_path}/models/x.npz"


@pytest.mark.parametrize("uri", ["/models/m.onnx", "s3://m/m.onnx", "file:///m.onnx"])
def test_an_absolute_path_and_a_uri_stay_as_they_are(uri: str) -> None:
    [deployment] = load_text(VALID.replace("s3://models/digits.joblib", uri), folder=Path("/elsewhere")).objects

    assert deployment.spec.model.source.uri == uri


def test_one_name_is_taken_once_and_the_other_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(VALID)
    (tmp_path / "b.yaml").write_text(VALID + "  replicas: 3\n")
    (tmp_path / "c.yaml").write_text(VALID.replace("name: digits", "name: digits\n  namespace: other"))

    loaded = load([tmp_path])

    assert [(found.address.namespace, found.spec.replicas) for found in loaded.objects] == [("default", None), ("other", None)]
    assert written(loaded) == [
        f"{tmp_path}/b.yaml:1: metadata.name: there is another ModelDeployment digits of namespace default"
        f" in {tmp_path}/a.yaml:1: rename one, or remove it; the first is taken"
    ]


@pytest.mark.parametrize("namespace", ["../up", "A", "a.b", "a/b", "-a", "x" * 64, "''"])
def test_a_namespace_that_is_no_label_is_refused(namespace: str) -> None:
    problem = only_problem(VALID.replace("name: digits", f"name: digits\n  namespace: {namespace}"))

    assert problem.startswith("x.yaml:5: metadata.namespace:")


def test_files_that_cannot_be_read_are_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("#" * (MAX_FILE_BYTES + 1))
    (tmp_path / "latin.yaml").write_bytes("a: \xe9".encode("latin-1"))
    os.mkfifo(tmp_path / "pipe.yaml")

    loaded = load([tmp_path, tmp_path / "gone.yaml"])

    assert written(loaded) == [
        f"{tmp_path}/large.yaml: it is larger than 2 MiB: split it, and name models by URI rather than writing them into it",
        f"{tmp_path}/latin.yaml: byte 3 is no UTF-8: save the file as UTF-8 text",
        f"{tmp_path}/pipe.yaml: it is no file: name a YAML file, or a folder of them",
        f"{tmp_path}/gone.yaml: there is no such file or folder: check the path",
    ]


def test_a_byte_order_mark_and_dos_line_ends_are_no_obstacle(tmp_path: Path) -> None:
    file = tmp_path / "dos.yaml"
    file.write_bytes(VALID.replace("\n", "\r\n").encode("utf-8-sig"))

    assert names(load([file])) == ["digits"]


def test_what_kubectl_prints_of_an_object_is_read_again() -> None:
    content = an_object()
    content["metadata"] |= {
        "uid": "5e1b",
        "generation": 1,
        "creationTimestamp": "2026-01-31T12:00:00Z",
        "resourceVersion": "7",
    }
    content["status"] = {"summary": "Ready: 1 of 1 replicas"}

    assert names(load_text(yaml.safe_dump(content))) == ["digits"]


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
def test_the_examples_are_valid(file: Path) -> None:
    loaded = load([file])

    assert written(loaded) == []
    assert loaded.objects != ()


@unhurried
@given(st.text(max_size=200))
@example("a: 0b_")
@example("a: 0o_\nb: 0x_\nc: 1_:_2\nd: ._\ne: +.inf")
@example("? a\n? b")
@example("%YAML 9.9\n---\na: b")
@example("a: 2026-99-99")
@example("!<tag:yaml.org,2002:int> x")
@example("!!bool maybe")
def test_no_text_makes_it_fail(text: str) -> None:
    assert isinstance(load_text(text), Loaded)


@unhurried
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9), st.lists, max_leaves=9))
def test_no_value_of_a_field_makes_it_fail(value: object) -> None:
    for path in ("replicas", "serving.instances", "placement.memory", "verification.samples.uri"):
        assert isinstance(load_text(yaml.safe_dump(an_object({path: value}))), Loaded)

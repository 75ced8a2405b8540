"""Scenarios: what they mean, and how what is wrong with them is said."""

from pathlib import Path

import numpy as np
import pytest

from forebay_operator.cli.simulate.fluid import STEP_S
from forebay_operator.cli.simulate.scenario import ScenarioError, read

EXAMPLES = Path(__file__).parents[3] / "examples"
BASE = """\
autoscaling: {maxReplicas: 4}
devices: 3
readyDelay: 30s
service: {base: 100ms}
duration: 10m
arrivals:
  constant: {perSecond: 20}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "case.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("file", sorted((EXAMPLES / "simulate").glob("*.yaml")), ids=lambda file: file.name)
def test_the_examples_can_be_simulated(file: Path) -> None:
    assert read(file).arrivals.sum() > 0


def test_a_load_is_drawn_by_its_seed(tmp_path: Path) -> None:
    first, again = (read(written(tmp_path, BASE)).arrivals for _ in range(2))
    other = read(written(tmp_path, f"{BASE}seed: 7\n")).arrivals
    assert (first == again).all()
    assert (first != other).any()
    assert first.sum() == pytest.approx(20 * 600, rel=0.05)


def test_what_is_ready_at_the_beginning_is_enough_for_what_comes_first(tmp_path: Path) -> None:
    assert read(written(tmp_path, BASE)).site.initial == 3
    assert read(written(tmp_path, f"{BASE}initialReplicas: 0\n")).site.initial == 0


def test_a_trace_is_read_by_the_second_and_cut_to_the_duration(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("second,requests\n0,3\n2,5\n2,1\n5,9\n")
    text = BASE.replace("constant: {perSecond: 20}", "csv: load.csv")
    plan = read(written(tmp_path, text.replace("10m", "4s")))
    per_second = plan.arrivals.reshape(-1, round(1 / STEP_S)).sum(axis=1)
    np.testing.assert_allclose(per_second, [3, 0, 6, 0])


def test_a_scenario_may_name_the_file_of_the_model(tmp_path: Path) -> None:
    model = (EXAMPLES / "digits.yaml").read_text(encoding="utf-8")
    (tmp_path / "digits.yaml").write_text(model, encoding="utf-8")
    plan = read(written(tmp_path, BASE.replace("autoscaling: {maxReplicas: 4}", "deployment: digits.yaml")))
    assert plan.spec.source.uri


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("devices: 3\n", "", "case.yaml:1: devices: is missing"),
        ("devices: 3", "devices: many", "case.yaml:2: devices: 'many' does not fit"),
        ("devices: 3", "devices: 0", "case.yaml:2: devices: 0 does not fit"),
        ("readyDelay", "readyDely", "case.yaml:3: readyDely: there is no such field: did you mean `readyDelay`?"),
        ("30s", "30", "case.yaml:3: readyDelay: 30 does not fit"),
        ("30s", "soon", "case.yaml:3: readyDelay: 'soon' does not fit: write a duration from 0s to 24h"),
        ("perSecond: 20", "perSecond: -1", "case.yaml:7: arrivals.constant.perSecond: -1 does not fit"),
        ("constant: {perSecond: 20}", "csv: none.csv", "none.csv cannot be read"),
        ("constant:", "sparse: {every: 5m}\n  constant:", "case.yaml:6: arrivals: write one of csv, constant"),
        ("autoscaling: {maxReplicas: 4}\n", "", "autoscaling: name a file in `deployment`"),
        ("{maxReplicas: 4}", "{maxReplicas: 4, minReplicas: 5}", "autoscaling.minReplicas"),
        ("autoscaling: {maxReplicas: 4}", "deployment: none.yaml", "none.yaml: there is no such file"),
        ("devices: 3", "devices: [", "case.yaml:"),
        (BASE, "", "there are 0 documents"),
        (BASE, "- 1\n", "case.yaml:1: a mapping was expected"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_field(tmp_path: Path, before: str, after: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(written(tmp_path, BASE.replace(before, after)))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        ("", "no line `second,requests`"),
        ("second,requests\n1,2,3\n", "load.csv:2: '1,2,3' is no `second,requests`"),
        ("0,5\nnoon,5\n", "load.csv:2: 'noon,5'"),
        ("-1,5\n", "second -1 is out of bounds"),
        ("1e12,5\n", "second 1e12 is out of bounds"),
        ("1,nan\n", "nan requests in a second"),
        ("1,-5\n", "-5 requests in a second"),
    ],
)
def test_what_is_wrong_with_a_trace_is_said_with_its_line(tmp_path: Path, trace: str, said: str) -> None:
    (tmp_path / "load.csv").write_text(trace)
    with pytest.raises(ScenarioError) as caught:
        read(written(tmp_path, BASE.replace("constant: {perSecond: 20}", "csv: load.csv")))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "at_s", "per_second"),
    [
        ("daily: {low: 10, high: 100, peaks: [1], width: 6m}", 3600, 100),
        ("step: {low: 10, high: 100, begin: 1h, end: 2h}", 3700, 100),
        ("step: {low: 10, high: 100, begin: 1h, end: 2h}", 7300, 10),
        ("flashCrowd: {low: 10, times: 5, at: 1h, halfLife: 30m}", 3605, 50),
        ("flashCrowd: {low: 10, times: 5, at: 1h, halfLife: 30m}", 5400, 30),
        ("onOff: {high: 100}", 1300, 100),
        ("onOff: {high: 100}", 700, 0),
        ("ramp: {begin: 0, end: 100, over: 2h}", 3600, 50),
        ("sparse: {every: 1s}", 3600, 1),
        ("boundary: {perSecond: 100, spread: 0}", 3600, 100),
    ],
)
def test_a_shape_has_its_rate_at_a_time(tmp_path: Path, shape: str, at_s: int, per_second: float) -> None:
    text = BASE.replace("constant: {perSecond: 20}", shape).replace("10m", "3h")
    arrivals = read(written(tmp_path, text)).arrivals.reshape(-1, round(1 / STEP_S)).sum(axis=1)
    seen = (
        float(arrivals[at_s - 20 : at_s + 20].mean()) if at_s not in (3605,) else float(arrivals[at_s - 5 : at_s + 20].mean())
    )
    assert seen == pytest.approx(per_second, abs=0.6 + 0.15 * per_second)

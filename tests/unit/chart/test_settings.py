"""The document that the operator is told its settings by."""

import json
from pathlib import Path
from typing import Any

import pytest

from forebay_operator.settings import OperatorSettings, SettingsError

LEAST: dict[str, Any] = {
    "schema": "forebay.dev/installation/v1",
    "gatewayHost": "gateway.example",
    "store": {"uri": "s3://bucket"},
    "servers": {"cpuImage": "c:1", "gpuImage": "g:1"},
    "conversions": {"image": "v:1"},
}


def _read(folder: Path, **changes: Any) -> OperatorSettings:
    path = folder / "operator.json"
    path.write_text(json.dumps(LEAST | changes))
    return OperatorSettings.read(path)


@pytest.mark.parametrize(("written", "meant"), [(2, "2"), (0.5, "0.5"), ("500m", "500m"), (16e9, "16000000000")])
def test_a_quantity_may_be_written_as_a_number(written: object, meant: str, tmp_path: Path) -> None:
    made = _read(tmp_path, servers=LEAST["servers"] | {"limits": {"cpu": written}}).installation()
    assert made.servers.limits["cpu"].removesuffix(".0") == meant


@pytest.mark.parametrize("written", [True, None, []])
def test_what_is_no_quantity_is_refused(written: object, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"conversions\.limits\.cpu"):
        _read(tmp_path, conversions={"image": "v:1", "limits": {"cpu": written}})


@pytest.mark.parametrize(
    "terms",
    [
        {"durationSeconds": 8},
        {"deadlineSeconds": 9},
        {"retrySeconds": 7},
        {"retrySeconds": 0},
    ],
    ids=str,
)
def test_terms_by_which_two_operators_might_act_at_once_are_refused(terms: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="an operator stops before another begins"):
        _read(tmp_path, leadership=terms)


def test_other_terms_are_taken(tmp_path: Path) -> None:
    terms = _read(tmp_path, leadership={"durationSeconds": 30, "deadlineSeconds": 20, "retrySeconds": 2}).terms()
    assert (terms.duration_s, terms.deadline_s, terms.retry_s) == (30, 20, 2)

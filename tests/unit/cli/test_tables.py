import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from forebay_operator.cli.tables import age, objects_table

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def an_object(namespace: str = "default") -> dict[str, Any]:
    return {
        "metadata": {"name": "digits", "namespace": namespace, "creationTimestamp": "2026-01-02T11:00:00Z"},
        "status": {
            "readyReplicas": 2,
            "replicas": 3,
            "revision": 4,
            "summary": "Ready [2 of 3].",
            "scaling": {"queueDepth": 1.5, "wanted": 3},
            "conditions": [{"type": "Placed", "status": "False"}, {"type": "Ready", "status": "True"}],
        },
    }


def test_a_table_has_what_kubectl_would_show() -> None:
    assert objects_table([an_object()], NOW).plain().splitlines() == [
        "NAME    READY  WANTED  REPLICAS  QUEUE  AGE  SUMMARY",
        "digits  True   3       2         1.5    60m  Ready [2 of 3].",
    ]


def test_the_columns_are_those_of_kubectl_and_the_summary() -> None:
    definition = yaml.safe_load((Path(__file__).parents[3] / "crds" / "forebay.dev_modeldeployments.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    shown_at_once = [each["name"] for each in version["additionalPrinterColumns"] if not each.get("priority")]

    assert objects_table([an_object()], NOW).headings == ["NAME", *shown_at_once, "SUMMARY"]


def test_namespaces_are_shown_where_there_are_others() -> None:
    table = objects_table([an_object(), an_object("team")], NOW)

    assert table.headings[0] == "NAMESPACE"
    assert [row[0] for row in table.rows] == ["default", "team"]


def test_the_one_namespace_that_was_asked_for_is_not_repeated() -> None:
    assert objects_table([an_object("team")], NOW, "team").headings[0] == "NAME"


def test_an_object_that_nobody_looked_at_yet_is_listed() -> None:
    assert "Not looked at yet." in objects_table([{"metadata": {"name": "new"}}], NOW).plain()


def test_a_terminal_shows_brackets_as_they_are() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    objects_table([an_object()], NOW).show(console)

    assert isinstance(console.file, io.StringIO)
    assert "Ready [2 of 3]." in console.file.getvalue()


@pytest.mark.parametrize(
    ("created", "shown"),
    [
        ("2026-01-02T11:59:50Z", "10s"),
        ("2026-01-02T11:57:00Z", "3m"),
        ("2026-01-02T09:00:00Z", "3h"),
        ("2025-12-28T12:00:00Z", "5d"),
        ("2027-01-01T00:00:00Z", "0s"),
        (None, ""),
    ],
)
def test_ages_have_one_unit(created: str | None, shown: str) -> None:
    assert age(created, NOW) == shown


@pytest.mark.parametrize(("width", "is_whole"), [(60, False), (200, True)])
def test_a_terminal_has_one_line_for_each_model_and_it_is_known_whether_all_is_shown(width: int, is_whole: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    long = an_object()
    long["status"]["summary"] = "Not ready: its conversion failed.\nThe source is 6 bytes that no model consists of."

    assert objects_table([long], NOW).show(console) is is_whole
    assert isinstance(console.file, io.StringIO)
    assert len(console.file.getvalue().splitlines()) == 2
    assert ("…" in console.file.getvalue()) is not is_whole

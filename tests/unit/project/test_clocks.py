"""Durations are measured by the clock that nobody sets; the one on the wall is for dates that people and files are told."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
WALL = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today"}
ALLOWED = {
    # The time of the last inference, which Triton's statistics give in milliseconds since 1970.
    "runtime/forebay_runtime/service/batcher.py": 1,
    # A conversion's stages are processes, in a cluster containers that may start again elsewhere: only a date is common to
    # them. A stage measures what it takes itself by the other clock; a date in the future counts as no time at all.
    "runtime/forebay_convert/stages.py": 1,
    "runtime/forebay_convert/conversion.py": 3,
    # Envoy dates requests by it; the date is looked at once, when a request comes.
    "runtime/forebay_gateway/gateway.py": 1,
    # Read once, at the start: from then on the other clock counts.
    "operator/forebay_operator/worlds/clock.py": 1,
    # Dates in objects and tables, and the age of what Kubernetes dates.
    "operator/forebay_operator/worlds/kubernetes/lease.py": 1,
    "operator/forebay_operator/worlds/local/objects.py": 1,
    "operator/forebay_operator/cli/get.py": 1,
    "operator/forebay_operator/cli/cluster/connection.py": 2,
}


def wall_clocks(file: Path) -> Iterator[str]:
    """Each call of a clock that can be set."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and f"{node.value.id}.{node.attr}" in WALL:
            yield f"{node.value.id}.{node.attr}"
        if isinstance(node, ast.ImportFrom) and node.module == "time" and any(name.name == "time" for name in node.names):
            yield "from time import time"


def test_no_duration_is_measured_by_a_clock_that_can_be_set() -> None:
    sources = [file for folder in ("runtime", "operator") for file in (ROOT / folder).rglob("*.py")]
    counted = {str(file.relative_to(ROOT)): len(list(wall_clocks(file))) for file in sources}
    assert {name: count for name, count in counted.items() if count} == ALLOWED

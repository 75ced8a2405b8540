"""`make advisories`: which pinned packages have a known advisory, by advisories in OSV's form that lie on this machine.

The advisories are a folder of JSON files or a zip of them, as OSV publishes one for all of PyPI; FOREBAY_ADVISORIES or
`--database` says where. Nothing is fetched. Where there are none, nothing is checked, and that is said.
"""

import argparse
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)")


@dataclass(frozen=True, order=True)
class Finding:
    package: str
    version: str
    advisory: str
    summary: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 1 with findings, 0 without, also where nothing could be checked, 2 if what was named is not there."""
    parser = argparse.ArgumentParser(prog="make advisories", description=__doc__)
    parser.add_argument("--database", type=Path, default=os.environ.get("FOREBAY_ADVISORIES"), help="folder or zip")
    parser.add_argument("requirements", nargs="*", type=Path, help="default: all of this folder")
    given = parser.parse_args(arguments)
    pins = pinned(given.requirements or sorted(Path(__file__).parent.glob("*.txt")))
    if given.database is None:
        print(f"advisories: skipped, {len(pins)} packages not checked: set FOREBAY_ADVISORIES to OSV's advisories for PyPI")
        return 0
    if not given.database.exists():
        print(f"advisories: {given.database} does not exist", file=sys.stderr)
        return 2
    known = list(advisories(given.database))
    found = sorted({finding for advisory in known for finding in findings(advisory, pins)})
    for finding in found:
        print(f"{finding.package} {finding.version}: {finding.advisory}: {finding.summary}")
    print(f"advisories: {len(pins)} packages against {len(known)} advisories, {len(found)} found")
    return 1 if found else 0


def pinned(files: Sequence[Path]) -> set[tuple[str, str]]:
    """Names and versions of all pins."""
    matches = (_PIN.match(line) for file in files for line in file.read_text(encoding="utf-8").splitlines())
    return {(canonicalize_name(match["name"]), match["version"]) for match in matches if match}


def advisories(database: Path) -> Iterator[dict[str, Any]]:
    if database.is_dir():
        for file in database.rglob("*.json"):
            yield json.loads(file.read_bytes())
        return
    with zipfile.ZipFile(database) as packed:
        for name in packed.namelist():
            if name.endswith(".json"):
                yield json.loads(packed.read(name))


def findings(advisory: dict[str, Any], pins: set[tuple[str, str]]) -> Iterator[Finding]:
    if advisory.get("withdrawn"):
        return
    for affected in advisory.get("affected", []):
        package = affected.get("package", {})
        if package.get("ecosystem") != "PyPI":
            continue
        name = canonicalize_name(package.get("name", ""))
        for pin, version in pins:
            if pin == name and is_affected(version, affected):
                yield Finding(pin, version, advisory["id"], advisory.get("summary", "no summary"))


def is_affected(version: str, affected: dict[str, Any]) -> bool:
    """As OSV's specification evaluates versions and ranges."""
    if version in affected.get("versions", []):
        return True
    return any(_within(version, span["events"]) for span in affected.get("ranges", []) if span.get("type") == "ECOSYSTEM")


def _within(version: str, events: Sequence[dict[str, str]]) -> bool:
    inside = False
    for event in sorted(events, key=lambda event: _key(next(iter(event.values())))):
        ((kind, at),) = event.items()
        if kind == "introduced" and _key(version) >= _key(at):
            inside = True
        elif (kind == "fixed" and _key(version) >= _key(at)) or (kind == "last_affected" and _key(version) > _key(at)):
            inside = False
    return inside


def _key(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


if __name__ == "__main__":
    sys.exit(main())

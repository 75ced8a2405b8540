"""Runs conversions as the controller and people do: as a command of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forebay_schema.conversion import (
    ConversionLimits,
    ConversionOptions,
    ConversionOrder,
    ConversionResult,
    ConversionSource,
    VerificationDemand,
)

PATIENCE_S = 240


@dataclass(frozen=True)
class Ran:
    status: int
    output: str
    errors: str

    def result(self) -> ConversionResult:
        """What the command answered; its last line of output."""
        return ConversionResult.from_json(self.output.strip().splitlines()[-1])


def an_order(store: Path, uri: object, **changes: Any) -> ConversionOrder:
    """An order for a source; `changes` are fields of its parts, by their names."""
    source = ConversionSource(uri=str(uri), **_taken(changes, ConversionSource))
    verification = VerificationDemand(**_taken(changes, VerificationDemand))
    limits = ConversionLimits(**_taken(changes, ConversionLimits))
    options = ConversionOptions(source=source, verification=verification, **_taken(changes, ConversionOptions))
    return ConversionOrder(namespace="default", store=str(store), options=options, limits=limits, **changes)


def _taken(changes: dict[str, Any], part: type[Any]) -> dict[str, Any]:
    return {name: changes.pop(name) for name in list(changes) if name in part.model_fields}


def carry_out(
    order: ConversionOrder, folder: Path, work: Path | None = None, within: Sequence[str] = (), **environment: str
) -> Ran:
    """Run `forebay-convert --order`, with its temporary files in `folder`, or in `work`; `within` stands before it."""
    path = folder / "order.json"
    path.write_text(order.to_json())
    return _run([*within, *command("--order", path, "--work", work or folder / "work")], environment)


def run(*arguments: object, **environment: str) -> Ran:
    return _run(command(*arguments), environment)


def _run(line: Sequence[str], environment: Mapping[str, str]) -> Ran:
    ended = subprocess.run(
        line, capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ, **environment}, check=False
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "forebay_convert", *(str(argument) for argument in arguments)]

"""Runs conversions inside the test's own process; processes A and B are processes of their own all the same."""

from dataclasses import dataclass, field
from pathlib import Path

from forebay_convert.conversion import convert
from forebay_convert.publishing import StoreDestination
from forebay_schema.conversion import ConversionOrder, ConversionResult
from forebay_schema.manifest import SandboxLevel


@dataclass
class Told:
    """Keeps what a conversion says of its progress."""

    lines: list[tuple[str, dict[str, object]]] = field(default_factory=list[tuple[str, dict[str, object]]])

    def __call__(self, message: str, **fields: object) -> None:
        self.lines.append((message, fields))

    def text(self) -> str:
        return "\n".join(f"{message} {fields}" for message, fields in self.lines)


def converted(order: ConversionOrder, folder: Path, told: Told | None = None) -> ConversionResult:
    return convert(order, lambda: StoreDestination(order.store, order.namespace), folder / "work", told or Told())


def converted_at_level(order: ConversionOrder, folder: Path, level: SandboxLevel) -> ConversionResult:
    """As on a machine that can isolate no better."""
    return convert(order, lambda: StoreDestination(order.store, order.namespace), folder / "work", Told(), level=lambda: level)

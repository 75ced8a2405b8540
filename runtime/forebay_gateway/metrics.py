"""The gateway's metrics as Prometheus text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from forebay_schema.addresses import ModelAddress

Values = Mapping[ModelAddress, int] | int
"""One value per model, or a single one."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric."""

    name: str
    kind: str
    help: str
    values: Values


def render(families: Iterable[Family]) -> str:
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterable[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    if not isinstance(family.values, Mapping):
        yield f"{family.name} {family.values}"
        return
    for address, value in family.values.items():
        # Namespaces and names have letters, digits, '-', '_' and '.': nothing in them needs an escape.
        yield f'{family.name}{{namespace="{address.namespace}",model="{address.name}"}} {value}'

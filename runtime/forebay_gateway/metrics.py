"""The gateway's metrics as Prometheus text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from forebay_schema.addresses import ModelAddress

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value. `suffix` is what a summary's parts are called by."""

    value: float
    labels: Labels = ()
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


def model_labels(address: ModelAddress) -> Labels:
    return (("namespace", address.namespace), ("model", address.name))


def by_model(values: Mapping[ModelAddress, float], suffix: str = "") -> tuple[Sample, ...]:
    return tuple(Sample(value, model_labels(address), suffix) for address, value in values.items())


def render(families: Iterable[Family]) -> str:
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterable[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        # Namespaces and names have letters, digits, '-', '_' and '.': nothing in them needs an escape.
        labels = ",".join(f'{name}="{value}"' for name, value in sample.labels)
        yield f"{family.name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {sample.value:.15g}"

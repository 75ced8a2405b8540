"""What a simulation is about, as a user writes it: a model's scaling, its devices and its pace, and the load."""

import difflib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, cast

import numpy as np
from pydantic import Field, ValidationError

from forebay_operator.api import spec as api
from forebay_operator.api.documents import Document, Fault, documents
from forebay_operator.api.fields import DurationText, duration_from, seconds
from forebay_operator.api.loading import UnreadableError, load, text_of
from forebay_operator.api.objects import ApiModel
from forebay_operator.api.refusals import dotted
from forebay_operator.api.rules import Rule, RuleBroken
from forebay_operator.cli.simulate.course import STEPS_PER_S, Site
from forebay_operator.cli.simulate.fluid import STEP_S
from forebay_operator.cli.simulate.pace import Pace
from forebay_operator.cli.simulate.shapes import Arrivals, Rates, Span, recorded, scattered
from forebay_operator.domain.deployment import DeploymentSpec
from forebay_operator.translate import spec_of

_USUAL_SHARE: Final = 0.75
_FIRST_S: Final = 10
_SHAPES: Final = ("csv", "constant", "daily", "step", "flashCrowd", "onOff", "ramp", "sparse", "boundary")


class Service(ApiModel):
    """How long a batch takes on one instance: `base`, and `perItem` for each request in it."""

    base: Annotated[DurationText, duration_from("100us", "10m")]
    per_item: Annotated[DurationText, duration_from("0s", "1m")] = "0s"
    max_batch_size: Annotated[int, Field(ge=1, le=4096)] = 1
    """1: requests go one by one."""
    instances: Annotated[int, Field(ge=1, le=1024)] = 1
    """Batches (or requests) that a replica computes at a time."""


class Scenario(ApiModel):
    """The whole file."""

    deployment: str | None = None
    """A file with the ModelDeployment, relative to this one. Or:"""
    autoscaling: api.Autoscaling | None = None
    """What its spec.autoscaling says."""
    devices: Annotated[int, Field(ge=1, le=10_000)]
    """How many replicas there is room for."""
    ready_delay: Annotated[DurationText, duration_from("0s", "24h")]
    """From the order of a replica until it is ready."""
    service: Service
    arrivals: Arrivals
    duration: Span | None = None
    """How long the load goes on: a day if not set; a trace to its end."""
    hold: Annotated[DurationText, duration_from("1s", "1h")] = "45s"
    """How long the gateway lets a request wait for a replica."""
    initial_replicas: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Ready at the beginning: as many as the load of the first seconds needs if not set."""
    seed: Annotated[int, Field(ge=0, le=2**32)] = 0
    """Of the chance in the arrivals."""

    rules = (
        Rule["Scenario"](
            "has(self.deployment) != has(self.autoscaling)",
            "name a file in `deployment`, or write `autoscaling`, and not both",
            lambda scenario: (scenario.deployment is None) != (scenario.autoscaling is None),
            "autoscaling",
        ),
        Rule["Scenario"](
            "one shape",
            f"write one of {', '.join(_SHAPES)}, and no other with it",
            lambda scenario: len(scenario.arrivals.named) == 1,
            "arrivals",
        ),
    )


class ScenarioError(Exception):
    """A scenario cannot be simulated; the message says what is wrong where, a line for each."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario that is ready to run."""

    name: str
    site: Site
    spec: DeploymentSpec
    arrivals: Rates
    """Requests in each step."""

    @property
    def hours(self) -> float:
        return len(self.arrivals) * STEP_S / 3600.0


def read(file: Path) -> Plan:
    """The plan of a scenario's file.

    Raises:
        ScenarioError: it, or a file that it names, cannot be read or does not fit.
    """
    scenario = _parsed(file)
    try:
        arrivals = _arrivals(scenario, file.parent)
    except ValueError as error:
        raise ScenarioError(f"{file}: arrivals.csv: {error}") from None
    return plan_of(scenario, file.stem, arrivals, _spec(scenario, file))


def plan_of(scenario: Scenario, name: str, arrivals: Rates, spec: DeploymentSpec) -> Plan:
    pace = pace_of(scenario.service)
    first = float(arrivals[: _FIRST_S * STEPS_PER_S].sum()) / _FIRST_S
    usual = int(np.ceil(first / (pace.capacity * _USUAL_SHARE)))
    initial = scenario.initial_replicas
    if initial is None:
        initial = min(max(usual, spec.min_replicas), spec.max_replicas)
    site = Site(
        pace=pace,
        ready_delay_s=seconds(scenario.ready_delay),
        room=scenario.devices,
        hold_s=seconds(scenario.hold),
        initial=min(initial, scenario.devices),
    )
    return Plan(name, site, spec, arrivals)


def pace_of(service: Service) -> Pace:
    return Pace(seconds(service.base), seconds(service.per_item), service.max_batch_size, service.instances)


def spec_with(scaling: api.Autoscaling) -> DeploymentSpec:
    """What is wanted of a model of which nothing but its scaling is known."""
    model = api.Model(source=api.ModelSource(uri="file:///simulated.onnx"))
    return spec_of(api.ModelDeploymentSpec(model=model, autoscaling=scaling))


def _arrivals(scenario: Scenario, folder: Path) -> Rates:
    chance = np.random.default_rng(scenario.seed)
    if scenario.arrivals.csv is None:
        return scenario.arrivals.per_step(seconds(scenario.duration or "24h"), STEP_S, chance)
    counts = recorded(folder / scenario.arrivals.csv)
    if scenario.duration is not None:
        length = int(seconds(scenario.duration))
        counts = np.pad(counts, (0, max(0, length - len(counts))))[:length]
    return scattered(counts, STEPS_PER_S, chance)


def _spec(scenario: Scenario, file: Path) -> DeploymentSpec:
    if scenario.autoscaling is not None:
        return spec_with(scenario.autoscaling)
    named = file.parent / (scenario.deployment or "")
    loaded = load([named])
    if loaded.problems:
        raise ScenarioError("\n".join(str(problem) for problem in loaded.problems))
    if len(loaded.objects) != 1:
        raise ScenarioError(
            f"{file}: deployment: there are {len(loaded.objects)} ModelDeployments in {named}: name a file with one"
        )
    return spec_of(loaded.objects[0].spec)


def _parsed(file: Path) -> Scenario:
    try:
        found = list(documents(text_of(file)))
    except UnreadableError as error:
        raise ScenarioError(f"{file}: {error}: {error.remedy}") from None
    if len(found) != 1:
        raise ScenarioError(f"{file}: there are {len(found)} documents in it: a scenario is one")
    document = found[0]
    faults = (document,) if isinstance(document, Fault) else document.faults
    if isinstance(document, Fault) or faults:
        raise ScenarioError(
            "\n".join(_line(file, fault.line, dotted(fault.path), fault.message, fault.remedy) for fault in faults)
        )
    if not isinstance(document.content, dict):
        raise ScenarioError(_line(file, document.line, "", "a mapping was expected", "begin with `devices:`"))
    try:
        return Scenario.from_object(cast("Mapping[str, Any]", document.content))
    except ValidationError as error:
        raise ScenarioError("\n".join(_refusals(error, document, file))) from None


def _line(file: Path, line: int, field: str, message: str, remedy: str) -> str:
    return f"{file}:{line}: " + ": ".join(part for part in (field, message, remedy) if part)


def _refusals(error: ValidationError, document: Document, file: Path) -> Iterator[str]:
    for details in error.errors(include_url=False):
        path, broken = details["loc"], details.get("ctx", {}).get("error")
        if isinstance(broken, RuleBroken):
            for violation in broken.violations:
                below = (*path, violation.field) if violation.field else path
                shown = "" if isinstance(details["input"], dict) else f"{details['input']!r} does not fit"
                yield _line(file, document.line_of(below), dotted(below), shown, violation.message)
        elif details["type"] == "extra_forbidden":
            yield _line(file, document.line_of(path), dotted(path), "there is no such field", _nearest(str(path[-1])))
        elif details["type"] == "missing":
            yield _line(file, document.line_of(path), dotted(path), "is missing", "add it")
        else:
            yield _line(file, document.line_of(path), dotted(path), f"{details['input']!r} does not fit", details["msg"])


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, _names(), n=1)
    return f"did you mean `{near[0]}`?" if near else "remove it, or see docs/simulate.md"


@functools.cache
def _names() -> frozenset[str]:
    """The names of all fields."""
    schema = Scenario.model_json_schema(by_alias=True)
    objects = [schema, *schema.get("$defs", {}).values()]
    return frozenset(name for each in objects for name in each.get("properties", {}))

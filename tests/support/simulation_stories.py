"""Builders of whole stories: one model on two simulated GPUs, unless a test says otherwise."""

from dataclasses import replace

from forebay_operator.domain.deployment import Autoscaling, DeploymentSpec
from forebay_operator.domain.snapshot import Capacity, Settings
from forebay_operator.worlds.simulated.arrivals import Arrivals
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.faults import Fault
from forebay_operator.worlds.simulated.fleet import FleetSettings
from forebay_operator.worlds.simulated.requests import Outcome
from forebay_operator.worlds.simulated.simulation import Course, Simulation
from forebay_operator.worlds.simulated.story import Apply, Edit, Load, Story
from forebay_schema.addresses import ModelAddress
from simulation_builders import CAPACITY, DEVICE, DIGITS, GIB, SOURCE, a_spec

OTHER_SOURCE = "file:///models/other.onnx"
SMALL = ModelBehaviour(convert_s=3.0, load_s=2.0, estimate_bytes=2 * GIB, footprint_bytes=2 * GIB)
BIG = replace(SMALL, estimate_bytes=10 * GIB, footprint_bytes=10 * GIB)
SETTINGS = Settings(server_idle_s=20.0, server_start_timeout_s=15.0, artifact_grace_s=30.0)


def to_zero(least: int = 0, most: int = 2, uri: str = SOURCE, **policy: float) -> DeploymentSpec:
    """Scales by itself, with delays of seconds."""
    delays = {"scale_down_delay_s": 5.0, "idle_timeout_s": 10.0, **policy}
    return a_spec(uri, autoscaling=Autoscaling(min_replicas=least, max_replicas=most, **delays))


def applied(spec: DeploymentSpec, at: float = 1.0, address: ModelAddress = DIGITS) -> Apply:
    return Apply(at=at, address=address, spec=spec)


def asked(arrivals: Arrivals, at: float = 5.0, until: float = 100.0, address: ModelAddress = DIGITS) -> Load:
    return Load(at=at, until=until, address=address, arrivals=arrivals)


def a_story(
    *edits: Edit,
    loads: tuple[Load, ...] = (),
    faults: tuple[Fault, ...] = (),
    servers: int = 2,
    behaviour: ModelBehaviour = SMALL,
    other: ModelBehaviour = SMALL,
    settings: Settings = SETTINGS,
    busy_s: float = 100.0,
    fleet: FleetSettings | None = None,
) -> Story:
    return Story(
        fleet=fleet or FleetSettings(),
        capacity=(Capacity(device=DEVICE, servers=servers),) if servers != 2 else CAPACITY,
        sources={SOURCE: behaviour, OTHER_SOURCE: other},
        edits=edits or (applied(to_zero()),),
        loads=loads,
        faults=faults,
        settings=settings,
        busy_s=busy_s,
        steady_s=10.0,
    )


def course_of(story: Story) -> tuple[Simulation, Course]:
    """Run a story; whatever broke an invariant fails the test, with all that happened before."""
    lines: list[str] = []
    simulation = Simulation(story, tell=lambda seconds, line: lines.append(f"{seconds:8.2f}  {line}"))
    course = simulation.run()
    broken = "\n".join(str(violation) for violation in course.violations)
    assert not course.violations, "\n".join((*lines[-60:], broken))
    return simulation, course


def answered(course: Course) -> int:
    """How many requests were answered, where all were."""
    assert set(course.requests) <= {Outcome.ANSWERED}
    return course.requests[Outcome.ANSWERED]

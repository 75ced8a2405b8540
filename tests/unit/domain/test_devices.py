import pytest

from domain_builders import CPU, GIB, GPU, SIMULATED, a_server
from forebay_operator.domain import devices
from forebay_operator.domain.deployment import Placement
from forebay_operator.domain.snapshot import Capacity, DeviceClass, Pool

A10 = DeviceClass("gpu", "NVIDIA-A10", 24 * GIB)


@pytest.mark.parametrize(
    ("placement", "provider", "there", "chosen"),
    [
        (Placement(), "auto", (CPU,), (CPU,)),
        (Placement(), "auto", (CPU, GPU), (GPU,)),
        (Placement(), "auto", (SIMULATED, CPU), (SIMULATED,)),
        (Placement(), "auto", (A10, GPU), (A10, GPU)),
        (Placement(device="cpu"), "auto", (CPU, GPU), (CPU,)),
        (Placement(device="gpu"), "auto", (CPU, A10, GPU), (A10, GPU)),
        (Placement(gpu_class="NVIDIA-A10"), "auto", (A10, GPU), (A10,)),
        (Placement(device="cpu", gpu_class="NVIDIA-A10"), "auto", (CPU, A10), (CPU,)),
        (Placement(), "cuda", (SIMULATED, GPU), (GPU,)),
    ],
)
def test_a_model_gets_the_devices_that_its_settings_allow(
    placement: Placement, provider: str, there: tuple[DeviceClass, ...], chosen: tuple[DeviceClass, ...]
) -> None:
    assert devices.suitable(placement, provider, there).classes == chosen


@pytest.mark.parametrize(
    ("placement", "provider", "there", "reason"),
    [
        (Placement(), "auto", (), "There is no device at all: start Forebay with --devices, or add a node."),
        (
            Placement(device="gpu"),
            "auto",
            (CPU,),
            "placement.device asks for a GPU, and there is only the CPU: set it to cpu or auto, or add such a device.",
        ),
        (
            Placement(device="cpu"),
            "auto",
            (GPU,),
            "placement.device asks for the CPU, and there is only the GPU NVIDIA-H100: "
            "set it to gpu or auto, or add such a device.",
        ),
        (
            Placement(gpu_class="NVIDIA-A10"),
            "auto",
            (GPU,),
            "placement.gpuClass asks for NVIDIA-A10, and there is only NVIDIA-H100: set it to one of these, or to any.",
        ),
        (
            Placement(),
            "cuda",
            (SIMULATED,),
            "serving.provider is cuda, which a simulated GPU cannot be: set it to auto, or add an NVIDIA GPU.",
        ),
    ],
)
def test_where_there_is_none_the_reason_says_what_to_change(
    placement: Placement, provider: str, there: tuple[DeviceClass, ...], reason: str
) -> None:
    assert devices.suitable(placement, provider, there) == devices.Suitable((), reason)


def test_a_model_larger_than_every_device_is_told_the_numbers() -> None:
    assert devices.largest_too_small(GIB, (A10, GPU)) == ""
    text = devices.largest_too_small(100 * GIB, (A10, GPU))
    assert text.startswith("A replica needs 100.0 GiB, the largest device (NVIDIA-H100) has 80.0 GiB: ")


def test_device_classes_are_those_that_can_be_or_are_there() -> None:
    capacity = [Capacity(device=GPU, servers=0), Capacity(device=CPU, servers=None)]
    assert devices.classes_of(capacity, [a_server(pool=Pool("default", SIMULATED))]) == (SIMULATED, CPU)

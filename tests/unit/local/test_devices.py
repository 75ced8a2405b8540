import re
from collections.abc import Sequence

import pytest

from forebay_operator.domain.snapshot import Capacity, DeviceClass
from forebay_operator.worlds.local.devices import Device, DeviceError, Gpu, Machine, capacity_of, devices_of

GIB = 1 << 30


def no_gpus() -> Sequence[Gpu]:
    raise DeviceError("this machine has no usable NVIDIA GPU")


LAPTOP = Machine(cpus=2, memory_bytes=16 * GIB, gpus=no_gpus)
STATION = Machine(cpus=32, memory_bytes=64 * GIB, gpus=lambda: [Gpu(0, "NVIDIA-T4", 15 * GIB), Gpu(1, "NVIDIA-T4", 15 * GIB)])


def test_simulated_gpus_have_the_memory_and_the_pace_that_was_asked_for() -> None:
    kind = DeviceClass(kind="simulated", name="simulated", memory_bytes=16 * GIB)

    assert devices_of(["simulated:2x16Gi,pace=20ms+5ms"], LAPTOP) == (
        Device(0, kind, "simulated:16Gi,pace=20ms+5ms"),
        Device(1, kind, "simulated:16Gi,pace=20ms+5ms"),
    )


def test_a_pace_without_a_part_for_each_item_has_a_base_only() -> None:
    assert devices_of(["simulated:1x1Gi,pace=3ms"], LAPTOP)[0].argument == "simulated:1Gi,pace=3ms+0ms"


def test_servers_on_the_cpu_share_three_quarters_of_the_memory() -> None:
    memory = [device.device.memory_bytes for device in devices_of(["cpu:3"], LAPTOP)]

    assert memory == [4 * GIB] * 3


def test_without_a_description_gpus_are_used_where_there_are_any_and_the_cpu_everywhere() -> None:
    assert {device.device.kind for device in devices_of([], LAPTOP)} == {"cpu"}
    assert {device.device.kind for device in devices_of([], STATION)} == {"cpu", "gpu"}


def test_kinds_can_be_lent_side_by_side_and_are_counted_by_class() -> None:
    devices = devices_of(["gpu", "cpu:2"], STATION)

    assert capacity_of(devices) == (
        Capacity(device=DeviceClass(kind="cpu", name="cpu", memory_bytes=24 * GIB), servers=2),
        Capacity(device=DeviceClass(kind="gpu", name="NVIDIA-T4", memory_bytes=15 * GIB), servers=2),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tpu", "names no devices"),
        ("gpu:3", "names no devices"),
        ("cpu:none", "'none' is no count"),
        ("cpu:0", "'0' is no count"),
        ("cpu:9999", "from 1 to 64"),
        ("simulated", "write simulated:COUNTxMEMORY"),
        ("simulated:2", "write simulated:COUNTxMEMORY"),
        ("simulated:2x16Q", "'16Q' is no memory size"),
        ("simulated:2x0Gi", "'0Gi' is no memory size"),
        ("simulated:2x16Gi,pace=fast", "pace 'fast' is not BASE+PER_ITEM"),
        ("simulated:2x16Gi,pace=1ms+2ms+3ms", "is not BASE+PER_ITEM"),
        ("gpu", "no usable NVIDIA GPU"),
    ],
)
def test_what_is_no_description_of_devices_is_refused_with_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(DeviceError, match=re.escape(sentence)):
        devices_of([text], LAPTOP)


def test_a_kind_given_twice_is_refused() -> None:
    with pytest.raises(DeviceError, match="given 2 times"):
        devices_of(["cpu", "cpu:2"], LAPTOP)

"""What devices choose where a model's configuration leaves it to them."""

import pytest

from forebay_runtime.domain.device_spec import DeviceSpec
from forebay_runtime.engine.devices import machine_memory, open_device, usable_cores


@pytest.mark.parametrize("instances", [1, 2, 4, 64])
def test_a_models_threads_on_a_cpu_are_no_more_than_its_cores_but_at_least_one_each(instances: int) -> None:
    device = open_device(DeviceSpec("cpu"))
    threads = device.threads(instances)
    assert threads == 1 or instances + threads - 1 <= usable_cores()
    assert 1 <= device.default_instances <= usable_cores()


def test_simulated_devices_share_a_machine() -> None:
    device = open_device(DeviceSpec("simulated", memory_bytes=1 << 20))
    assert (device.default_instances, device.threads(1)) == (1, 1)


def test_models_may_take_most_of_the_machines_memory() -> None:
    assert 0 < open_device(DeviceSpec("cpu")).total_bytes < machine_memory()

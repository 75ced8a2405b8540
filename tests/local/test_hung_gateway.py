"""A gateway process that hangs: Envoy serves on by the last routes, so somebody has to notice."""

import os
import signal

import pytest

from forebay_operator.worlds.local.gateway import SILENCE_S, Gateway
from forebay_operator.worlds.local.leftovers import MARK
from forebay_operator.worlds.local.ports import usable_port
from forebay_operator.worlds.local.process_table import has_in_environment, pids
from forebay_operator.worlds.local.surroundings import Surroundings
from local_processes import alive, until, whole_command

pytestmark = pytest.mark.timeout(600)


async def test_a_gateway_that_hangs_is_replaced(around: Surroundings) -> None:
    gateway = Gateway(around, usable_port(0, ""), usable_port(0, ""), hold_seconds=45.0, end_after_s=SILENCE_S)
    gateway.open()
    try:
        await until(lambda: gateway.demand() is not None, "the gateway is heard")
        (hung,) = gateways_of(around)

        os.kill(hung, signal.SIGSTOP)

        await until(lambda: not alive(hung), "it is ended")
        await until(lambda: gateways_of(around) and gateway.demand() is not None, "another one is heard")
    finally:
        await gateway.close()


def gateways_of(around: Surroundings) -> list[int]:
    mark = around.folder.mark()
    return [pid for pid in pids() if "forebay_gateway" in whole_command(pid) and has_in_environment(pid, MARK, mark)]

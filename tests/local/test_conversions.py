"""Conversions as the control step sees them: real converter processes."""

import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from forebay_operator.domain.actions import StartConversion
from forebay_operator.domain.deployment import Source, Verification
from forebay_operator.domain.snapshot import Conversion, ConversionId, ConversionPhase
from forebay_operator.worlds.local.conversions import AT_ONCE, Conversions
from forebay_operator.worlds.local.process_table import pids
from forebay_operator.worlds.local.surroundings import Surroundings
from local_models import save_scaling_model
from local_processes import alive, until, whole_command


@pytest.fixture
async def conversions(around: Surroundings) -> AsyncGenerator[Conversions]:
    opened = Conversions(around, trust_source=False)
    yield opened
    await opened.close()


def an_order(uri: str, digest: str = "a", attempt: int = 1) -> StartConversion:
    return StartConversion(
        id=ConversionId("default", digest * 64),
        attempt=attempt,
        source=Source(uri=uri, format="onnx"),
        verification=Verification(),
        max_batch_size=4,
    )


def converters(around: Surroundings) -> list[int]:
    """The pids of the converters that run for this state folder."""
    commands = {pid: whole_command(pid) for pid in pids()}
    return [pid for pid, text in commands.items() if "forebay_convert" in text and str(around.folder.root) in text]


def only(conversions: Conversions) -> Conversion:
    (conversion,) = conversions.seen()
    return conversion


async def test_a_conversion_that_succeeded_is_known_after_a_restart(
    conversions: Conversions, around: Surroundings, tmp_path: Path
) -> None:
    conversions.start(an_order(str(save_scaling_model(tmp_path / "m.onnx", 2.0))))
    assert only(conversions).phase is ConversionPhase.RUNNING

    await until(lambda: only(conversions).phase is ConversionPhase.SUCCEEDED, "its end")

    assert only(conversions).artifact is not None
    assert Conversions(around, trust_source=False).seen() == conversions.seen()


async def test_an_attempt_is_made_once_and_a_later_one_again(conversions: Conversions, tmp_path: Path) -> None:
    conversions.start(an_order(str(tmp_path / "nowhere.onnx")))
    await until(lambda: only(conversions).phase is ConversionPhase.FAILED, "its end")
    first = only(conversions)

    conversions.start(an_order(str(tmp_path / "nowhere.onnx")))
    assert only(conversions) == first
    conversions.start(an_order(str(tmp_path / "nowhere.onnx"), attempt=2))

    assert only(conversions).phase is ConversionPhase.RUNNING
    assert first.failure is not None
    assert "nowhere.onnx" in first.failure.cause


async def test_a_converter_that_is_killed_may_be_tried_again(
    conversions: Conversions, around: Surroundings, tmp_path: Path
) -> None:
    conversions.start(an_order(str(save_scaling_model(tmp_path / "m.onnx", 2.0))))
    await until(lambda: converters(around), "its process")

    for pid in converters(around):
        os.kill(pid, signal.SIGKILL)

    await until(lambda: only(conversions).phase is ConversionPhase.FAILED, "its end")
    failure = only(conversions).failure
    assert failure is not None
    assert failure.retryable
    assert "SIGKILL" in failure.cause


async def test_no_more_than_a_few_run_at_once(conversions: Conversions, around: Surroundings, tmp_path: Path) -> None:
    source = str(save_scaling_model(tmp_path / "m.onnx", 2.0))
    most = 0

    for digest in "abcd":
        conversions.start(an_order(source, digest))

    def all_ended() -> bool:
        nonlocal most
        most = max(most, len(list(around.folder.scratch.glob("conversions/*/work"))))
        return all(conversion.phase is ConversionPhase.SUCCEEDED for conversion in conversions.seen())

    await until(all_ended, "all four", 180)
    assert most <= AT_ONCE


async def test_one_that_nobody_waits_for_is_ended_and_forgotten(
    conversions: Conversions, around: Surroundings, tmp_path: Path
) -> None:
    order = an_order(str(save_scaling_model(tmp_path / "m.onnx", 2.0)))
    conversions.start(order)
    await until(lambda: converters(around), "its process")
    running = converters(around)

    conversions.forget(order.id)

    assert conversions.seen() == ()
    await until(lambda: not any(alive(pid) for pid in running), "its end")
    assert not list(around.folder.conversions.iterdir())


async def test_one_that_this_machine_cannot_carry_out_may_be_tried_again(
    conversions: Conversions, around: Surroundings, tmp_path: Path
) -> None:
    (around.folder.scratch / "conversions").write_text("in the way of every conversion's folder")
    conversions.start(an_order(str(tmp_path / "m.onnx")))

    await until(lambda: only(conversions).phase is ConversionPhase.FAILED, "its end")

    failure = only(conversions).failure
    assert failure is not None
    assert failure.retryable
    assert "could not be carried out on this machine" in failure.cause


async def test_one_whose_end_cannot_be_written_down_ends_all_the_same(
    conversions: Conversions, around: Surroundings, tmp_path: Path
) -> None:
    around.folder.conversions.rmdir()
    around.folder.conversions.write_text("in the way of every record")
    conversions.start(an_order(str(tmp_path / "nowhere.onnx")))

    await until(lambda: only(conversions).phase is ConversionPhase.FAILED, "its end")

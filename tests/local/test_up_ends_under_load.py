"""A `forebay up` that is ended while clients ask it: what they asked is answered, what they ask then is refused."""

import asyncio
import signal
from pathlib import Path

import pytest

from chaos_clients import Client, FailedError, GrpcClient, HttpClient, NoConnectionError
from local_models import a_deployment, save_scaling_model
from local_up import Up, running_up, wait_until

# Whole processes start and end here: on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(900)
FEATURES = [1.0, 2.0, 3.0, 4.0]
SLOW = ("--devices", "simulated:1x1Gi,pace=500ms+1ms")


def clients_of(up: Up, each: int) -> list[Client]:
    described = up.connection.description
    return [
        client
        for _ in range(each)
        for client in (HttpClient(described.http_port, "double"), GrpcClient(described.grpc_port, "double"))
    ]


def is_held(up: Up) -> bool:
    return any(model["held"] for model in up.connection.get("/top")["models"])


async def ask_until_nobody_listens(client: Client, answers: list[list[float]]) -> None:
    """Fails with what the client sees if an answer fails to come."""
    try:
        while True:
            answers.append(await client.ask(FEATURES))
    except NoConnectionError:
        await client.close()


async def test_ended_under_load_it_answers_what_it_was_asked_and_refuses_new_connections(tmp_path: Path) -> None:
    save_scaling_model(tmp_path / "double.onnx", 2.0)
    (tmp_path / "double.yaml").write_text(a_deployment("double", "double.onnx"))
    with running_up(tmp_path / "state", str(tmp_path / "double.yaml"), *SLOW) as up:
        await asyncio.to_thread(up.wait_until_ready, "double")
        clients = clients_of(up, 4)
        answers: list[list[list[float]]] = [[] for _ in clients]
        async with asyncio.TaskGroup() as asking:
            for client, answered in zip(clients, answers, strict=True):
                asking.create_task(ask_until_nobody_listens(client, answered))
            await asyncio.to_thread(wait_until, lambda: all(answers), "all are answered, and ask again", 200)
            before = [len(answered) for answered in answers]
            up.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(up.process.wait, 200) == 0
    assert {tuple(answer) for answered in answers for answer in answered} == {(2.0, 4.0, 6.0, 8.0)}
    assert all(len(answered) > count for answered, count in zip(answers, before, strict=True)), "one was in flight for each"
    assert "for 30 s at most. Ctrl-C ends it at once" in (tmp_path / "state/terminal.txt").read_text()


async def test_asked_to_end_twice_it_does_not_wait_for_what_waits_for_a_replica(tmp_path: Path) -> None:
    save_scaling_model(tmp_path / "double.onnx", 2.0)
    (tmp_path / "double.yaml").write_text(a_deployment("double", "double.onnx", placement={"memory": "4Gi"}))
    with running_up(tmp_path / "state", str(tmp_path / "double.yaml"), *SLOW) as up:
        client = HttpClient(up.connection.description.http_port, "double")
        asking = asyncio.ensure_future(client.ask(FEATURES))
        await asyncio.to_thread(wait_until, lambda: is_held(up), "its request waits", 200)
        up.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(wait_until, lambda: "takes no more" in up.printed(), "it is told", 200)
        assert up.process.poll() is None, "it waits for what it was asked"

        up.process.send_signal(signal.SIGINT)

        with pytest.raises(FailedError):
            await asking
        assert await asyncio.to_thread(up.process.wait, 200) == 0
        await client.close()

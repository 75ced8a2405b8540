import os
import socket
import subprocess

from forebay_operator.worlds.local.process_table import command_of, owner_of_port


def test_a_port_in_use_is_named_with_its_owner() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        owner = owner_of_port(listener.getsockname()[1])

    assert owner is not None
    assert str(owner) == f"pid {os.getpid()} ({command_of(os.getpid())})"


def test_a_process_is_named_by_its_command_line() -> None:
    with subprocess.Popen(["sleep", "1234"]) as sleeper:
        assert command_of(sleeper.pid) == "sleep 1234"

        sleeper.kill()


def test_a_free_port_has_no_owner() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        assert owner_of_port(bound.getsockname()[1]) is None

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway import atomicfile
from forebay_gateway.envoy.admin import parse_statistics
from forebay_gateway.envoy.process import EnvoyProcess, ProcessIdentity, start, start_time
from forebay_gateway.holder.surges import Load
from forebay_gateway.metrics import Family, Sample, by_model, render
from forebay_gateway.rundir import lock, private_folder, unlink_stale
from forebay_gateway.settings import LONGEST_SOCKET_PATH, SettingsError, check_socket_path, sockets_for
from forebay_gateway.xds.loads import loads_of
from forebay_gateway.xds.messages import message_class
from forebay_gateway.xds.names import ClusterName
from forebay_schema.addresses import ModelAddress
from gateway_processes import eventually

A = ModelAddress(namespace="default", name="a")
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def test_sockets_are_in_the_run_directory_if_their_paths_fit() -> None:
    assert sockets_for(Path("/run/forebay"), Path("/tmp")).folder == Path("/run/forebay")


def test_sockets_of_a_deep_run_directory_are_in_a_short_folder_of_their_own_always_the_same() -> None:
    deep, other = Path("/" + "d" * 100), Path("/" + "o" * 100)
    sockets = sockets_for(deep, Path("/tmp"))
    assert sockets.folder.parent == Path("/tmp")
    assert sockets == sockets_for(deep, Path("/tmp")) != sockets_for(other, Path("/tmp"))
    for path in (*sockets.ours, sockets.admin):
        check_socket_path(path)


def test_a_socket_path_that_is_too_long_is_refused_with_its_length() -> None:
    check_socket_path(Path("/" + "x" * (LONGEST_SOCKET_PATH - 1)))
    with pytest.raises(SettingsError, match="is 108 bytes long"):
        check_socket_path(Path("/" + "x" * LONGEST_SOCKET_PATH))


def test_a_folder_that_others_could_read_becomes_private(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path)
    with pytest.raises(SettingsError, match="is not a folder of this user"):
        private_folder(tmp_path / "run")


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    refused = pytest.raises(SettingsError, match=rf"another gateway \(process {os.getpid()}\)")
    with lock(tmp_path / "lock"), refused, lock(tmp_path / "lock"):
        pass
    with lock(tmp_path / "lock"):
        pass


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SettingsError, match="is no socket"):
        unlink_stale(tmp_path / "file")
    unlink_stale(tmp_path / "nothing")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    atomicfile.write(tmp_path / "x.json", "one")
    atomicfile.write(tmp_path / "x.json", "two")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.json", "two")]


def test_a_process_is_known_by_its_number_and_its_start(tmp_path: Path) -> None:
    me = ProcessIdentity(pid=os.getpid(), started=start_time(os.getpid()) or 0, bootstrap="x")
    assert me.lives()
    assert not ProcessIdentity(pid=me.pid, started=me.started + 1, bootstrap="x").lives()
    atomicfile.write(tmp_path / "pid", me.to_json())
    assert ProcessIdentity.read(tmp_path / "pid") == me


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x", "started": 1, "bootstrap": ""}', "12"])
def test_a_pid_file_that_makes_no_sense_names_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text)
    assert ProcessIdentity.read(tmp_path / "pid") is None
    assert ProcessIdentity.read(tmp_path / "nothing") is None


async def test_a_child_is_ended_and_reaped(tmp_path: Path) -> None:
    process = start(SLEEPER, tmp_path / "log", "digest")
    assert process.identity.lives()
    await process.stop(patience_s=30)
    assert not process.identity.lives()
    with pytest.raises(ProcessLookupError):
        os.kill(process.identity.pid, 0)


async def test_a_process_that_is_not_our_child_is_watched_and_ended() -> None:
    other = await asyncio.create_subprocess_exec(*SLEEPER, stdout=subprocess.DEVNULL)
    process = EnvoyProcess(ProcessIdentity(pid=other.pid, started=start_time(other.pid) or 0, bootstrap=""))
    ended = asyncio.create_task(process.ended())
    other.kill()
    assert await ended is None
    process.abandon()
    await other.wait()


async def test_a_process_that_does_not_listen_to_reason_is_killed(tmp_path: Path) -> None:
    deaf = f"import signal; signal.signal(15, signal.SIG_IGN); {SLEEPER[2]}"
    process = start([sys.executable, "-c", deaf], tmp_path / "log", "digest")
    await asyncio.to_thread(eventually, "a process that is up", (tmp_path / "log").read_text)
    await process.stop(patience_s=0.1)
    assert not process.identity.lives()


def test_statistics_are_read_and_histograms_left_out() -> None:
    text = "cluster.h/a/b.upstream_rq_total: 12\nhttp.x.time: P0(nan,1) P25(nan,1)\nserver.version: 3\n\n"
    assert parse_statistics(text) == {"cluster.h/a/b.upstream_rq_total": 12, "server.version": 3}


def test_metrics_are_written_in_prometheus_form() -> None:
    families = [
        Family("x_held", "gauge", "Waiting.", by_model({A: 3})),
        Family("x_starts_total", "counter", "Starts.", (Sample(1),)),
        Family("x_wait", "summary", "Waits.", (*by_model({A: 0.25}, "_sum"), *by_model({A: 12345678901}, "_count"))),
    ]
    assert render(families).splitlines() == [
        "# HELP x_held Waiting.",
        "# TYPE x_held gauge",
        'x_held{namespace="default",model="a"} 3',
        "# HELP x_starts_total Starts.",
        "# TYPE x_starts_total counter",
        "x_starts_total 1",
        "# HELP x_wait Waits.",
        "# TYPE x_wait summary",
        'x_wait_sum{namespace="default",model="a"} 0.25',
        'x_wait_count{namespace="default",model="a"} 12345678901',
    ]


def test_what_is_at_the_replicas_is_read_from_a_load_report() -> None:
    report = message_class("envoy.service.load_stats.v3.LoadStatsRequest")()
    for cluster, zone, number in (
        ("h/default/a", "replicas", 2),
        ("h/default/a/3", "replicas", 4),
        ("g/default/a", "replicas", 1),
        ("g/default/a", "holder", 50),
        ("xds", "", 2),
    ):
        row = report.cluster_stats.add(cluster_name=cluster).upstream_locality_stats.add(total_requests_in_progress=number)
        row.locality.zone, row.total_successful_requests = zone, 10 * number
    assert loads_of(report) == {A: Load(in_flight=7, done=70)}


@given(st.sampled_from(["h", "g"]), st.one_of(st.none(), st.integers(1, 10**6)))
def test_a_cluster_s_name_is_read_back(protocol: str, version: int | None) -> None:
    name = ClusterName("h" if protocol == "h" else "g", A, version)
    assert ClusterName.parse(str(name)) == name


@pytest.mark.parametrize("text", ["xds", "holder-http", "x/a/b", "h/a", "h/a/b/c/d", ""])
def test_other_clusters_are_no_model_s(text: str) -> None:
    assert ClusterName.parse(text) is None

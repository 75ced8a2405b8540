"""The simulated world's models of pace, loading and memory beside a real server: `python bench/simulated_models.py`.

Pace: bursts of requests at once to a real server on a simulated GPU, and to a simulated replica with the same figures.
Loading: how long real loads take, where the simulated world has one figure for each model. Memory: what a real conversion
estimates and a real server measures, where the simulated world draws the second as a share of the first.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from forebay_operator.domain.actions import LoadReplica
from forebay_operator.domain.deployment import Serving
from forebay_operator.domain.snapshot import HoldingPhase
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.replica import Batch, SimulatedReplica
from forebay_operator.worlds.simulated.requests import Request
from forebay_operator.worlds.simulated.timeline import Timeline
from forebay_schema.addresses import ModelAddress
from forebay_schema.manifest import Manifest
from forebay_schema.repository import LoadOrder, UnloadOrder
from forebay_schema.serving import ServingConfig
from runtime_models import add_model, put_artifact, slow_model
from runtime_servers import Server, running_server

BASE_S, ITEM_S, BATCH = 0.02, 0.005, 8
BURSTS = (1, 8, 64, 256)
WIDTHS = ((8, 256), (24, 128), (64, 64))
"""Steps and width of the models whose memory is measured."""
MIB = 1 << 20
EXPLICIT = ("--model-control-mode", "explicit")


def main() -> None:
    parser = argparse.ArgumentParser(description="The simulated world's models beside a real server.")
    parser.add_argument("--turns", type=int, default=3, help="bursts of each size, and loads x 5 (default: 3)")
    turns: int = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as folder:
        paces(Path(folder), turns)
        loads(Path(folder), 5 * turns)
        memories(Path(folder))


def paces(root: Path, turns: int) -> None:
    print(f"pace: a batch of n takes {BASE_S * 1000:.0f} ms + n x {ITEM_S * 1000:.0f} ms, n up to {BATCH}; from first to last")
    pace = f"{BASE_S * 1000:.0f}ms+{ITEM_S * 1000:.0f}ms"
    with running_server(root / "pace", *EXPLICIT, "--device", f"simulated:1Gi,pace={pace}") as server:
        load(server, root / "store", add_model())
        for size in BURSTS:
            real = statistics.median(burst(server, size) for _ in range(turns))
            simulated = simulated_burst(size)
            print(f"  {size:4} requests at once: real {real:.3f} s, simulated {simulated:.3f} s, ratio {real / simulated:.2f}")


def load(server: Server, store: Path, model: bytes, sequence: int = 1) -> float:
    """Seconds from the order to the answer."""
    uri, digest = put_artifact(store, model)
    order = LoadOrder(forebay_artifact=uri, forebay_digest=digest, forebay_version=1, forebay_sequence=sequence)
    began = time.monotonic()
    answer = server.load("m", order, ServingConfig(max_batch_size=BATCH))
    assert answer.status == 200, answer.body  # noqa: PLR2004 - HTTP's
    return time.monotonic() - began


def burst(server: Server, size: int) -> float:
    """Seconds until the last of so many requests at once is answered."""
    content = {"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [0.0] * 16}]}
    go = threading.Barrier(size + 1)

    def ask() -> None:
        go.wait()
        assert server.infer_json("m", content).status == 200  # noqa: PLR2004 - HTTP's

    threads = [threading.Thread(target=ask) for _ in range(size)]
    for thread in threads:
        thread.start()
    go.wait()
    began = time.monotonic()
    for thread in threads:
        thread.join()
    return time.monotonic() - began


def simulated_burst(size: int) -> float:
    """The same in the simulated world."""
    timeline = Timeline(0.0)
    last = 0.0

    def end(replica: SimulatedReplica, batch: Batch) -> None:
        nonlocal last
        last = timeline.now
        replica.finish(batch)

    def start(replica: SimulatedReplica, batch: Batch, seconds: float) -> None:
        timeline.after(seconds, partial(end, replica, batch))

    address = ModelAddress("default", "m")
    order = LoadReplica(
        server="s",
        address=address,
        version=1,
        digest="",
        serving=Serving(max_batch_size=BATCH),
        memory_limit_bytes=0,
        sequence=1,
    )
    behaviour = ModelBehaviour(base_s=BASE_S, per_item_s=ITEM_S)
    replica = SimulatedReplica(order, behaviour, start, phase=HoldingPhase.READY)
    for number in range(size):
        replica.offer(Request(number, address, 0.0))
    timeline.advance(1e6)
    return last


def loads(root: Path, count: int) -> None:
    with running_server(root / "loads", *EXPLICIT, "--device", "simulated:1Gi", "--scratch", str(root / "scratch")) as server:
        seconds = list(timed_loads(server, root / "loads-store", count))
    said = f"first {seconds[0] * 1000:.0f} ms, then {statistics.median(seconds[1:]) * 1000:.0f} ms"
    spread = f"from {min(seconds[1:]) * 1000:.0f} to {max(seconds[1:]) * 1000:.0f}"
    print(f"loading: {said} ({spread}) for the same small model; simulated: always the same, of 0.5, 2 or 6 s")


def timed_loads(server: Server, store: Path, count: int) -> Iterator[float]:
    for number in range(count):
        yield load(server, store, add_model(), sequence=2 * number + 1)
        server.unload("m", UnloadOrder(forebay_version=1, forebay_sequence=2 * number + 2))


def memories(root: Path) -> None:
    print("memory: measured by a server on a CPU, as a share of what the conversion estimated; simulated: 0.7 to 1.0, or 1.15")
    for steps, width in WIDTHS:
        folder = root / f"converted-{width}"
        source = root / f"{width}.onnx"
        source.write_bytes(slow_model(steps, width))
        convert(source, folder)
        manifest = Manifest.from_json((folder / "manifest.json").read_text(encoding="utf-8"))
        estimate = max(each.bytes for each in manifest.memory)
        measured = footprint(root / f"cpu-{width}", folder, manifest)
        sizes = f"estimated {estimate / MIB:.0f} MiB, measured {measured / MIB:.0f} MiB, share {measured / estimate:.2f}"
        print(f"  {steps} products of {width} x {width}, batches of 32: {sizes}")


def convert(source: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "forebay_convert", str(source), "-o", str(folder)]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"the conversion failed:\n{done.stdout}{done.stderr}")


def footprint(home: Path, folder: Path, manifest: Manifest) -> float:
    artifact = folder.parent / manifest.digest()
    folder.rename(artifact)
    order = LoadOrder(forebay_artifact=str(artifact), forebay_digest=manifest.digest(), forebay_version=1, forebay_sequence=1)
    with running_server(home, *EXPLICIT, "--device", "cpu", "--scratch", str(home / "scratch")) as server:
        answer = server.load("m", order, ServingConfig(max_batch_size=32))
        assert answer.status == 200, json.dumps(answer.json)  # noqa: PLR2004 - HTTP's
        return server.metric("forebay_model_memory_bytes", model="m")


if __name__ == "__main__":
    main()

"""From zero to the first answer with a warm server, split into its parts: `python bench/first_answer.py [--rounds 15]`.

A real `forebay up` with simulated GPUs and a small model at zero replicas. Each round sends one request and lets the model go
back to zero. Our processes' logs say, to the millisecond, when the server had loaded it and when the gateway read its route.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from local_models import a_deployment, save_scaling_model
from local_up import SIMULATED, Up, running_up, wait_until

MODEL = "small"
TO_ZERO = {"minReplicas": 0, "maxReplicas": 1, "idleTimeout": "2s"}
PARTS = (
    "sent → the server begins to load: held, noticed, decided, ordered",
    "loading and warming up",
    "loaded → the gateway reads the new route: noticed, decided, written",
    "route read → answered: Envoy takes the route, the request goes to the server",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        save_scaling_model(root / "model.onnx", 2.0)
        (root / "model.yaml").write_text(a_deployment(MODEL, "model.onnx", autoscaling=TO_ZERO))
        with running_up(root / "state", str(root / "model.yaml"), *SIMULATED) as up:
            wait_until(lambda: up.get(MODEL).get("status", {}).get("artifact"), "its conversion", 120)
            show([one_round(up) for _ in range(rounds)])


def one_round(up: Up) -> tuple[float, ...]:
    """Seconds that each part took, and the whole."""
    wait_until(lambda: not up.servers_of(MODEL), "zero replicas", 60)
    sent = time.time()
    up.ask_http(MODEL)
    answered = time.time()
    loaded, took = load_since(up, sent)
    route_read = next(when for when, _ in lines(up, "gateway", "route table read") if when > loaded)
    return loaded - took - sent, took, route_read - loaded, answered - route_read, answered - sent


def load_since(up: Up, moment: float) -> tuple[float, float]:
    """When the model was loaded after this, and how many seconds that took."""
    return next((when, entry["seconds"]) for when, entry in lines(up, "server-*", "model loaded") if when > moment)


def lines(up: Up, log: str, message: str) -> list[tuple[float, dict[str, Any]]]:
    """The lines of some logs with this message, by time."""
    texts = [path.read_text() for path in up.folder.logs.glob(f"{log}.log")]
    entries = [json.loads(line) for text in texts for line in text.splitlines() if message in line]
    return sorted(((datetime.fromisoformat(entry["time"]).timestamp(), entry) for entry in entries), key=lambda pair: pair[0])


def show(rounds: list[tuple[float, ...]]) -> None:
    print(f"medians of {len(rounds)} rounds, in brackets the fastest and the slowest")
    for what, seconds in zip((*PARTS, "the whole"), zip(*rounds, strict=True), strict=True):
        print(f"{statistics.median(seconds) * 1e3:6.0f} ms ({min(seconds) * 1e3:.0f} to {max(seconds) * 1e3:.0f})  {what}")


if __name__ == "__main__":
    main()

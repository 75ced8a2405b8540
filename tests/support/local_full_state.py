"""`forebay up` whose state folder has no room left, and then has: `python local_full_state.py STATE ELSEWHERE`.

STATE is a volume of its own, so small that it can be filled. What was seen is printed as JSON, for the test.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from local_models import a_deployment, save_scaling_model
from local_up import SIMULATED, Up, running_up, wait_until


def main() -> int:
    state, elsewhere = Path(sys.argv[1]), Path(sys.argv[2])
    first, second = (save_scaling_model(elsewhere / f"{name}.onnx", by) for name, by in (("first", 2.0), ("second", 3.0)))
    seen: dict[str, Any] = {}
    with running_up(state, *SIMULATED, output=elsewhere / "terminal.txt") as up:
        seen["before"] = apply(up, first)
        up.wait_until_ready("first")
        ballast = state / "ballast"
        fill(ballast)
        seen["change"] = apply(up, first, replicas=2)
        seen["new"] = apply(up, second)
        seen["taken"] = [each["metadata"]["name"] for each in up.connection.get("/objects")["objects"]]
        seen["answer"] = up.ask_http("first")
        ballast.unlink()
        seen["then"] = [apply(up, first, replicas=2), apply(up, second)]
        up.wait_until_ready("second")
        wait_until(lambda: "2 of 2 replicas" in up.summary("first"), "the change is carried out", 200)
        seen["printed"] = up.printed()
    with running_up(state, *SIMULATED, output=elsewhere / "again.txt") as up:
        up.wait_until_ready("first")
        up.wait_until_ready("second")
        seen["again"] = [up.ask_http("first"), up.ask_http("second")]
    sys.stdout.write(json.dumps(seen) + "\n")
    return 0


def apply(up: Up, model: Path, **spec: Any) -> str:
    """What the command says."""
    said = up.command("apply", "-f", "-", stdin=a_deployment(model.stem, str(model), **spec))
    return said.stdout + said.stderr


def fill(ballast: Path) -> None:
    found = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize)


if __name__ == "__main__":
    sys.exit(main())

"""`forebay demo`, the whole of it: what a new user sees first."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(400)
def test_the_demo_holds_what_it_promises(tmp_path: Path) -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "forebay_operator.cli", "demo", "--folder", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        check=False,
        timeout=380,
    )

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "no request failed: 0 failed" in demo.stdout
    assert "Simulated: the 3 GPUs" in demo.stdout
    assert (tmp_path / "demo/demo.png").read_bytes().startswith(b"\x89PNG")

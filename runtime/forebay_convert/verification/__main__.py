"""Process B: `python -m forebay_convert.verification POLICY TASK`, both JSON. No code of the user's runs here.

It may write nothing; its last line of output is the report that the parent judges by.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from forebay_convert.reports import RefusalError, tell_refusal
from forebay_convert.sandbox.policy import SealPolicy
from forebay_convert.sandbox.seal import seal_or_exit

REFUSED = 3


def main() -> int:
    policy, task = SealPolicy.from_json(sys.argv[1]), json.loads(sys.argv[2])
    seal_or_exit(policy)
    try:
        report = _verify(task)
    except RefusalError as refused:
        tell_refusal(refused)
        return REFUSED
    sys.stdout.write(json.dumps({"report": report}) + "\n")
    return 0


def _verify(task: dict[str, Any]) -> dict[str, Any]:
    from forebay_convert.verification.examination import examine  # noqa: PLC0415 - after the seal

    return examine(
        model=Path(task["model"]),
        samples=Path(task["samples"]),
        reference=Path(task["reference"]),
        labels=None if task["labels"] is None else Path(task["labels"]),
        allowed_error=task["max_relative_error"],
        max_batch_size=task["max_batch_size"],
    )


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)

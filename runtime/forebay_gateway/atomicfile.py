"""Files that are whole or not there."""

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replace a file at once: a reader finds the old content or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)

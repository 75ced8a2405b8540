"""`python -m forebay_operator.api crds docs` writes the definition and its documentation; `--check` says what is stale."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from forebay_operator.api import crd, reference


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    files = {
        options.crds / crd.FILE_NAME: crd.rendered(),
        options.docs / reference.FILE_NAME: reference.rendered(),
    }
    if not options.check:
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in files.items() if not _holds(path, text)]
    for path in stale:
        print(f"{path} is stale: run `make crds` and commit it", file=sys.stderr)
    return 1 if stale else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m forebay_operator.api", description=__doc__)
    parser.add_argument("crds", type=Path, help="folder of the CustomResourceDefinition")
    parser.add_argument("docs", type=Path, nargs="?", default=Path("docs"), help="folder of its documentation (docs)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    return parser.parse_args(arguments)


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())

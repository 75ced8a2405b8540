"""When there is no room left for a conversion's files: what the kernel says then, and what is said to people."""

import errno
import os
from pathlib import Path
from typing import Final

from forebay_convert.failures import passing
from forebay_schema.conversion import ConversionFailure, Stage

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_HARDLY_ANY: Final = 64 << 10
_REMEDY: Final = "Make room there, or choose another folder with --work: the conversion is tried again by itself."


def is_for_want_of_room(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def is_full(folder: Path) -> bool:
    """Whether nothing more can be written there, whatever those say who tried."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < _HARDLY_ANY


def no_room(stage: Stage, what: str, folder: Path) -> ConversionFailure:
    """`what` is what there is no room for."""
    return passing(stage, f"There is no room left for {what} in the work folder {folder}.", _REMEDY)

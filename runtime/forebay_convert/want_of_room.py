"""When there is no room left for a conversion's files: what the kernel says then, and what is said to people."""

import errno
import os
from pathlib import Path
from typing import Final

from forebay_convert.failures import passing
from forebay_schema.conversion import ConversionFailure, Stage

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_HARDLY_ANY: Final = 64 << 10
_ELSE: Final = "or choose another folder with --work: the conversion is tried again by itself."
_REMEDY: Final = f"Make room there, {_ELSE}"
_WRITABLE: Final = f"Mount it so that this process may write to it, {_ELSE}"


def is_for_want_of_room(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def is_full(folder: Path) -> bool:
    """Whether nothing more can be written there, whatever those say who tried."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < _HARDLY_ANY


def unwritable(stage: Stage, error: BaseException, work: Path) -> ConversionFailure | None:
    """What to say of an error of a stage over its work folder; None: it is about something else."""
    if is_for_want_of_room(error):
        return no_room(stage, "the conversion", work)
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return passing(stage, f"The work folder {work} is mounted read-only.", _WRITABLE)
    return None


def no_room(stage: Stage, what: str, folder: Path) -> ConversionFailure:
    """`what` is what there is no room for."""
    return passing(stage, f"There is no room left for {what} in the work folder {folder}.", _REMEDY)

"""Opens the files that scikit-learn estimators are kept in: joblib, pickle and skops.

Imports little, scikit-learn not at all (the file itself does): what is hostile shows before the slow imports.
"""

import errno
import importlib.metadata
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib

from forebay_convert.reports import RefusalError, printable, tell_note
from forebay_convert.source.attempts import Attempts, in_words

_TRUSTED_WHEN_SEALED = {"sklearn", "numpy", "scipy"}
_CALLER = (
    "Only convert files from people you trust; to be sure of this one, save the fitted estimator anew with skops.io.dump."
)


def load_estimator(path: Path, attempts: Attempts, *, trusted: bool) -> Any:
    """The estimator in the file, or what looks like one; `trusted`: this process is sealed, or the user made the file.

    Raises:
        RefusalError: it cannot be read, tried what no model needs to load, or is something else. In words.
    """
    reader = partial(_load_skops, trusted=trusted) if zipfile.is_zipfile(path) else joblib.load
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        loaded = _load(path, reader, attempts, seen)
    saved_with = _saved_with(seen)
    if attempts.harmful:
        raise _harmful(attempts)
    if saved_with is not None:
        tell_note(f"source saved with scikit-learn {saved_with}")
    if not any(hasattr(loaded, method) for method in ("fit", "predict", "transform")):
        raise RefusalError(
            "load",
            f"The file holds a {type(loaded).__name__}, not an estimator of scikit-learn.",
            "Save the fitted estimator itself: joblib.dump(estimator, path).",
        )
    return loaded


def _load(path: Path, reader: Callable[[Path], Any], attempts: Attempts, seen: list[warnings.WarningMessage]) -> Any:
    try:
        with attempts.watched():
            return reader(path)
    except RefusalError:
        raise
    except (KeyboardInterrupt, SystemExit) as error:
        ended = RefusalError("load", "The source ended the process that loaded it.", _CALLER)
        raise (_harmful(attempts) if attempts.harmful else ended) from error
    except MemoryError as error:
        raise RefusalError(
            "load",
            "The source asked for more memory than the conversion may use.",
            "Raise the conversion's memory limit if the model is really that big; otherwise do not use this file.",
        ) from error
    except BaseException as error:  # whatever hostile code raises
        raise _unreadable(error, attempts, _saved_with(seen)) from error


def _load_skops(path: Path, *, trusted: bool) -> Any:
    """Types that skops itself does not vouch for (every tree among them: its indices are not checked) need the seal."""
    import skops.io  # noqa: PLC0415 - slow to import, and few sources are skops files

    unknown = skops.io.get_untrusted_types(file=path)
    foreign = [name for name in unknown if name.split(".")[0] not in _TRUSTED_WHEN_SEALED]
    if unknown and not trusted:
        raise RefusalError(
            "load",
            f"The skops file holds types that are only safe to load in a sandbox: {', '.join(sorted(unknown)[:5])}.",
            "Convert in a cluster or a Linux container, or pass --trust-source if you made the file.",
        )
    if foreign:
        raise RefusalError(
            "load",
            f"The skops file holds types from outside scikit-learn: {', '.join(sorted(foreign)[:5])}.",
            "Build the estimator of scikit-learn's own parts, or export it to ONNX yourself.",
        )
    return skops.io.load(path, trusted=unknown)


def _unreadable(error: BaseException, attempts: Attempts, saved_with: str | None) -> RefusalError:
    if attempts.harmful:
        return _harmful(attempts)
    if isinstance(error, ModuleNotFoundError):
        return RefusalError(
            "load",
            f"The source needs the Python package {error.name!r}, which the converter does not have.",
            "Use estimators of scikit-learn only, or export the model to ONNX yourself.",
        )
    if isinstance(error, AttributeError) and "Can't get attribute" in str(error):
        return RefusalError(
            "load",
            f"The source uses a class or function of the script that saved it: {error}.",
            "Replace it by a part of scikit-learn, or export the model to ONNX yourself.",
        )
    if isinstance(error, PermissionError) and attempts.reads:
        return RefusalError(
            "load", f"The source tried to {in_words(attempts.reads[-1:])} while it was loaded, which is not allowed.", _CALLER
        )
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC):
        return RefusalError(
            "load", "The source wrote more than the conversion may write while it was loaded, which no model needs.", _CALLER
        )
    return _broken(error, saved_with)


def _broken(error: BaseException, saved_with: str | None) -> RefusalError:
    ours = importlib.metadata.version("scikit-learn")
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    if saved_with is not None:
        return RefusalError(
            "load",
            f"The source was saved with scikit-learn {saved_with} and cannot be read with {ours}: {what}.",
            f"Save it anew with scikit-learn {ours}.",
        )
    return RefusalError(
        "load",
        f"The source cannot be read as a joblib, pickle or skops file: {what}.",
        f"Check that the upload was complete, and that it was saved with a scikit-learn near {ours}.",
    )


def _harmful(attempts: Attempts) -> RefusalError:
    return RefusalError(
        "load",
        f"The source tried to {in_words(attempts.harmful)} while it was loaded, which no model needs; it was prevented.",
        _CALLER,
    )


def _saved_with(seen: list[warnings.WarningMessage]) -> str | None:
    for warning in seen:
        saved_with = getattr(warning.message, "original_sklearn_version", None)
        if saved_with is not None:
            return printable(saved_with, 20)
    return None

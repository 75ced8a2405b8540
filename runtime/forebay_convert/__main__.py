"""`forebay-convert`: the exit status is 0 for converted or found, 1 for refused or failed, 2 for wrong usage.

Of a single stage, 0 says that it did its part, too.
"""

import signal
import sys
import tempfile
from pathlib import Path

from forebay_convert.command_line import Invocation, UsageError, parse
from forebay_convert.conversion import carry_out, convert
from forebay_convert.publishing import Destination, FolderDestination, StoreDestination
from forebay_convert.summary import failure_in_words, in_words
from forebay_schema import logs
from forebay_schema.conversion import ConversionResult

_FAILED = 1
_WRONG_USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    logs.configure()
    signal.signal(signal.SIGTERM, _end)
    try:
        invocation = parse(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        print(f"forebay-convert: {error}", file=sys.stderr)
        return _WRONG_USAGE
    result = _result(invocation)
    if result is None:
        return 0
    _answer(invocation, result)
    return 0 if result.failure is None else _FAILED


def _result(invocation: Invocation) -> ConversionResult | None:
    """What became of it; None: a stage is done, and others follow."""
    work, progress = invocation.work or Path(tempfile.gettempdir()), logs.Logger("forebay-convert").info
    if invocation.stage is None:
        return convert(invocation.order, lambda: _destination(invocation), work, progress)
    return carry_out(invocation.stage, invocation.order, lambda: _destination(invocation), work, progress)


def _destination(invocation: Invocation) -> Destination:
    if invocation.folder is not None:
        return FolderDestination(invocation.folder)
    return StoreDestination(invocation.order.store, invocation.order.namespace)


def _answer(invocation: Invocation, result: ConversionResult) -> None:
    if invocation.result is not None:
        invocation.result.write_text(result.to_termination_message() + "\n")
    if invocation.folder is None:
        print(result.to_json())
    elif result.failure is None:
        print(in_words(result, invocation.folder))
    else:
        print(failure_in_words(result.failure), file=sys.stderr)


def _end(number: int, _frame: object) -> None:
    """End as Python ends, so that children are killed and temporary folders removed."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())

"""Notices the end of `forebay up`, however it came, and ends everything that it started.

`python -m forebay_operator.worlds.local.reaper MARK`, with standard input as the pipe whose other end only `forebay up` holds.
It is told process groups as lines `PID START_TIME`; when the pipe closes, all of them and all that carries the mark are ended.
"""

import signal
import sys

from forebay_operator.worlds.local.leftovers import Group, end_all


def main() -> int:
    """Read until the pipe closes, then end everything."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups = [group for line in sys.stdin if (group := Group.parse(line))]
    end_all(sys.argv[1], groups)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Ctrl-C as one line, also where nobody waits for it: while modules are imported and rules are read."""

from __future__ import annotations

import sys
from types import TracebackType

LINE = "neurobust: interrupted; what is finished stays, and the same command goes on from there"
STATUS = 130  # of a command that Ctrl-C ended, as shells have it


def say() -> int:
    """Print the line; the exit status."""
    print(f"\n{LINE}", file=sys.stderr)
    return STATUS


def in_one_line() -> None:
    """From here on a Ctrl-C that nobody catches ends this process with the line in place of a traceback."""
    before = sys.excepthook

    def said(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            say()
        else:
            before(kind, error, trace)

    sys.excepthook = said

"""The first lines of the command: Ctrl-C is one line from here on, also while the rest is imported."""

from __future__ import annotations

from neurobust.core.interrupted import say


def start() -> int:
    """Run the command `neurobust` with the words of its command line; the exit status."""
    try:
        from neurobust.cli.main import main

        return main()
    except KeyboardInterrupt:
        return say()

"""Snakemake's own command, as `launch` becomes it: that, but for Ctrl-C before the first job, which is one line."""

from __future__ import annotations

import sys

from neurobust.core.interrupted import say


def start() -> int:
    """Run Snakemake with the words of this command line; the exit status, where it leaves any."""
    sys.argv[0] = "snakemake"
    try:
        from snakemake.cli import main

        main()
    except KeyboardInterrupt:
        return say()
    return 0


if __name__ == "__main__":
    sys.exit(start())

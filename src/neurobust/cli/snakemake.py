"""Snakemake's own command, as `launch` becomes it: that, but for Ctrl-C before the first job, which is one line."""

import sys


def start() -> int:
    """Run Snakemake with the words of this command line; the exit status, where it leaves any."""
    sys.argv[0] = "snakemake"
    try:
        from snakemake.cli import main

        main()
    except KeyboardInterrupt:
        from neurobust.core.interrupted import say

        return say()
    return 0


if __name__ == "__main__":
    sys.exit(start())

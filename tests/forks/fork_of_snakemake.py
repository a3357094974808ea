"""What a fork for a test runs (forks.py): the command `snakemake` with the words that it is given."""

import sys

from snakemake.cli import main

sys.argv = ["snakemake", *snakemake]  # noqa: F821
main()

"""One clear line where `slurm`, the link to the profile, was unpacked as a file.

A zip archive that is extracted without symbolic links leaves a file with the link's target as its text. Snakemake takes
it for a profile and ends in its usage text before it reads the Snakefile: so this is called when its plugins load.
"""

import os
import sys
from pathlib import Path

LINK, TARGET = Path("slurm"), "profiles/slurm"
FIX = f"ln -sfn {TARGET} {LINK}"


def check_link() -> None:
    """Leave Snakemake with one line if its command line names a profile that is a lost link."""
    words = [word for argument in sys.argv[1:] for word in argument.split("=", 1)]
    asked = ("--profile" in words and str(LINK) in words) or os.environ.get("SNAKEMAKE_PROFILE") == str(LINK)
    if asked and LINK.is_file() and LINK.stat().st_size < 100 and LINK.read_text(errors="replace").strip() == TARGET:
        sys.exit(
            f"neurobust: error: ./{LINK} is a file and not the link to {TARGET}, as in a copy that was made without "
            f"symbolic links; run `{FIX}`, or give `--profile {TARGET}`"
        )

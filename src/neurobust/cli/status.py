"""`neurobust status`: what can be said of a study before Snakemake is asked how many jobs are left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neurobust.cli.home import config_files
from neurobust.study.border import merged

LOCKS = Path(".snakemake/locks")


def locked() -> bool:
    """Whether a Snakemake runs in this folder, or one was killed there."""
    return LOCKS.is_dir() and any(LOCKS.iterdir())


def print_status(configs: Sequence[str]) -> None:
    """Print whether Snakemake runs here and where the report lies; InputError where the study cannot be read."""
    config = merged(config_files(configs))
    page = Path(str(config.get("results"))) / "report/index.html"
    running = "Snakemake runs in this folder, or was killed in it" if locked() else "nothing runs in this folder"
    report = f"its report is {page}" if page.exists() else "it has no report yet"
    print(f"study {config.get('study')}: {running}; {report}", flush=True)

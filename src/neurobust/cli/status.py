"""`neurobust status`: what can be said of a study before Snakemake is asked how many jobs are left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neurobust.cli.home import config_files, pipeline, results_of
from neurobust.report.site import front_page
from neurobust.study.border import merged, study_of
from neurobust.study.mirror import check_folder

LOCKS = Path(".snakemake/locks")


def locked() -> bool:
    """Whether a Snakemake runs in this folder, or one was killed there."""
    return LOCKS.is_dir() and any(LOCKS.iterdir())


def print_status(configs: Sequence[str]) -> None:
    """Print whether Snakemake runs here and where the report lies; InputError where the study cannot be read."""
    files = config_files(configs)
    config = merged(files)
    page = front_page(results_of(config, files))
    running = "Snakemake runs in this folder, or was killed in it" if locked() else "nothing runs in this folder"
    report = f"its report is {page}" if page.exists() else "it has no report yet"
    print(f"study {config.get('study')}: {running}; {report}", flush=True)


def write_page(configs: Sequence[str], name: str) -> int:
    """Write the page of what is there so far and say how much of it that is; the exit status.

    InputError where the study cannot be read, or the name is none for a page.
    """
    from neurobust.report.live_page import status_path, write_status

    files = config_files(configs)
    study = study_of(merged(files), files, Path(), pipeline())
    check_folder("config.results", study.root)
    path = status_path(study, name)
    live = write_status(study, path)
    counts = f"{live.count('there')} of {live.count('files')} files are there"
    more = "" if live.complete else f", {live.count('begun')} being written, {live.count('unreadable')} not readable"
    print(f"study {study.name}: {counts}{more}; the page is {path}")
    return 0

"""`neurobust check`: every fault of a configuration at once, each with file and line; imports neither torch nor, for a
study of one file, Snakemake."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from neurobust.cli import home
from neurobust.core.errors import InputError, messages_of
from neurobust.study.border import read_files
from neurobust.study.mirror import Mirror
from neurobust.study.model import Study


def checked(files: Sequence[Path]) -> tuple[Study, list[str]]:
    """The study of some files, later ones overriding, and its warnings; InputError for what is wrong."""
    pipeline = home.pipeline()
    return read_files(files, Path(), pipeline, also=[lambda study: Mirror(study, pipeline).check_root()])


def check(configs: Sequence[str]) -> int:
    """Print what is wrong with a study, on stderr, or that nothing is; the exit status: 1 for a fault, else 0."""
    files = home.config_files(configs)
    try:
        study, warnings = checked(files)
    except InputError as error:
        lines = messages_of(error)
        for line in lines:
            print(line, file=sys.stderr)
        print(f"{len(lines)} {'fault' if len(lines) == 1 else 'faults'}", file=sys.stderr)
        return 1
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    networks = sum(1 for _ in study.networks())
    said = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    print(f"{', '.join(map(str, files))}: the study {study.name} can run: {networks} networks; {said}")
    return 0

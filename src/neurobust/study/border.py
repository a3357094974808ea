"""The whole border: files of a configuration become a study, or lines that say where they are wrong.

Each line is `<file>:<line>: <key>: <value>: <what is wrong>; <way out>`, as `located` places it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError, ManyFaults, messages_of
from neurobust.core.settings import Given
from neurobust.study.claims import with_claims
from neurobust.study.config import as_written
from neurobust.study.doubts import doubts
from neurobust.study.locate import located_line
from neurobust.study.model import Study
from neurobust.study.named_files import check_named_files
from neurobust.study.read import read_study
from neurobust.study.yaml_file import read_yaml


def study_of(config: Given, files: Sequence[Path], *folders: Path) -> Study:
    """The study that a configuration describes, which was read from these files.

    folders: where the file of its claims is looked for. Raises InputError with file and line; ManyFaults, whose text is
    every line, where several things are wrong.
    """
    for file in files:
        read_yaml(file)
    try:
        return read_study(with_claims(as_written(config), *folders))
    except InputError as error:
        raise in_files(error, files) from None


def ready(study: Study, files: Sequence[Path]) -> list[str]:
    """What a study's author should look at again, a line each, once every file that it names is found.

    Raises InputError, with file and line, for one that is not there and that no rule makes.
    """
    try:
        check_named_files(study)
    except InputError as error:
        raise in_files(error, files) from None
    return [located_line(text, files) for text in doubts(study)]


def read_files(files: Sequence[Path], *folders: Path) -> tuple[Study, list[str]]:
    """The study of some files, later ones overriding, and its warnings; InputError as of `study_of` and `ready`."""
    config = merged(files)
    study = study_of(config, files, *folders)
    return study, ready(study, files)


def merged(files: Sequence[Path]) -> dict[str, Any]:
    """The mapping of some files, later ones overriding, as Snakemake merges them; InputError as of `read_yaml`."""
    first, *others = [read_yaml(file) for file in files]
    if others:  # one file should be checked without waiting for Snakemake
        from snakemake.utils import update_config

        for other in others:
            update_config(first, other)
    return first


def in_files(error: InputError, files: Sequence[Path]) -> InputError:
    """The error with file and line in each of its messages."""
    lines = [located_line(text, files) for text in messages_of(error)]
    return ManyFaults(lines) if len(lines) > 1 else InputError(lines[0])

"""The whole border: files of a configuration become a study, or lines that say where they are wrong.

Each line is `<file>:<line>: <key>: <value>: <what is wrong>; <way out>`, as `located` places it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError, error_of
from neurobust.core.faults import UNREAD, Faults
from neurobust.core.settings import Given
from neurobust.study.claims import with_claims
from neurobust.study.config import as_written, with_text_keys
from neurobust.study.doubts import doubts
from neurobust.study.locate import located, located_line
from neurobust.study.model import Study
from neurobust.study.named_files import check_named_files
from neurobust.study.read import read_what_can_be
from neurobust.study.yaml_file import load_yaml, odd_lines, read_yaml

Question = Callable[[Study], None]  # raises InputError where the answer is no


def study_of(config: Given, files: Sequence[Path], *folders: Path, also: Iterable[Question] = ()) -> Study:
    """The study that a configuration describes, which was read from these files.

    folders: where the file of its claims is looked for. also: what else is asked of it. Raises InputError with file and
    line; ManyFaults where several things are wrong: in each part alone, and between those that can be read.
    """
    faults = Faults()
    for file in files:
        load_yaml(file)
        faults.messages += odd_lines(file)
    config = with_text_keys(as_written(config)) if faults.messages else as_written(config)
    named = faults.kept(lambda: with_claims(config, *folders))
    study = faults.kept(lambda: read_what_can_be({**config, "claims": None} if named is UNREAD else named, faults))
    for ask in also:
        with faults.caught():
            ask(study)
    if faults.messages:
        raise located(error_of(faults.messages), files)
    return study


def ready(study: Study, files: Sequence[Path]) -> list[str]:
    """What a study's author should look at again, a line each, once every file that it names is found.

    Raises InputError, with file and line, for one that is not there and that no rule makes.
    """
    try:
        check_named_files(study)
    except InputError as error:
        raise located(error, files) from None
    return [located_line(text, files) for text in doubts(study)]


def read_files(files: Sequence[Path], *folders: Path, also: Iterable[Question] = ()) -> tuple[Study, list[str]]:
    """The study of some files, later ones overriding, and its warnings; InputError as of `study_of` and `ready`."""
    config = _merged([load_yaml(file) for file in files])
    study = study_of(config, files, *folders, also=[check_named_files, *also])
    return study, [located_line(text, files) for text in doubts(study)]


def merged(files: Sequence[Path]) -> dict[str, Any]:
    """The mapping of some files, later ones overriding, as Snakemake merges them; InputError as of `read_yaml`."""
    return _merged([read_yaml(file) for file in files])


def _merged(mappings: Iterable[dict[str, Any]]) -> dict[str, Any]:
    first, *others = mappings
    if others:  # one file should be checked without waiting for Snakemake
        from snakemake.utils import update_config

        for other in others:
            update_config(first, other)
    return first

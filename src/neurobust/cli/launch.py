"""Snakemake's command line for a study, printed and then run in the place of this process."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from neurobust.cli import home
from neurobust.core.errors import InputError
from neurobust.study.yaml_file import read_yaml


def program() -> list[str]:
    """Snakemake of the Python that runs this: by its short name where the shell finds the same one."""
    found = shutil.which("snakemake")
    same = found is not None and Path(found).parent.resolve() == Path(sys.executable).parent.resolve()
    return ["snakemake"] if same else [sys.executable, "-m", "snakemake"]


def command(
    configs: Sequence[str],
    profile: str | None,
    cores: str | None,
    targets: Sequence[str],
    options: Sequence[str] = (),
) -> list[str]:
    """The words of a command line that makes targets of a study; options: of Snakemake, as they are."""
    files = home.config_files(configs)
    for file in files:
        read_yaml(file)  # Snakemake would not say which file is wrong, nor where
    folder = home.pipeline()
    words = program()
    if folder != Path():
        words += ["--snakefile", str(folder / "Snakefile")]
    words += ["--configfile", *map(str, files), "--profile", home.profile(profile)]
    if cores is not None:
        words += ["--cores", cores]
    return [*words, *options, "--", *targets]


def make_cache() -> None:
    """Make Snakemake's cache, which it makes at its start. InputError where it cannot be: a home that is only read."""
    below = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  # as Snakemake has it
    cache = Path(below) / "snakemake/snakemake/source-cache/snakemake-runtime-cache"
    way = "Snakemake keeps its cache there; set XDG_CACHE_HOME to a folder that you may write to"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}; {way}") from None
    if not os.access(cache, os.W_OK):
        raise InputError(f"{cache}: may not be written; {way}")


def refuse_unwritable() -> None:
    """Raise InputError where Snakemake could keep no records of this folder, which it does for a dry run too."""
    records = Path(".snakemake")
    if records.exists() and not records.is_dir():
        raise InputError(f"{records}: a file in the place of Snakemake's records; move it away")
    place = records if records.exists() else Path.cwd()
    if not os.access(place, os.W_OK):
        raise InputError(f"{place}: may not be written; run where you may write, and name the study by --configfile")


def become(words: Sequence[str]) -> NoReturn:
    """Print a command and run it in the place of this process, so that signals and its exit status are its own.

    It is run by way of `cli.snakemake`, which is Snakemake but for a Ctrl-C before the first job.
    """
    make_cache()
    if not any(word in ("-d", "--directory") or word.startswith("--directory=") for word in words):
        refuse_unwritable()
    print(shlex.join(words), file=sys.stderr, flush=True)
    print(end="", flush=True)
    os.execvp(sys.executable, [sys.executable, "-P", "-m", "neurobust.cli.snakemake", *words[len(program()) :]])

"""`neurobust clean`: what a study has computed, and nothing else, is named, asked about and removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from neurobust.cli import home
from neurobust.cli.status import LOCKS, locked
from neurobust.core.errors import InputError
from neurobust.report.live_page import is_status
from neurobust.report.site import STATUS_FILE
from neurobust.study.border import merged, study_of
from neurobust.study.jobs import STAGE_OF
from neurobust.study.model import Study
from neurobust.study.named_files import all_named_files
from neurobust.study.paths import FOLDERS, Paths

# Rules whose logs have their name and whose jobs `plan` does not price.
UNPRICED = (
    "download_nsd", "download_stimuli", "download_shared_images", "download_alexnet", "plan_download", "doctor",
    "check_machine", "check_cluster", "probe_machine", "plan_study", "map_voxels",
)  # fmt: skip

# What jobs write; another file in their folders is somebody's, such as notes beside a report, and stays.
KINDS = {
    ".csv", ".h5", ".html", ".json", ".jsonl", ".log", ".npz", ".parquet", ".previous", ".pt", ".safetensors", ".svg",
    ".tmp", ".tsv", ".zip",
}  # fmt: skip
SHOWN = 20  # files that are named; more are counted
NAMES = {"confirmed.txt", "plan.txt", "table.txt"}


def clean(configs: Sequence[str], yes: bool) -> int:
    """Name what would go, ask, and remove it; the exit status: 1 for the answer no. InputError for what must stay."""
    files = home.config_files(configs)
    study = study_of(merged(files), files, Path(), home.pipeline())
    if locked():
        raise InputError(f"{LOCKS}: Snakemake runs in this folder, or was killed; wait, or run `snakemake --unlock`")
    found = {path: Contents.of(path) for path in computed(study)}
    refuse_inputs(study, files, [*found])
    kept = [file for held in found.values() for file in held.foreign]
    print(*(f"{file}: no job writes such a file, so it stays\n" for file in kept[:SHOWN]), sep="", end="")
    if len(kept) > SHOWN:
        print(f"and {len(kept) - SHOWN} more such files")
    doomed = {path: held for path, held in found.items() if held.own or not held.foreign}
    if not doomed:
        print(f"nothing to remove: the study {study.name} has no results in {study.results}")
        return 0
    print(
        f"the study {study.name} computed:",
        *(f"  {path}{measure(path, held)}" for path, held in doomed.items()),
        sep="\n",
    )
    if not yes and not agreed("remove all of it? [y/N] "):
        print("nothing was removed")
        return 1
    for path in doomed:
        remove(path)
    for folder in (Path(study.results), Path(Paths(study).logs)):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
    print(f"removed; {study.data.root} is as it was")
    return 0


def files_below(path: Path) -> Iterator[Path]:
    """A file or link, or the files and links in a folder and in those below it; no link is followed."""
    if path.is_symlink() or not path.is_dir():
        yield path
    else:
        for folder, folders, names in os.walk(path):
            found = map(Path(folder).joinpath, folders)
            yield from (*map(Path(folder).joinpath, names), *(below for below in found if below.is_symlink()))


class Contents(NamedTuple):
    """The files and links at or below a path: those of a kind that jobs write, and the others, which are somebody's.
    Links are never somebody's: what they lead to stays."""

    own: list[Path]
    foreign: list[Path]

    @classmethod
    def of(cls, path: Path) -> Contents:
        """What lies there now."""
        found = cls([], [])
        for file in sorted(files_below(path)):
            known = file.is_symlink() or file.suffix in KINDS or file.name in NAMES
            (found.own if known else found.foreign).append(file)
        return found


def computed(study: Study) -> Iterator[Path]:
    """What lies there of the study's results and logs. Another study may have its own folder beside them."""
    yield from (path for name in FOLDERS if home.there(path := study.root / name))
    if (page := study.root / STATUS_FILE).is_file() and is_status(page):
        yield page
    logs = Path(Paths(study).logs)
    rules = sorted({*STAGE_OF, *UNPRICED})
    yield from (path for rule in rules for path in (logs / rule, logs / f"{rule}.log") if home.there(path))


def refuse_inputs(study: Study, files: Sequence[Path], doomed: Sequence[Path]) -> None:
    """Raise InputError where something that the study only reads lies in what would be removed."""
    inputs = [("config.data.root", study.data.root), *(("the study's file", str(file)) for file in files)]
    inputs += [("config.data.cache", study.data.cache)] if study.data.cache is not None else []
    inputs += [(f"config.shifted.{name}.source", asked.source) for name, asked in study.shifted.items()]
    inputs += [(file.key, file.path) for file in all_named_files(study)]
    inputs += [(f"config.tasks.{task.name}.source", task.source) for task in study.tasks.values() if task.source]
    for key, path in inputs:
        for folder in doomed:
            if Path(path).resolve().is_relative_to(folder.resolve()):
                raise InputError(f"{key}: {path!r} lies in {folder}, which holds results; move it out of there first")


def measure(path: Path, held: Contents) -> str:
    """What a folder holds, for a person who is about to lose it."""
    if path.is_symlink():
        return f" (the link; what it leads to stays: {path.readlink()})"
    if not path.is_dir():
        return ""
    sizes = [file.lstat().st_size for file in held.own]
    return f"/ ({len(sizes)} {'file' if len(sizes) == 1 else 'files'}, {sum(sizes) / 1e6:.1f} MB)"


def agreed(question: str) -> bool:
    """Whether somebody at the terminal says yes; InputError where there is nobody to ask."""
    if not home.at_terminal():
        raise InputError("clean: asks before it removes anything; say --yes where there is no terminal")
    return input(question).strip().lower() in ("y", "yes")


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to), or a folder with all that is in it, but for what is foreign."""
    held = Contents.of(path)  # anew: somebody was asked in between
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    elif not held.foreign:
        shutil.rmtree(path)
    else:
        for file in held.own:
            file.unlink()
        for folder, _, _ in os.walk(path, topdown=False):
            if not any(Path(folder).iterdir()):
                Path(folder).rmdir()

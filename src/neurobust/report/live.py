"""How far a study is: which of its files are there, which are being written, which are missing or cannot be read.

Reads finished files alone: the pipeline writes each under another name and renames it into place. What Snakemake has
marked as begun is not read either.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from neurobust.core.errors import InputError
from neurobust.files.attack_table import attack_table_path
from neurobust.files.canaries import canaries_path
from neurobust.files.checks import checks_path
from neurobust.files.network_metrics import metrics_path
from neurobust.files.predictor_tables import voxels_path
from neurobust.files.quality import quality_path
from neurobust.files.roi import roi_path
from neurobust.files.semantic_table import semantic_table_path
from neurobust.files.semantic_transfer_table import semantic_transfer_path
from neurobust.files.verification_table import verification_table_path
from neurobust.report.site import ARCHIVE, pages_of, roi_file
from neurobust.study.explained import Explained
from neurobust.study.model import Study
from neurobust.study.paths import Paths

INCOMPLETE = Path(".snakemake/incomplete")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Progress:
    """Files of one kind: those of the study, and which of them are there, begun, missing, or not readable."""

    name: str
    files: tuple[Path, ...]
    there: tuple[Path, ...]
    begun: tuple[Path, ...]
    missing: tuple[Path, ...]
    unreadable: tuple[Path, ...]

    @property
    def complete(self) -> bool:
        """Whether all of them are there and none is being written."""
        return len(self.there) == len(self.files)


def files_of(study: Study) -> dict[str, list[Path]]:
    """The files that the pages of a study are made of, and the pages, by kind in the order of the stages; a kind
    without files is left out."""
    root, paths, explained = study.root, Paths(study), Explained(study)
    networks = [*study.networks()]
    attacks = [attack_table_path(root, n.path, attack) for n in networks for attack in study.attacks_of(n.task)]
    checked = [checks_path(root, network.path) for network in networks]
    pages = [page.file for page in pages_of(study).values()]
    pages += [*(roi_file(roi) for roi in study.rois), ARCHIVE]
    semantic = paths.semantic_files(semantic_table_path) + paths.semantic_transfers(semantic_transfer_path)
    found: dict[str, Iterable[Path | str]] = {
        "gate of the data": [quality_path(root, subject) for subject in study.subjects],
        "responses of ROIs": [roi_path(root, *pair) for pair in itertools.product(study.subjects, study.rois)],
        "predictors": [
            voxels_path(root, study.predictor, roi, seed)
            for roi, seed in itertools.product(study.rois, study.predictor_seeds)
        ],
        "networks": [metrics_path(root, network.path) for network in networks],
        "attacks": attacks + checked + [canaries_path(root, task) for task in study.tasks],
        "transfer": paths.transfer_tables(),
        "semantic attacks": semantic + paths.verification_files(verification_table_path),
        "corruptions": paths.corruption_tables() + paths.shifted_tables(),
        "networks from outside": paths.outside_results(),
        "analyses": explained.all_tables(),
        "report": [root / "report" / page for page in pages],
    }
    return {name: [Path(path) for path in files] for name, files in found.items() if files}


def begun_files(folder: Path = INCOMPLETE) -> set[str]:
    """The outputs of jobs that run, or that were broken off, as Snakemake notes them; none where it notes nothing.

    A file's name there is the output's path in base64, in parts of a folder each where that is long.
    """
    found = set()
    for path in folder.rglob("*") if folder.is_dir() else ():
        name = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
        try:
            found.add(base64.urlsafe_b64decode(name.encode()).decode())
        except (binascii.Error, UnicodeDecodeError):
            continue  # a folder that holds the parts of a long name
    return found


@dataclass
class Reader:
    """Reads what is finished, and remembers what could not be read. begun: paths that are not looked at."""

    begun: set[str] = field(default_factory=set)
    unreadable: dict[Path, str] = field(default_factory=dict)

    def read(self, path: Path, function: Callable[[Path], Found]) -> Found | None:
        """What a function makes of a file; None where it is not there, is being written, or cannot be read."""
        if str(path) in self.begun or path in self.unreadable or not path.is_file():
            return None
        try:
            return function(path)
        except (InputError, OSError, KeyError, ValueError) as error:
            if path.is_file():  # or Snakemake removed it just now, to make it again
                self.unreadable[path] = " ".join(str(error).split()) or type(error).__name__
            return None


def progress_of(name: str, files: Iterable[Path], reader: Reader) -> Progress:
    """Count files of one kind, after those that a page reads were read."""
    files = tuple(files)
    begun = tuple(path for path in files if str(path) in reader.begun)
    broken = tuple(path for path in files if path in reader.unreadable)
    out = {*begun, *broken}
    there = tuple(path for path in files if path not in out and path.is_file())
    lacking = tuple(path for path in files if path not in out and path not in {*there})
    return Progress(name, files, there, begun, lacking, broken)


def grouped(paths: Iterable[Path], root: Path) -> list[tuple[str, list[str]]]:
    """Files by folder below the results: ("attacks/digits/resnet18/V1/seed0", ["fgsm.parquet", ...])."""
    found: dict[str, list[str]] = {}
    for path in paths:
        below = path.relative_to(root) if path.is_relative_to(root) else path
        found.setdefault(below.parent.as_posix(), []).append(below.name)
    return [*found.items()]

"""Where everything lies in the NSD bucket.

`root` is a local folder with the bucket's own layout, or two: one that is read, and one for what is missing there.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from neurobust.core.errors import InputError
from neurobust.core.settings import SUBJECT

BUCKET = "natural-scenes-dataset"
REGION = "us-east-2"
Atlas = Literal[
    "HCP_MMP1", "Kastner2015", "corticalsulc", "floc-bodies", "floc-faces", "floc-places", "floc-words", "nsdgeneral",
    "prf-eccrois", "prf-visualrois", "streams", "MTL", "thalamus",
]  # fmt: skip
Hemisphere = Literal["lh", "rh"]
SessionFormat = Literal["nii.gz", "hdf5"]
OWN = "neurobust"  # folder in a mirror for what the pipeline notes about it; no key of the bucket begins so
Space = Literal["func1pt8mm", "func1mm"]
BetaVersion = Literal["b1", "b2", "b3"]
SPACES: dict[str, float] = {"func1pt8mm": 1.8, "func1mm": 1.0}  # side of a voxel in mm
VERSIONS: dict[str, str] = {  # as papers name them, and their folders
    "b1": "betas_assumehrf", "b2": "betas_fithrf", "b3": "betas_fithrf_GLMdenoise_RR",
}  # fmt: skip
BETA_VERSION = VERSIONS["b3"]
ATLASES: tuple[str, ...] = get_args(Atlas)
VOLUME_ATLASES = ("MTL", "thalamus")  # drawn in the volume; the others are drawn or projected on the surface
SURFACE_ATLASES = tuple(atlas for atlas in ATLASES if atlas not in VOLUME_ATLASES)
HEMISPHERES: tuple[str, ...] = get_args(Hemisphere)


@dataclass(frozen=True)
class Preparation:
    """Which of NSD's estimates of the single trials, in which of its functional spaces."""

    space: str = "func1pt8mm"
    version: str = "b3"


PUBLISHED = Preparation()  # what papers use, and what the phantom is planted as


def preparation_of(session: Path) -> Preparation:
    """The preparation that a session's betas are of, by the folders that it lies in; InputError for other folders."""
    folder = Path(session).parent
    for space in SPACES:
        for version, name in VERSIONS.items():
            if (folder.parent.name, folder.name) == (space, name):
                return Preparation(space, version)
    raise InputError(
        f"{session}: lies in no folder of betas such as func1pt8mm/{BETA_VERSION}; keep the bucket's names"
    )


@dataclass(frozen=True)
class Copies:
    """A mirror that is somebody's and is only read, and a folder of ours with what is missing there."""

    root: Path
    cache: Path


Root = Path | Copies


def place(root: Root, key: str) -> Path:
    """Where a file of the bucket lies; where it goes if it is nowhere yet."""
    if isinstance(root, Copies):
        there = root.root / key
        return there if there.exists() else root.cache / key
    return Path(root) / key


def volume(root: Root, key: str) -> Path:
    """Where a NIfTI file of the bucket, x.nii.gz, lies: its uncompressed copy x.nii where only that is there."""
    path, plain = place(root, key), place(root, key.removesuffix(".gz"))
    return plain if not path.exists() and plain.exists() else path


def ours(root: Root) -> Path:
    """The folder that files are fetched into, with the notes about them."""
    return root.cache if isinstance(root, Copies) else Path(root)


def subject_number(subject: str) -> int:
    """1..8 for "subj01".."subj08"; anything else is an InputError."""
    if not re.fullmatch(SUBJECT, subject):
        raise InputError(f"subject: '{subject}' is not one of subj01 to subj08")
    return int(subject[-1])


def expdesign(root: Root) -> Path:
    """The design: which image is shown in which trial."""
    return place(root, "nsddata/experiments/nsd/nsd_expdesign.mat")


def stim_info(root: Root) -> Path:
    """The table of all images: COCO id, crop, and the trials in which each subject is shown it."""
    return place(root, "nsddata/experiments/nsd/nsd_stim_info_merged.csv")


def stimuli(root: Root) -> Path:
    """All 73,000 images in one file, `imgBrick`."""
    return place(root, "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5")


def subject_stimuli(root: Root, subject: str) -> Path:
    """The images that one subject saw, fetched row by row: `imgBrick` and `nsd_id` (not a file of the bucket)."""
    return ours(root) / OWN / f"nsd_stimuli_{subject}.hdf5"


def their_stimuli(root: Root, subject: str) -> list[Path]:
    """That file in a copy that is only read, where a study had fetched it there: one or none."""
    path = subject_stimuli(root.root, subject) if isinstance(root, Copies) else None
    return [path] if path is not None and path.exists() else []


def fetched_stimuli(root: Root, subject: str) -> list[Path]:
    """That file wherever it is there, our own first."""
    own = subject_stimuli(root, subject)
    return [*([own] if own.exists() else []), *their_stimuli(root, subject)]


def shared_png(root: Root, number: int, nsd_id: int) -> Path:
    """PNG of shared image 1..1000; `nsd_id` is 0-based and the name's is not."""
    return place(root, f"nsddata/stimuli/nsd/shared1000/shared{number:04d}_nsd{nsd_id + 1:05d}.png")


def terms(root: Root) -> Path:
    """Which server a mirror is fetched from, and that its user accepted the NSD terms (not a file of the bucket)."""
    return ours(root) / OWN / "bucket.json"


def records(root: Root) -> Path:
    """One line per fetched file: size, ETag, SHA-256 (not a file of the bucket)."""
    return ours(root) / OWN / "manifest.jsonl"


def digests(root: Root) -> Path:
    """SHA-256 of files by key that somebody trusts, as `sha256sum` prints them (the user's own, not of the bucket)."""
    return ours(root) / OWN / "SHA256SUMS"


def all_digests(root: Root) -> list[Path]:
    """Where such lists may be: our own, and that of a copy which is only read; of both the first that names a file."""
    return [digests(root), *([digests(root.root)] if isinstance(root, Copies) else [])]


def studies(root: Root) -> Path:
    """Which studies use a mirror, and which of them keep its sessions (not a file of the bucket)."""
    return ours(root) / OWN / "studies.json"


def phantom_marker(root: Root) -> Path:
    """That a root is a phantom's, and whose (not a file of the bucket)."""
    return ours(root) / OWN / "phantom.json"


def study_id(root: Root, results: Path) -> str:
    """What a study is called in the notes of a root: the way from there to its results, which a move of both keeps."""
    return os.path.relpath(Path(results).resolve(), ours(root).resolve())


def study_folder(root: Root, study: str) -> Path:
    """The results of a study by its `study_id`."""
    return Path(os.path.normpath(ours(root).resolve() / study))


def planted_annotations(root: Root) -> Path:
    """COCO's annotations of the phantom's images (not in the bucket: those of the real ones are the user's)."""
    return place(root, "coco/annotations_trainval2017.zip")


def responses(root: Root, subject: str) -> Path:
    """The behaviour of a subject: a row per trial."""
    return place(root, f"nsddata/ppdata/{subject}/behav/responses.tsv")


def func_map(root: Root, subject: str, name: str, space: str = "func1pt8mm") -> Path:
    """A map of a subject in one of its functional spaces."""
    return volume(root, f"nsddata/ppdata/{subject}/{space}/{name}.nii.gz")


def brainmask(root: Root, subject: str, space: str = "func1pt8mm") -> Path:
    """Which voxels are brain."""
    return func_map(root, subject, "brainmask", space)


def valid(root: Root, subject: str, space: str = "func1pt8mm") -> Path:
    """In which share of the sessions each voxel has data."""
    return func_map(root, subject, "valid", space)


def roi(root: Root, subject: str, atlas: str, hemisphere: str | None = None, space: str = "func1pt8mm") -> Path:
    """Label volume of an atlas: both hemispheres, or "lh" or "rh"."""
    prefix = f"{hemisphere}." if hemisphere else ""
    return func_map(root, subject, f"roi/{prefix}{atlas}", space)


def ctab(root: Root, subject: str, atlas: str) -> Path:
    """Names of an atlas' labels. Surface atlases have one per subject, MTL and thalamus one for all."""
    if atlas in VOLUME_ATLASES:
        return place(root, f"nsddata/templates/{atlas}.ctab")
    return place(root, f"nsddata/freesurfer/{subject}/label/{atlas}.mgz.ctab")


def betas_key(subject: str, name: str, prepared: Preparation = PUBLISHED) -> str:
    """The key of a file beside a subject's betas of one preparation."""
    return f"nsddata_betas/ppdata/{subject}/{prepared.space}/{VERSIONS[prepared.version]}/{name}"


def session(root: Root, subject: str, number: int, suffix: str = "nii.gz", prepared: Preparation = PUBLISHED) -> Path:
    """Single-trial betas of session 1, 2, ...; suffix "nii.gz" or "hdf5"."""
    key = betas_key(subject, f"betas_session{number:02d}.{suffix}", prepared)
    return volume(root, key) if suffix == "nii.gz" else place(root, key)


def ncsnr(root: Root, subject: str, prepared: Preparation = PUBLISHED) -> Path:
    """The published noise-ceiling signal-to-noise ratio of each voxel, of one preparation."""
    return volume(root, betas_key(subject, "ncsnr.nii.gz", prepared))


def ncsnr_split(root: Root, subject: str, half: int, prepared: Preparation = PUBLISHED) -> Path:
    """ncsnr of every other image: half 1 or 2."""
    return volume(root, betas_key(subject, f"ncsnr_split{half}.nii.gz", prepared))


def mean_beta(root: Root, subject: str, number: int, prepared: Preparation = PUBLISHED) -> Path:
    """The mean of a session's betas over its trials, in their own unit."""
    return volume(root, betas_key(subject, f"meanbeta_session{number:02d}.nii.gz", prepared))


def session_number(path: Path) -> int:
    """The session number in the name of a betas file."""
    match = re.fullmatch(r"betas_session(\d+)\.(nii\.gz|nii|hdf5)", Path(path).name)
    if not match:
        raise InputError(f"{path}: not a session's betas; expected a name like betas_session01.nii.gz or .hdf5")
    return int(match[1])

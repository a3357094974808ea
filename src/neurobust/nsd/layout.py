"""Where everything lies in the NSD bucket; `root` is a local folder with the bucket's own layout."""

from __future__ import annotations

import os
import re
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
BETA_VERSION = "betas_fithrf_GLMdenoise_RR"
ATLASES: tuple[str, ...] = get_args(Atlas)
VOLUME_ATLASES = ("MTL", "thalamus")  # drawn in the volume; the others are drawn or projected on the surface
SURFACE_ATLASES = tuple(atlas for atlas in ATLASES if atlas not in VOLUME_ATLASES)
HEMISPHERES: tuple[str, ...] = get_args(Hemisphere)


def subject_number(subject: str) -> int:
    """1..8 for "subj01".."subj08"; anything else is an InputError."""
    if not re.fullmatch(SUBJECT, subject):
        raise InputError(f"subject: '{subject}' is not one of subj01 to subj08")
    return int(subject[-1])


def expdesign(root: Path) -> Path:
    """The design: which image is shown in which trial."""
    return Path(root) / "nsddata/experiments/nsd/nsd_expdesign.mat"


def stim_info(root: Path) -> Path:
    """The table of all images: COCO id, crop, and the trials in which each subject is shown it."""
    return Path(root) / "nsddata/experiments/nsd/nsd_stim_info_merged.csv"


def stimuli(root: Path) -> Path:
    """All 73,000 images in one file, `imgBrick`."""
    return Path(root) / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"


def subject_stimuli(root: Path, subject: str) -> Path:
    """The images that one subject saw, fetched row by row: `imgBrick` and `nsd_id` (not a file of the bucket)."""
    return Path(root) / OWN / f"nsd_stimuli_{subject}.hdf5"


def shared_png(root: Path, number: int, nsd_id: int) -> Path:
    """PNG of shared image 1..1000; `nsd_id` is 0-based and the name's is not."""
    return Path(root) / f"nsddata/stimuli/nsd/shared1000/shared{number:04d}_nsd{nsd_id + 1:05d}.png"


def terms(root: Path) -> Path:
    """Which server a mirror is fetched from, and that its user accepted the NSD terms (not a file of the bucket)."""
    return Path(root) / OWN / "bucket.json"


def records(root: Path) -> Path:
    """One line per fetched file: size, ETag, SHA-256 (not a file of the bucket)."""
    return Path(root) / OWN / "manifest.jsonl"


def studies(root: Path) -> Path:
    """Which studies use a mirror, and which of them keep its sessions (not a file of the bucket)."""
    return Path(root) / OWN / "studies.json"


def phantom_marker(root: Path) -> Path:
    """That a root is a phantom's, and whose (not a file of the bucket)."""
    return Path(root) / OWN / "phantom.json"


def study_id(root: Path, results: Path) -> str:
    """What a study is called in the notes of a root: the way from there to its results, which a move of both keeps."""
    return os.path.relpath(Path(results).resolve(), Path(root).resolve())


def study_folder(root: Path, study: str) -> Path:
    """The results of a study by its `study_id`."""
    return Path(os.path.normpath(Path(root).resolve() / study))


def planted_annotations(root: Path) -> Path:
    """COCO's annotations of the phantom's images (not in the bucket: those of the real ones are the user's)."""
    return Path(root) / "coco/annotations_trainval2017.zip"


def responses(root: Path, subject: str) -> Path:
    """The behaviour of a subject: a row per trial."""
    return Path(root) / "nsddata/ppdata" / subject / "behav/responses.tsv"


def func_folder(root: Path, subject: str) -> Path:
    """The folder of a subject's maps in its functional space of 1.8 mm."""
    return Path(root) / "nsddata/ppdata" / subject / "func1pt8mm"


def brainmask(root: Path, subject: str) -> Path:
    """Which voxels are brain."""
    return func_folder(root, subject) / "brainmask.nii.gz"


def valid(root: Path, subject: str) -> Path:
    """In which share of the sessions each voxel has data."""
    return func_folder(root, subject) / "valid.nii.gz"


def roi(root: Path, subject: str, atlas: str, hemisphere: str | None = None) -> Path:
    """Label volume of an atlas: both hemispheres, or "lh" or "rh"."""
    prefix = f"{hemisphere}." if hemisphere else ""
    return func_folder(root, subject) / "roi" / f"{prefix}{atlas}.nii.gz"


def ctab(root: Path, subject: str, atlas: str) -> Path:
    """Names of an atlas' labels. Surface atlases have one per subject, MTL and thalamus one for all."""
    if atlas in VOLUME_ATLASES:
        return Path(root) / "nsddata/templates" / f"{atlas}.ctab"
    return Path(root) / "nsddata/freesurfer" / subject / "label" / f"{atlas}.mgz.ctab"


def betas_folder(root: Path, subject: str, version: str = BETA_VERSION) -> Path:
    """The folder of a subject's betas of one preparation."""
    return Path(root) / "nsddata_betas/ppdata" / subject / "func1pt8mm" / version


def session(root: Path, subject: str, number: int, suffix: str = "nii.gz", version: str = BETA_VERSION) -> Path:
    """Single-trial betas of session 1, 2, ...; suffix "nii.gz" or "hdf5"."""
    return betas_folder(root, subject, version) / f"betas_session{number:02d}.{suffix}"


def ncsnr(root: Path, subject: str, version: str = BETA_VERSION) -> Path:
    """The published noise-ceiling signal-to-noise ratio of each voxel."""
    return betas_folder(root, subject, version) / "ncsnr.nii.gz"


def ncsnr_split(root: Path, subject: str, half: int, version: str = BETA_VERSION) -> Path:
    """ncsnr of every other image: half 1 or 2."""
    return betas_folder(root, subject, version) / f"ncsnr_split{half}.nii.gz"


def mean_beta(root: Path, subject: str, number: int, version: str = BETA_VERSION) -> Path:
    """The mean of a session's betas over its trials, in their own unit."""
    return betas_folder(root, subject, version) / f"meanbeta_session{number:02d}.nii.gz"


def session_number(path: Path) -> int:
    """The session number in the name of a betas file."""
    match = re.fullmatch(r"betas_session(\d+)\.(nii\.gz|hdf5)", Path(path).name)
    if not match:
        raise InputError(f"{path}: not a session's betas; expected a name like betas_session01.nii.gz or .hdf5")
    return int(match[1])

"""Where everything lies in the NSD bucket; `root` is a local folder with the bucket's own layout."""

from __future__ import annotations

import re
from pathlib import Path

from neurobust.core.errors import InputError

BUCKET = "natural-scenes-dataset"
REGION = "us-east-2"
OWN = "neurobust"  # folder in a mirror for what the pipeline notes about it; no key of the bucket begins so
BETA_VERSION = "betas_fithrf_GLMdenoise_RR"
SURFACE_ATLASES = (
    "HCP_MMP1", "Kastner2015", "corticalsulc", "floc-bodies", "floc-faces", "floc-places", "floc-words", "nsdgeneral",
    "prf-eccrois", "prf-visualrois", "streams",
)  # fmt: skip
VOLUME_ATLASES = ("MTL", "thalamus")
ATLASES = SURFACE_ATLASES + VOLUME_ATLASES
HEMISPHERES = ("lh", "rh")


def subject_number(subject: str) -> int:
    """1..8 for "subj01".."subj08"; anything else is an InputError."""
    match = re.fullmatch(r"subj0([1-8])", subject)
    if not match:
        raise InputError(f"subject: '{subject}' is not one of subj01 to subj08")
    return int(match[1])


def expdesign(root: Path) -> Path:
    return Path(root) / "nsddata/experiments/nsd/nsd_expdesign.mat"


def stim_info(root: Path) -> Path:
    return Path(root) / "nsddata/experiments/nsd/nsd_stim_info_merged.csv"


def stimuli(root: Path) -> Path:
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


def responses(root: Path, subject: str) -> Path:
    return Path(root) / "nsddata/ppdata" / subject / "behav/responses.tsv"


def func_folder(root: Path, subject: str) -> Path:
    return Path(root) / "nsddata/ppdata" / subject / "func1pt8mm"


def brainmask(root: Path, subject: str) -> Path:
    return func_folder(root, subject) / "brainmask.nii.gz"


def valid(root: Path, subject: str) -> Path:
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
    return Path(root) / "nsddata_betas/ppdata" / subject / "func1pt8mm" / version


def session(root: Path, subject: str, number: int, suffix: str = "nii.gz", version: str = BETA_VERSION) -> Path:
    """Single-trial betas of session 1, 2, ...; suffix "nii.gz" or "hdf5"."""
    return betas_folder(root, subject, version) / f"betas_session{number:02d}.{suffix}"


def ncsnr(root: Path, subject: str, version: str = BETA_VERSION) -> Path:
    return betas_folder(root, subject, version) / "ncsnr.nii.gz"


def ncsnr_split(root: Path, subject: str, half: int, version: str = BETA_VERSION) -> Path:
    """ncsnr of every other image: half 1 or 2."""
    return betas_folder(root, subject, version) / f"ncsnr_split{half}.nii.gz"


def session_number(path: Path) -> int:
    """The session number in the name of a betas file."""
    match = re.fullmatch(r"betas_session(\d+)\.(nii\.gz|hdf5)", Path(path).name)
    if not match:
        raise InputError(f"{path}: not a session's betas; expected a name like betas_session01.nii.gz or .hdf5")
    return int(match[1])

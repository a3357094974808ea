"""Where everything lies in the NSD bucket; `root` is a local folder with the bucket's own layout."""

from __future__ import annotations

import re
from pathlib import Path

from neurobust.errors import InputError

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


def session_number(path: Path) -> int:
    """The session number in the name of a betas file."""
    match = re.fullmatch(r"betas_session(\d+)\.(nii\.gz|hdf5)", Path(path).name)
    if not match:
        raise InputError(f"{path}: not a session's betas; expected a name like betas_session01.nii.gz or .hdf5")
    return int(match[1])

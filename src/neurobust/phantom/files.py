"""Writers of the NSD file formats: names, shapes, dtypes, header fields and index conventions of the real bucket.

`root` is the folder that stands for the bucket. Bytes depend on the contents alone (no time stamps). The paths are
spelled out here a second time, apart from `neurobust.nsd.layout`, so that the phantom's writer and the pipeline's
reader can disagree in a test and not only on the real data.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import scipy.io

from neurobust.core.io import replacing, write_text
from neurobust.phantom.design import Design
from neurobust.phantom.labels import ATLASES, RAGGED_CTABS, SURFACE_ATLASES

VOXEL_SIZE = 1.8  # mm
BETA_TR = 4 / 3  # s, as the header of betas and of their summaries has it
BETA_VERSION = "betas_fithrf_GLMdenoise_RR"
# File name stem -> (belongs to the betas, dtype, fourth pixdim)
VOLUMES = {
    "ncsnr": (True, np.float32, BETA_TR),
    "ncsnr_split1": (True, np.float32, BETA_TR),
    "ncsnr_split2": (True, np.float32, BETA_TR),
    "meanbeta": (True, np.float32, BETA_TR),
    "R2": (True, np.float32, BETA_TR),
    "mean": (False, np.float32, BETA_TR),
    "valid": (False, np.float32, BETA_TR),
    "valid_session": (False, np.int16, BETA_TR),
    "brainmask": (False, np.int16, BETA_TR),
}


def func_folder(root: Path, subject: str) -> Path:
    """The folder of a subject's maps in its functional space of 1.8 mm."""
    return Path(root) / "nsddata/ppdata" / subject / "func1pt8mm"


def betas_folder(root: Path, subject: str, version: str = BETA_VERSION) -> Path:
    """The folder of a subject's betas of one preparation."""
    return Path(root) / "nsddata_betas/ppdata" / subject / "func1pt8mm" / version


def write_nifti(path: Path, data: np.ndarray, tr: float = 1.0) -> None:
    """Write (X, Y, Z[, T]) as gzipped NIfTI-1 with the header that NSD's MATLAB toolbox writes.

    The bytes are laid out by hand because nibabel fills scl_slope and pixdim[0] in its own way.
    """
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    fields = header.structarr
    pixdim = np.ones(8)
    pixdim[:5] = [0, VOXEL_SIZE, VOXEL_SIZE, VOXEL_SIZE, tr]
    fields["pixdim"] = pixdim
    for name, value in {"vox_offset": 352, "magic": b"n+1", "scl_slope": 0, "scl_inter": 0, "xyzt_units": 0,
                        "qform_code": 0, "sform_code": 1, "aux_file": b"none"}.items():  # fmt: skip
        fields[name] = value
    for axis, name in enumerate(("srow_x", "srow_y", "srow_z")):
        row = np.zeros(4)
        row[axis], row[3] = VOXEL_SIZE, -(data.shape[axis] - 1) / 2 * VOXEL_SIZE
        fields[name] = row
    volumes = np.moveaxis(data, 3, 0) if data.ndim == 4 else data[None]
    with (
        replacing(path) as temporary,
        temporary.open("wb") as raw,
        # No name and no time in the gzip header: equal contents give equal bytes.
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as stream,
    ):
        stream.write(header.binaryblock + bytes(4))
        for volume in volumes:
            stream.write(volume.astype(volume.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))


def write_expdesign(root: Path, design: Design) -> None:
    """Write nsd_expdesign.mat: five variables as MATLAB doubles, so that readers must cast."""
    names = ("masterordering", "subjectim", "sharedix", "basiccnt", "stimpattern")
    with replacing(Path(root) / "nsddata/experiments/nsd/nsd_expdesign.mat") as temporary:
        with temporary.open("wb") as file:
            scipy.io.savemat(
                file, {name: getattr(design, name).astype(np.float64) for name in names}, do_compression=True
            )
        with temporary.open("rb+") as file:
            file.write(b"MATLAB 5.0 MAT-file, neurobust phantom".ljust(116))  # scipy puts the date here


def write_stim_info(root: Path, table: pd.DataFrame) -> None:
    """Write nsd_stim_info_merged.csv from the frame of `design.stim_info`."""
    with replacing(Path(root) / "nsddata/experiments/nsd/nsd_stim_info_merged.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_responses(root: Path, subject: str, table: pd.DataFrame) -> None:
    """Write behav/responses.tsv: up to 20 significant digits, `NaN` where no button was pressed."""
    with replacing(Path(root) / "nsddata/ppdata" / subject / "behav/responses.tsv") as temporary:
        table.to_csv(temporary, sep="\t", index=False, lineterminator="\n", na_rep="NaN", float_format="%.20g")


def write_stimuli(
    root: Path, images: Iterable[np.ndarray], n_images: int | None = None, contiguous: bool = True
) -> None:
    """Write nsd_stimuli.hdf5: `imgBrick` (N, S, S, 3) uint8 RGB, row i being the image with nsdId i.

    `images` yields one (S, S, 3) image after another; with `n_images` a large set never lies in
    memory. Contiguous, or one chunk per image: which of the two the real file has is not public knowledge.
    """
    if n_images is None:
        images = list(images)
        n_images = len(images)
    path = Path(root) / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        brick = None
        for index, image in enumerate(images):
            if brick is None:
                chunks = None if contiguous else (1, *image.shape)
                brick = file.create_dataset("imgBrick", (n_images, *image.shape), np.uint8, chunks=chunks)
            brick[index] = image


def to_int16(betas: np.ndarray) -> np.ndarray:
    """Percent signal change x 300, rounded and saturated; int16 passes as it is."""
    if betas.dtype == np.int16:
        return betas
    return np.clip(np.rint(betas * 300.0), -32768, 32767).astype(np.int16)


def write_session(
    root: Path,
    subject: str,
    session: int,
    betas: np.ndarray,
    formats: Sequence[str] = ("nii.gz", "hdf5"),
    version: str = BETA_VERSION,
) -> None:
    """Write the single-trial betas (X, Y, Z, T) of a session, percent signal change or int16, in each of `formats`.

    nii.gz is (X, Y, Z, T); hdf5 is `betas` (T, Z, Y, X) in chunks of one voxel, h5[t, z, y, x] == nii[x, y, z, t].
    """
    values = to_int16(betas)
    for suffix in formats:
        path = betas_folder(root, subject, version) / f"betas_session{session:02d}.{suffix}"
        if suffix == "nii.gz":
            write_nifti(path, values, BETA_TR)
        elif suffix == "hdf5":
            with replacing(path) as temporary, h5py.File(temporary, "w", libver="earliest") as file:
                chunks = (values.shape[3], 1, 1, 1)
                file.create_dataset("betas", data=values.transpose(3, 2, 1, 0), chunks=chunks)
        else:
            raise ValueError(f"formats: '{suffix}' is not one of nii.gz, hdf5")


def write_volume(root: Path, subject: str, name: str, volume: np.ndarray, version: str = BETA_VERSION) -> None:
    """Write a summary volume (X, Y, Z): one of `VOLUMES`, or such a name with `_sessionNN`."""
    stem = re.sub(r"_session\d+$", "_session", name)
    in_betas, dtype, tr = VOLUMES.get(stem) or VOLUMES[stem.removesuffix("_session")]
    folder = betas_folder(root, subject, version) if in_betas else func_folder(root, subject)
    write_nifti(folder / f"{name}.nii.gz", volume.astype(dtype), tr)


def merge_hemispheres(atlas: str, lh: np.ndarray, rh: np.ndarray) -> np.ndarray:
    """The bilateral volume: the left one wherever it is cortex, else the right one (never their sum)."""
    return np.where(lh != -1, lh, rh) if atlas in SURFACE_ATLASES else np.where(lh > 0, lh, rh)


def write_roi(root: Path, subject: str, atlas: str, lh: np.ndarray, rh: np.ndarray) -> None:
    """Write the three label volumes (X, Y, Z) of an atlas: lh., rh. and bilateral.

    Surface atlases are float64: -1 not in this hemisphere's cortex, 0 unlabelled cortex, 1..N. MTL and thalamus are
    int16 with 0 outside.
    """
    dtype = np.float64 if atlas in SURFACE_ATLASES else np.int16
    for prefix, volume in (("lh.", lh), ("rh.", rh), ("", merge_hemispheres(atlas, lh, rh))):
        write_nifti(func_folder(root, subject) / "roi" / f"{prefix}{atlas}.nii.gz", volume.astype(dtype))


def write_ctabs(root: Path, subject: str) -> None:
    """Write the colour tables of all thirteen atlases, with the tab and the spaces that some real ones carry."""
    for atlas, names in ATLASES.items():
        if atlas in SURFACE_ATLASES:
            path = Path(root) / "nsddata/freesurfer" / subject / "label" / f"{atlas}.mgz.ctab"
        else:
            path = Path(root) / "nsddata/templates" / f"{atlas}.ctab"
        lines = ["0 Unknown"]
        for index, name in enumerate(names, start=1):
            tail = "\t" + " " * (6 - len(name) % 4) if atlas in RAGGED_CTABS else ""
            lines.append(f"{index} {name}{tail}")
        write_text(path, "\n".join(lines) + "\n")

"""What predictors learn from: a subject's images and ROI responses, matched by nsd_id."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import torch

from neurobust.core.errors import InputError
from neurobust.core.io import memmap_dataset
from neurobust.core.seeding import numpy_rng

TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass
class SubjectData:
    """One subject's ROI. images uint8 (M, S, S, 3) memory-mapped; row: row of `images` for each of the N responses."""

    subject: str
    images: np.ndarray
    row: np.ndarray  # (N,)
    responses: np.ndarray  # float32 (N, V)
    n_repeats: np.ndarray  # (N,)
    split: np.ndarray  # (N,)
    nsd_id: np.ndarray  # (N,)
    voxel_index: np.ndarray  # (V,)
    ncsnr: np.ndarray  # (V,)
    noise_ceiling: np.ndarray  # (V,) percent
    single_trials: np.ndarray  # float32 (T, V), test images
    single_trial_nsd_id: np.ndarray  # (T,)
    trials: np.ndarray | None = None  # float32 (T, V), of the images that are not for testing, in order of time
    trial_nsd_id: np.ndarray | None = None  # (T,)

    @property
    def voxels(self) -> int:
        return self.responses.shape[1]

    def shuffled(self, seed: int) -> SubjectData:
        """The same data with the images of the training responses permuted, and so with those of validation.

        Every image keeps its split; images, responses and the pairs of the test split are what they were.
        """
        row = self.row.copy()
        for split in (TRAIN, VALIDATION):
            rows = self.rows_of(split)
            row[rows] = numpy_rng(seed, "pairing", self.subject, split).permutation(row[rows])
        return replace(self, row=row)

    def rows_of(self, split: int) -> np.ndarray:
        """Rows of `responses` that belong to a split."""
        return np.flatnonzero(self.split == split)


def load_subject(roi: Path, stimuli: Path) -> SubjectData:
    """Read `cortex/{subject}/{roi}.h5` with its stimuli. Raises InputError if a dataset or a picture is missing."""
    with h5py.File(roi, "r") as file:
        names = ("responses", "n_repeats", "split", "nsd_id", "voxel_index", "ncsnr", "noise_ceiling",
                 "single_trials", "single_trial_nsd_id")  # fmt: skip
        missing = [name for name in names if name not in file]
        if missing:
            raise InputError(f"{roi}: no dataset '{missing[0]}' (has {sorted(file)}); delete the file and run again")
        fields = {name: file[name][()] for name in names}
        fields |= {name: file[name][()] for name in ("trials", "trial_nsd_id") if name in file}
        subject = str(file.attrs["subject"])
    with h5py.File(stimuli, "r") as file:
        picture_ids = file["nsd_id"][()]
    row = np.searchsorted(picture_ids, fields["nsd_id"])
    found = row < len(picture_ids)
    found[found] = picture_ids[row[found]] == fields["nsd_id"][found]
    if not found.all():
        raise InputError(
            f"{stimuli}: no picture for nsd_id {fields['nsd_id'][~found][0]} of {roi}; delete both files and run again"
        )
    return SubjectData(subject=subject, images=memmap_dataset(stimuli, "images"), row=row, **fields)


def training_batches(
    subjects: list[SubjectData], batch_size: int, seed: int, epoch: int
) -> list[tuple[SubjectData, np.ndarray]]:
    """The batches of an epoch: (subject, rows of its responses), drawn from (seed, epoch) alone."""
    rng = numpy_rng(seed, "order", epoch)
    batches = []
    for data in subjects:
        rows = rng.permutation(data.rows_of(TRAIN))
        batches += [(data, rows[start : start + batch_size]) for start in range(0, len(rows), batch_size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def to_float(images: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """uint8 (N, H, W, 3) as float32 (N, 3, H, W) in [0, 1], converted on the device (uint8 travels)."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return tensor.permute(0, 3, 1, 2).float().div_(255)


def channel_statistics(
    subjects: list[SubjectData], image_batch: int = 500
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """RGB mean and standard deviation in [0, 1] of the training images of all subjects."""
    total, squares, count = np.zeros(3), np.zeros(3), 0
    for data in subjects:
        rows = np.sort(data.row[data.rows_of(TRAIN)])
        for start in range(0, len(rows), image_batch):
            batch = data.images[rows[start : start + image_batch]]
            total += batch.sum((0, 1, 2), dtype=np.float64)
            squares += np.square(batch, dtype=np.uint16).sum((0, 1, 2), dtype=np.float64)
            count += batch.shape[0] * batch.shape[1] * batch.shape[2]
    mean = total / max(count, 1)
    std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 1e-12))
    return tuple(float(value) for value in mean / 255), tuple(float(value) for value in std / 255)


def channel_mean(subjects: list[SubjectData]) -> tuple[float, ...]:
    """RGB mean in [0, 1] of the training images of all subjects."""
    return channel_statistics(subjects)[0]

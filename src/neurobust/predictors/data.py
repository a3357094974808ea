"""What predictors learn from: a subject's images and ROI responses, matched by nsd_id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neurobust.core.seeding import numpy_rng
from neurobust.files.roi import read_roi
from neurobust.files.splits import TRAIN, VALIDATION, rows_of
from neurobust.files.stimuli import read_stimuli


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
    source: str = ""  # the file that the responses are of, for messages

    @property
    def voxels(self) -> int:
        """How many voxels the ROI has in this subject."""
        return int(self.responses.shape[1])

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
        return rows_of(self.split, split)

    def pictures(self, rows: np.ndarray) -> np.ndarray:
        """The images uint8 (n, S, S, 3) of some rows of the responses."""
        return self.images[self.row[rows]]


def load_subject(roi: Path, stimuli: Path) -> SubjectData:
    """Read `cortex/{subject}/{roi}.h5` with its stimuli. Raises InputError if a dataset or a picture is missing.

    What the arrays hold is looked at where they are fitted (`checks.checked_subjects`).
    """
    found, shown = read_roi(roi), read_stimuli(stimuli)
    return SubjectData(
        subject=found.subject, images=shown.images, row=shown.rows(found.nsd_id, roi), responses=found.responses,
        n_repeats=found.n_repeats, split=found.split, nsd_id=found.nsd_id, voxel_index=found.voxel_index,
        ncsnr=found.ncsnr, noise_ceiling=found.noise_ceiling, single_trials=found.single_trials,
        single_trial_nsd_id=found.single_trial_nsd_id, trials=found.trials, trial_nsd_id=found.trial_nsd_id,
        source=str(roi),
    )  # fmt: skip


Batch = tuple[SubjectData, np.ndarray]  # a subject, and rows of its responses


def training_batches(subjects: Sequence[SubjectData], batch_size: int, seed: int, epoch: int) -> list[Batch]:
    """The batches of an epoch: (subject, rows of its responses), drawn from (seed, epoch) alone."""
    rng = numpy_rng(seed, "order", epoch)
    batches = []
    for data in subjects:
        rows = rng.permutation(data.rows_of(TRAIN))
        batches += [(data, rows[start : start + batch_size]) for start in range(0, len(rows), batch_size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def with_pictures(batch: Batch) -> tuple[Batch, np.ndarray]:
    """A batch with its images, for `read_ahead`."""
    data, rows = batch
    return batch, data.pictures(rows)


def image_batches(rows: np.ndarray, image_batch: int) -> Iterator[np.ndarray]:
    """Rows in their order, `image_batch` at a time."""
    return (rows[start : start + image_batch] for start in range(0, len(rows), image_batch))


def training_images(subjects: Iterable[SubjectData], image_batch: int) -> Iterator[np.ndarray]:
    """The training images of all subjects, uint8 (n, S, S, 3), in the order of the stimuli."""
    for data in subjects:
        rows = np.sort(data.row[data.rows_of(TRAIN)])
        yield from (data.images[batch] for batch in image_batches(rows, image_batch))


def channel_statistics(
    subjects: Sequence[SubjectData], image_batch: int = 500
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """RGB mean and standard deviation in [0, 1] of the training images of all subjects."""
    total, squares, count = np.zeros(3), np.zeros(3), 0
    for batch in training_images(subjects, image_batch):
        total += batch.sum((0, 1, 2), dtype=np.float64)
        squares += np.square(batch, dtype=np.uint16).sum((0, 1, 2), dtype=np.float64)
        count += batch.shape[0] * batch.shape[1] * batch.shape[2]
    mean = total / max(count, 1)
    std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 1e-12))
    return tuple(float(value) for value in mean / 255), tuple(float(value) for value in std / 255)


def channel_mean(subjects: Sequence[SubjectData]) -> tuple[float, ...]:
    """RGB mean in [0, 1] of the training images of all subjects."""
    return channel_statistics(subjects)[0]

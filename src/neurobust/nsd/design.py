"""The experiment's design: which image was shown in which trial, and how often.

Ids in nsd_expdesign.mat are 1-based; everything that leaves this module is 0-based.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from neurobust.core.errors import InputError
from neurobust.nsd import layout
from neurobust.nsd.header import ABSENT
from neurobust.nsd.layout import Root

REPEATS = 3


@dataclass(frozen=True)
class Design:
    """`ordering` (trials,) image number of each planned trial, the same for all subjects; `images` (8, n) the nsd id of
    each image number per subject; `shared` the sorted nsd ids that every subject is shown; `run_lengths` (sessions, 12)
    trials of each run; `counts` (3, sessions) images with 1, 2, 3 trials within a session, as the file has them."""

    ordering: np.ndarray
    images: np.ndarray
    shared: np.ndarray
    trials_per_session: int
    run_lengths: np.ndarray
    counts: np.ndarray | None = None

    @property
    def planned_sessions(self) -> int:
        """Sessions that the design has, run or not."""
        return len(self.ordering) // self.trials_per_session

    @property
    def pool(self) -> int:
        """Number of images of all subjects together (73,000)."""
        return int(self.images.max()) + 1

    def recount(self) -> np.ndarray:
        """(3, sessions) images with 1, 2 and 3 trials within each session."""
        sessions = self.ordering.reshape(self.planned_sessions, -1)
        counts = np.stack([np.bincount(session, minlength=self.images.shape[1]) for session in sessions])
        return np.stack([(counts == repeats).sum(1) for repeats in range(1, REPEATS + 1)])

    def trial_images(self, n_sessions: int) -> np.ndarray:
        """(trials,) 0-based image number of the run trials: a prefix of the plan."""
        if not 1 <= n_sessions <= self.planned_sessions:
            raise InputError(f"sessions: {n_sessions} is not between 1 and the {self.planned_sessions} planned ones")
        return self.ordering[: n_sessions * self.trials_per_session]

    def nsd_ids(self, subject: str, n_sessions: int) -> np.ndarray:
        """(trials,) int64 nsd id of each run trial of a subject."""
        return self.images[layout.subject_number(subject) - 1, self.trial_images(n_sessions)]

    def sessions(self, n_sessions: int) -> np.ndarray:
        """(trials,) int16 session of each run trial, from 1."""
        return np.repeat(np.arange(1, n_sessions + 1, dtype=np.int16), self.trials_per_session)

    def special(self, n_sessions: int) -> np.ndarray:
        """Sorted nsd ids of the shared images with all three trials in the first `n_sessions`.

        With the fewest sessions of any of the eight subjects this is what all of them saw three times (515 images in
        the real data).
        """
        counts = np.bincount(self.trial_images(n_sessions), minlength=self.images.shape[1])
        return self.images[0, np.flatnonzero(counts[: len(self.shared)] == REPEATS)]

    def later(self, n_sessions: int) -> np.ndarray:
        """Sorted nsd ids of every subject's images that have no trial in the first `n_sessions`."""
        counts = np.bincount(self.trial_images(n_sessions), minlength=self.images.shape[1])
        return np.unique(self.images[:, counts == 0])


def load_design(root: Root) -> Design:
    """Read and check a mirror's nsd_expdesign.mat; a broken invariant is an InputError that names it."""
    return read_design(layout.expdesign(root))[0]


def read_design(path: Path) -> tuple[Design, dict[str, str]]:
    """The design of a file and the dtypes of its variables, which no public source states."""
    if not path.exists():
        raise InputError(f"{path}: {ABSENT}")
    try:
        raw = read_mat(path)
        names = ("masterordering", "subjectim", "sharedix", "stimpattern")
        variables = {name: raw[name] for name in names}
        ordering, images, shared, pattern = (whole_numbers(variable) for variable in variables.values())
    except KeyError as error:
        raise InputError(f"{path}: no variable {error}; fetch it from the bucket again") from error
    except Exception as error:  # scipy raises whatever the bytes lead it to
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable .mat file ({reason}); fetch it from the bucket again") from error
    shapes = {name: variable.shape for name, variable in variables.items()}
    empty = 0 in (ordering.size, images.size, shared.size, pattern.size)
    if images.ndim != 2 or len(images) != 8 or pattern.ndim != 3 or empty:
        raise InputError(f"{path}: shapes {shapes} are not those of a design; fetch it from the bucket again")
    trials = pattern.sum((1, 2))
    counts = whole_numbers(raw["basiccnt"]) if "basiccnt" in raw else None
    design = Design(ordering.ravel() - 1, images - 1, shared.ravel() - 1, int(trials[0]), pattern.sum(2), counts)
    problem = broken_invariant(design, trials)
    if problem:
        raise InputError(f"{path}: {problem}; fetch it from the bucket again")
    return design, {name: variable.dtype.name for name, variable in variables.items()}


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """The variables of a .mat file by name, also of one saved as v7.3: that is HDF5, with the axes in reverse."""
    if not h5py.is_hdf5(path):
        return scipy.io.loadmat(path)
    with h5py.File(path, "r") as file:
        return {name: item[()].T for name, item in file.items() if isinstance(item, h5py.Dataset)}


def whole_numbers(values: np.ndarray) -> np.ndarray:
    """Numbers of any type as int64; ValueError if one is not whole."""
    with np.errstate(invalid="ignore"):
        numbers = values.astype(np.int64)
    if not np.array_equal(numbers, values):
        raise ValueError("an id is not a whole number")
    return numbers


def broken_invariant(design: Design, trials: np.ndarray) -> str | None:
    """What is wrong with a design whose sessions have `trials` (sessions,) stimulus trials, or None."""
    n_shared, n_images = len(design.shared), design.images.shape[1]
    own = design.images[:, n_shared:]
    checks = {
        "stimpattern has sessions of different lengths": (trials == trials[0]).all() and trials[0] > 0,
        "masterordering and stimpattern have different numbers of trials": trials.sum() == len(design.ordering),
        "masterordering does not show every image three times": design.ordering.min() >= 0
        and design.ordering.max() < n_images
        and np.array_equal(np.bincount(design.ordering), np.full(n_images, REPEATS)),
        "sharedix is not sorted": (np.diff(design.shared) > 0).all(),
        "subjectim does not begin with sharedix": n_shared <= n_images
        and (design.images[:, :n_shared] == design.shared).all(),
        "subjectim gives one image to two subjects, or twice": len(np.unique(own)) == own.size
        and not np.isin(own, design.shared).any(),
        "subjectim leaves images of the pool to nobody": design.pool == own.size + n_shared
        and design.images.min() == 0,
    }
    return next((name for name, holds in checks.items() if not holds), None)


def repeats_table(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of a trial sequence as (images ascending, number of trials int16, trials (images, most) or -1).

    Trials of an image are in the order in which they were run.
    """
    images, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    repeat = np.arange(len(ids)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((len(images), counts.max(initial=0)), -1)
    table[inverse[order], repeat] = order
    return images, counts.astype(np.int16), table

"""A scaled NSD design: the trial order, the image ids and the behaviour, with every invariant of the real one.

Numbers may shrink; conventions stay: ids and trial numbers are 1-based in every table, one trial order is shared by all
subjects, each image is planned for exactly three trials, and tables describe the planned sessions, not the run ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng

RUNS = 12
REPEATS = 3
# Where the three trials of an image fall: a mixture over a circle of all trials. These two numbers give the real
# design's shares of images with at least 1, 2 and 3 trials in 30 and 32 of 40 sessions, within 0.02.
CLUSTERED_SHARE = 0.65
CONCENTRATION = 24.0

STIM_INFO_COLUMNS = (
    ["", "cocoId", "cocoSplit", "cropBox", "loss", "nsdId", "flagged", "BOLD5000", "shared1000"]
    + [f"subject{s}" for s in range(1, 9)]
    + [f"subject{s}_rep{r}" for s in range(1, 9) for r in range(REPEATS)]
)
RESPONSES_COLUMNS = [
    "SUBJECT", "SESSION", "RUN", "TRIAL", "73KID", "10KID", "TIME", "ISOLD", "ISCORRECT", "RT", "CHANGEMIND",
    "MEMORYRECENT", "MEMORYFIRST", "ISOLDCURRENT", "ISCORRECTCURRENT", "TOTAL1", "TOTAL2", "BUTTON", "MISSINGDATA",
]  # fmt: skip
LOST_COLUMNS = ["ISCORRECT", "RT", "CHANGEMIND", "ISCORRECTCURRENT", "TOTAL1", "TOTAL2", "BUTTON"]


@dataclass(frozen=True)
class Sizes:
    """The numbers of a design; the real one is `Sizes(1000, 9000, 40, 750)`.

    Raises InputError unless 3 * (shared + unique) == planned_sessions * trials_per_session and the trials of a
    session fill six pairs of runs.
    """

    shared_images: int
    unique_images: int
    planned_sessions: int
    trials_per_session: int
    n_subjects_planned: int = 8

    def __post_init__(self) -> None:
        trials = self.planned_sessions * self.trials_per_session
        if self.trials_per_session % 6 or self.trials_per_session < RUNS:
            raise InputError(f"trials_per_session: {self.trials_per_session} must be a multiple of 6, at least {RUNS}")
        if trials != REPEATS * self.images_per_subject:
            raise InputError(
                f"phantom sizes: {self.planned_sessions} sessions of {self.trials_per_session} trials are not "
                f"3 x ({self.shared_images} shared + {self.unique_images} unique) images; change one of the four"
            )
        if self.n_subjects_planned != 8:
            raise InputError(f"n_subjects_planned: {self.n_subjects_planned} must be 8, as the tables have 8 subjects")

    @property
    def images_per_subject(self) -> int:
        """Images that a subject is shown if it runs every planned session."""
        return self.shared_images + self.unique_images

    @property
    def pool(self) -> int:
        """Number of images of all planned subjects together (73,000 in the real design)."""
        return self.shared_images + self.n_subjects_planned * self.unique_images

    @property
    def run_lengths(self) -> np.ndarray:
        """Stimulus trials of runs 1..12: odd runs have one more where the count is odd (63, 62, ...)."""
        pair = self.trials_per_session // 6
        return np.tile([pair - pair // 2, pair // 2], RUNS // 2)


@dataclass(frozen=True)
class Design:
    """The five variables of nsd_expdesign.mat (int64, 1-based ids) and what they were made from."""

    sizes: Sizes
    seed: int
    masterordering: np.ndarray  # (1, trials) values 1..images, each three times
    subjectim: np.ndarray  # (8, images) ids in the pool, shared ones first
    sharedix: np.ndarray  # (1, shared) sorted
    basiccnt: np.ndarray  # (3, sessions) images with 1, 2, 3 trials within the session
    stimpattern: np.ndarray  # (sessions, 12, slots) 1 where a slot holds a stimulus

    def nsd_ids(self, subject: int, n_sessions: int) -> np.ndarray:
        """0-based pool id of every trial of subject 1..8 in sessions 1..n_sessions."""
        trials = n_sessions * self.sizes.trials_per_session
        return self.subjectim[subject - 1, self.masterordering[0, :trials] - 1] - 1


def make_design(sizes: Sizes, seed: int) -> Design:
    """Draw a design; the same sizes and seed give the same arrays."""
    ordering = draw_ordering(sizes, seed)
    rng = numpy_rng(seed, "phantom", "images")
    pool = rng.permutation(sizes.pool) + 1
    shared, unique = np.sort(pool[: sizes.shared_images]), pool[sizes.shared_images :]
    subjectim = np.hstack(
        [np.tile(shared, (sizes.n_subjects_planned, 1)), unique.reshape(sizes.n_subjects_planned, -1)]
    )
    sessions = ordering.reshape(sizes.planned_sessions, -1)
    counts = np.stack([np.bincount(session, minlength=sizes.images_per_subject + 1) for session in sessions])
    basiccnt = np.stack([(counts == repeat).sum(1) for repeat in range(1, REPEATS + 1)])
    pattern = np.tile(stimulus_slots(sizes.run_lengths), (sizes.planned_sessions, 1, 1))
    return Design(sizes, seed, ordering[None], subjectim, shared[None], basiccnt, pattern)


def draw_ordering(sizes: Sizes, seed: int) -> np.ndarray:
    """(trials,) image number 1..images of each planned trial: clustered repeats, as in a recognition task."""
    rng = numpy_rng(seed, "phantom", "ordering")
    images = sizes.images_per_subject
    centre = rng.random((images, 1))
    clustered = centre + rng.vonmises(0, CONCENTRATION, (images, REPEATS)) / (2 * np.pi)
    spread = rng.random((images, REPEATS))
    position = np.where(rng.random((images, REPEATS)) < CLUSTERED_SHARE, clustered, spread) % 1
    return np.argsort(position, axis=None, kind="stable") // REPEATS + 1


def stimulus_slots(run_lengths: np.ndarray) -> np.ndarray:
    """(12, slots) 0/1: three blank slots first, at least four last, the other blanks spread between the stimuli."""
    slots = max(75, int(run_lengths.max()) + 12)
    pattern = np.zeros((len(run_lengths), slots), np.int64)
    for run, length in enumerate(run_lengths):
        pattern[run, 3 + np.arange(length) * (slots - 7) // length] = 1
    return pattern


def stim_info(design: Design) -> pd.DataFrame:
    """nsd_stim_info_merged.csv as a frame: a row per pool image, the 41 real columns (the first has no name).

    `nsdId` is 0-based; `subjectX_repN` is the 1-based planned trial, or 0 where the subject is not shown the image.
    """
    sizes = design.sizes
    rng = numpy_rng(design.seed, "phantom", "stim_info")
    pool = np.arange(sizes.pool)
    columns: dict[str, object] = {"": pool}
    columns["cocoId"] = np.sort(rng.choice(600_000, sizes.pool, replace=False)) + 1
    columns["cocoSplit"] = np.where(rng.random(sizes.pool) < 0.96, "train2017", "val2017")
    # A square crop removes equal shares of two opposite sides, so two of the four fractions are always zero.
    landscape, fraction = rng.random(sizes.pool) < 0.7, np.round(rng.integers(0, 128, sizes.pool) / 640, 6)
    crops = zip(landscape, fraction.tolist(), strict=True)
    columns["cropBox"] = [str((0, 0, f, f) if wide else (f, f, 0, 0)) for wide, f in crops]
    columns["loss"] = np.round(rng.random(sizes.pool) * 0.3, 6)
    columns["nsdId"] = pool
    columns["flagged"] = rng.random(sizes.pool) < 0.02
    columns["BOLD5000"] = rng.random(sizes.pool) < 0.03
    columns["shared1000"] = np.isin(pool, design.sharedix - 1)
    # The three planned trials of image i are row i of a stable sort of the ordering.
    trials = np.argsort(design.masterordering[0], kind="stable").reshape(-1, REPEATS) + 1
    for subject in range(1, sizes.n_subjects_planned + 1):
        repeats = np.zeros((sizes.pool, REPEATS), np.int64)
        repeats[design.subjectim[subject - 1] - 1] = trials
        columns[f"subject{subject}"] = (repeats[:, 0] > 0).astype(np.int64)
        for repeat in range(REPEATS):
            columns[f"subject{subject}_rep{repeat}"] = repeats[:, repeat]
    return pd.DataFrame(columns)[STIM_INFO_COLUMNS]


def responses_table(design: Design, subject: int, n_sessions: int, seed: int) -> pd.DataFrame:
    """responses.tsv of subject 1..8 as a frame: a row per run trial, 19 columns, one run with lost button presses.

    The rows of the lost run stay (MISSINGDATA 1, the columns of the answer NaN), as row i belongs to beta i.
    """
    sizes = design.sizes
    rng = numpy_rng(seed, "phantom", "responses", subject)
    trials = n_sessions * sizes.trials_per_session
    image = design.masterordering[0, :trials]
    session = np.repeat(np.arange(1, n_sessions + 1), sizes.trials_per_session)
    run = np.tile(np.repeat(np.arange(1, RUNS + 1), sizes.run_lengths), n_sessions)
    trial = np.tile(np.concatenate([np.arange(1, n + 1) for n in sizes.run_lengths]), n_sessions)
    first, last = first_and_last(image)
    index = np.arange(trials)
    old, old_current = last >= 0, (last >= 0) & (session[last] == session)
    button = np.where(rng.random(trials) < 0.85, old, ~old) + 1  # 1 new, 2 old
    frame = pd.DataFrame(
        {
            "SUBJECT": subject, "SESSION": session, "RUN": run, "TRIAL": trial,
            "73KID": design.subjectim[subject - 1, image - 1], "10KID": image,
            "TIME": np.round(session * 7 + 0.4 + (run * 300 + trial * 4) / 86400, 8),
            "ISOLD": old.astype(int), "ISCORRECT": (button == old + 1).astype(float),
            "RT": np.round(rng.uniform(400, 2500, trials), 3), "CHANGEMIND": (rng.random(trials) < 0.02).astype(float),
            "MEMORYRECENT": np.where(old, index - last - 1, np.nan),
            "MEMORYFIRST": np.where(old, index - first - 1, np.nan),
            "ISOLDCURRENT": old_current.astype(int), "ISCORRECTCURRENT": (button == old_current + 1).astype(float),
            "TOTAL1": (button == 1).astype(float), "TOTAL2": (button == 2).astype(float),
            "BUTTON": button.astype(float), "MISSINGDATA": 0,
        }
    )[RESPONSES_COLUMNS]  # fmt: skip
    lost = (frame["SESSION"] == rng.integers(1, n_sessions + 1)) & (frame["RUN"] == rng.integers(1, RUNS + 1))
    frame.loc[lost, LOST_COLUMNS] = np.nan
    frame.loc[lost, "MISSINGDATA"] = 1
    return frame


def first_and_last(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the first and of the most recent earlier trial of the same image, -1 where there is none."""
    order = np.argsort(image, kind="stable")
    first, last = np.full(len(image), -1), np.full(len(image), -1)
    repeated = image[order[1:]] == image[order[:-1]]
    last[order[1:][repeated]] = order[:-1][repeated]
    _, start = np.unique(image, return_index=True)
    first_of = dict(zip(image[start].tolist(), start.tolist(), strict=True))
    seen = last >= 0
    first[seen] = [first_of[i] for i in image[seen].tolist()]
    return first, last

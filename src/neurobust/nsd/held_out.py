"""Which images are held out, and which trials a split uses."""

from __future__ import annotations

import numpy as np

from neurobust.core.seeding import numpy_rng
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.nsd.design import Design
from neurobust.nsd.settings import StudySplits


def image_splits(design: Design, images: np.ndarray, splits: StudySplits) -> np.ndarray:
    """(images,) uint8 split of nsd ids: 0 train, 1 validation, 2 test. An image has the same split for every subject
    that has it (`used_trials`).

    Test is `held_out`. Each other image is a validation image with probability `splits.validation`, drawn per image
    of the pool from the seed.
    """
    drawn = numpy_rng(splits.seed, "nsd", "validation").random(design.pool)[images] < splits.validation
    tested = np.isin(images, held_out(design, splits))
    return np.where(tested, TEST, np.where(drawn, VALIDATION, TRAIN)).astype(np.uint8)


def held_out(design: Design, splits: StudySplits) -> np.ndarray:
    """Sorted nsd ids of the test images, seen or not.

    `shared`, `legacy37`: every shared image. `special`: those with all three trials in the fewest sessions of any of
    the eight subjects. `algonauts`: every image without a trial before the subject's last three sessions.
    """
    if splits.test == "special":
        return design.special(splits.special_sessions())
    return design.later(splits.public_sessions()) if splits.test == "algonauts" else design.shared


def used_trials(design: Design, nsd_id: np.ndarray, session: np.ndarray, splits: StudySplits) -> np.ndarray:
    """(trials,) bool: trials of a subject that a split looks at, from what each showed and its session (from 1).

    `shared` and `special`: all. `legacy37`: those before the last three sessions, which were the public ones until
    August 2023. `algonauts`: the same, and in the last three those of images that were not shown before; of shared
    ones only where the subject ran every planned session, as others then saw them in their training sessions or never
    (Gifford et al. 2023, The Algonauts Project 2023 Challenge).
    """
    if splits.test not in ("legacy37", "algonauts"):
        return np.ones(len(nsd_id), bool)
    public = session <= splits.public_sessions()
    if splits.test == "legacy37":
        return public
    tested = np.isin(nsd_id, held_out(design, splits))
    if splits.sessions != design.planned_sessions:
        tested &= ~np.isin(nsd_id, design.shared)
    return public | tested

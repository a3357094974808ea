"""Which images are held out."""

from __future__ import annotations

import numpy as np

from neurobust.core.seeding import numpy_rng
from neurobust.nsd.design import Design
from neurobust.nsd.settings import StudySplits

TRAIN, VALIDATION, TEST = 0, 1, 2


def image_splits(design: Design, images: np.ndarray, splits: StudySplits) -> np.ndarray:
    """(images,) uint8 split of nsd ids: 0 train, 1 validation, 2 test. An image has the same split for every subject.

    Test is every shared image (`shared`) or those with all three trials in the fewest sessions of any subject
    (`special`). Each other image is a validation image with probability `splits.validation`, drawn per image of the
    pool from the seed.
    """
    held_out = design.shared if splits.test == "shared" else design.special(splits.special_sessions())
    drawn = numpy_rng(splits.seed, "nsd", "validation").random(design.pool)[images] < splits.validation
    return np.where(np.isin(images, held_out), TEST, np.where(drawn, VALIDATION, TRAIN)).astype(np.uint8)

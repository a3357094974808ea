"""Do a subject's betas give the numbers that were published of them: ncsnr, and the mean of each session?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

SAME = 0.99  # correlation over voxels of a session's mean with the published one; the right one has 1.000
FEWEST = 20  # voxels or images that a correlation is taken over
SHIFTS = range(-3, 4)  # voxels along each axis within which a misplaced volume is looked for
AXES = ("left to right", "front to back", "bottom to top")


def agreement(found: np.ndarray, published: np.ndarray) -> float:
    """Correlation of two maps (voxels,) where both are known; NaN over fewer than 20 voxels or for a constant one."""
    known = np.isfinite(found) & np.isfinite(published)
    a, b = found[known].astype(np.float64), published[known].astype(np.float64)
    if len(a) < FEWEST or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def other_session(mean: np.ndarray, published: Mapping[int, np.ndarray], own: int) -> int | None:
    """The session whose published mean a session's mean (voxels,) is, where that is not its own; or None."""
    found = {session: agreement(mean, values) for session, values in published.items() if session != own}
    return next((session for session, r in found.items() if r >= SAME), None)


def displacement(found: np.ndarray, voxel_index: np.ndarray, published: np.ndarray, least: float) -> str | None:
    """How a map (voxels,) lies in a published volume (X, Y, Z), in words, where a mirrored or moved place of its voxels
    correlates by at least `least`; or None.

    voxel_index (voxels,) are C-order flat indices. A place in which fewer than a third of the voxels are known, or 20,
    is not considered.
    """
    shape = published.shape
    places = np.stack(np.unravel_index(voxel_index, shape))
    last = np.array(shape)[:, None] - 1
    best, words = least, None
    for mirrored, shift in itertools.product(
        itertools.product((False, True), repeat=3), itertools.product(SHIFTS, repeat=3)
    ):
        if not any(mirrored) and not any(shift):
            continue
        there = np.where(np.array(mirrored)[:, None], last - places, places) - np.array(shift)[:, None]
        inside = ((there >= 0) & (there <= last)).all(0)
        values = np.full(len(found), np.nan)
        values[inside] = published[tuple(there[:, inside])]
        if np.isfinite(values).sum() < max(FEWEST, len(found) / 3):
            continue
        r = agreement(found, values)
        if r > best:
            best, words = r, displaced_words(mirrored, shift)
    return words


def displaced_words(mirrored: tuple[bool, ...], shift: tuple[int, ...]) -> str:
    """Which axes are mirrored, and by how many voxels all is moved."""
    parts = [f"mirrored {name}" for name, flip in zip(AXES, mirrored, strict=True) if flip]
    parts += [f"moved by {shift} voxels"] if any(shift) else []
    return " and ".join(parts)

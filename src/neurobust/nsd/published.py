"""Do a subject's betas give the numbers that were published of them: ncsnr, and the mean of each session?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

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


class Displacement(NamedTuple):
    """Where the voxels of a misplaced volume come from: axes that are mirrored, and voxels by which all is moved."""

    mirrored: tuple[bool, ...]
    shift: tuple[int, ...]

    @property
    def words(self) -> str:
        """What was done to the volume."""
        parts = [f"mirrored {name}" for name, flip in zip(AXES, self.mirrored, strict=True) if flip]
        parts += [f"moved by {self.shift} voxels"] if any(self.shift) else []
        return " and ".join(parts)

    def agreement(self, found: np.ndarray, voxel_index: np.ndarray, published: np.ndarray) -> float:
        """Correlation of a map (voxels,) with what a published volume (X, Y, Z) would have there, so displaced.

        voxel_index (voxels,) are C-order flat indices. NaN where fewer than a third of the voxels are known, or 20.
        """
        places = np.stack(np.unravel_index(voxel_index, published.shape))
        last = np.array(published.shape)[:, None] - 1
        there = np.where(np.array(self.mirrored)[:, None], last - places, places) - np.array(self.shift)[:, None]
        inside = ((there >= 0) & (there <= last)).all(0)
        values = np.full(len(found), np.nan)
        values[inside] = published[tuple(there[:, inside])]
        known = np.isfinite(values).sum()
        return agreement(found, values) if known >= max(FEWEST, len(found) / 3) else float("nan")


def displacement(
    found: np.ndarray, voxel_index: np.ndarray, published: np.ndarray, least: float
) -> Displacement | None:
    """The displacement by which a map agrees best with a published volume, if by at least `least`."""
    flips, shifts = itertools.product((False, True), repeat=3), list(itertools.product(SHIFTS, repeat=3))
    tried = (Displacement(mirrored, shift) for mirrored in flips for shift in shifts if any(mirrored) or any(shift))
    scored = ((each.agreement(found, voxel_index, published), each) for each in tried)
    return max((pair for pair in scored if pair[0] >= least), default=(least, None))[1]

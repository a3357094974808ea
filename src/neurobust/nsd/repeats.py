"""Do the trials of an image resemble each other, session against session? Only in the right order do they.

A trial is a pattern over voxels (z-scored within its session). It is correlated with the mean of the trials that the
design calls repeats of it, those of its own session left out: what a session shares in itself counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

LEAST_TRIALS = 20  # with a repeat elsewhere; a mean over fewer is not looked at


@dataclass(frozen=True)
class Match:
    """How well n trials fit what they are compared with: mean correlation `r`, that of the same trials with other
    images (`chance`), and `z`, their difference in standard errors by the spread of the latter. NaN without trials."""

    r: float
    chance: float
    z: float
    n: int

    def score(self, fewest: int = LEAST_TRIALS) -> float:
        """The standard errors, below all others where there are fewer trials."""
        return self.z if self.n >= fewest else -np.inf

    def sees(self, least: float) -> bool:
        """Whether there are enough trials, and they fit by at least so many standard errors."""
        return self.score() >= least

    def misses(self, most: float) -> bool:
        """Whether there are enough trials, and they fit by fewer standard errors."""
        return self.n >= LEAST_TRIALS and self.z < most


def pooled(matches: Iterable[Match]) -> Match:
    """The matches of several sessions as one."""
    found = [match for match in matches if match.n]
    n = sum(match.n for match in found)
    if not n:
        return Match(np.nan, np.nan, np.nan, 0)
    r, chance = (sum(getattr(match, name) * match.n for match in found) / n for name in ("r", "chance"))
    return Match(r, chance, sum(match.z * match.n**0.5 for match in found) / n**0.5, n)


@dataclass(frozen=True)
class Comparison:
    """Correlations (trials, images) of a session's trials with the means of the images in a list, NaN where an image
    has no trial elsewhere."""

    r: np.ndarray

    def match(self, rows: np.ndarray, columns: np.ndarray) -> Match:
        """How well trials `rows` fit the images `columns`, one by one; those outside of the list are left out."""
        inside = (columns >= 0) & (columns < self.r.shape[1]) & (rows >= 0) & (rows < len(self.r))
        pairs = self.r[rows[inside], columns[inside]]
        pairs = pairs[np.isfinite(pairs)]
        mean, spread = self.chance
        if not len(pairs) or not spread > 0:
            return Match(np.nan, np.nan, np.nan, 0)
        r = float(pairs.mean())
        return Match(r, mean, (r - mean) / (spread / len(pairs) ** 0.5), len(pairs))

    @property
    def chance(self) -> tuple[float, float]:
        """Mean and standard deviation over all pairs, nearly all of which do not belong together."""
        known = self.r[:, np.isfinite(self.r).all(0)]
        return (float(known.mean()), float(known.std())) if known.size else (np.nan, np.nan)

    def late(self, trials: int = 0) -> Match:
        """The match where each trial came so many trials late (below 0: early)."""
        rows = np.arange(len(self.r))
        return self.match(rows, rows - trials)

    def backwards(self) -> Match:
        """The match where the last trial came first."""
        rows = np.arange(len(self.r))
        return self.match(rows, rows[::-1])


class Repeats:
    """The trials of a subject with one belief about what each showed.

    scores float32 (sessions, trials, voxels): z-scores, 0 where a voxel is constant; ids int64 (sessions, trials): the
    image of each trial, below 0: unknown; live (sessions,) bool: whether a session holds anything.
    """

    def __init__(self, scores: np.ndarray, ids: np.ndarray, live: np.ndarray):
        self.scores, self.live = scores, live
        images, inverse = np.unique(ids, return_inverse=True)
        self.image = inverse.reshape(ids.shape)
        self.known = images >= 0
        counted = np.where(live[:, None] & (ids >= 0), self.image, -1)
        self.counted = counted
        self.totals = np.zeros((len(images), scores.shape[2]), np.float32)
        for own, rows in zip(counted, scores, strict=True):
            np.add.at(self.totals, own[own >= 0], rows[own >= 0])
        self.counts = np.bincount(counted[counted >= 0], minlength=len(images))

    def compare(self, session: int, listed: int | None = None) -> Comparison:
        """The trials of a session against the images listed for it, or for another session; the trials of both are left
        out of the images' means."""
        listed = session if listed is None else listed
        wanted = self.image[listed]
        sums, counts = self.totals[wanted].copy(), self.counts[wanted].astype(np.float32)
        for out in {session, listed}:
            same = (wanted[:, None] == self.counted[out][None]).astype(np.float32)
            sums -= same @ self.scores[out]
            counts -= same.sum(1)
        there = self.known[wanted] & (counts > 0.5) & self.live[session]
        sums[~there] = np.nan
        with np.errstate(invalid="ignore"):
            return Comparison(unit(self.scores[session]) @ unit(sums).T)


def unit(patterns: np.ndarray) -> np.ndarray:
    """Patterns (n, voxels) without their mean and of length 1; one that is constant is 0."""
    centred = patterns - patterns.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    return centred / np.where(length == 0, 1, length)

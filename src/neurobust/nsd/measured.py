"""What some voxels of a subject's betas give, before anything is said about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from neurobust.core.errors import InputError
from neurobust.nsd.design import REPEATS, repeats_table
from neurobust.nsd.noise import ncsnr
from neurobust.nsd.published import agreement
from neurobust.nsd.sample import Published, Sample
from neurobust.nsd.zscore import zscore_sessions

PATTERN = 1000  # voxels with the highest published ncsnr whose patterns are compared, and as many spread evenly
BATCH = 1024  # voxels that are z-scored at a time
SATURATED = 32767


@dataclass(frozen=True)
class Measured:
    """live (sessions,): whether a session holds anything; means (sessions, voxels), NaN where a session's voxel is
    constant or saturates; spreads (sessions,): the median voxel's deviation, NaN for an empty session; digests
    (sessions,) of the betas; ncsnr (voxels,), NaN where a session is constant, `halves` those of every other image;
    images with three trials; ncsnr_r: its correlation with the published one; patterns (sessions, trials, n): z-scores
    of the voxels that are compared, 0 where constant."""

    live: np.ndarray
    means: np.ndarray
    spreads: np.ndarray
    digests: tuple[str, ...]
    ncsnr: np.ndarray
    halves: np.ndarray
    images: int
    ncsnr_r: float
    patterns: np.ndarray

    @property
    def sessions(self) -> list[int]:
        """The sessions that are not empty, from 0."""
        return np.flatnonzero(self.live).tolist()

    @property
    def scales(self) -> np.ndarray:
        """(sessions,) spreads in that of the median session."""
        return self.spreads / np.nanmedian(self.spreads)


def measure(sample: Sample, published: Published) -> Measured:
    """Measure a subject's betas; InputError where every session is empty."""
    wanted = published.ncsnr.ravel()[sample.voxel_index]
    means = np.full((sample.sessions, len(wanted)), np.nan)
    constant, spreads, digests = np.empty(means.shape, bool), np.full(sample.sessions, np.nan), []
    for session, betas in enumerate(sample.by_session):
        digests.append(hashlib.sha256(np.ascontiguousarray(betas).data).hexdigest())
        constant[session] = (betas == betas[0]).all(0)
        whole = ~constant[session] & ~((betas >= SATURATED) | (betas <= -SATURATED)).any(0)
        means[session, whole] = betas[:, whole].mean(0)
        if not constant[session].all():
            spreads[session] = np.median(betas[:, ~constant[session]].std(0, ddof=1))
    live = np.isfinite(spreads)
    if not live.any():
        raise InputError(f"{sample.subject}: every session is empty; fetch or copy its betas again")
    chosen = compared_voxels(wanted, constant[live].any(0))
    ratio, halves, patterns = scored(sample, chosen)
    ratio = np.where(constant[live].any(0), np.nan, ratio)
    shown = np.unique(sample.nsd_id[live[sample.session - 1]], return_counts=True)[1]
    return Measured(
        live, means, spreads, tuple(digests), ratio, halves, int((shown == REPEATS).sum()), agreement(ratio, wanted),
        patterns.reshape(sample.sessions, -1, len(chosen)),
    )  # fmt: skip


def compared_voxels(published: np.ndarray, dead: np.ndarray) -> np.ndarray:
    """Ascending numbers of the voxels whose patterns are compared: those with the highest published ncsnr, and others
    spread evenly, should that be of something else; none that is `dead` (voxels,), unless all are."""
    alive = np.flatnonzero(~dead) if not dead.all() else np.arange(len(dead))
    best = alive[np.argsort(-np.nan_to_num(published[alive]), kind="stable")[:PATTERN]]
    even = alive[np.linspace(0, len(alive) - 1, min(PATTERN, len(alive))).astype(int)]
    return np.union1d(best, even)


def scored(sample: Sample, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ncsnr (voxels,), its halves (2, voxels), and the z-scores (trials, n) float32 of the `chosen` voxels."""
    table, voxels = repeats_table(sample.nsd_id)[2], len(sample.voxel_index)
    ratio, halves = np.empty(voxels), np.empty((2, voxels))
    patterns = np.empty((len(sample.betas), len(chosen)), np.float32)
    for start in range(0, voxels, BATCH):
        batch = slice(start, start + BATCH)
        scores = zscore_sessions(sample.betas[:, batch], sample.session)
        ratio[batch] = ncsnr(scores, table)
        for half in (0, 1):
            halves[half, batch] = ncsnr(scores, table, half)
        inside = (chosen >= start) & (chosen < start + BATCH)
        patterns[:, inside] = np.nan_to_num(scores[:, chosen[inside] - start])
    return ratio, halves, patterns

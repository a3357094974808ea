"""What the evidence on a subject's betas says: numbers for the report, or one line with the likely cause of a fault.

What the thresholds separate, on phantoms of 3 to 10 sessions, untouched, with an empty session or dead voxels, and
broken in seventeen ways (tests/nsd/test_quality.py):

- correlation of ncsnr: untouched 1.000, with a session empty or lost to noise 0.98, of a part of the sessions 1.02 by
  `comparable_ncsnr`; betas of other voxels or another subject, or another ncsnr, -0.14 to 0.45. It does not see two
  swapped sessions of ten (0.99): their order does.
- a session's mean with the published one: its own 1.000, another session's up to 0.88, of other voxels up to 0.20.
- spread of a session, in that of the median one: untouched 0.71 to 1.79, with three times the noise 3.4; in percent
  0.003.
- the same trials of two sessions: untouched 0.03 or less, a copy with a little noise 0.99.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from neurobust.core.errors import InputError
from neurobust.files.quality import Quality, SessionQuality
from neurobust.nsd.measured import Measured, measure
from neurobust.nsd.order import Order, examine_order, listed, place_words
from neurobust.nsd.published import SAME, Displacement, agreement, displacement, other_session
from neurobust.nsd.repeats import unit
from neurobust.nsd.sample import Published, Sample

LEAST_NCSNR = 0.9
LEAST_IMAGES = 60  # with three trials, to compare with an ncsnr that rests on more of them
LEAST_RELIABILITY = 0.25
LEAST_MEAN = 0.9  # of a session's mean that is neither another session's nor misplaced: how it was made may differ
SCALE = 4.0
SPREAD = (30.0, 15000.0)  # of a voxel's trials, in 1/300 percent: percent alone has 1 to 5, and int16 ends at 32767
PERCENT = 300  # betas in percent signal change
TWIN, TWIN_TRIALS = 0.5, 200
SEARCHES = 2  # sessions of which no displacement was found, until no more are looked for
BETAS = "fetch or copy its betas again"


def judge(sample: Sample, published: Published, where: str) -> Quality:
    """The evidence on a subject; InputError that begins with `where` and names the subject and the likely cause."""
    found = measure(sample, published)
    ids = sample.nsd_id.reshape(found.patterns.shape[:2])
    order = examine_order(found.patterns, ids, found.live, sample.design.run_lengths[: sample.sessions])
    for problem in problems(sample, published, found, order):
        raise InputError(f"{where}: {sample.subject}: {problem}")
    means = mean_agreements(sample, published, found)
    return Quality(
        subject=sample.subject, sessions=sample.sessions,
        empty_sessions=tuple((np.flatnonzero(~found.live) + 1).tolist()),
        n_voxels=len(sample.voxel_index), n_images=found.images, ncsnr_r=digits(found.ncsnr_r),
        mean_r=digits(min(means.values(), default=np.nan)),
        repeats_r=digits(order.right.r), early_r=digits(order.early.r), late_r=digits(order.late.r),
        chance_r=digits(order.right.chance), scale_low=digits(np.nanmin(found.scales)),
        scale_high=digits(np.nanmax(found.scales)), tables=published.tables, halves_r=digits(agreement(*found.halves)),
        by_session=tuple(
            session_quality(found, session, means.get(session, np.nan), order.repeats.get(session, np.nan))
            for session in range(sample.sessions)
        ),
    )  # fmt: skip


def session_quality(found: Measured, session: int, mean_r: float, repeats_r: float) -> SessionQuality:
    """What was found of a session, from 0."""
    known = found.means[session][np.isfinite(found.means[session])]
    return SessionQuality(
        session=session + 1, mean=digits(known.mean() / PERCENT if len(known) else np.nan),
        scale=digits(found.spreads[session] / PERCENT), mean_r=digits(mean_r), repeats_r=digits(repeats_r),
    )  # fmt: skip


def digits(value: float) -> float | None:
    """A number to six digits, None where it was not measured."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def problems(sample: Sample, published: Published, found: Measured, order: Order) -> Iterator[str]:
    """What is wrong with a subject's betas, the likeliest cause first."""
    yield from twins(found, order)
    yield from mean_problems(sample, published, found)
    yield from scale_problems(found)
    if order.nothing:
        yield nothing_words(published)
    elif order.problem:
        yield f"{order.problem}, by the repeats of images; {BETAS}"
    yield from ncsnr_problems(sample, published, found)
    if published.problem:
        yield f"nsd_expdesign.mat lists other trials than its tables: {published.problem}; fetch them again"


def nothing_words(published: Published) -> str:
    """The likely cause where no trial resembles its repeats."""
    start = "no trial resembles the other trials of its image"
    if published.problem:
        return f"{start}: nsd_expdesign.mat looks like another design ({published.problem}); fetch it again"
    if published.tables:
        return f"{start}, though the tables agree with the design: its betas look shuffled or empty of signal; {BETAS}"
    return f"{start}: nsd_expdesign.mat looks like another design, or its betas shuffled; fetch both again"


def twins(found: Measured, order: Order) -> Iterator[str]:
    """Sessions that hold the same trials; the copy is the one that fits its images worse."""
    patterns = {session: unit(found.patterns[session, :TWIN_TRIALS]) for session in found.sessions}
    for one, other in itertools.combinations(found.sessions, 2):
        same = found.digests[one] == found.digests[other]
        if same or float((patterns[one] * patterns[other]).sum(1).mean()) > TWIN:
            source, copy = sorted((one, other), key=lambda session: -order.fits.get(session, 0.0))
            words = "is a copy of" if same else "holds, a little changed, the trials of"
            yield f"session {copy + 1} {words} session {source + 1}; {BETAS}"


def mean_agreements(sample: Sample, published: Published, found: Measured) -> dict[int, float]:
    """Correlation over voxels of each session's mean and the published one, where it can be measured."""
    found_r = {
        session: agreement(found.means[session], published.means[session].ravel()[sample.voxel_index])
        for session in found.sessions
        if session in published.means
    }
    return {session: r for session, r in found_r.items() if np.isfinite(r)}


def mean_problems(sample: Sample, published: Published, found: Measured) -> Iterator[str]:
    """Sessions whose mean over trials is not the published one."""
    known = {session: volume.ravel()[sample.voxel_index] for session, volume in published.means.items()}
    places: dict[int, int] = {}
    moved: dict[Displacement, list[int]] = {}
    inverted: list[int] = []
    lost: dict[int, float] = {}
    for session, r in mean_agreements(sample, published, found).items():
        mean, index, volume = found.means[session], sample.voxel_index, published.means[session]
        same = (move for move in moved if move.agreement(mean, index, volume) >= SAME)  # as most often
        if r >= SAME:
            continue
        if (place := other_session(mean, known, session)) is not None:
            places[session] = place
        elif r <= -SAME:
            inverted.append(session)
        elif move := next(same, None) or (displacement(mean, index, volume, SAME) if len(lost) < SEARCHES else None):
            moved.setdefault(move, []).append(session)
        elif r < LEAST_MEAN:
            lost[session] = r
    if inverted:
        yield f"{listed(inverted)} looks inverted, of the other sign, by the means and the published ones; {BETAS}"
    for words in place_words(places, sample.sessions):
        yield f"{words}, by their means and the published ones; {BETAS}"
    for move, sessions in moved.items():
        yield f"the voxels of {listed(sessions)} look {move.words}, by their means and the published ones; {BETAS}"
    if lost:
        worst = min(lost, key=lambda session: lost[session])
        yield (
            f"{listed(list(lost))}: the mean over trials is not the published one (r {lost[worst]:.2f} in session "
            f"{worst + 1}): the betas, or the meanbeta files, look like another subject's or preparation's; {BETAS}"
        )


def scale_problems(found: Measured) -> Iterator[str]:
    """Sessions, or all of them, in other units than percent signal change x 300."""
    for session in found.sessions:
        if not 1 / SCALE <= (ratio := found.scales[session]) <= SCALE:
            yield f"session {session + 1} varies {ratio:.3g} times as much as the others: in other units; {BETAS}"
    typical = float(np.nanmedian(found.spreads))
    if not SPREAD[0] <= typical <= SPREAD[1]:
        yield f"its betas vary by {typical:.3g} from trial to trial: not in percent x 300, or scaled twice; {BETAS}"


def ncsnr_problems(sample: Sample, published: Published, found: Measured) -> Iterator[str]:
    """A recomputed ncsnr that is not the published one."""
    r = comparable_ncsnr(sample, published, found)
    if not r < LEAST_NCSNR:
        return
    move = displacement(found.ncsnr, sample.voxel_index, published.ncsnr, LEAST_NCSNR)
    if move is not None:
        yield f"its voxels look {move.words}, by the published ncsnr; {BETAS}"
    certain = bool(mean_agreements(sample, published, found))  # or their problems would have come first
    whose = "ncsnr.nii.gz looks" if certain else "ncsnr.nii.gz, or else its betas, look"
    yield (
        f"the ncsnr of its betas is not the published one (r {found.ncsnr_r:.2f}) though its trials resemble their "
        f"repeats: {whose} like another subject's or preparation's; fetch {'it' if certain else 'them'} again"
    )


def comparable_ncsnr(sample: Sample, published: Published, found: Measured) -> float:
    """Correlation over voxels of recomputed and published ncsnr; NaN where it says nothing.

    Where the published one rests on more sessions, as of a study that uses a few, the correlation is divided by the
    root of the recomputed one's reliability, from its two halves of images (Spearman and Brown).
    """
    if published.ran == sample.sessions and found.live.all():
        return found.ncsnr_r
    if found.images < LEAST_IMAGES:
        return float("nan")
    half = max(agreement(*found.halves), 0.0)
    return found.ncsnr_r / max(2 * half / (1 + half), LEAST_RELIABILITY) ** 0.5

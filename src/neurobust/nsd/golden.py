"""Numbers that the real NSD is known to give (NSD Data Manual; Allen et al. 2022; published outputs of other code)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neurobust.files.splits import TEST
from neurobust.nsd import layout
from neurobust.nsd.ctab import resolve_labels
from neurobust.nsd.design import Design
from neurobust.nsd.held_out import image_splits, used_trials
from neurobust.nsd.mirror import Mirror, Skip, need
from neurobust.nsd.settings import GRIDS, SEEN, SESSIONS, TRIALS, StudySplits
from neurobust.nsd.tables import read_behaviour
from neurobust.nsd.volumes import read_ncsnr

# (atlas, names of labels; none: any label) -> voxels of subj01 to subj08
VOXELS = {
    ("nsdgeneral", ()): (15724, 14278, 15226, 13153, 13039, 17907, 12682, 14386),
    ("prf-visualrois", ("V1v", "V1d")): (1350, 1102, 1254, 877, 1113, 1127, 1142, 1074),
    ("prf-visualrois", ("V2v", "V2d")): (1433, 1075, 1141, 863, 1081, 1180, 986, 1033),
    ("prf-visualrois", ("hV4",)): (687, 483, 426, 475, 542, 477, 397, 495),
    ("HCP_MMP1", ()): (102533, 103533, 106358, 97029, 90299, 115845, 86549, 104392),
}
CORTEX = {"subj01": 107104, "subj02": 107860, "subj03": 111068, "subj04": 101628, "subj05": 94578, "subj06": 120668,
          "subj07": 90214}  # fmt: skip
SUBJ01_PRF = (592088, 102447, 594, 756, 834, 599, 646, 541, 687)  # voxels labelled -1, 0, 1, ..., 7
SUBJ01_MASK = 370503
SHARED_IN_30 = (907, 766, 515)
SPECIAL = 515  # shared images with three trials in 30 sessions
LEGACY = (8859, 982)  # images for training and testing in the first 37 sessions
ALGONAUTS = {
    "subj01": (9841, 159),
    "subj03": (9082, 293),
    "subj04": (8779, 395),
}  # one subject for each number of sessions
FIRST_IMAGES, LAST_IMAGES = (626, 5013, 4850, 8823, 9538), (8984, 6026, 4841, 7323, 9972)  # 10KID, from 1
FIRST_IDS = {"subj01": (46003, 61883, 829, 67574, 16021), "subj02": (46003, 42020, 22500, 61983, 48145)}  # 73KID
SHARED_TRIALS = (0, 28, 35, 44, 55, 56, 90, 120, 126, 132)  # the first of subj01, and their ids from 0
SHARED_IDS = (46002, 48617, 44980, 32625, 53052, 4930, 32625, 6431, 70335, 36576)
SHARED_RANGE = (2951, 72949)  # sharedix, from 1
RUN_STARTS = (0, 63, 125, 188, 250, 313, 375, 438, 500, 563, 625, 688)
MEDIAN_NCSNR = (0.361, 0.361, 0.324, 0.296, 0.415, 0.343, 0.281, 0.226)  # volume, nsdgeneral
LOST_RUNS = {"subj06": [(19, 10)], "subj04": [(23, 3)]}


def same(found: object, expected: object, what: str) -> None:
    """Raise InputError unless two numbers or sequences are equal."""
    need(found == expected, f"{what}: {found}, not {expected}")


def in_space(mirror: Mirror) -> None:
    """Skip unless the study looks at the volumes of 1.8 mm, of which the golden numbers are."""
    if mirror.data.space != layout.PUBLISHED.space:
        raise Skip(f"known for {layout.PUBLISHED.space} only")


def check_trials(mirror: Mirror) -> str:
    """First and last trials, shared trials, and sizes of the design."""
    design = mirror.design
    sizes = len(design.ordering), *design.images.shape, len(design.shared), design.pool
    same(sizes, (30000, 8, 10000, 1000, 73000), "trials, subjects, images of each, shared ones, pool")
    same(tuple((design.ordering[:5] + 1).tolist()), FIRST_IMAGES, "10KID of the first trials")
    same(tuple((design.ordering[-5:] + 1).tolist()), LAST_IMAGES, "10KID of the last trials")
    for subject, ids in FIRST_IDS.items():
        same(tuple((design.nsd_ids(subject, 1)[:5] + 1).tolist()), ids, f"73KID of the first trials of {subject}")
    first = design.nsd_ids("subj01", 1)
    shared = np.flatnonzero(np.isin(first, design.shared))[: len(SHARED_TRIALS)]
    same(tuple(shared.tolist()), SHARED_TRIALS, "shared trials of session 1")
    same(tuple(first[shared].tolist()), SHARED_IDS, "ids of the shared trials of session 1")
    same((int(design.shared[0]) + 1, int(design.shared[-1]) + 1), SHARED_RANGE, "range of sharedix")
    return "first and last trials, shared trials, sizes"


def check_runs(mirror: Mirror) -> str:
    """Where the runs of a session begin, and its trials."""
    starts = np.r_[0, np.cumsum(mirror.design.run_lengths[0])[:-1]]
    same(tuple(starts.tolist()), RUN_STARTS, "first trials of the runs")
    same(mirror.design.trials_per_session, TRIALS, "trials a session")
    return f"{TRIALS} trials a session in runs of 63 and 62"


def check_repeats(mirror: Mirror) -> str:
    """How many images are seen once, twice and three times, and how many are special."""
    design = mirror.design
    for sessions, expected in SEEN.items():
        counts = np.bincount(design.trial_images(sessions), minlength=design.images.shape[1])
        same(tuple(int((counts >= k).sum()) for k in (1, 2, 3)), expected, f"images seen in {sessions} sessions")
    counts = np.bincount(design.trial_images(30), minlength=design.images.shape[1])[: len(design.shared)]
    same(tuple(int((counts >= k).sum()) for k in (1, 2, 3)), SHARED_IN_30, "shared images seen in 30 sessions")
    same(len(design.special(30)), SPECIAL, "images of the special set")
    legacy = np.unique(design.trial_images(37))
    own = int((legacy >= len(design.shared)).sum())
    same((own, len(legacy) - own), LEGACY, "images of legacy37 for training and testing")
    for subject, numbers in ALGONAUTS.items():
        same(algonauts_counts(design, subject), numbers, f"images of algonauts for training and testing of {subject}")
    return "images seen once, twice and three times; the special ones; those of legacy37 and algonauts"


def algonauts_counts(design: Design, subject: str) -> tuple[int, int]:
    """How many images of a subject the split `algonauts` trains and tests on."""
    ran = SESSIONS[subject]
    splits = StudySplits(test="algonauts", validation=0.1, seed=0, zscore="all", sessions=ran)
    ids = design.nsd_ids(subject, ran)
    images = np.unique(ids[used_trials(design, ids, design.sessions(ran), splits)])
    tested = image_splits(design, images, splits) == TEST
    return int((~tested).sum()), int(tested.sum())


def check_sessions(mirror: Mirror) -> str:
    """No subject has more sessions in the config than it ran."""
    for subject, count in mirror.sessions.items():
        need(count <= SESSIONS[subject], f"{subject} ran {SESSIONS[subject]} sessions, but the config has {count}")
    return ", ".join(f"{subject} {count} of {SESSIONS[subject]}" for subject, count in mirror.sessions.items())


def check_grids(mirror: Mirror) -> str:
    """Shapes of the functional grids, and the size of subj01's brain mask."""
    in_space(mirror)
    for subject in mirror.sessions:
        same(tuple(mirror.grid(subject).shape), GRIDS[subject], f"grid of {subject}")
    if "subj01" in mirror.sessions:
        same(int(mirror.grid("subj01").mask.sum()), SUBJ01_MASK, "brain mask of subj01")
    return "grids as published"


def check_voxels(mirror: Mirror) -> str:
    """Numbers of voxels of ROIs and of the cortex, in the atlases that are there."""
    in_space(mirror)
    looked = 0
    for subject in mirror.sessions:
        there = mirror.atlases(subject)
        looked += len(known := [(roi, counts) for roi, counts in VOXELS.items() if roi[0] in there])
        for (atlas, wanted), counts in known:
            labels = mirror.labels(subject, atlas)
            ids = resolve_labels(layout.ctab(mirror.root, subject, atlas), wanted)
            found = int((np.isin(labels, ids) if wanted else labels > 0).sum())
            expected = counts[layout.subject_number(subject) - 1]
            same(found, expected, f"{subject} {atlas} {list(wanted) or 'above 0'}")
        if subject in CORTEX and "nsdgeneral" in there:
            same(int((mirror.labels(subject, "nsdgeneral") != -1).sum()), CORTEX[subject], f"cortex of {subject}")
    if "subj01" in mirror.sessions and "prf-visualrois" in mirror.atlases("subj01"):
        labels = mirror.labels("subj01", "prf-visualrois")
        same(tuple(int((labels == k).sum()) for k in range(-1, 8)), SUBJ01_PRF, "subj01 prf-visualrois -1 to 7")
    if not looked:
        raise Skip(f"none of the atlases {', '.join(sorted({atlas for atlas, _ in VOXELS}))} is here")
    return f"{looked} ROIs of {len(mirror.sessions)} subjects"


def check_ncsnr(mirror: Mirror) -> str:
    """The median ncsnr inside nsdgeneral."""
    if mirror.data.prepared != layout.PUBLISHED:
        raise Skip(f"known for {layout.PUBLISHED.version} in {layout.PUBLISHED.space} only")
    found = {}
    for subject in mirror.sessions:
        if "nsdgeneral" not in mirror.atlases(subject):
            raise Skip(f"{subject} has no nsdgeneral here")
        values = read_ncsnr(layout.ncsnr(mirror.root, subject), mirror.grid(subject))
        median = float(np.median(values[mirror.labels(subject, "nsdgeneral") > 0]))
        expected = MEDIAN_NCSNR[layout.subject_number(subject) - 1]
        need(abs(median - expected) < 0.0006, f"{subject}: median ncsnr {median:.4f}, not {expected}")
        found[subject] = median
    return "medians in nsdgeneral: " + ", ".join(f"{subject} {median:.3f}" for subject, median in found.items())


def check_lost_answers(mirror: Mirror) -> str:
    """Which runs of the subjects with all sessions have no answers."""
    looked = 0
    for subject, count in mirror.sessions.items():
        if count < SESSIONS[subject]:
            continue
        table = read_behaviour(layout.responses(mirror.root, subject))
        lost = table[table["MISSINGDATA"] == 1].groupby(["SESSION", "RUN"]).size().index
        same([tuple(map(int, run)) for run in lost], LOST_RUNS.get(subject, []), f"runs of {subject} without answers")
        looked += 1
    if not looked:
        raise Skip("no subject with all sessions in the config")
    return f"{looked} subjects"


GOLDEN_CHECKS: dict[str, Callable[[Mirror], str]] = {
    "trials": check_trials,
    "runs": check_runs,
    "repeats": check_repeats,
    "sessions": check_sessions,
    "grids": check_grids,
    "voxels of ROIs": check_voxels,
    "median ncsnr": check_ncsnr,
    "runs without answers": check_lost_answers,
}

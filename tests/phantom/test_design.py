"""The scaled design keeps every invariant of the real one, and at full size its numbers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.phantom.design import (
    LOST_COLUMNS,
    Sizes,
    make_design,
    responses_table,
    stim_info,
)

SMALL = Sizes(shared_images=15, unique_images=45, planned_sessions=6, trials_per_session=30)
REAL = Sizes(shared_images=1000, unique_images=9000, planned_sessions=40, trials_per_session=750)


@pytest.fixture(scope="module", params=[SMALL, REAL], ids=["small", "real"])
def design(request):
    return make_design(request.param, seed=1)


def test_ordering_shows_every_image_three_times(design):
    n = design.sizes.images_per_subject
    assert design.masterordering.shape == (1, 3 * n)
    assert Counter(design.masterordering[0].tolist()) == dict.fromkeys(range(1, n + 1), 3)


def test_images_of_subjects(design):
    sizes, images = design.sizes, design.subjectim
    assert images.shape == (8, sizes.images_per_subject)
    shared, own = images[:, : sizes.shared_images], images[:, sizes.shared_images :]
    assert (shared == design.sharedix).all()
    assert (np.diff(design.sharedix[0]) > 0).all()
    assert sorted([*design.sharedix[0].tolist(), *own.ravel().tolist()]) == list(range(1, sizes.pool + 1))
    assert (np.diff(own[0]) < 0).any()  # a subject's own images are not sorted


def test_subjects_agree_exactly_where_the_image_is_shared(design):
    first, eighth = design.nsd_ids(1, 2), design.nsd_ids(8, 2)
    number = design.masterordering[0, : len(first)]
    np.testing.assert_array_equal(first == eighth, number <= design.sizes.shared_images)
    assert first[5] == design.subjectim[0, number[5] - 1] - 1
    assert first.min() >= 0 and first.max() < design.sizes.pool


def test_slots(design):
    sizes = design.sizes
    assert design.stimpattern.shape == (sizes.planned_sessions, 12, 75)
    assert (design.stimpattern.sum((1, 2)) == sizes.trials_per_session).all()
    lengths = design.stimpattern[0].sum(1)
    np.testing.assert_array_equal(lengths, sizes.run_lengths)
    odd, even = (63, 62) if sizes is REAL else (3, 2)
    assert lengths.tolist() == [odd, even] * 6
    assert not design.stimpattern[:, :, :3].any()
    assert not design.stimpattern[:, :, -4:].any()


def test_real_run_starts():
    starts = np.r_[0, np.cumsum(REAL.run_lengths)[:-1]]
    assert starts.tolist() == [0, 63, 125, 188, 250, 313, 375, 438, 500, 563, 625, 688]


def test_counts_within_sessions(design):
    sizes = design.sizes
    assert design.basiccnt.shape == (3, sizes.planned_sessions)
    for session in range(sizes.planned_sessions):
        trials = design.masterordering[0, session * sizes.trials_per_session :][: sizes.trials_per_session]
        recount = Counter(Counter(trials.tolist()).values())
        assert design.basiccnt[:, session].tolist() == [recount[1], recount[2], recount[3]]


def test_repeats_in_the_run_sessions_are_like_the_real_ones():
    """Real: 9,209 / 7,846 / 5,445 images with >= 1, 2, 3 trials in 30 sessions, 9,411 / 8,355 / 6,234 in 32;
    of the shared ones 907 / 766 / 515 in 30."""
    design = make_design(REAL, seed=0)
    for sessions, expected in ((30, (9209, 7846, 5445)), (32, (9411, 8355, 6234))):
        counts = np.bincount(design.masterordering[0, : 750 * sessions], minlength=10001)[1:]
        found = [(counts >= r).sum() for r in (1, 2, 3)]
        assert np.abs(np.array(found) - expected).max() < 250
    counts = np.bincount(design.masterordering[0, : 750 * 30], minlength=10001)[1:1001]
    assert np.abs(np.array([(counts >= r).sum() for r in (1, 2, 3)]) - (907, 766, 515)).max() < 60


def test_seeds():
    np.testing.assert_array_equal(make_design(SMALL, 1).masterordering, make_design(SMALL, 1).masterordering)
    assert (make_design(SMALL, 1).masterordering != make_design(SMALL, 2).masterordering).any()
    assert (make_design(SMALL, 1).sharedix != make_design(SMALL, 2).sharedix).any()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [((15, 45, 6, 31), "multiple of 6"), ((15, 46, 6, 30), "are not"), ((15, 45, 6, 30, 7), "must be 8"),
     ((1, 5, 3, 6), "at least 12")],
)  # fmt: skip
def test_impossible_sizes(numbers, message):
    with pytest.raises(InputError, match=message):
        Sizes(*numbers)


def test_stimulus_table():
    design = make_design(SMALL, seed=1)
    table = stim_info(design)
    header = ",cocoId,cocoSplit,cropBox,loss,nsdId,flagged,BOLD5000,shared1000,subject1,subject2"
    assert ",".join(table.columns).startswith(header)
    assert list(table.columns)[-1] == "subject8_rep2"
    assert table.shape == (SMALL.pool, 41)
    assert table["nsdId"].tolist() == table[""].tolist() == list(range(SMALL.pool))
    assert set(table.index[table["shared1000"]]) == set((design.sharedix[0] - 1).tolist())
    for subject in range(1, 9):
        repeats = table[[f"subject{subject}_rep{r}" for r in range(3)]].to_numpy()
        shown = repeats[:, 0] > 0
        np.testing.assert_array_equal(table[f"subject{subject}"], shown)
        assert (np.diff(repeats[shown]) > 0).all()
        for row in np.flatnonzero(shown):
            numbers = design.masterordering[0, repeats[row] - 1]
            assert (design.subjectim[subject - 1, numbers - 1] - 1 == row).all()
    for box in table["cropBox"].map(lambda text: eval(text, {})):
        top, bottom, left, right = box
        assert (top == bottom == 0) or (left == right == 0)
    assert set(table["cocoSplit"]) == {"train2017", "val2017"}


def test_behaviour_rows_are_the_run_trials():
    design = make_design(SMALL, seed=1)
    table = responses_table(design, subject=3, n_sessions=4, seed=0)
    assert table.shape == (120, 19)
    assert table["SUBJECT"].eq(3).all()
    np.testing.assert_array_equal(table["SESSION"], np.repeat([1, 2, 3, 4], 30))
    np.testing.assert_array_equal(table["73KID"] - 1, design.nsd_ids(3, 4))
    np.testing.assert_array_equal(table["10KID"], design.masterordering[0, :120])
    first = table[table["SESSION"] == 1]
    assert list(zip(first["RUN"], first["TRIAL"], strict=True))[:8] == [
        (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3),
    ]  # fmt: skip


def test_memory_columns_against_a_recount():
    table = responses_table(make_design(SMALL, seed=1), subject=1, n_sessions=6, seed=0)
    seen: dict[int, list[int]] = {}
    for i, row in table.iterrows():
        before = seen.setdefault(row["10KID"], [])
        assert row["ISOLD"] == bool(before)
        assert row["ISOLDCURRENT"] == any(table["SESSION"][j] == row["SESSION"] for j in before)
        if before:
            assert row["MEMORYRECENT"] == i - before[-1] - 1
            assert row["MEMORYFIRST"] == i - before[0] - 1
        else:
            assert np.isnan(row["MEMORYRECENT"]) and np.isnan(row["MEMORYFIRST"])
        before.append(i)


def test_one_run_lost_its_buttons():
    table = responses_table(make_design(SMALL, seed=1), subject=1, n_sessions=4, seed=0)
    lost = table["MISSINGDATA"] == 1
    assert len(table[lost].groupby(["SESSION", "RUN"])) == 1
    run = table[lost].iloc[0]
    assert lost.sum() == ((table["SESSION"] == run["SESSION"]) & (table["RUN"] == run["RUN"])).sum()
    assert table.loc[lost, LOST_COLUMNS].isna().all().all()
    assert table.loc[~lost, LOST_COLUMNS].notna().all().all()
    assert [list(table.columns).index(name) + 1 for name in LOST_COLUMNS] == [9, 10, 11, 15, 16, 17, 18]

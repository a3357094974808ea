"""The design file: 0-based ids, prefixes of run sessions, repeats, and splits by image."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.io

from neurobust.core.errors import InputError
from neurobust.core.settings import read
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.nsd import layout
from neurobust.nsd.design import load_design, repeats_table
from neurobust.nsd.held_out import image_splits
from neurobust.nsd.settings import StudySplits
from neurobust.phantom import files

FEWEST = 4


def splits_of(**changes):
    return StudySplits(**{"test": "shared", "validation": 0.1, "seed": 0, "zscore": "all", **changes})


@pytest.fixture(scope="module")
def design(tiny):
    return load_design(tiny.root)


@pytest.mark.parametrize(("subject", "sessions"), [("subj01", 5), ("subj02", 4)])
def test_trials_agree_with_the_behaviour_and_the_stimulus_table(tiny, design, subject, sessions):
    """Three files tell which image trial t showed; an index slip in one of them would show."""
    ids = design.nsd_ids(subject, sessions)
    assert len(ids) == 30 * sessions
    behaviour = pd.read_csv(layout.responses(tiny.root, subject), sep="\t")
    np.testing.assert_array_equal(behaviour["73KID"] - 1, ids)
    np.testing.assert_array_equal(behaviour["SESSION"], design.sessions(sessions))
    info = pd.read_csv(layout.stim_info(tiny.root))
    planned = info[[f"subject{int(subject[-1])}_rep{r}" for r in range(3)]].to_numpy()
    run = planned[(planned > 0) & (planned <= len(ids))]
    assert (planned > len(ids)).any()  # planned, but never run
    for trial in run:
        assert (planned[ids[trial - 1]] == trial).any()


def test_subjects_see_the_same_image_only_where_it_is_shared(tiny, design):
    first, second = design.nsd_ids("subj01", 4), design.nsd_ids("subj02", 4)
    shared = design.trial_images(4) < len(design.shared)
    np.testing.assert_array_equal(first == second, shared)
    np.testing.assert_array_equal(np.isin(first, design.shared), shared)


def test_unrun_sessions_do_not_count(design):
    """With fewer sessions than planned there are images with 0, 1, 2 and 3 trials."""
    counts = np.bincount(design.trial_images(FEWEST), minlength=60)
    assert set(counts) == {0, 1, 2, 3}
    with pytest.raises(InputError, match="7 is not between 1 and the 6 planned"):
        design.nsd_ids("subj01", 7)


def test_repeats_table_against_a_recount(design):
    ids = design.nsd_ids("subj02", FEWEST)
    images, counts, table = repeats_table(ids)
    recount = Counter(ids.tolist())
    assert images.tolist() == sorted(recount)
    assert counts.tolist() == [recount[i] for i in sorted(recount)]
    for image, row in zip(images, table, strict=True):
        trials = [trial for trial in range(len(ids)) if ids[trial] == image]
        assert row.tolist() == trials + [-1] * (table.shape[1] - len(trials))


def test_special_set(tiny, design):
    recount = Counter(design.nsd_ids("subj02", FEWEST).tolist())
    expected = [i for i in sorted(design.shared) if recount[i] == 3]
    assert 0 < len(expected) < len(design.shared)
    assert design.special(FEWEST).tolist() == expected
    assert design.special(6).tolist() == design.shared.tolist()


@pytest.mark.parametrize("test", ["shared", "special"])
def test_splits_are_by_image_and_the_same_for_all_subjects(design, test):
    splits = {}
    for subject, sessions in (("subj01", 5), ("subj02", 4)):
        images = np.unique(design.nsd_ids(subject, sessions))
        split = image_splits(design, images, splits_of(test=test, validation=0.2, seed=1, min_sessions=FEWEST))
        splits[subject] = dict(zip(images.tolist(), split.tolist(), strict=True))
        held_out = set(images[split == TEST].tolist())
        expected = design.shared if test == "shared" else design.special(FEWEST)
        assert held_out == set(expected.tolist()) & set(images.tolist())
        assert {TRAIN, VALIDATION, TEST} == set(split.tolist())
    both = splits["subj01"].keys() & splits["subj02"].keys()
    assert both
    assert all(splits["subj01"][image] == splits["subj02"][image] for image in both)
    if test == "special":
        tests = [{i for i, s in split.items() if s == TEST} for split in splits.values()]
        assert tests[0] == tests[1]


def test_validation_share_and_seed(design):
    images = np.arange(design.pool)
    split = image_splits(design, images, splits_of(validation=0.3, seed=0))
    other = image_splits(design, images, splits_of(validation=0.3, seed=1))
    share = (split == VALIDATION).sum() / (split != TEST).sum()
    assert abs(share - 0.3) < 0.1
    assert (split != other).any()
    np.testing.assert_array_equal(split, image_splits(design, images, splits_of(validation=0.3, seed=0)))
    assert not (image_splits(design, images, splits_of(validation=0.0, seed=0)) == VALIDATION).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test": "random"}, "splits.test"),
        ({"validation": 1.0}, "splits.validation"),
        ({"validation": 0}, "splits.validation"),
        ({"test": "special"}, "splits.min_sessions"),
    ],
)
def test_bad_splits(design, arguments, message):
    with pytest.raises(InputError, match=message):
        given = {"test": "shared", "validation": 0.1, "seed": 0, "zscore": "all", **arguments}
        image_splits(design, np.arange(5), read(StudySplits, given, "splits"))


def swap_two(name):
    def change(raw):
        raw[name] = raw[name].copy()
        raw[name][0, [0, -1]] = raw[name][0, [-1, 0]]

    return change


def one_image_twice(raw):
    raw["masterordering"] = raw["masterordering"].copy()
    raw["masterordering"][0, 0] = raw["masterordering"][0, 1]


def give_to_another(raw):
    raw["subjectim"][1, -1] = raw["subjectim"][0, -1]


def drop_a_session(raw):
    raw["stimpattern"] = raw["stimpattern"][1:]


def drop_a_trial(raw):
    pattern = raw["stimpattern"]
    pattern[1, 0, np.flatnonzero(pattern[1, 0])[0]] = 0


def drop_shared(raw):
    del raw["sharedix"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_two("sharedix"), "sharedix is not sorted"),
        (swap_two("subjectim"), "subjectim does not begin with sharedix"),
        (one_image_twice, "three times"),
        (give_to_another, "two subjects"),
        (drop_a_session, "different numbers of trials"),
        (drop_a_trial, "sessions of different lengths"),
        (drop_shared, "no variable 'sharedix'"),
    ],
)
def test_broken_designs_are_refused(copied, change, message):
    path = layout.expdesign(copied.root)
    raw = {name: value for name, value in scipy.io.loadmat(path).items() if not name.startswith("__")}
    change(raw)
    scipy.io.savemat(path, raw)
    with pytest.raises(InputError, match=message) as caught:
        load_design(copied.root)
    assert str(path) in str(caught.value)


def test_unreadable_design(copied):
    path = layout.expdesign(copied.root)
    path.write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"not a readable .mat"):
        load_design(copied.root)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        load_design(copied.root)


def test_ids_of_any_numeric_type(copied):
    """The dtypes of the real file are unknown: uint16 must not wrap and doubles must not index."""
    path = layout.expdesign(copied.root)
    expected = load_design(copied.root)
    small = replace(copied.design)
    arrays = {n: getattr(small, n).astype(np.uint16) for n in ("masterordering", "subjectim", "sharedix")}
    scipy.io.savemat(path, arrays | {"stimpattern": small.stimpattern.astype(np.uint8)})
    np.testing.assert_array_equal(load_design(copied.root).nsd_ids("subj01", 5), expected.nsd_ids("subj01", 5))
    files.write_expdesign(copied.root, copied.design)
    assert scipy.io.loadmat(path)["masterordering"].dtype == np.float64

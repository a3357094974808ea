"""Test sets by name: facts of the data set, whoever is in a study, and those of papers, against plain recounts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.nsd import layout
from neurobust.nsd.design import load_design
from neurobust.nsd.extract import extract_betas
from neurobust.nsd.held_out import image_splits, used_trials
from neurobust.nsd.responses import extract_roi
from neurobust.nsd.settings import ROI, SESSIONS, StudySplits
from neurobust.phantom import files
from neurobust.phantom.design import Sizes, make_design
from neurobust.study.doubts import doubts
from neurobust.study.mirror import Mirror
from neurobust.study.read import read_study

V1 = ROI(atlas="prf-visualrois", labels=("V1v", "V1d", "V2v", "V2d", "V3v", "V3d"))
PUBLISHED = {"subj01": 40, "subj02": 40, "subj03": 32, "subj04": 30, "subj05": 40, "subj06": 32, "subj07": 40,
             "subj08": 30}  # fmt: skip


@pytest.fixture(scope="module")
def planned():
    """A design of NSD's own size, ids from 1 as in its file."""
    return make_design(Sizes(1000, 9000, 40, 750), seed=0)


@pytest.fixture(scope="module")
def design(planned, tmp_path_factory):
    root = tmp_path_factory.mktemp("real size")
    files.write_expdesign(root, planned)
    return load_design(root)


@pytest.fixture
def splits_of(project):
    """The splits that the jobs of a study get for a subject: of `config/{file}` with other subjects and sessions."""

    def splits(test, subject, subjects, file="config.yaml"):
        config = yaml.safe_load((project / "config" / file).read_text())
        config["data"]["subjects"] = {name: {"sessions": count} for name, count in subjects.items()}
        config["splits"]["test"] = test
        return Mirror(read_study(config)).splits(SimpleNamespace(subject=subject))

    return splits


def named(test, sessions, **changes):
    return StudySplits(**{"test": test, "validation": 0.1, "seed": 0, "zscore": "all", "sessions": sessions, **changes})


def some(names):
    return {name: PUBLISHED[name] for name in names}


def test_published_sessions_have_one_home():
    assert SESSIONS == PUBLISHED


@pytest.mark.parametrize(
    "names", [["subj01"], ["subj01", "subj02", "subj05", "subj07"], ["subj01", "subj03"], PUBLISHED]
)
def test_special_images_are_those_of_all_eight_whoever_is_in_the_study(planned, design, splits_of, names):
    """Today's 515: the shared images with three trials in the 30 sessions that every subject ran."""
    recount = Counter(planned.masterordering[0, : 30 * 750].tolist())
    expected = [image for image in (planned.sharedix[0] - 1).tolist() if recount[shared_number(planned, image)] == 3]
    assert 0 < len(expected) < 1000
    images = np.unique(design.nsd_ids("subj01", 40))
    split = image_splits(design, images, splits_of("special", "subj01", some(names)))
    assert images[split == TEST].tolist() == expected


def shared_number(planned, image):
    """The number, from 1, under which masterordering shows a shared image."""
    return planned.sharedix[0].tolist().index(image + 1) + 1


@pytest.mark.parametrize("test", ["shared", "special", "legacy37", "algonauts"])
def test_another_subject_changes_nothing_for_the_first(splits_of, test):
    alone = splits_of(test, "subj01", {"subj01": 40})
    assert splits_of(test, "subj01", PUBLISHED) == alone
    assert splits_of(test, "subj01", {"subj01": 40, "subj04": 30}) == alone
    planted = splits_of(test, "subj01", {"subj01": 10}, "demo.yaml")
    assert splits_of(test, "subj01", {"subj01": 10, "subj02": 8}, "demo.yaml") == planted
    assert planted == splits_of(test, "subj01", {"subj01": 10, "subj02": 4}, "demo.yaml")


def test_special_images_of_a_phantom_are_a_fact_of_its_plan(splits_of):
    """30 of 40 planned sessions are 7 of 10."""
    assert splits_of("special", "subj01", {"subj01": 10}, "demo.yaml").min_sessions == 7
    assert splits_of("special", "subj01", {"subj01": 40}).min_sessions == 30


@pytest.mark.parametrize(("subject", "sessions"), [("subj01", 37), ("subj03", 29), ("subj04", 27)])
def test_legacy_sessions_against_a_recount(planned, design, splits_of, subject, sessions):
    """The recount is that of the papers: every image of the first sessions, shared ones for testing."""
    number, ran = int(subject[-1]), PUBLISHED[subject]
    train, test = set(), set()
    for order in planned.masterordering[0, : 750 * sessions].tolist():
        image = int(planned.subjectim[number - 1, order - 1]) - 1
        (test if order <= 1000 else train).add(image)
    splits = splits_of("legacy37", subject, some([subject]))
    ids, session = design.nsd_ids(subject, ran), design.sessions(ran)
    used = used_trials(design, ids, session, splits)
    assert np.flatnonzero(used).tolist() == list(range(750 * sessions))
    images = np.unique(ids[used])
    split = image_splits(design, images, splits)
    assert set(images[split == TEST].tolist()) == test and 0 < len(test) < 1000
    assert set(images[split != TEST].tolist()) == train
    assert 0.08 < (split == VALIDATION).sum() / len(train) < 0.12


@pytest.mark.parametrize("subject", ["subj01", "subj03", "subj08"])
def test_algonauts_against_a_recount(planned, design, splits_of, subject):
    """Test: images of the last three sessions alone, of the shared ones only where all 40 sessions were run."""
    number, ran = int(subject[-1]), PUBLISHED[subject]
    trials: dict[int, list[int]] = {}
    for trial, order in enumerate(planned.masterordering[0, : 750 * ran].tolist()):
        trials.setdefault(int(planned.subjectim[number - 1, order - 1]) - 1, []).append(trial)
    shared, start = set((planned.sharedix[0] - 1).tolist()), 750 * (ran - 3)
    train = {image for image, shown in trials.items() if min(shown) < start}
    late = {image: shown for image, shown in trials.items() if min(shown) >= start}
    test = {i for i, shown in late.items() if i not in shared or (ran == 40 and len(shown) == 3)}
    splits = splits_of("algonauts", subject, some([subject]))
    ids, session = design.nsd_ids(subject, ran), design.sessions(ran)
    used = np.flatnonzero(used_trials(design, ids, session, splits))
    images = np.unique(ids[used])
    split = image_splits(design, images, splits)
    assert set(images[split == TEST].tolist()) == test and len(test) > 50
    assert bool(test & shared) == (ran == 40)
    assert set(images[split != TEST].tolist()) == train
    expected = [t for image in train for t in trials[image] if t < start] + [t for image in test for t in trials[image]]
    assert used.tolist() == sorted(expected)


def test_algonauts_tests_no_image_that_another_subject_trains_on(design):
    trained, tested = set(), set()
    for subject, ran in PUBLISHED.items():
        splits, ids = named("algonauts", ran), design.nsd_ids(subject, ran)
        images = np.unique(ids[used_trials(design, ids, design.sessions(ran), splits)])
        split = image_splits(design, images, splits)
        trained |= set(images[split != TEST].tolist())
        tested |= set(images[split == TEST].tolist())
    assert tested and not trained & tested


# --- the files that they make, of the tiny NSD: 5 sessions of 6 planned ---


@pytest.fixture(scope="module")
def extracted(tiny, tmp_path_factory):
    """betas.h5 of subj01 by the number of its sessions."""
    folder, paths = tmp_path_factory.mktemp("cortex"), {}
    for sessions in (2, 5):
        paths[sessions] = folder / f"{sessions}.h5"
        extract_betas(tiny.root, "subj01", sessions, tiny.session_paths("subj01")[:sessions], paths[sessions])
    return paths


def made(tiny, betas: Path, output: Path, splits: StudySplits) -> dict[str, np.ndarray]:
    extract_roi(tiny.root, betas, "subj01", "V1", V1, splits, output)
    with h5py.File(output) as file:
        return {name: file[name][()] for name in file}


@pytest.mark.parametrize("zscore", ["train", "all"])
def test_a_legacy_file_is_that_of_a_study_that_had_only_those_sessions(tiny, extracted, tmp_path, zscore):
    legacy = made(tiny, extracted[5], tmp_path / "a.h5", named("legacy37", 5, trials="all", zscore=zscore))
    short = made(tiny, extracted[2], tmp_path / "b.h5", named("shared", None, trials="all", zscore=zscore))
    whole = made(tiny, extracted[5], tmp_path / "c.h5", named("shared", None, zscore=zscore))
    for name in ("responses", "nsd_id", "split", "n_repeats", "single_trials", "trials", "trial_nsd_id"):
        np.testing.assert_array_equal(legacy[name], short[name], err_msg=name)
    np.testing.assert_array_equal(legacy["ncsnr"], whole["ncsnr"])  # of all trials, whatever the splits are
    assert len(whole["nsd_id"]) > len(legacy["nsd_id"])


@pytest.mark.parametrize("zscore", ["train", "all"])
def test_an_algonauts_file(tiny, extracted, tmp_path, zscore):
    """Responses are those of its trials; where z-scores are of training images, so they are in the last sessions."""
    splits = named("algonauts", 5, zscore=zscore, trials="all")
    found = made(tiny, extracted[5], tmp_path / "a.h5", splits)
    ids, session = tiny.design.nsd_ids(1, 5), np.repeat(np.arange(5), 30)
    shared = tiny.design.sharedix[0] - 1
    train = np.unique(ids[:60])
    test = np.setdiff1d(np.setdiff1d(ids, train), shared)  # 5 of 6 planned sessions: no shared ones
    assert found["nsd_id"][found["split"] == TEST].tolist() == test.tolist() and len(test) > 5
    assert found["nsd_id"][found["split"] != TEST].tolist() == train.tolist()
    fitted = found["nsd_id"][found["split"] == TRAIN] if zscore == "train" else np.unique(ids)
    column = 3
    values = tiny.betas["subj01"].reshape(-1, 150)[found["voxel_index"][column]].astype(float)
    scores = np.empty(150)
    for number in range(5):
        here = session == number
        known = values[here & np.isin(ids, fitted)]
        scores[here] = (values[here] - known.mean()) / known.std(ddof=1)
    late = [scores[ids == image].mean() for image in test]
    early = [scores[:60][ids[:60] == image].mean() for image in train]
    np.testing.assert_allclose(found["responses"][found["split"] == TEST, column], late, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["responses"][found["split"] != TEST, column], early, rtol=1e-4, atol=1e-5)
    assert found["trial_nsd_id"].tolist() == ids[:60].tolist()
    assert found["single_trial_nsd_id"].tolist() == ids[np.isin(ids, test)].tolist()


# --- what cannot be ---


@pytest.mark.parametrize(
    ("test", "file", "subjects", "message"),
    [
        (
            "algonauts",
            "config.yaml",
            {"subj03": 31},
            r"subj03.sessions: 31: splits.test 'algonauts' is about the 32 first",
        ),
        (
            "legacy37",
            "config.yaml",
            {"subj01": 36},
            r"subj01.sessions: 36: splits.test 'legacy37' is about the 37 first",
        ),
        ("legacy37", "demo.yaml", {"subj02": 3}, r"config.splits.test: 'legacy37' sets the last 3 sessions apart, but"),
        ("special515", "config.yaml", {"subj01": 40}, r"choose one of shared, special, legacy37, algonauts"),
    ],
)
def test_a_split_that_the_sessions_do_not_bear_is_one_line(splits_of, test, file, subjects, message):
    with pytest.raises(InputError, match=message) as caught:
        splits_of(test, next(iter(subjects)), subjects, file)
    assert "\n" not in str(caught.value)


def test_the_legacy_sessions_alone_are_enough(splits_of):
    assert splits_of("legacy37", "subj01", {"subj01": 37}).public_sessions() == 37


def test_few_sessions_and_special_images_are_a_warning(project):
    config = yaml.safe_load((project / "config/config.yaml").read_text())
    config["data"]["subjects"] = {"subj01": {"sessions": 29}, "subj04": {"sessions": 30}}
    lines = [line for line in doubts(read_study(config)) if "special" in line]
    assert len(lines) == 1 and lines[0].startswith("config.data.subjects.subj01.sessions: 29: special images")


def test_a_subject_without_any_test_image_is_one_line(tiny, extracted, tmp_path):
    with pytest.raises(InputError, match=r"splits.test: subj01 saw no 'algonauts' image in its sessions; give it more"):
        made(tiny, extracted[2], tmp_path / "a.h5", named("algonauts", 6))
    assert layout.expdesign(tiny.root).exists() and not (tmp_path / "a.h5").exists()

"""Error consistency between the networks of a study: planted dependence, and independent networks at 0."""

import math

import numpy as np
import pandas as pd
import pytest

from neurobust.explain.bench import findings_of, frame_of
from neurobust.explain.studies.consistency_settings import Consistency
from neurobust.explain.study import answers_at, read_answers
from neurobust.explain.study_bench import StudyBench
from neurobust.files.attack_table import AttackRecord, attack_table_path, write_attack_table


def bench(shared, images=400, seeds=4, seed=0):
    """Networks of `none` that copy a common source in a share `shared` of images; LO's have nothing in common."""
    rng, rows = np.random.default_rng(seed), []
    source = rng.random(images) < 0.7
    for condition in ("none", "LO"):
        for number in range(seeds):
            own = rng.random(images) < 0.7
            right = np.where((rng.random(images) < shared) & (condition == "none"), source, own)
            survived = rng.random(images) < 0.4
            rows += [
                {"condition": condition, "seed": number, "image": k, "correct": right[k], "survived": survived[k]}
                for k in range(images)
            ]
    return StudyBench(pd.DataFrame(), pd.DataFrame(), {}, [], pd.DataFrame(rows))


def test_what_networks_share_is_found_and_what_they_do_not_is_0():
    found = [frame_of(findings_of(bench(0.7, seed=k), Consistency()), Consistency()) for k in range(12)]
    values = np.array([frame["value"] for frame in found])
    names = found[0][["measure", "condition"]].apply(tuple, axis=1).tolist()
    mean, error = values.mean(0), values.std(0, ddof=1) / math.sqrt(12)
    planted = names.index(("consistency within", "none"))
    assert mean[planted] == pytest.approx(0.49, abs=4 * error[planted] + 0.005)
    others = np.arange(len(names)) != planted
    assert (np.abs(mean[others]) < 4.5 * error[others] + 1e-3).all() and len(names) == 6
    assert set(found[0]["measure"]) == set(Consistency.measures) and (found[0]["n_networks"] == 4).all()


def test_one_seed_has_no_other_to_agree_with_and_no_attack_no_rows():
    assert not findings_of(bench(0.5, seeds=1), Consistency()).rows
    assert not findings_of(StudyBench(pd.DataFrame(), pd.DataFrame(), {}, []), Consistency()).rows


def test_answers_are_read_at_the_reference_budget(tmp_path):
    path = attack_table_path(tmp_path, "digits/small/LO/seed3", "pgd")
    frame = pd.DataFrame({"image": [4, 4, 7, 7], "budget": [0.0, 2.0] * 2, "clean_correct": [True, True, False, False],
                          "success": [False, True, True, True], "n_forward": 1, "n_backward": 1})  # fmt: skip
    write_attack_table(path, frame, AttackRecord("pgd"))
    answers = read_answers([path])
    found = answers_at(answers, 2.0)
    assert found["condition"].tolist() == ["LO"] * 2 and found["seed"].tolist() == [3, 3]
    assert found["correct"].tolist() == [True, False] and found["survived"].tolist() == [False, False]
    assert answers_at(answers, 1.0) is None and answers_at(read_answers([]), 2.0) is None

"""Error consistency: observers of known dependence, and tables of human trials, good and bad."""

import math

import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.explain.networks import consistency


def test_identical_observers_are_one_and_independent_ones_zero():
    rng = np.random.default_rng(0)
    a = rng.random(500) < 0.7
    assert consistency.error_consistency(a, a).value == pytest.approx(1)
    found = [consistency.error_consistency(rng.random(500) < 0.7, rng.random(500) < 0.9) for _ in range(200)]
    values = np.array([part.value for part in found])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(200)
    assert np.mean([part.low <= 0 <= part.high for part in found]) > 0.88
    assert np.mean([part.expected for part in found]) == pytest.approx(
        consistency.expected_agreement(0.7, 0.9), abs=0.01
    )


def test_kappa_is_the_closed_form():
    a, b = np.array([1, 1, 1, 0, 0, 1, 0, 1]), np.array([1, 0, 1, 0, 1, 1, 0, 1])
    found = consistency.error_consistency(a, b)
    assert found.observed == 6 / 8 and found.expected == pytest.approx(25 / 64 + 9 / 64)
    assert found.value == pytest.approx((48 - 34) / (64 - 34))
    assert consistency.expected_agreement(0.8, 0.6) == pytest.approx(0.56)
    opposite = consistency.error_consistency(a, 1 - a)
    assert opposite.value < 0


def test_a_planted_dependence_is_recovered():
    """Each observer copies a common source in a share of the images: kappa is the square of that share."""
    rng = np.random.default_rng(1)
    common, (x, y) = rng.random(40_000) < 0.6, rng.random((2, 40_000)) < 0.6
    copied = rng.random((2, 40_000)) < 0.7
    found = consistency.error_consistency(np.where(copied[0], common, x), np.where(copied[1], common, y))
    assert found.value == pytest.approx(0.49, abs=0.02) and found.low < 0.49 < found.high + 0.01


def test_what_leaves_nothing_to_agree_on_has_no_kappa():
    right = np.ones(10, bool)
    assert math.isnan(consistency.error_consistency(right, right).value)
    assert consistency.error_consistency(right, np.arange(10) > 2).value == pytest.approx(0)
    assert math.isnan(consistency.mean_consistency(right, [right])) and math.isnan(
        consistency.mean_consistency(right, [])
    )
    with pytest.raises(ValueError, match="same images"):
        consistency.error_consistency(right, right[:5])


HEADER = "subj,session,trial,rt,object_response,category,condition,imagename\n"


def trials(tmp_path, observers=3, images=200, seed=0):
    """Observers who share three quarters of their errors; a network is right where the first is."""
    rng = np.random.default_rng(seed)
    common, lines = rng.random(images) < 0.7, []
    for observer in range(observers):
        right = np.where(rng.random(images) < 0.85, common, rng.random(images) < 0.7)
        lines += [
            f"subject-{observer:02d},1,{k},0.5,{'Cat' if right[k] else ('dog' if k % 2 else 'na')},cat,0,{k}.png\n"
            for k in range(images)
        ]
    path = tmp_path / "trials.csv"
    path.write_text(HEADER + "".join(lines))
    return path, common


def test_networks_are_read_against_the_human_band(tmp_path):
    path, common = trials(tmp_path)
    table = consistency.read_trials(path)
    assert len(table) == 600 and len(consistency.observers(table)) == 3
    mean, low, high = consistency.human_band(table)
    assert 0.6 < low <= mean <= high < 0.85
    alike = consistency.consistency_with_humans({f"{k}.png": bool(right) for k, right in enumerate(common)}, table)
    assert alike > mean, "it errs as all of them do"
    rng = np.random.default_rng(5)
    foreign = [
        consistency.consistency_with_humans({f"{k}.png": bool(right) for k, right in enumerate(part)}, table)
        for part in rng.random((60, 200)) < 0.7
    ]
    assert abs(np.mean(foreign)) < 4 * np.std(foreign) / math.sqrt(60), "a network that errs anywhere is at chance"
    assert math.isnan(consistency.consistency_with_humans({}, table))
    alone = consistency.human_band(table[table["subj"] == "subject-00"])
    assert all(map(math.isnan, alone))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be read as CSV"),
        ("a,b\n1,2\n", r"no column 'subj' \(has a, b\)"),
        (HEADER, "has no trials"),
        (HEADER + "s,1,1,0.5,cat,,0,a.png\n", "row 2 is incomplete"),
        (HEADER + "s,1,1,0.5,cat,cat,0,a.png\ns,1,2,.5,cat,cat,0\n", "row 3 is incomplete"),
        (HEADER + "s,1,1,0.5,cat,cat,0,a.png,more,and,more\n" * 2 + 's,"', "trials.csv: "),
    ],
)
def test_a_bad_table_is_one_clear_line(tmp_path, text, says):
    path = tmp_path / "trials.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        consistency.read_trials(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert "give a CSV of human trials" in str(caught.value)


def test_other_files_are_refused_too(tmp_path):
    (tmp_path / "picture.csv").write_bytes(bytes(range(128, 256)))
    for name in ("picture.csv", "missing.csv", ""):
        with pytest.raises(InputError, match="give a CSV of human trials"):
            consistency.read_trials(tmp_path / name)

"""Intervals, Holm's families, the rule of a verdict, trend and power: against closed forms and other packages."""

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from neurobust.core.seeding import numpy_rng
from neurobust.statistics import (
    TYPICAL,
    Gate,
    Interval,
    claim_p,
    crossed_interval,
    deciding,
    detectable,
    holm_levels,
    mean_squares,
    one_sided_p,
    seed_interval,
    settled,
    trend,
    verdict,
    wilson_interval,
)

sys.path.insert(0, str(Path(__file__).parent / "made"))
from planted_outcomes import outcomes

# --- intervals ---


def test_wilson_interval_solves_its_own_equation():
    """Both ends are where |share - p| equals z standard errors under p: the definition, not the formula."""
    for successes, n in ((3, 10), (60, 61), (500, 1000)):
        for end in wilson_interval(successes, n):
            assert abs(successes / n - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / n), rel=1e-5)


def test_wilson_interval_at_the_edges():
    low, high = wilson_interval(0, 50)
    assert low == 0 and 0.05 < high < 0.1
    assert wilson_interval(50, 50)[1] == 1
    assert all(math.isnan(end) for end in wilson_interval(0, 0))


def test_mean_squares_are_those_of_a_two_way_analysis_of_variance():
    table = outcomes(4, 7, 0.2)
    long = pd.DataFrame(
        {"d": table.ravel(), "seed": np.repeat(range(4), 7), "image": np.tile(range(7), 4)}
    )  # fmt: skip
    expected = anova_lm(ols("d ~ C(seed) + C(image)", long).fit())["mean_sq"]
    assert [float(value) for value in mean_squares(table)] == pytest.approx(expected.tolist())


def test_the_crossed_interval_by_hand():
    """Seeds' means .5 and 0 and 1, images' 2/3 and 1/3: MS 1/2, 1/6, 1/6; so Var = 1/2 / 6 and t has 2 degrees."""
    found = crossed_interval([[1, 0], [0, 0], [1, 1]])
    half = 4.302653 * math.sqrt(0.5 / 6)
    assert found == pytest.approx((0.5, 0.5 - half, 0.5 + half, 2), abs=1e-6)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_without_spread_of_images_it_is_students_over_seeds(level):
    """Where images differ less than chance has it, what is left is the t interval of the seeds' means."""
    for index in itertools.count():
        table = numpy_rng("flat", index).normal(0.1, 1, (5, 30))
        _, image, residual = mean_squares(table)
        if image < residual:
            break
    expected = stats.ttest_1samp(table.mean(1), 0).confidence_interval(level)
    assert crossed_interval(table, level)[1:3] == pytest.approx(tuple(expected))


def test_the_spread_of_images_widens_it():
    """A condition that helps half of the images and hurts the others, in every seed alike."""
    table = np.tile([1.0, -1.0], (5, 8)) + numpy_rng("noise").normal(0, 0.1, (5, 16))
    found, seeds_alone = crossed_interval(table), seed_interval(table.mean(1))
    assert found.high - found.low > 5 * (seeds_alone.high - seeds_alone.low)


def test_neither_order_nor_sign_matters():
    table = outcomes(5, 40, 0.1)
    found = crossed_interval(table)
    assert crossed_interval(table[::-1, ::-1]) == pytest.approx(found)
    mirrored = crossed_interval(-table)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_too_little_has_no_interval():
    one = crossed_interval(outcomes(1, 40, 0.3))
    assert one.df == 0 and one.mean > 0 and math.isnan(one.low) and math.isnan(one.high)
    assert math.isnan(one_sided_p(outcomes(1, 40, 0.3)))
    assert math.isnan(crossed_interval(np.zeros((3, 0))).mean)
    single = crossed_interval([[1.0], [0.0], [1.0]])
    assert single[1:3] == pytest.approx(seed_interval([1, 0, 1])[1:3]), "one image: the seeds alone"
    for broken in ([[1.0, math.nan], [0.0, 1.0]], [1.0, 2.0], np.zeros((0, 4))):
        with pytest.raises(ValueError, match="none missing"):
            crossed_interval(broken)


@pytest.mark.parametrize(
    "table",
    [
        np.zeros((3, 32)),  # nothing differs
        np.ones((3, 32)),  # everything does
        np.tile(np.arange(32) < 16, (3, 1)) * 1.0,  # the same images in every seed
        np.array([np.roll(np.arange(32) < 4, shift) * 1.0 for shift in (0, 8, 16)]),  # as many in every seed
    ],
)
def test_seeds_that_coincide_have_an_interval_all_the_same(table):
    """At least as wide as if one image under one seed had come out differently: a step of 1 in 96."""
    found = crossed_interval(table)
    assert found.high - found.mean >= 0.99999 * 4.302653 / 96
    assert found.low < table.mean() < found.high


def test_the_least_width_shrinks_with_images_and_with_the_step_of_the_outcome():
    def half(table):
        found = crossed_interval(table)
        return found.high - found.mean

    assert half(np.zeros((3, 320))) == pytest.approx(half(np.zeros((3, 32))) / 10)
    assert half(np.zeros((12, 32))) < half(np.zeros((3, 32))) / 4
    quarters = np.array([np.roll([0.25] + [0.0] * 7, shift) for shift in range(3)])  # an area over few budgets
    assert half(quarters) == pytest.approx(4.302653 * 0.25 / 24)


def test_one_sided_p_goes_with_the_interval():
    table = outcomes(5, 60, 0.2)
    for level in (0.9, 0.95, 0.99):
        found = crossed_interval(table, level)
        assert one_sided_p(table, found.low) == pytest.approx((1 - level) / 2)
        assert one_sided_p(-table, -found.high) == pytest.approx((1 - level) / 2)


def test_the_interval_of_one_number_per_seed_is_students():
    assert seed_interval([0.0, 2.0]) == pytest.approx((1, 1 - 12.7062, 1 + 12.7062, 1), abs=1e-3)
    for nothing in ([0.4], [0.1, 0.1, 0.1], [0.1, 0.3, math.nan]):
        found = seed_interval(nothing)
        assert math.isnan(found.low) and math.isnan(found.high) and found.df == len(nothing) - 1
    assert math.isnan(seed_interval([]).mean)


# --- several claims ---


def test_a_claim_falls_at_its_level_just_where_holm_of_statsmodels_says_so(monkeypatch):
    monkeypatch.setattr("gc.collect", lambda *_: 0)  # which theirs calls each time: a second where much has been made
    for index in range(200):
        p = numpy_rng("levels", index).random(6) ** 4
        fallen, adjusted, *_ = multipletests(p, method="holm")
        assert ((p <= 1 - holm_levels(p)) == fallen).all() and ((adjusted <= 0.05) == fallen).all()
    levels = holm_levels([math.nan, 0.001, 0.04, 0.9])
    assert 1 - levels == pytest.approx([0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3])


def test_the_rule_at_holms_level_names_what_holm_names():
    names = set()
    for index in range(60):
        effects = [0, 0.1, 0.2, -0.2]
        family = [[outcomes(5, 60, effect, index, place, c) for c in "ab"] for place, effect in enumerate(effects)]
        p = [claim_p(contrasts) for contrasts in family]
        for contrasts, level, adjusted in zip(family, holm_levels(p), multipletests(p, method="holm")[1], strict=True):
            word = verdict(contrasts, level=level).word
            assert (word in ("supported", "contradicted")) == (adjusted <= 0.05)
            names.add(word)
    assert names >= {"supported", "contradicted", "undetermined"}


# --- the rule ---

STRONG, NONE, WEAK = outcomes(5, 400, 0.2), outcomes(5, 4000, 0.0), outcomes(5, 400, 0.05)
YES, NO, UNSURE = Interval(0.1, 0.05, 0.15, 4), Interval(-0.1, -0.15, -0.05, 4), Interval(0, -0.1, 0.1, 4)
RANGE = Gate("range", False, "no budget brings `none` between 10 and 60 %")


@pytest.mark.parametrize(
    ("contrasts", "options", "word", "reason"),
    [
        ([STRONG, STRONG], {}, "supported", "above 0 with 5 seeds x 400 images"),
        ([STRONG, WEAK], {}, "undetermined", "seeds x 400 images would settle it"),
        ([STRONG, -STRONG], {}, "contradicted", "below 0"),
        ([STRONG, NONE], {}, "not supported", "pp, less than the 3 that would matter"),
        ([STRONG, NONE], {"margin": 0.001}, "undetermined", "would settle it (0.6 pp seen"),
        ([STRONG], {"level": 1 - 1e-9}, "undetermined", "would settle it"),
        ([STRONG], {"gates": [RANGE]}, "undetermined", "range: no budget brings"),
        ([STRONG], {"gates": [RANGE._replace(passed=True)]}, "supported", ""),
        ([-STRONG], {"gates": [RANGE]}, "undetermined", "range"),
        ([STRONG], {"confound": [YES, YES, NO]}, "supported", ""),
        ([STRONG], {"confound": [YES, UNSURE, UNSURE]}, "undetermined", "1 of 3 readings"),
        ([STRONG], {"confound": [NO, NO, YES]}, "undetermined", "clean accuracy may explain it"),
        ([-STRONG], {"confound": [NO, NO, YES]}, "contradicted", ""),
        ([-STRONG], {"confound": [YES, YES, YES]}, "undetermined", "0 of 3"),
        ([STRONG], {"confound": [YES, Interval(0.1, math.nan, math.nan, 0)]}, "undetermined", "1 of 2"),
        ([STRONG[:2], STRONG[:2]], {}, "undetermined", "2 seeds x 400 images say nothing; about"),
        ([np.ones((2, 400))], {}, "undetermined", "2 seeds"),
        ([STRONG[:1]], {}, "undetermined", "1 seed x 400 images say nothing; about"),
        ([STRONG, STRONG[:2]], {}, "undetermined", "say nothing"),
        ([np.zeros((3, 400))], {}, "not supported", "at most 0.2 pp"),
        ([np.zeros((3, 32))], {}, "undetermined", "would settle it"),
        ([np.ones((8, 1))], {}, "undetermined", "8 seeds x 1 image say nothing; it takes as many images as seeds"),
        ([STRONG, np.zeros((5, 0))], {}, "undetermined", "say nothing"),
        ([-STRONG], {"confound": [NO, UNSURE, UNSURE]}, "not supported", "less than the 3 that would matter"),
        ([STRONG], {"confound": [YES, UNSURE, UNSURE], "margin": 0.4}, "not supported", "less than the 40"),
    ],
)  # fmt: skip
def test_the_rule(contrasts, options, word, reason):
    found = verdict(contrasts, **options)
    assert found.word == word and reason in found.reason, found
    decides = contrasts[deciding(contrasts)]
    assert found.interval == pytest.approx(crossed_interval(decides), nan_ok=True), "of the one that decides, at 95 %"


def test_what_lies_below_0_decides_though_another_mean_is_smaller():
    """The smaller mean is of seeds that differ widely, and says nothing; its bound does not contradict the claim."""
    wide = np.repeat([-0.6, 0.3, -0.3, 0.4, -0.2], 400).reshape(5, 400)
    narrow = STRONG - np.mean(STRONG) - 0.05
    assert np.mean(wide) < np.mean(narrow) and crossed_interval(wide).high > 0 > crossed_interval(narrow, 0.975).high
    found = verdict([wide, narrow])
    assert found.word == "contradicted" and deciding([wide, narrow]) == 1
    assert found.interval == crossed_interval(narrow) and found.interval.high < 0
    assert deciding([wide, np.zeros((5, 400))]) == 0, "where none does, the smaller mean"
    assert deciding([wide[:1], narrow[:2]]) == 0, "one seed or two say nothing"


def test_the_contrast_in_the_way_decides():
    """The smaller mean is surely above 0: what more seeds would settle is the other, and it is the one to show."""
    wide = np.repeat([0.9, -0.2, 0.6, -0.3, 0.8], 400).reshape(5, 400)
    assert np.mean(STRONG) < np.mean(wide) and crossed_interval(wide).low < 0 < crossed_interval(STRONG).low
    found = verdict([STRONG, wide])
    assert found.word == "undetermined" and deciding([STRONG, wide]) == 1
    assert found.interval == crossed_interval(wide) and found.reason == settled(wide)
    small = STRONG - np.mean(STRONG) + 0.001
    assert deciding([small + 0.004, wide], margin=0.5) == 0, "too small to matter: it says so itself"


NOTHING = "none missing"
ODD = {  # what comes of odd tables: a word, or a part of the error's line
    "no seed": (np.zeros((0, 5)), NOTHING),
    "no table": (1.0, NOTHING),
    "one row of numbers": (np.ones(5), NOTHING),
    "three axes": (np.ones((2, 3, 4)), NOTHING),
    "nothing at all": ([], NOTHING),
    "NaN": (np.full((3, 5), math.nan), NOTHING),
    "infinite": (np.full((3, 5), math.inf), NOTHING),
    "None": ([[1, None], [0, 1]], NOTHING),
    "masked": (np.ma.array(np.ones((4, 50)), mask=np.eye(4, 50)), NOTHING),
    "words": ([["a", "b"]], "could not convert"),
    "ragged": ([[1, 2], [1]], "inhomogeneous"),
    "no image": (np.zeros((5, 0)), "undetermined"),
    "one image": (np.ones((8, 1)), "undetermined"),
    "two images": (np.ones((8, 2)), "undetermined"),
    "fewer images than seeds": (np.ones((20, 16)), "undetermined"),
    "one seed": (np.ones((1, 400)), "undetermined"),
    "two seeds": (np.ones((2, 400)), "undetermined"),
    "nothing differs, few": (np.zeros((3, 32)), "undetermined"),
    "nothing differs": (np.zeros((3, 1000)), "not supported"),
    "all gained": (np.ones((3, 32)), "supported"),
    "all lost": (-np.ones((3, 32)), "contradicted"),
    "bool": (np.ones((4, 50), bool), "supported"),
    "8 bits": (-np.ones((4, 50), np.int8), "contradicted"),
    "32 bits": (np.full((4, 50), 0.1, np.float32), "supported"),
    "columns first": (np.asfortranarray(np.ones((4, 50))), "supported"),
    "a frame": (pd.DataFrame(np.ones((4, 50))), "supported"),
    "rounding": (np.full((4, 50), 1e-12), "not supported"),
    "seeds cancel": (np.outer([1, -1, 1, -1], np.ones(100)), "undetermined"),
    "one seed gained all": (np.outer([0, 0, 0, 0, 1], np.ones(100)), "undetermined"),
    "one seed five times": (np.tile(outcomes(1, 200, 0.0), (5, 1)), "undetermined"),
    "each image five times": (np.repeat(outcomes(5, 40, 0.0), 5, axis=1), "undetermined"),
    "one image gained": (np.outer(np.ones(5), np.arange(200) == 0), "not supported"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("table", "comes"), ODD.values(), ids=ODD)
def test_odd_tables_have_a_word_or_a_line(table, comes):
    if comes in ("supported", "contradicted", "not supported", "undetermined"):
        found, interval = verdict([table]), crossed_interval(table)
        assert found.word == comes and found.interval == pytest.approx(interval, nan_ok=True)
        assert interval.low != interval.high, "an interval of width 0 is the strongest statement from the least"
        assert 0 <= claim_p([table]) <= 1 or comes == "undetermined"
    else:
        for asked in (crossed_interval, one_sided_p, lambda table: verdict([table]), lambda table: claim_p([table])):
            with pytest.raises(ValueError, match=comes):
                asked(table)


def test_odd_settings_have_a_line():
    for level in (0, 1, 95, -0.5, math.nan):
        with pytest.raises(ValueError, match="a share between 0 and 1"):
            verdict([STRONG], level=level)
    with pytest.raises(ValueError, match="one contrast at least"):
        verdict([])
    assert detectable(5, 100, *TYPICAL, level=math.nextafter(1, 0)) == math.inf


def test_contradiction_by_any_of_several_contrasts_pays_for_their_number():
    """The bound of one contrast at 97.5 % spans 0, at 95 % it does not: said of one contrast, not of either of two."""
    for index in itertools.count():
        table = outcomes(5, 100, -0.12, index)
        if crossed_interval(table).high < 0 < crossed_interval(table, 0.975).high:
            break
    assert verdict([table]).word == "contradicted"
    assert verdict([table, STRONG]).word != "contradicted"


def test_two_claims_of_different_architectures_know_nothing_of_each_other():
    """Each is judged on its own networks: adding one that never breaks changes no word, averaging it in does."""
    alone = verdict([-STRONG])
    assert alone.word == "contradicted" and verdict([np.zeros((5, 400))]).word == "not supported"
    assert crossed_interval((-STRONG + np.zeros((5, 400))) / 2).mean == pytest.approx(alone.interval.mean / 2)


# --- trend ---


def test_page_of_three_perfect_rows_is_exact():
    rows = np.tile(np.arange(5.0), (3, 1)) / 100
    assert trend(rows, range(5)).p == pytest.approx(1 / math.factorial(5) ** 3)
    assert trend(rows[:, ::-1], [4, 3, 2, 1, 0]).p == pytest.approx(1 / math.factorial(5) ** 3), "order, not place"
    assert trend(-rows, range(5)).p == pytest.approx(1)


def test_the_slope_is_per_step_and_rois_of_one_step_count_once():
    noise = np.array([[0.002], [-0.002], [0.0]])
    rows = np.array([0.01, 0.02, 0.03, 0.02, 0.05]) + noise * [0, 1, 2, 1, 4]  # 4 steps: 1 2 2 3 4 in hundredths, but
    found = trend(rows, [1, 2, 2, 3, 4])  # places 1 (2.5) and 2 (2) deviate
    steps = np.column_stack([rows[:, 0], rows[:, 1:3].mean(1), rows[:, 3], rows[:, 4]])
    slopes = [np.polyfit(range(4), row, 1)[0] for row in steps]
    assert found.slope == pytest.approx(seed_interval(slopes))
    assert found.p == pytest.approx(stats.page_trend_test(steps).pvalue)


def test_too_little_has_no_trend():
    assert math.isnan(trend(np.ones((3, 2)), [0, 1]).p) and trend(np.ones((3, 2)), [0, 1]).slope.mean == 0
    assert math.isnan(trend(np.ones((3, 4)), [0, 0, 0, 0]).slope.mean), "one step"
    assert math.isnan(trend([[0.0, 0.1, 0.2]], [0, 1, 2]).p), "one seed"
    with pytest.raises(ValueError, match="a place for each"):
        trend(np.ones((3, 4)), [0, 1, 2])

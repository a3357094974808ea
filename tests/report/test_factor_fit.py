"""Effects of factors against closed forms, statsmodels and simulated studies with planted coefficients."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

from neurobust.report.factor_fit import Gains, carried, condition_effects, inflation, roi_effects, within_rois

ROIS, WEIGHTS, SEEDS, STUDIES = 6, 2, 5, 2000
OF_ROIS, OF_WEIGHT = np.array([0.02, -0.01]), 0.03  # planted
# The chance that an exact 95 % interval covers fewer than this share of 2,000 studies: below 1e-4 (binomial).
TOLERANCE = 0.95 - 3.75 * (0.95 * 0.05 / STUDIES) ** 0.5  # .932
SPREADS = {  # standard deviations; `slope` ones are of the effects themselves, over ROIs or over seeds
    "ROIs": {"roi": 0.02, "network": 0.02},
    "no ROI effect": {"network": 0.02},
    "conditions": {"roi": 0.01, "condition": 0.03, "network": 0.02},
    "slopes over ROIs": {"roi": 0.02, "slope_roi": 0.015, "cell": 0.01, "network": 0.02},
    "slopes over seeds": {"roi": 0.01, "slope_seed": 0.02, "cell": 0.01, "network": 0.02},
}


def simulate(spread, rois=ROIS, weights=WEIGHTS, seeds=SEEDS, k=2, unbalanced=False, studies=STUDIES):
    """Studies (studies, conditions, seeds) with a planted effect of k factors of ROIs and of the weight."""
    rng = np.random.default_rng(0)
    sd = {"roi": 0, "condition": 0, "cell": 0, "network": 0, "slope_roi": 0, "slope_seed": 0} | spread
    place, weight = np.repeat(np.arange(rois), weights), np.tile(np.linspace(-1, 1, weights), rois)
    if unbalanced:  # some ROIs have been guided with few weights
        kept = (rng.random(len(place)) < 0.6) | (np.arange(len(place)) % weights == 0)
        place, weight = place[kept], weight[kept]
    factors = rng.standard_normal((rois, k))
    factors = (factors - factors.mean(0)) / factors.std(0, ddof=1)
    shape = (studies, len(place), seeds)

    def draw(name, *size):
        return sd[name] * rng.standard_normal((studies, *size))

    of_rois = draw("roi", rois, 1) + draw("cell", rois, seeds) + (factors @ OF_ROIS[:k])[:, None]
    of_rois = of_rois + np.einsum("rk,nks->nrs", factors, draw("slope_seed", k, seeds))
    slope = OF_WEIGHT + draw("slope_roi", rois, 1)[:, place] + draw("slope_seed", 1, seeds)
    values = (
        of_rois[:, place] + slope * weight[:, None] + draw("condition", len(place), 1) + draw("network", *shape[1:])
    )
    values += 0.02 * rng.standard_normal((studies, 1, seeds))  # a seed that does well does so everywhere
    return Gains(values, place), factors, weight[:, None]


def coverage(effects, truth):
    """The share of studies whose interval holds the truth, per factor."""
    return ((effects.low <= truth) & (truth <= effects.high)).mean(0)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(
    "design", [{}, {"seeds": 3}, {"rois": 4, "k": 1}, {"rois": 11}, {"weights": 6, "unbalanced": True}], ids=str
)
def test_intervals_hold_the_planted_coefficients(spread, design):
    gains, factors, weight = simulate(SPREADS[spread], **design)
    of_rois, of_weight = roi_effects(gains, factors, weight), condition_effects(gains, weight)
    least = TOLERANCE if not design.get("unbalanced") else 0.92  # exact for balanced designs
    assert (coverage(of_rois, OF_ROIS[: factors.shape[1]]) >= least).all()
    assert (coverage(of_weight, OF_WEIGHT) >= least).all()
    assert np.abs(of_rois.mean.mean(0) - OF_ROIS[: factors.shape[1]]).max() < 0.003
    assert abs(of_weight.mean.mean() - OF_WEIGHT) < 0.002


def test_intervals_are_no_wider_than_they_must_be():
    """Where ROIs are all that is random, the interval over them is exact: no wider, no narrower."""
    gains, factors, weight = simulate({"roi": 0.02})
    found = coverage(roi_effects(gains, factors, weight), OF_ROIS)
    assert (np.abs(found - 0.95) < 0.95 - TOLERANCE).all()
    gains, _, weight = simulate({"slope_roi": 0.02})
    assert abs(coverage(condition_effects(gains, weight), OF_WEIGHT)[0] - 0.95) < 0.95 - TOLERANCE


def test_a_normal_interval_of_a_mixed_model_would_be_too_short():
    """Why it is Student's: a mixed model's standard error is the same in a balanced design (next test), its interval
    the normal one."""
    gains, factors, weight = simulate({"roi": 0.02, "network": 0.01})
    found = roi_effects(gains, factors, weight)
    half = (found.high - found.mean) / t.ppf(0.975, found.df) * norm.ppf(0.975)
    held = np.abs(found.mean - OF_ROIS) <= half
    assert (held.mean(0) < 0.90).all()


@pytest.mark.slow
def test_a_balanced_design_is_least_squares_and_a_mixed_model():
    """Estimates are those of OLS on all networks; those of ROIs, with their standard errors, are those of OLS on the
    means of ROIs, and of a mixed model with crossed ROIs and seeds."""
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    gains, factors, weight = simulate({"roi": 0.05, "network": 0.01}, studies=1)
    values, place = gains.values[0], gains.rois
    found = roi_effects(Gains(values, place), factors, weight)
    of_weight = condition_effects(Gains(values, place), weight)
    frame = pd.DataFrame(
        {"gain": values.ravel(), "a": np.repeat(factors[place, 0], SEEDS), "b": np.repeat(factors[place, 1], SEEDS)}
        | {"weight": np.repeat(weight[:, 0], SEEDS), "roi": np.repeat(place, SEEDS)}
        | {"seed": np.tile(np.arange(SEEDS), len(place)), "all": 1}
    )
    every = sm.OLS(frame["gain"], sm.add_constant(frame[["a", "b", "weight"]])).fit()
    assert [*found.mean, *of_weight.mean] == pytest.approx(every.params[["a", "b", "weight"]].tolist())
    means = frame.groupby("roi")[["gain", "a", "b"]].mean()
    level = sm.OLS(means["gain"], sm.add_constant(means[["a", "b"]])).fit()
    intervals = level.conf_int().loc[["a", "b"]].to_numpy()
    assert found.df.tolist() == [ROIS - 3] * 2
    assert (found.low <= intervals[:, 0] + 1e-9).all() and (found.high >= intervals[:, 1] - 1e-9).all()
    assert found.high - found.low == pytest.approx(intervals[:, 1] - intervals[:, 0], rel=0.02)
    parts = {"roi": "0 + C(roi)", "seed": "0 + C(seed)"}
    with warnings.catch_warnings(action="ignore"):  # of every component near zero, it says that the fit may be singular
        mixed = smf.mixedlm("gain ~ a + b + weight", frame, groups="all", vc_formula=parts).fit(reml=True)
    assert found.mean == pytest.approx(mixed.params[["a", "b"]].to_numpy(), rel=1e-4)
    error = (found.high - found.mean) / t.ppf(0.975, found.df)
    assert error == pytest.approx(mixed.bse[["a", "b"]].to_numpy(), rel=0.03)


def test_the_effect_of_a_condition_is_a_paired_t_interval_over_rois():
    """With one slope per ROI and none over seeds: the closed form."""
    rng = np.random.default_rng(3)
    slopes = rng.normal(0.02, 0.05, ROIS)
    place, weight = np.repeat(np.arange(ROIS), 2), np.tile([-1.0, 1.0], ROIS)
    values = (rng.normal(0, 0.1, ROIS)[place] + slopes[place] * weight)[:, None] + rng.normal(0, 0.1, SEEDS)
    found = condition_effects(Gains(values, place), weight[:, None])
    half = t.ppf(0.975, min(ROIS - 1, SEEDS - 1)) * slopes.std(ddof=1) / ROIS**0.5
    assert found.mean[0] == pytest.approx(slopes.mean()) and found.df[0] == pytest.approx(SEEDS - 1)
    assert (found.low[0], found.high[0]) == pytest.approx((slopes.mean() - half, slopes.mean() + half))


def test_few_clusters_are_corrected_as_by_the_formula():
    """CR2 and its degrees of freedom, slowly: A_g = (I - H_gg)^(-1/2), tr(G'G)^2 / tr((G'G)^2)."""
    from scipy.linalg import fractional_matrix_power

    from neurobust.report.factor_fit import clustered

    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(5), [2, 3, 4, 5, 6])
    design, outcome = np.column_stack([np.ones(20), rng.standard_normal((20, 2))]), rng.standard_normal(20)
    bread = np.linalg.inv(design.T @ design)
    left = np.eye(20) - design @ bread @ design.T
    variance, columns = 0.0, []
    for cluster in range(5):
        rows = clusters == cluster
        weight = fractional_matrix_power(left[rows][:, rows], -0.5) @ design[rows] @ bread[:, 1]
        variance += (weight @ (left @ outcome)[rows]) ** 2
        columns.append(left[:, rows] @ weight)
    spread = np.array(columns) @ np.array(columns).T
    found, df = clustered(design, np.array([1]), clusters, outcome)
    assert found[0] == pytest.approx(variance)
    assert df[0] == pytest.approx(np.trace(spread) ** 2 / np.trace(spread @ spread)) and 1 < df[0] < 4


def test_what_cannot_have_an_interval_has_none():
    gains, factors, weight = simulate({"roi": 0.02, "network": 0.02}, studies=1)
    one_seed = Gains(gains.values[0][:, :1], gains.rois)
    for found in (roi_effects(one_seed, factors, weight), condition_effects(one_seed, weight)):
        assert np.isfinite(found.mean).all() and np.isnan([found.low, found.high, found.df]).all()
    in_one = np.where(gains.rois == 0, weight[:, 0], 0.0)[:, None]
    found = condition_effects(Gains(gains.values[0], gains.rois), in_one)
    assert np.isfinite(found.mean).all() and np.isnan(found.low).all()


def test_a_factor_of_networks_is_compared_within_rois_and_seeds():
    """What raises both in all networks of a seed or an ROI is no effect; a network without the factor is left out."""
    rng = np.random.default_rng(5)
    place = np.repeat(np.arange(4), 3)
    common = rng.normal(0, 1, (4, 1))[place] + rng.normal(0, 1, SEEDS)
    own = rng.normal(0, 1, (12, SEEDS))
    alignment = common + own
    found = condition_effects(Gains(3 * common + 0.5 * own, place), alignment[..., None])
    slow = 3 * common + 0.5 * own - 0.5 * alignment  # constant within ROI and seed, so absorbed
    assert np.ptp(slow - 2.5 * common) < 1e-9
    assert found.mean[0] == pytest.approx(0.5)
    alignment[2] = np.nan
    assert condition_effects(Gains(3 * common + 0.5 * own, place), alignment[..., None]).mean[0] == pytest.approx(0.5)


def test_collinear_columns_have_no_finite_inflation():
    rng = np.random.default_rng(6)
    x = rng.standard_normal((8, 2))
    assert inflation(x) == pytest.approx([1 / (1 - np.corrcoef(x.T)[0, 1] ** 2)] * 2)
    assert np.isinf(inflation(np.column_stack([x, x.sum(1)]))).all()
    assert inflation(x[:, :1]) == pytest.approx([1])
    assert within_rois(x, np.arange(8)) == pytest.approx(np.zeros((8, 2)))


def test_two_units_carry_a_factor_after_two_for_mean_and_scatter():
    assert [carried(units) for units in (0, 3, 4, 5, 6, 8, 11)] == [0, 0, 1, 1, 2, 3, 4]


def test_intervals_hold_in_the_design_of_the_study_of_factors():
    """config/factors.yaml: six ROIs with a place, of which four have four recipes more; slopes differ between ROIs."""
    rng = np.random.default_rng(1)
    place = np.concatenate([np.repeat(np.arange(4), 5), [4, 5]])
    recipes = np.vstack([np.vstack([np.zeros(4), np.eye(4)])] * 4 + [np.zeros((2, 4))])
    factors = np.array([[1, 4, 5, 6, 2, 6], [0.6, 0.3, 0.7, 0.75, 0.5, 0.4]]).T
    factors = (factors - factors.mean(0)) / factors.std(0, ddof=1)
    of_recipes = np.array([-0.02, 0.05, 0.01, 0.06])
    own = 0.02 * rng.standard_normal((STUDIES, 6)) + factors @ OF_ROIS
    slopes = of_recipes + 0.03 * rng.standard_normal((STUDIES, 6, 4))[:, place]
    values = (own[:, place] + (slopes * recipes).sum(-1))[..., None]
    values = values + 0.01 * rng.standard_normal((STUDIES, len(place), 1))
    values = values + 0.02 * rng.standard_normal((STUDIES, len(place), SEEDS))
    assert (coverage(roi_effects(Gains(values, place), factors, recipes), OF_ROIS) >= TOLERANCE).all()
    assert (coverage(condition_effects(Gains(values, place), recipes), of_recipes) >= TOLERANCE).all()

"""Why: what goes with robustness and what carries a gain, against closed forms, slow references and planted tables."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from neurobust.core.false_discovery import false_discovery
from neurobust.core.io import write_json
from neurobust.explain.registry import asked
from neurobust.explain.studies import robustness
from neurobust.explain.studies.adapters import association, changes, mediation, readings
from neurobust.explain.studies.settings import Association, Changes, Mediation
from neurobust.explain.study import explain_study, reference_budget
from neurobust.explain.study_bench import Explaining, StudyBench
from neurobust.files.attack_table import AttackRecord, attack_table_path, write_attack_table
from neurobust.files.explained import (
    COLUMNS,
    STUDY_COLUMNS,
    ExplainedRecord,
    network_analysis_path,
    read_explained,
    write_explained,
)
from neurobust.files.network_metrics import metrics_path

# How much of the cue a condition's networks rely on, and in how many dimensions they work: guidance moves both.
PLANTED = {
    "none": (0.8, 6.0), "LO": (0.4, 9.0), "LO-shuffled": (0.8, 6.0), "V1": (0.8, 8.0), "V1-shuffled": (0.8, 6.0),
    "oracle-cue": (0.2, 6.5), "adversarial": (0.6, 7.0),
}  # fmt: skip
GAINS = [Explaining("LO", "LO", "LO-shuffled"), Explaining("V1", "V1", "V1-shuffled")]
FAMILY = {"cue reliance": "bias", "effective dimensionality": "dimensionality"}


def world(seed, effect=-0.6, seeds=5, spread=0.08, beside=0.0):
    """Networks whose robust accuracy falls with cue reliance, by `effect` a unit, and with nothing else.

    beside: by how many units dimensionality falls, among seeds of a condition, for a unit of cue reliance."""
    rng = np.random.default_rng(seed)
    networks, measures = [], []
    for condition, (reliance, dimensions) in PLANTED.items():
        for number in range(seeds):
            key = {"condition": condition, "seed": number}
            relied, dimension = reliance + spread * rng.normal(), dimensions + 0.8 * rng.normal()
            dimension -= beside * (relied - reliance)
            clean = 0.9 + 0.02 * rng.normal()
            robust = 0.7 + effect * relied + 0.5 * (clean - 0.9) + 0.03 * rng.normal()
            networks.append({**key, "clean_accuracy": clean, "robust_accuracy": robust})
            both = zip(FAMILY.items(), (relied, dimension), strict=True)
            measures += [
                {**key, "analysis": name, "measure": measure, "layer": "", "roi": "", "value": value}
                for (measure, name), value in both
            ]
    return StudyBench(pd.DataFrame(networks), pd.DataFrame(measures), FAMILY, GAINS)


def table(findings, **chosen):
    frame = pd.DataFrame([{name: getattr(row, name) for name in row.__struct_fields__} for row in findings.rows])
    for name, value in chosen.items():
        frame = frame[frame[name] == value]
    return frame.set_index("measure")


def carried(findings, of, condition):
    """Whether a measure is said to carry a gain: its interval leaves out 0, and its q is below .05."""
    rows = table(findings, of=of, condition=condition)
    low, high = rows.loc["through", ["low", "high"]]
    return (low > 0 or high < 0) and rows.loc["q", "value"] < 0.05


@pytest.fixture(scope="module")
def planted():
    """Mediation and association in 60 worlds where the cue is what robustness goes with."""
    worlds = [world(seed) for seed in range(60)]
    return [(mediation(bench, Mediation(draws=1000)), association(bench, Association())) for bench in worlds]


@pytest.fixture(scope="module")
def null():
    """The same where robustness goes with nothing that is measured."""
    worlds = [world(1000 + seed, effect=0.0) for seed in range(60)]
    return [(mediation(bench, Mediation(draws=1000)), association(bench, Association())) for bench in worlds]


@pytest.mark.slow
def test_a_planted_mediator_is_found_and_another_measure_that_guidance_moves_is_not(planted):
    """LO gains through the cue; dimensionality moves with guidance (by 3 and 2 of SD .8) but robustness not with it."""
    found = [mediated for mediated, _ in planted]
    assert sum(carried(f, "cue reliance", "LO") for f in found) >= 57
    false = sum(carried(f, "effective dimensionality", c) for f in found for c in ("LO", "V1"))
    assert false <= 16, "120 at 5 %: more has probability 1e-4"
    assert sum(carried(f, "cue reliance", "V1") for f in found) <= 10, "V1 leaves the cue where it is: 60 at 5 %"
    rows = [table(f, of="cue reliance", condition="LO") for f in found]
    for name in ("through", "total"):
        assert np.mean([row.loc[name, "value"] for row in rows]) == pytest.approx(0.6 * 0.4, abs=0.02)
    covered = sum(row.loc["through", "low"] <= 0.24 <= row.loc["through", "high"] for row in rows)
    assert covered >= 49, "95 % of 60: fewer has probability 3e-4"


@pytest.mark.slow
def test_what_goes_with_the_cause_among_seeds_and_moves_with_guidance_alone_carries_nothing():
    """Dimensionality falls with cue reliance from seed to seed, and guidance by V1 raises it: both paths are there. But
    other conditions that move it are not more robust."""
    beside = 10.0  # SD .8 of its own and as much with the cue: r within conditions .7 with robust accuracy
    found = [mediation(world(2000 + seed, beside=beside), Mediation(draws=1000)) for seed in range(60)]
    rows = [table(f, of="effective dimensionality", condition="V1") for f in found]
    assert sum(row.loc["through", "low"] > 0 for row in rows) >= 30, "taken alone it would be named"
    assert sum(carried(f, "effective dimensionality", "V1") for f in found) <= 10, (
        "60 at 5 %: more has probability 3e-4"
    )
    assert sum(carried(f, "cue reliance", "LO") for f in found) >= 57


@pytest.mark.slow
def test_where_robustness_goes_with_nothing_nothing_carries_it(null):
    """The path from the measure to robustness is absent: an interval leaves out 0 in at most 5 %."""
    false = sum(carried(f, of, c) for f, _ in null for of in FAMILY for c in ("LO", "V1"))
    assert false <= 26, "240 at 5 %: more has probability 1e-4"


@pytest.mark.slow
def test_association_between_conditions_is_controlled_over_the_family(planted, null):
    relied = [table(f, of="cue reliance")["value"] for _, f in planted]
    assert np.mean([value["partial correlation"] for value in relied]) < -0.95
    assert sum(value["q"] < 0.05 for value in relied) >= 57
    assert sum(value["within conditions"] < -0.5 for value in relied) >= 57
    least = [min(table(f, of=of)["value"]["q"] for of in FAMILY) for _, f in null]
    assert sum(q < 0.05 for q in least) <= 10, "60 families at 5 %: more has probability 3e-4"


def test_two_seeds_give_numbers_without_intervals_and_one_too():
    for seeds in (1, 2):
        rows = table(mediation(world(0, seeds=seeds), Mediation(draws=1000)), of="cue reliance", condition="LO")
        assert (
            rows["low"].drop("between").isna().all()
            and math.isnan(rows.loc["p", "value"])
            and rows.loc["total", "value"] > 0
        )
    assert table(changes(world(0, seeds=1), Changes()))["low"].isna().all()


def test_what_is_left_out_or_undefined_is_no_error():
    bench = world(0)
    nothing = StudyBench(bench.networks, bench.measures.iloc[:0], {}, GAINS)
    undefined = StudyBench(bench.networks, bench.measures.assign(value=np.nan), FAMILY, GAINS)
    failed = StudyBench(bench.networks.assign(robust_accuracy=np.nan), bench.measures, FAMILY, GAINS)
    alone = StudyBench(bench.networks, bench.measures, FAMILY, [])
    for given in (nothing, undefined, failed):
        assert not mediation(given, Mediation()).rows and not association(given, Association()).rows
    assert not mediation(alone, Mediation()).rows and len(association(alone, Association()).rows) == 10
    constant = StudyBench(bench.networks, bench.measures.assign(value=1.0), FAMILY, GAINS)
    assert table(association(constant, Association()), of="cue reliance")["value"].isna().all()
    assert math.isnan(table(mediation(constant, Mediation()), of="cue reliance", condition="LO")["value"]["through"])


def test_a_measure_without_a_slope_leaves_the_gain_its_interval_and_infinite_values_are_missing():
    bench = world(0)
    constant = StudyBench(bench.networks, bench.measures.assign(value=0.1), FAMILY, GAINS)
    bare, full = (
        table(mediation(given, Mediation()), of="cue reliance", condition="LO") for given in (constant, bench)
    )
    assert bare.loc["total", ["low", "high"]].to_numpy(float) == pytest.approx(
        full.loc["total", ["low", "high"]].to_numpy(float), abs=0.02
    )
    assert bare.loc[["through", "direct", "slope", "q"], "value"].isna().all()
    values = bench.measures["value"].where(bench.measures["seed"] != 0, math.inf)
    infinite = StudyBench(bench.networks, bench.measures.assign(value=values), FAMILY, GAINS)
    gone = StudyBench(bench.networks, bench.measures[bench.measures["seed"] != 0], FAMILY, GAINS)
    for analysis, settings in ((mediation, Mediation(draws=1000)), (association, Association())):
        assert table(analysis(infinite, settings)).equals(table(analysis(gone, settings)))


def test_the_unit_of_a_measure_changes_nothing():
    bench = world(0)
    small = StudyBench(bench.networks, bench.measures.assign(value=1e-12 * bench.measures["value"]), FAMILY, GAINS)
    own, other = (table(mediation(given, Mediation(draws=1000)), of="cue reliance") for given in (bench, small))
    for name, error in (("through", 1e-6), ("q", 0.05)):  # q has that of 1000 draws
        assert other.loc[name, "value"].to_numpy() == pytest.approx(own.loc[name, "value"].to_numpy(), abs=error)


def test_a_measure_of_an_roi_is_read_where_that_roi_guides():
    bench = world(3)
    similar = bench.measures[bench.measures["measure"] == "cue reliance"]
    both = pd.concat([similar.assign(roi=roi, layer="penultimate") for roi in ("LO", "V1")])
    early = both.assign(layer="layer1", value=0.0)
    bench = StudyBench(bench.networks, pd.concat([early, both]), {"cue reliance": "bias"}, GAINS)
    assert [(reading.roi, len(reading.table)) for reading in readings(bench)] == [("LO", 35), ("V1", 35)]
    found = table(mediation(bench, Mediation(draws=1000)))
    assert set(zip(found["condition"], found["roi"], strict=True)) == {("LO", "LO"), ("V1", "V1")}
    assert set(table(changes(bench, Changes()))["layer"]) == {"layer1", "penultimate"}


def test_changes_are_paired_over_seeds_and_have_students_interval():
    bench = world(4)
    rows = table(changes(bench, Changes()), of="cue reliance", condition="LO")
    values = bench.measures[bench.measures["measure"] == "cue reliance"].set_index(["condition", "seed"])["value"]
    difference = (values["LO"] - values["LO-shuffled"]).to_numpy()
    low, high = stats.t.interval(0.95, 4, difference.mean(), stats.sem(difference))
    assert rows[["value", "low", "high"]].to_numpy() == pytest.approx(np.array([[difference.mean(), low, high]]))
    assert rows["n_networks"].tolist() == [10]


def test_correlation_is_scipys_and_its_partial_one_that_of_residuals():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 20))
    y = 0.5 * x + z + rng.normal(size=20)
    found, known = robustness.correlation(x, y), stats.pearsonr(x, y)
    assert (found.value, found.p) == pytest.approx((known.statistic, known.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval()))
    a, b = (stats.linregress(z, values) for values in (x, y))
    left = [values - line.slope * z - line.intercept for values, line in ((x, a), (y, b))]
    assert robustness.correlation(x, y, z).value == pytest.approx(stats.pearsonr(*left).statistic)
    assert math.isnan(robustness.correlation(x, np.ones(20)).value)
    assert math.isnan(robustness.correlation(x, z, z).value), "nothing is left of what is held fixed"
    assert math.isnan(robustness.correlation(x[:4], y[:4]).p) and not math.isnan(
        robustness.correlation(x[:4], y[:4]).value
    )


def test_q_is_scipys_and_passes_over_what_is_undefined():
    p = np.array([0.01, 0.8, 0.02, np.nan, 0.03])
    there = np.isfinite(p)
    assert false_discovery(p)[there] == pytest.approx(stats.false_discovery_control(p[there]))
    assert math.isnan(false_discovery(p)[3]) and len(false_discovery([])) == 0


def test_the_slope_within_conditions_is_that_of_least_squares_with_a_constant_each():
    rng = np.random.default_rng(1)
    groups = np.repeat(["a", "b", "c", "d"], 5)
    x, z = rng.normal(size=(2, 20)) + 3 * np.repeat(rng.normal(size=4), 5)
    y = 0.7 * x - 0.2 * z + rng.normal(size=20) + np.repeat([0.0, 5, 1, 9], 5)
    design = np.column_stack([x, z, *(groups == name for name in "abcd")]).astype(float)
    wanted, rest = np.linalg.lstsq(design, y, rcond=None)[:2]
    error = math.sqrt(rest[0] / 14 * np.linalg.inv(design.T @ design)[0, 0])
    found = robustness.within_slope(x, y, z, groups)
    assert (found.value, found.error, found.df) == pytest.approx((wanted[0], error, 14))
    assert robustness.within_slope(x, y, np.ones(20), groups).df == 15, "what does not vary costs nothing"
    assert math.isnan(robustness.within_slope(x, y, z, np.arange(20).astype(str)).value)


def test_parts_add_up_and_a_sure_slope_leaves_students_interval():
    gain, moved = np.array([0.1, 0.2, 0.15, 0.3]), np.array([1.0, 2, 1, 3])
    found = robustness.parts_of(gain, moved, robustness.Slope(0.05, 0.0, 100), draws=200000)
    assert found.total.value == pytest.approx(found.through.value + found.direct.value)
    low, high = stats.t.interval(0.95, 3, 0.05 * moved.mean(), 0.05 * stats.sem(moved))
    assert (found.through.low, found.through.high) == pytest.approx((low, high), abs=0.01)
    again = robustness.parts_of(gain, moved, robustness.Slope(0.05, 0.0, 100), draws=200000)
    assert again == found, "the same draws"


def test_the_entry_point_reads_files_of_networks(tmp_path):
    bench, root = world(7), tmp_path
    metrics, attacked, tables = [], [], []
    for row in bench.networks.itertuples():
        network = f"scenes/small/{row.condition}/seed{row.seed}"
        metrics.append(metrics_path(root, network))
        write_json(metrics[-1], {"clean_accuracy": row.clean_accuracy, "condition": row.condition, "seed": row.seed})
        broken = np.arange(1000) >= 1000 * max(row.robust_accuracy, 0)
        parts = {0.0: np.zeros(1000, bool), 1.0: broken, 2.0: np.ones(1000, bool)}
        frame = pd.concat([
            pd.DataFrame({"image": np.arange(1000), "budget": budget, "clean_correct": True, "success": success,
                          "n_forward": 1.0, "n_backward": 1.0})
            for budget, success in parts.items()
        ])  # fmt: skip
        attacked.append(attack_table_path(root, network, "pgd"))
        write_attack_table(attacked[-1], frame, AttackRecord("pgd"))
        own = bench.measures[(bench.measures["condition"] == row.condition) & (bench.measures["seed"] == row.seed)]
        own = own[own["measure"] == "effective dimensionality"].assign(low=np.nan, high=np.nan, n_images=10)
        tables.append(network_analysis_path(root, network, "dimensionality"))
        write_explained(tables[-1], own, ExplainedRecord("dimensionality", {}))
    gains = [gain.__dict__ for gain in GAINS]
    folder = root / "explain/study/scenes/small"
    explain_study(metrics, attacked, tables, gains, {"mediation": {"draws": 1000}, "changes": {}}, folder)
    found, record = read_explained(folder / "mediation.parquet")
    assert list(found) == [*COLUMNS, *STUDY_COLUMNS] and set(found["of"]) == {"effective dimensionality"}
    assert record.provenance["params"] == {"draws": 1000, "seed": 0}
    robust = bench.networks.set_index(["condition", "seed"])["robust_accuracy"]
    total = found[(found["measure"] == "total") & (found["condition"] == "LO")]["value"].item()
    assert total == pytest.approx((robust["LO"] - robust["LO-shuffled"]).mean(), abs=2e-3)
    assert len(read_explained(folder / "changes.parquet")[0]) == 2


@pytest.mark.parametrize(
    ("levels", "wanted"), [({1: 0.9, 2: 0.5, 4: 0.2}, 2), ({1: 0.9, 2: 0.8}, 2), ({1: 0.05, 2: 0.0}, 1), ({}, None)]
)
def test_the_reference_budget_is_one_at_which_a_difference_can_be_seen(levels, wanted):
    rows = [
        {"condition": name, "seed": 0, "budget": budget, "robust_accuracy": level + extra}
        for budget, level in levels.items() for name, extra in (("none", 0.0), ("LO", 0.3))
    ]  # fmt: skip
    curves = pd.DataFrame(rows, columns=["condition", "seed", "budget", "robust_accuracy"])
    assert reference_budget(curves) == wanted if wanted else math.isnan(reference_budget(curves))


def test_the_family_is_named_by_the_descriptions():
    assert asked(["distance", "mediation"]) == {"linear distance to the boundary": "distance"}

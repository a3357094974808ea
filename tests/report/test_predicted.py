"""The gate of prediction: nothing is said of a brain by networks that learned from what predicts none."""

import numpy as np
import pandas as pd
import pytest
from fake_files import write_study
from fake_study import CONDITIONS, guided, make_study

from neurobust.core.false_discovery import false_discovery
from neurobust.files.predictor_tables import voxels_path, write_voxels
from neurobust.report.collect import collect_results
from neurobust.report.gates import gate_rows, gates_of
from neurobust.report.predicted import Predicted, count_predicted, count_surely, predicted_areas
from neurobust.report.verdicts import verdict_rows
from neurobust.study.paths import Paths

FEW, MANY = Predicted(49, 100), Predicted(50, 100)
LEVEL = (0.9, 0.7, 0.4, 0.1)  # of networks that gain nothing


def voxels(subject, p):
    """A predictor's table of a subject with these p values."""
    p = np.asarray(p)
    found = {"subject": subject, "r": 0.3, "r_normalised": 0.5, "noise_ceiling": 30.0, "p": p}
    return pd.DataFrame(found | {"p_fdr": false_discovery(p)})


def of_gnet(**changes):
    return {name: guided(roi, predictor="gnet", **changes) for name, roi in (("V1", "V1"), ("LO", "LO"))}


def shuffles():
    return {f"{name}-shuffled": c for name, c in of_gnet(control="shuffled").items()}


@pytest.fixture
def evidence_of(judged_study, new_evidence):
    def make(lo=MANY, **changes):
        study = judged_study(conditions=of_gnet() | shuffles())
        return new_evidence(study, **{"predicted": {"V1": {"V1": MANY}, "LO": {"LO": lo}}, **changes})

    return make


def words(evidence):
    return {row["condition"]: row["verdict"] for row in verdict_rows(evidence)}


@pytest.mark.parametrize("tables", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 3, 100])
def test_an_area_of_noise_opens_the_gate_in_at_most_a_twentieth_of_cases(groups, tables):
    """Voxels in groups that share their p value: one group is perfect dependence, a hundred are independent ones; of
    several subjects, whose p values are adjusted by themselves (two of one group each are found in 10 %)."""
    rng = np.random.default_rng(0)
    draws = 1000
    opened = 0
    for shared in rng.uniform(size=(draws, tables, groups)):
        parts = [voxels("subj01", np.repeat(own, -(-20 // groups))[:20]) for own in shared]
        opened += Predicted(sum(map(count_surely, parts)), 20 * tables).enough
    assert opened / draws <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_no_dependence_of_voxels_opens_the_gate_more_often():
    """The worst for a false discovery rate (Benjamini and Yekutieli 2001, of the largest half): k of 20 voxels, 10 to
    20, have p values just as large as are found of k. Adjusted values alone open it in 8 % of cases."""
    size, draws, rng = 20, 4000, np.random.default_rng(0)
    counts = np.arange(size // 2, size + 1)
    shares = np.cumsum([0.05, *(0.05 / counts[1:])])
    opened = alone = 0
    for place in np.searchsorted(shares, rng.uniform(size=draws)):
        p = rng.uniform(0.05, 1, size)
        if place < len(counts):
            k = counts[place]
            p[rng.permutation(size)[:k]] = 0.05 / size * (rng.uniform(0 if place == 0 else k - 1, k, k))
        table = voxels("subj01", p)
        opened += Predicted(count_surely(table), size).enough
        alone += Predicted(count_predicted(table), size).enough
    assert opened / draws <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws) < alone / draws


def test_where_half_of_the_voxels_are_not_predicted_nothing_is_said_of_the_area_alone(evidence_of):
    said = words(evidence_of())
    assert said == {"V1": "not supported", "LO": "supported"}
    assert words(evidence_of(lo=FEW)) == {**said, "LO": "undetermined (prediction)"}
    (row,) = (row for row in gate_rows(evidence_of(lo=FEW)) if row["gate"] == "prediction")
    assert not row["passed"] and row["affects"] == "LO"
    assert row["sentence"] == "49 of 100 voxels of LO are predicted on held-out images; 50 % must be"
    (row,) = (row for row in gate_rows(evidence_of(lo=Predicted(60, 100))) if row["gate"] == "prediction")
    assert row["passed"] and not row["affects"] and row["sentence"].startswith("50 of 100 voxels of V1")


def test_two_predictors_of_one_area_are_asked_each(judged_study, new_evidence):
    """The better one answered for both, and a claim that looks at both passed."""
    pixels = {
        "pixels": guided("LO", predictor="pixels"),
        "pixels-shuffled": guided("LO", predictor="pixels", control="shuffled"),
    }
    study = judged_study(conditions=of_gnet() | shuffles() | pixels)
    for bad, good in (("LO", "pixels"), ("pixels", "LO")):
        evidence = new_evidence(
            study, dict.fromkeys(pixels, LEVEL),
            predicted={"V1": {"V1": MANY}, bad: {"LO": FEW}, good: {"LO": Predicted(60, 100)}},
        )  # fmt: skip
        (gate,) = (g for g in gates_of(evidence, "pgd", ["LO", "pixels"]) if g.name == "prediction")
        by = "gnet" if bad == "LO" else "pixels"
        assert not gate.passed and gate.sentence.startswith(f"49 of 100 voxels of LO are predicted by {by} on held-out")
        (row,) = (row for row in gate_rows(evidence) if row["gate"] == "prediction")
        assert not row["passed"] and row["affects"] == bad
        assert [n for n, word in words(evidence).items() if word == "undetermined (prediction)"] == [bad]


def test_every_area_of_a_condition_is_asked(judged_study, new_evidence):
    """One that was not tested, or that predicts nothing, is not outweighed by the other."""
    both = guided("LO", predictor="gnet", target=("V1", "LO"))
    study = judged_study(conditions={**of_gnet(), **shuffles(), "both": both})
    known = {"V1": {"V1": MANY}, "LO": {"LO": MANY}}
    for areas, says in (
        ({"V1": MANY}, "nothing says whether the predictor of both predicts LO"),
        ({"V1": MANY, "LO": FEW}, "49 of 100 voxels of LO are predicted on held-out images; 50 % must be"),
    ):
        evidence = new_evidence(study, {"both": LEVEL}, predicted={**known, "both": areas})
        (gate,) = (g for g in gates_of(evidence, "pgd", ["both"]) if g.name == "prediction")
        assert not gate.passed and gate.sentence == says
        (row,) = (row for row in gate_rows(evidence) if row["gate"] == "prediction")
        assert row["affects"] == "both"


def test_a_weight_of_a_sweep_is_asked_as_its_condition_and_that_of_a_control_is_not(judged_study, new_evidence):
    swept = {
        "LO-w0.5": guided("LO", predictor="gnet", weight=0.5, sweep="LO"),
        "LO-shuffled-w0.5": guided("LO", predictor="gnet", control="shuffled", weight=0.5, sweep="LO-shuffled"),
    }
    study = judged_study(conditions={**of_gnet(), **shuffles(), **swept})
    evidence = new_evidence(study, dict.fromkeys(swept, LEVEL), predicted={"V1": {"V1": MANY}, "LO": {"LO": FEW}})
    found = {name: {gate.name: gate.passed for gate in gates_of(evidence, "pgd", [name])} for name in swept}
    assert found["LO-w0.5"]["prediction"] is False and "prediction" not in found["LO-shuffled-w0.5"]


def test_a_predictor_of_which_nothing_is_known_is_not_one_that_predicts(evidence_of):
    assert words(evidence_of(predicted={})) == dict.fromkeys(("V1", "LO"), "undetermined (prediction)")
    assert words(evidence_of(lo=Predicted(0, 0)))["LO"] == "undetermined (prediction)"


def test_controls_and_measured_responses_are_not_asked_for_a_predictor(judged_study, new_evidence):
    measured = {name: guided(name, pairs=True, on="stimuli") for name in ("V1", "LO")}
    alike = {f"{name}-shuffled": guided(name, pairs=True, on="stimuli", control="shuffled") for name in ("V1", "LO")}
    evidence = new_evidence(judged_study(conditions=measured | alike), predicted={})
    assert "prediction" not in {gate.name for gate in gates_of(evidence, "pgd", evidence.conditions)}
    assert "prediction" not in {gate.name for gate in gates_of(evidence, "pgd", ["none", "LO-shuffled"])}


def test_voxels_are_counted_over_seeds_and_a_condition_s_own_subjects(tmp_path):
    conditions = {"none": CONDITIONS["none"], **of_gnet()}
    conditions["first"] = guided("LO", predictor="gnet", subjects=("subj01",))
    study = make_study(tmp_path, conditions=conditions, predictors=("gnet",))
    for roi, seed in ((roi, seed) for roi in ("V1", "LO") for seed in study.predictor_seeds):
        table = pd.concat([voxels("subj01", [0.02, 0.2]), voxels("subj02", [0.01, 0.001, np.nan])])
        write_voxels(
            voxels_path(tmp_path, "gnet", roi, seed), table if roi == "LO" else table.drop(columns="p_fdr"), {}
        )
    seeds = len(study.predictor_seeds)
    assert predicted_areas(study) == {
        "LO": {"LO": Predicted(3 * seeds, 5 * seeds)}, "first": {"LO": Predicted(seeds, 2 * seeds)},
    }  # fmt: skip


def test_a_page_reads_the_voxels_of_every_predictor_that_guides_its_conditions(tmp_path):
    conditions = {**of_gnet(), "pixels": guided("LO", predictor="pixels")}
    study = make_study(tmp_path, conditions=conditions, predictors=("gnet", "pixels"), rois=("V1", "LO"))
    read = [path for path in Paths(study).results_of(["LO", "pixels"], ["LO"]) if path.endswith("voxels.parquet")]
    seeds = study.predictor_seeds
    assert read == [str(voxels_path(study.root, name, "LO", seed)) for name in ("gnet", "pixels") for seed in seeds]


def test_tables_of_a_study_ask_its_files(tmp_path):
    study = write_study(make_study(tmp_path, conditions={"none": CONDITIONS["none"]} | of_gnet() | shuffles()))
    tables = collect_results(study)
    asked = tables["gates"].set_index("gate")
    assert not asked.loc["prediction", "passed"].any(), "these files do not say what is predicted"
    assert (
        "LO" in asked.loc["prediction", "affects"].iloc[0] and "none" not in asked.loc["prediction", "affects"].iloc[0]
    )

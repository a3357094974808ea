"""Factors of the gain: rows per network, what a study can tell apart, planted effects found, and the page's section."""

import math

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.networks.conditions import Condition
from neurobust.report.collect import collect_results
from neurobust.report.contents import COLUMNS, FIGURES, WHOLE_STUDY
from neurobust.report.factor_section import factor_tables
from neurobust.report.factors import factor_rows
from neurobust.report.gains import gain_rows, own_shuffle
from neurobust.report.hierarchy import HIERARCHY, place_of
from neurobust.report.page import Frame, render
from neurobust.report.view import View

PLACE = {"V1": 1, "V2": 2, "hV4": 4, "LO": 5, "TO": 6, "FFA": 6}
SEEDS = range(5)


def made(
    rois=tuple(PLACE), weights=(0.5, 0.9), losses=("mse",), seeds=SEEDS, effects=(0.02, 0.1), noise=1e-6, **columns
):
    """The table `gains` of a study with planted effects per step of the hierarchy and per 1 of the weight."""
    rng, rows = np.random.default_rng(0), []
    quality = dict(zip(rois, rng.permutation(len(rois)), strict=True))
    for roi in rois:
        for loss in losses:
            for weight in weights:
                for seed in seeds:
                    gain = effects[0] * PLACE[roi] + effects[1] * weight + noise * rng.standard_normal()
                    rows.append(
                        {"task": "digits", "architecture": "small", "condition": f"{roi}-{loss}-{weight}", "seed": seed}
                        | {
                            "roi": roi,
                            "gain": gain,
                            "weight": weight,
                            "loss": loss,
                            "images": "task",
                            "layer_depth": 1.0,
                        }
                        | {"hierarchy": PLACE[roi], "predictor_accuracy": 0.5 + 0.05 * quality[roi]}
                        | {"noise_ceiling": 30.0, "n_voxels": 100.0 * 2 ** quality[roi], "alignment": math.nan}
                        | {"alignment_cka": rng.random()}
                        | {name: make(roi, loss, weight, seed) for name, make in columns.items()}
                    )
    return pd.DataFrame(rows, columns=COLUMNS["gains"])


def table(gains):
    """The table `factors`, by factor, model and ROI left out."""
    return pd.DataFrame(factor_rows(gains), columns=COLUMNS["factors"]).set_index(["factor", "model", "left_out"])


def test_planted_effects_are_found_per_standard_deviation():
    found = table(made())
    place = np.array(list(PLACE.values()))
    row = found.loc[("hierarchy index", "together", "")]
    assert row["effect"] == pytest.approx(0.02 * place.std(ddof=1), rel=1e-3)
    assert row["sd"] == pytest.approx(place.std(ddof=1)) and row["n_rois"] == 6 and row["n_conditions"] == 12
    assert row["low"] < row["effect"] < row["high"] and row["df"] == 3, "two factors of ROIs at once"
    assert found.loc[("predictor accuracy", "together", ""), "effect"] == pytest.approx(0, abs=1e-4)
    row = found.loc[("weight", "together", "")]
    assert row["effect"] == pytest.approx(0.1 * row["sd"], rel=1e-3) and row["df"] == 4


def test_factors_that_do_not_vary_are_left_out_with_a_sentence():
    found = table(made(weights=(0.9,)))
    for name, value in (("noise ceiling", "30"), ("weight", "0.9"), ("loss", "mse"), ("layer depth", "1")):
        rows = found.loc[name]
        assert rows["effect"].isna().all() and len(rows) == 2
        assert rows["note"].tolist() == [f"the same in every network: {value}"] * 2


def test_collinear_factors_are_said_and_not_estimated_together():
    gains = made(predictor_accuracy=lambda roi, *_: 0.3 + 0.1 * PLACE[roi] + 0.001 * (roi == "LO"))
    found = table(gains)
    alone, together = (found.loc[("predictor accuracy", model, "")] for model in ("alone", "together"))
    assert alone["effect"] == pytest.approx(0.02 * 2.1, rel=0.05) and alone["note"] == ""
    assert math.isnan(together["effect"]) and together["vif"] > 10
    assert together["note"].startswith("moves with hierarchy index (variance inflation")
    found = table(made(losses=("mse", "cka"), weight=lambda roi, loss, *_: 0.5 + 0.4 * (loss == "cka")))
    assert "moves with weight" in found.loc[("loss cka − mse", "together", ""), "note"]
    assert found.loc[("loss cka − mse", "alone", ""), "effect"] == pytest.approx(0, abs=1e-5)


def test_a_factor_that_goes_with_the_roi_is_said_to():
    found = table(made(weights=(0.9,), weight=lambda roi, *_: 0.5 + 0.1 * (roi in ("LO", "TO"))))
    assert "varies from ROI to ROI only" in found.loc[("weight", "alone", ""), "note"]


def test_as_many_factors_as_the_rois_carry():
    """Six ROIs carry two, in the order that is fixed; the third is estimated alone."""
    found = table(made(noise_ceiling=lambda roi, *_: {"V1": 3.0, "V2": 1, "hV4": 2, "LO": 6, "TO": 2, "FFA": 4}[roi]))
    row = found.loc[("noise ceiling", "together", "")]
    assert row["note"] == "6 ROIs carry 2 at once; hierarchy index, predictor accuracy first"
    assert np.isfinite(found.loc[("noise ceiling", "alone", ""), "effect"])
    few = table(made(rois=("V1", "hV4", "LO")))
    assert few.loc[("hierarchy index", "alone", ""), "note"] == "3 ROIs carry no factor"
    assert np.isfinite(few.loc[("weight", "together", ""), "low"]), "what varies within ROIs needs no fourth"


def test_leaving_one_roi_out_is_the_study_without_it():
    """For a factor of conditions: the table of a study that never had the ROI. For one of ROIs: the same model, with
    both of its factors, over the means of the other ROIs."""
    gains = made(noise=0.01)
    found = table(gains).sort_index()
    for roi in PLACE:
        row = found.loc[("weight", "together", roi)]
        other = table(gains[gains["roi"] != roi]).loc[("weight", "together", "")]
        for name in ("effect", "low", "high"):
            assert row[name] / row["sd"] == pytest.approx(other[name] / other["sd"])
        assert row["n_rois"] == 5
    assert set(found.loc[("hierarchy index", "together")].index) == {"", *PLACE}
    means = gains.groupby("roi")[["gain", "hierarchy", "predictor_accuracy"]].mean().drop("LO")
    design = np.column_stack([np.ones(5), means["hierarchy"], means["predictor_accuracy"]])
    slope = np.linalg.lstsq(design, means["gain"].to_numpy(), rcond=None)[0][1]
    row = found.loc[("hierarchy index", "together", "LO")]
    assert row["effect"] / row["sd"] == pytest.approx(slope)


def test_an_roi_without_a_place_counts_for_what_is_known_of_it():
    gains = made(hierarchy=lambda roi, *_: math.nan if roi == "FFA" else PLACE[roi])
    found = table(gains)
    assert found.loc[("hierarchy index", "alone", ""), "n_rois"] == 5
    assert found.loc[("predictor accuracy", "alone", ""), "n_rois"] == 6
    assert found.loc[("weight", "together", ""), "n_rois"] == 6
    assert ("hierarchy index", "together", "FFA") not in found.index


def test_alignment_stands_beside_the_others_and_not_among_them():
    gains = made()
    gains["gain"] += 0.1 * gains["alignment_cka"]
    found = table(gains)
    row = found.loc[("alignment reached", "together", "")]
    assert row["effect"] / row["sd"] == pytest.approx(0.1, rel=1e-3) and row["unit"] == "CKA"
    gains.loc[gains["weight"] == 0.5, "alignment_cka"] = math.nan  # a loss without a head, say
    assert table(gains).loc[("alignment reached", "alone", ""), "n_conditions"] == 6
    gains["alignment_cka"], gains["alignment"] = math.nan, gains["weight"]
    assert "moves with weight" in table(gains).loc[("alignment reached", "together", ""), "note"]


def test_one_seed_has_effects_and_no_interval():
    found = table(made(seeds=(3,)))
    row = found.loc[("hierarchy index", "together", "")]
    assert np.isfinite(row["effect"]) and math.isnan(row["low"]) and row["note"] == "no interval: one seed"


def test_a_condition_that_lacks_a_seed_is_left_out():
    gains = made()
    found = table(gains.drop(index=0))
    assert found.loc[("weight", "together", ""), "n_conditions"] == 11


def test_order_of_areas():
    assert sum(len(labels) for labels in HIERARCHY.values()) == len(
        {x for labels in HIERARCHY.values() for x in labels}
    )

    class Region:
        def __init__(self, *labels):
            self.labels, self.added = labels, (self,)

    assert place_of(Region("V3v", "V3d")) == 3 and place_of(Region("LO2", "TO1")) == 5.5
    assert math.isnan(place_of(Region("FEF"))) and math.isnan(place_of(Region("V1v", "early")))


def test_the_own_shuffle_differs_in_nothing_else(new_condition):
    conditions = {"LO": new_condition("LO"), "LO-strong": new_condition("LO", weight=0.95), "V1": new_condition("V1")}
    conditions |= {
        "anything": new_condition("LO", control="shuffled"),
        "V1-random": new_condition("V1", control="random"),
    }
    conditions |= {"LO-w0.5": new_condition("LO", weight=0.5, sweep="LO"), "none": Condition(weight=0.9)}
    conditions |= {"anything-w0.5": new_condition("LO", weight=0.5, sweep="anything", control="shuffled")}
    conditions |= {"both": new_condition("LO", target=("V1", "LO"))}
    conditions |= {"both-shuffled": new_condition("LO", target=("V1", "LO"), control="shuffled")}
    found = {name: own_shuffle(conditions, name) for name in conditions}
    assert {name for name, shuffle in found.items() if shuffle} == {"LO", "LO-w0.5"}
    assert (found["LO"], found["LO-w0.5"]) == ("anything", "anything-w0.5")


@pytest.fixture(scope="module")
def tables(collected):
    return collected


def test_a_gain_is_a_network_less_its_shuffle_at_the_reference_budget(study, tables):
    gains = tables["gains"]
    assert {*zip(gains["task"], gains["condition"], gains["seed"], strict=True)} == {
        (task, "LO", seed) for task in study.tasks for seed in study.seeds
    }
    budget = tables["summary"].query("attack == 'worst-linf'")["reference_budget"].iloc[0]
    curves = tables["robust_accuracy"].query("attack == 'worst-linf' and budget == @budget")
    value = curves.set_index(["task", "condition", "seed"])["robust_accuracy"]
    for row in gains.itertuples():
        own, other = (value[row.task, name, row.seed] for name in ("LO", "LO-shuffled"))
        assert row.gain == pytest.approx(own - other) and row.budget == budget
    assert (gains["n_voxels"] == 170).all() and gains["predictor_accuracy"].isna().all(), "of another predictor"


def test_the_quality_of_an_roi_is_that_of_its_subjects_and_of_the_networks_seed(study, tables):
    conditions = {
        name: replace(condition, predictor="gnet") if condition.target else condition
        for name, condition in study.conditions.items()
    }
    conditions = {
        name: replace(condition, subjects=("subj02",)) if condition.target == ("LO",) else condition
        for name, condition in conditions.items()
    }
    own = replace(study, conditions=conditions)
    rows = {name: tables[name].to_dict("records") for name in ("summary", "robust_accuracy", "predictors")}
    quality = tables["predictors"].set_index(["roi", "subject", "seed"])
    for row in gain_rows(own, rows):
        expected = quality.loc[("LO", "subj02", row["seed"])]
        assert row["n_voxels"] == 80 and row["predictor_accuracy"] == expected["median_r_normalised"]
        assert row["noise_ceiling"] == expected["median_noise_ceiling"] and row["layer_depth"] == 1


def test_a_study_without_guidance_has_no_factors(tiny_study, tables):
    found = collect_results(tiny_study)  # LO without a shuffle
    assert not len(found["gains"]) and not len(found["factors"])
    assert list(found["factors"].columns) == COLUMNS["factors"]
    view = View(tiny_study, found)
    assert factor_tables(view) == [] and "No factor of the gain" in FIGURES["factors"](view)
    alone = replace(tiny_study, conditions={"none": tiny_study.conditions["none"]})
    assert not len(collect_results(alone)["gains"])
    assert not len(collect_results(tiny_study, extras=False)["factors"]) and "factors" in WHOLE_STUDY


def test_the_section_says_what_the_rois_carry(study, tables):
    gains = made(noise=0.01)
    own = {**tables, "gains": gains, "factors": pd.DataFrame(factor_rows(gains), columns=COLUMNS["factors"])}
    view = View(study, own)
    (part,) = factor_tables(view)
    assert "6 ROIs carry 2 such factors at once (here hierarchy index and predictor accuracy)" in part["carry"]
    same, voxels = part["left_out"]
    assert same == "The same in all these networks: noise ceiling 30, loss mse, images task, layer depth 1."
    assert voxels.startswith("number of voxels, alone only: 6 ROIs carry 2 at once; ")
    lines = {line["factor"]: line for line in part["lines"]}
    assert list(lines) == ["hierarchy index", "predictor accuracy", "number of voxels", "weight", "alignment reached"]
    assert (
        lines["hierarchy index"]["together"].main.startswith("+4") and lines["hierarchy index"]["step"] == "2.1 steps"
    )
    assert lines["number of voxels"]["together"].main == "–"
    assert " (without " in lines["weight"]["spread"] and " to " in lines["weight"]["together"].spread
    svg = FIGURES["factors"](view)
    page = render(view, {"factors": svg}, Frame("Factors"))
    assert '<section id="factors">' in page and '<a href="#factors">' in page and 'id="figure-factors"' in page
    assert f'<span class="main">{lines["weight"]["together"].main}</span>' in page and part["carry"] in page
    assert not part["warning"] and "The gate range failed" not in page
    said = "at no budget does none stand between 10 and 60 %"
    block = {"task": part["task"], "architecture": part["architecture"], "affects": ""}
    gates = pd.DataFrame([
        block | {"gate": "range", "passed": False, "sentence": said},
        block | {"task": "another", "gate": "range", "passed": False, "sentence": "of another task"},
        block | {"gate": "masking", "passed": False, "sentence": "not of the budget"},
    ], columns=COLUMNS["gates"])  # fmt: skip
    warned = render(View(study, {**own, "gates": gates}), {"factors": svg}, Frame("Factors"))
    section = warned[warned.index('<section id="factors">') :]
    assert section.count("The gate range failed: ") == 1
    assert section.index(f"The gate range failed: {said}. ") < section.index(part["carry"]) < section.index("<table")
    assert "hierarchy index (per 2.1 steps)" in svg and "without LO" in svg and "together" in svg

"""What a study may say, from tables by hand: each word, Holm, the readings of clean accuracy, trends, architectures."""

import dataclasses
import math
import shutil

import numpy as np
import pytest
from msgspec.structs import replace

from neurobust.core.io import read_parquet, write_parquet
from neurobust.files.attack_table import attack_table_path
from neurobust.report.collect import collect_results
from neurobust.report.contrasts import Sum, cells_of, clean_difference, outcomes, readings, with_control
from neurobust.report.gains import own_shuffle
from neurobust.report.verdicts import (
    Asked,
    along,
    at_level,
    family_size,
    judge,
    trend_rows,
    trend_verdict,
    verdict_rows,
)
from neurobust.statistics import Interval, Trend, crossed_interval, seed_interval

LO_WINS = Sum(((1, "LO"), (-1, "none")), "pgd")


def words(rows):
    return {row["condition"]: row["verdict"] for row in rows}


# --- the words of the rule ---


def test_supported_when_it_beats_both_its_shuffle_and_none(judged_study, new_evidence):
    row = next(row for row in verdict_rows(new_evidence(judged_study())) if row["condition"] == "LO")
    assert row["verdict"] == "supported" and row["contrast"] == "LO − LO-shuffled", "the smaller one decides"
    assert row["difference"] == pytest.approx(0.18) and 0 < row["low"] < 0.18 < row["high"]
    assert (row["attack"], row["budget"], row["unit"], row["n_seeds"], row["n_images"]) == ("pgd", 4, "1/255", 5, 400)


@pytest.mark.parametrize("baseline", ["none", "LO-shuffled"])
def test_one_baseline_that_does_as_well_is_enough(judged_study, new_evidence, baseline):
    level = (0.9, 0.8, 0.6, 0.3)
    found = verdict_rows(new_evidence(judged_study(), {baseline: level, "adversarial": (0.9, 0.9, 0.9, 0.9)}))
    row = next(row for row in found if row["condition"] == "LO")
    assert row["verdict"] == "not supported" and row["contrast"] == f"LO − {baseline}"


def test_contradicted_when_it_is_below_one_of_them(judged_study, new_evidence):
    found = verdict_rows(new_evidence(judged_study(), {"V1": (0.9, 0.5, 0.15, 0.05)}))
    row = next(row for row in found if row["condition"] == "V1")
    assert row["verdict"] == "contradicted" and row["difference"] == pytest.approx(-0.25)


def test_the_contrast_that_contradicts_is_the_one_that_is_shown(judged_study, new_evidence):
    """Below `none` for certain; the smaller mean, to a shuffle whose seeds differ widely, says nothing."""
    evidence = new_evidence(judged_study(), {"V1": (0.9, 0.6, 0.3, 0.05)})
    for seed, share in enumerate((0.9, 0.1, 0.8, 0.2, 0.6)):
        cell = evidence.cells["pgd"]["V1-shuffled", seed]
        robust = cell.robust.copy()
        robust[:, 2] = np.arange(400) < 400 * share
        evidence.cells["pgd"]["V1-shuffled", seed] = cell._replace(robust=robust)
    row = next(row for row in verdict_rows(evidence) if row["condition"] == "V1")
    assert (row["verdict"], row["contrast"]) == ("contradicted", "V1 − none")
    assert row["difference"] == pytest.approx(-0.1) and row["high"] < 0 and row["both_high"] < 0


def test_not_supported_needs_an_instrument_that_could_have_seen_it(judged_study, new_evidence):
    assert words(verdict_rows(new_evidence(judged_study())))["V1"] == "not supported"
    rng = np.random.default_rng(0)
    evidence = new_evidence(judged_study())
    for seed in range(5):  # the same accuracy, of other images and seeds that differ
        cell = evidence.cells["pgd"]["V1", seed]
        robust = rng.permutation(cell.robust)
        robust[: 60 * (seed - 2) if seed > 2 else 0] = True
        evidence.cells["pgd"]["V1", seed] = cell._replace(robust=robust)
    row = next(row for row in verdict_rows(evidence) if row["condition"] == "V1")
    assert row["verdict"] == "undetermined" and "seeds" in row["reason"]


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_two_seeds_say_nothing(judged_study, new_evidence, seeds):
    evidence = new_evidence(judged_study(seeds=seeds), {"adversarial": (0.9, 0.9, 0.9, 0.9)})
    for row in verdict_rows(evidence):
        assert row["verdict"].startswith("undetermined"), row


def test_every_gate_forbids_a_word(judged_study, new_evidence):
    study = judged_study()
    broken = new_evidence(study, {"adversarial": (0.9, 0.7, 0.4, 0.1)})
    assert set(words(verdict_rows(broken)).values()) == {"undetermined (sensitivity)"}
    standing = dict.fromkeys(("none", "LO-shuffled"), (0.9, 0.9, 0.85, 0.8))
    assert set(words(verdict_rows(new_evidence(study, standing))).values()) == {"undetermined (range)"}
    missed = [{"canary": "linear", "caught": False}]
    assert set(words(verdict_rows(new_evidence(study, canaries=missed))).values()) == {"undetermined (masking)"}


def test_a_condition_without_its_shuffle_cannot_be_judged(judged_study, new_evidence):
    evidence = new_evidence(judged_study(conditions={"V1-shuffled": None}))
    row = next(row for row in verdict_rows(evidence) if row["condition"] == "V1")
    assert row["verdict"] == "undetermined"
    assert row["reason"] == "not in this study: needs control shuffled of V1"


def test_a_shuffle_of_another_recipe_is_not_its_own(judged_study, new_evidence, new_condition):
    conditions = {"LO-cka": new_condition("LO", loss="cka")}
    evidence = new_evidence(judged_study(conditions=conditions), {"LO-cka": (0.9, 0.9, 0.8, 0.5)})
    assert "needs control shuffled of LO-cka" in next(
        row["reason"] for row in verdict_rows(evidence) if row["condition"] == "LO-cka"
    )


@pytest.mark.parametrize("other", [{"predictor": "vit"}, {"pairs": True}, {"on": "both"}, {"subjects": ("subj01",)}])
def test_a_shuffle_of_other_responses_is_not_its_own(judged_study, new_evidence, new_condition, other):
    """The name does not make it: what is shuffled must be what the condition is guided by."""
    shuffle = new_condition("V1", control="shuffled", **other)
    rows = verdict_rows(new_evidence(judged_study(conditions={"V1-shuffled": shuffle})))
    assert "needs control shuffled of V1" in next(row["reason"] for row in rows if row["condition"] == "V1")


def test_other_weights_make_no_other_shuffle(judged_study, new_condition):
    study = judged_study(conditions={"V1": new_condition("V1", weights=(0.5,))})
    assert family_size(study, "scenes") == 2 and own_shuffle(study.conditions, "V1") == "V1-shuffled"


def test_a_control_shares_all_that_it_can(judged_study, new_evidence, new_condition):
    """A predictor of shuffled pairs is another predictor; for any other control it is another recipe."""
    conditions = {
        "V1": new_condition("V1", predictor="gnet"),
        "a": new_condition("V1", control="predictor-shuffled", predictor="gnet-shuffled"),
        "b": new_condition("V1", control="random", predictor="vit"),
        "V1-seen": new_condition("V1", pairs=True),
        "c": new_condition("V1", control="labels", on="stimuli", predictor="gnet"),
    }
    evidence = new_evidence(judged_study(conditions=conditions))
    found = {name: with_control(evidence, "V1", name) for name in ("predictor-shuffled", "random", "labels")}
    assert found == {"predictor-shuffled": "a", "random": None, "labels": None}
    assert with_control(evidence, "V1-seen", "labels") == "c"


def test_a_task_s_own_seeds_are_read(judged_study, new_evidence):
    """A task that is trained with some of the study's seeds: their clean accuracies are all that there are."""
    study = judged_study()
    evidence = new_evidence(study)
    own = {name: replace(task, seeds=(0, 2, 4)) for name, task in study.tasks.items()}
    fewer = dataclasses.replace(
        evidence,
        study=replace(study, tasks=own),
        clean={key: value for key, value in evidence.clean.items() if key[1] in (0, 2, 4)},
    )
    assert clean_difference(fewer, LO_WINS) == pytest.approx(0)
    (row,) = [row for row in verdict_rows(fewer) if row["condition"] == "LO"]
    assert row["n_seeds"] == 3 and math.isfinite(row["matched"])


# --- Holm ---


def weak(evidence, condition="LO", images=12):
    """The condition stands for some images more, some images by chance and not in every seed alike."""
    for seed in range(5):
        cell, none = evidence.cells["pgd"][condition, seed], evidence.cells["pgd"]["none", seed]
        robust = none.robust.copy()
        robust[180 : 180 + images + 4 * (seed % 3), 2] = True
        evidence.cells["pgd"][condition, seed] = cell._replace(robust=robust)
    return evidence


def test_a_family_is_corrected_for_its_size(judged_study, new_evidence):
    evidence = weak(new_evidence(judged_study()))
    asked = Asked((LO_WINS,))
    (alone,) = judge(evidence, [asked])
    (among,) = judge(evidence, [asked], others=9)
    assert 0.005 < alone.p < 0.05 and (alone.level, among.level) == (0.95, pytest.approx(0.995))
    assert alone.word == "supported" and among.word == "undetermined"
    assert alone.interval == among.interval, "what is shown is the 95 % interval"


def test_the_family_is_a_study_s_primary_contrasts(judged_study, new_evidence):
    study = judged_study()
    rows = verdict_rows(new_evidence(study))
    assert sorted(row["level"] for row in rows) == pytest.approx([0.95, 0.975])
    assert family_size(study, "scenes") == 2
    assert family_size(judged_study(conditions={"V1-shuffled": None}), "scenes") == 1
    part = replace(study, conditions={n: c for n, c in study.conditions.items() if c.roi != "V1"})
    (row,) = verdict_rows(new_evidence(part), whole=study)
    assert row["level"] == pytest.approx(0.975), "one ROI's page counts the conditions that it does not read"


# --- clean accuracy ---


def test_readings_are_what_they_say(judged_study, new_evidence):
    evidence = new_evidence(judged_study())
    cells = cells_of(evidence, LO_WINS)
    found = readings(evidence, LO_WINS, cells)
    slow = {"area": [], "both": [], "matched": []}
    for seed in range(5):
        own, none = (evidence.cells["pgd"][name, seed] for name in ("LO", "none"))
        areas = [np.trapezoid(c.robust.mean(0)[1:], [2, 4, 8]) / 6 / c.robust[:, 0].mean() for c in (own, none)]
        slow["area"].append(areas[0] - areas[1])
        both = own.robust[:, 0] & none.robust[:, 0]
        slow["both"].append(own.robust[both, 2].mean() - none.robust[both, 2].mean())
        slow["matched"].append(own.robust[:, 2].mean() - none.robust[:, 2].mean())
    for name, values in slow.items():
        assert found[name].mean == pytest.approx(np.mean(values)), name
        assert found[name].low < found[name].mean < found[name].high or name == "matched"


def test_what_clean_accuracy_explains_is_not_supported(judged_study, new_evidence):
    """LO reads more clean images and keeps the same share of them: its gain is not one of robustness."""
    changed = dict.fromkeys(("none", "LO-shuffled", "V1", "V1-shuffled"), (0.6, 0.42, 0.3, 0.1))
    changed |= {"LO": (0.9, 0.63, 0.45, 0.15), "adversarial": (0.8, 0.75, 0.7, 0.6)}
    row = next(r for r in verdict_rows(new_evidence(judged_study(), changed)) if r["condition"] == "LO")
    assert row["low"] > 0 and row["verdict"] == "undetermined" and "clean accuracy" in row["reason"]
    assert row["area"] == pytest.approx(0, abs=0.02) and math.isnan(row["matched_low"]), "no matched network"


def test_a_sweep_finds_a_network_of_matched_clean_accuracy(judged_study, new_evidence, new_condition):
    conditions = {"LO-w0.5": new_condition("LO", weight=0.5, sweep="LO")}
    changed = {"LO": (0.7, 0.6, 0.5, 0.3), "LO-w0.5": (0.89, 0.7, 0.52, 0.2)}
    evidence = new_evidence(judged_study(conditions=conditions), changed)
    found = readings(evidence, LO_WINS, cells_of(evidence, LO_WINS))["matched"]
    assert found.mean == pytest.approx(0.12)
    far = new_evidence(judged_study(), {"LO": changed["LO"]})
    assert math.isnan(readings(far, LO_WINS, cells_of(far, LO_WINS))["matched"].mean)


def test_sizes_are_smallest_perturbations(judged_study, new_evidence):
    evidence = new_evidence(judged_study())
    total = LO_WINS._replace(measure="size")
    table = outcomes(evidence, total, cells_of(evidence, total))
    steps = np.diff([0, 2, 4, 8], append=8)
    own, none = (evidence.cells["pgd"][name, 0].robust for name in ("LO", "none"))
    smallest = [np.where(robust.all(1), 8, np.array([0, 2, 4, 8])[(~robust).argmax(1)]) for robust in (own, none)]
    both = own[:, 0] & none[:, 0]
    assert table[0].mean() == pytest.approx((smallest[0] - smallest[1])[both].mean()) and len(steps) == 4


def test_reading_more_clean_images_makes_no_size_larger(judged_study, new_evidence):
    """A clean error has no smallest perturbation: it is no image that broke at 0."""
    evidence = new_evidence(judged_study(), {"LO": (0.9, 0.5, 0.2, 0.1), "none": (0.5, 0.5, 0.2, 0.1)})
    total = LO_WINS._replace(measure="size")
    assert outcomes(evidence, total, cells_of(evidence, total)).mean() == pytest.approx(0)
    nothing = {key: cell._replace(robust=cell.robust & False) for key, cell in cells_of(evidence, total).items()}
    assert outcomes(evidence, total, nothing).shape == (5, 0)
    (answer,) = judge(new_evidence(judged_study(), {"LO": (0, 0, 0, 0)}), [Asked((total,))])
    assert (answer.word, answer.reason) == ("undetermined", "no image or seed in common")


# --- trend ---


def hierarchy(judged_study, new_condition, gains, **changes):
    rois = ("V1", "V2", "hV4", "LO", "TO")[: len(gains)]
    conditions, levels = {}, {}
    for roi, gain in zip(rois, gains, strict=True):
        conditions |= {roi: new_condition(roi), f"{roi}-shuffled": new_condition(roi, control="shuffled")}
        levels |= {roi: (0.9, 0.7, 0.4 + gain, 0.1), f"{roi}-shuffled": (0.9, 0.7, 0.4, 0.1)}
    return judged_study(conditions=conditions, rois=rois, **changes), levels


def test_a_planted_hierarchy_is_found(judged_study, new_evidence, new_condition):
    study, levels = hierarchy(judged_study, new_condition, (0.0, 0.05, 0.1, 0.15, 0.2))
    evidence = shaken(new_evidence(study, levels))
    (row,) = trend_rows(evidence)
    assert row["verdict"] == "supported" and row["rois"] == "V1 < V2 < hV4 < LO < TO"
    assert row["slope"] == pytest.approx(0.05, abs=0.01) and row["p"] < 1e-4


def shaken(evidence):
    """Seeds that differ by a few images."""
    rng = np.random.default_rng(1)
    for key, cell in evidence.cells["pgd"].items():
        robust = cell.robust.copy()
        robust[rng.integers(0, 400, 6), 2] ^= True
        evidence.cells["pgd"][key] = cell._replace(robust=robust)
    return evidence


def test_the_reverse_order_is_contradicted_and_a_flat_one_not_supported(judged_study, new_evidence, new_condition):
    study, levels = hierarchy(judged_study, new_condition, (0.2, 0.15, 0.1, 0.05, 0.0))
    assert trend_rows(shaken(new_evidence(study, levels)))[0]["verdict"] == "contradicted"
    study, levels = hierarchy(judged_study, new_condition, (0.1, 0.1, 0.1, 0.1, 0.1))
    assert trend_rows(shaken(new_evidence(study, levels)))[0]["verdict"] in ("not supported", "undetermined")


def test_a_trend_needs_three_areas_and_the_gates(judged_study, new_evidence, new_condition):
    study, levels = hierarchy(judged_study, new_condition, (0.0, 0.1))
    study = replace(study, conditions={n: c for n, c in study.conditions.items() if c.roi != "LO"})
    assert trend_rows(new_evidence(study, {k: v for k, v in levels.items() if k in study.conditions})) == []
    study, levels = hierarchy(judged_study, new_condition, (0.0, 0.1, 0.2))
    broken = new_evidence(study, levels | {"adversarial": (0.9, 0.7, 0.4, 0.1)})
    assert trend_rows(broken)[0]["verdict"] == "undetermined (sensitivity)"


def test_a_trend_s_rows_are_seeds_that_all_its_areas_have(judged_study, new_evidence, new_condition):
    """Other seeds failed under other areas: what is left is paired, and an area that met no attack is left out."""
    study, levels = hierarchy(judged_study, new_condition, (0.0, 0.05, 0.1, 0.15))
    evidence = shaken(new_evidence(study, levels))
    whole = next(iter(along(evidence, ("V1", "V2", "hV4", "LO")).values())).increments
    del evidence.cells["pgd"]["V2", 1], evidence.cells["pgd"]["LO-shuffled", 3]
    line = next(iter(along(evidence, ("V1", "V2", "hV4", "LO")).values()))
    assert line.increments == pytest.approx(whole[[0, 2, 4]])
    for seed in range(5):
        evidence.cells["pgd"].pop(("hV4", seed))
    assert next(iter(along(evidence, ("V1", "V2", "hV4", "LO")).values())).rois == ("V1", "V2", "LO")
    for seed in range(5):
        evidence.cells["pgd"].pop(("V2", seed), None) if seed % 2 else evidence.cells["pgd"].pop(("LO", seed), None)
    (row,) = trend_rows(evidence)
    assert (row["verdict"], row["n_seeds"]) == ("undetermined", 0)


def test_a_trend_pays_for_the_number_of_recipes(judged_study, new_evidence, new_condition):
    """Sure enough for one recipe, and not for one of two."""
    slope, p = Interval(0.05, 0.005, 0.095, 4), 0.001
    assert trend_verdict(Trend(p, slope), 0.01, [], 0.95)[0] == "supported"
    word, reason = trend_verdict(Trend(p, slope), 0.01, [], 0.975)
    low, high = (100 * end for end in at_level(slope, 0.975)[1:3])
    assert word == "undetermined" and reason.endswith(f"judged at 97.5 %: [{low:.1f}, {high:.1f}]".replace("-", "−"))
    found = []
    for recipes in ((), ("cka",)):
        conditions, levels = {}, {}
        for loss in ("mse", *recipes):
            for roi, gain in zip(("V1", "hV4", "LO"), (0.0, 0.08, 0.1), strict=True):
                own = f"{roi}-{loss}"
                conditions |= {own: new_condition(roi, loss=loss)}
                conditions |= {f"{own}-shuffled": new_condition(roi, loss=loss, control="shuffled")}
                levels |= {own: (0.9, 0.7, 0.4 + gain, 0.1), f"{own}-shuffled": (0.9, 0.7, 0.4, 0.1)}
        plain = dict.fromkeys(("V1", "V1-shuffled", "LO", "LO-shuffled"))
        study = judged_study(conditions=plain | conditions, rois=("V1", "hV4", "LO"))
        found.append(trend_rows(shaken(new_evidence(study, levels))))
    assert [len(rows) for rows in found] == [1, 2]
    for level, rows in zip((0.95, 0.975), found, strict=True):
        for row in rows:
            slope = Interval(row["slope"], row["low"], row["high"], 4)
            assert row["verdict"] == trend_verdict(Trend(row["p"], slope), 0.01, [], level)[0]


def test_networks_without_a_seed_in_common_are_told_and_break_no_table(judged_study, new_evidence):
    evidence = new_evidence(judged_study())
    for seed in range(5):
        del evidence.cells["pgd"]["LO" if seed % 2 else "LO-shuffled", seed]
    row = next(row for row in verdict_rows(evidence) if row["condition"] == "LO")
    assert (row["verdict"], row["reason"]) == ("undetermined", "no image or seed in common")
    assert row["contrast"] == "LO − LO-shuffled" and row["n_seeds"] == 0


# --- from files ---


@pytest.fixture(scope="module")
def two_architectures(tmp_path_factory, judged_study, fill_study):
    study = judged_study(architectures=("resnet18", "small"), tasks=("digits",))
    root = tmp_path_factory.mktemp("two") / "results"
    return fill_study(replace(study, results=str(root)))


def overwrite(study, architecture, condition, change):
    """Change the rows of one condition's PGD tables under one architecture."""
    for seed in study.seeds:
        path = attack_table_path(study.root, f"digits/{architecture}/{condition}/seed{seed}", "pgd")
        frame, attrs = read_parquet(path)
        write_parquet(path, change(frame), attrs)


@pytest.mark.slow
def test_one_architecture_s_failure_is_invisible_in_another_s_rows(two_architectures, tmp_path):
    """Nothing breaks the networks of one: its rows say so, and not a digit of the other's changes."""
    before = collect_results(two_architectures, extras=False)
    shutil.copytree(two_architectures.root, tmp_path / "results")
    study = replace(two_architectures, results=str(tmp_path / "results"))
    for condition in study.conditions:
        overwrite(study, "small", condition, lambda frame: frame.assign(success=~frame["clean_correct"]))
    after = collect_results(study, extras=False)
    for name in ("gates", "verdicts", "trend", "summary"):
        old, new = (tables[name][tables[name]["architecture"] == "resnet18"] for tables in (before, after))
        assert old.to_csv() == new.to_csv(), name
    small = after["verdicts"][after["verdicts"]["architecture"] == "small"]
    assert set(small["verdict"]) == {"undetermined (range)"}
    assert not (before["verdicts"]["verdict"] == "undetermined (range)").any()


@pytest.mark.slow
def test_a_broken_positive_control_silences_every_roi(two_architectures, tmp_path):
    """Adversarial training of zero steps is `none`: whatever the ROIs did, nothing may be said of them."""
    shutil.copytree(two_architectures.root, tmp_path / "results")
    study = replace(two_architectures, results=str(tmp_path / "results"))
    for architecture in study.architectures:
        for seed in study.seeds:
            pair = [attack_table_path(study.root, f"digits/{architecture}/{name}/seed{seed}", "pgd")
                    for name in ("none", "adversarial")]  # fmt: skip
            shutil.copy(*pair)
    tables = collect_results(study, extras=False)
    assert set(tables["verdicts"]["verdict"]) == {"undetermined (sensitivity)"} and len(tables["verdicts"]) == 4
    failed = tables["gates"][tables["gates"]["gate"] == "sensitivity"]
    assert not failed["passed"].astype(bool).any() and "+0.0" in failed["sentence"].iloc[0]


def test_intervals_are_those_of_the_statistics(judged_study, new_evidence):
    evidence = weak(new_evidence(judged_study()))
    table = outcomes(evidence, LO_WINS, cells_of(evidence, LO_WINS))
    (answer,) = judge(evidence, [Asked((LO_WINS,))])
    assert answer.interval == crossed_interval(table)
    assert answer.readings["matched"] == seed_interval(table.mean(1))
    (turned,) = judge(evidence, [Asked((LO_WINS,), "less")])
    assert turned.word == "contradicted" and turned.interval == pytest.approx(answer.interval)


@pytest.mark.parametrize("how", [{"pairs": True}, {"on": "stimuli", "predictor": "gnet"}])
def test_guidance_on_stimuli_must_beat_the_labels_of_those_stimuli(judged_study, new_evidence, new_condition, how):
    """More images are more data, with or without a brain."""
    conditions = {name: new_condition("LO", control=control, **how) for name, control in (
        ("LO-seen", None), ("LO-seen-shuffled", "shuffled"))}  # fmt: skip
    levels = {"LO-seen": (0.9, 0.8, 0.6, 0.3), "LO-seen-shuffled": (0.9, 0.7, 0.4, 0.1)}
    rows = {row["condition"]: row for row in verdict_rows(new_evidence(judged_study(conditions=conditions), levels))}
    assert "needs control labels of LO-seen" in rows["LO-seen"]["reason"]
    assert rows["LO"]["verdict"] == "supported", "guidance on the task's images needs none"
    conditions["LO-seen-labels"] = new_condition("LO", control="labels", on="stimuli", predictor="gnet")
    levels["LO-seen-labels"] = (0.95, 0.9, 0.8, 0.5)
    rows = {row["condition"]: row for row in verdict_rows(new_evidence(judged_study(conditions=conditions), levels))}
    assert rows["LO-seen"]["verdict"] == "contradicted"
    assert rows["LO-seen"]["contrast"] == "LO-seen − LO-seen-labels"

"""The verdict along a hierarchy of areas: found, reversed, flat, and corrected for the number of recipes."""

import numpy as np
import pytest
from msgspec.structs import replace

from neurobust.report.entries import with_interval
from neurobust.report.verdicts import along, at_level, trend_rows, trend_verdict
from neurobust.statistics import Interval, Trend


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
    stricter = with_interval(slope.mean, *at_level(slope, 0.975)[1:3], "pp a step")
    assert word == "undetermined" and reason.endswith(f"judged at 97.5 %: {stricter}")
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

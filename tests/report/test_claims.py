"""Claims against a study: which networks a claim means, what it reads, and what is said where it cannot be tested."""

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.attacks.semantic.description import SemanticAttack
from neurobust.attacks.semantic.plan import SemanticPlan
from neurobust.core.io import write_parquet
from neurobust.files.semantic_table import semantic_table_path
from neurobust.networks.conditions import Condition
from neurobust.networks.references_settings import Blur
from neurobust.report.claims import claim_rows
from neurobust.report.contrasts import NotInStudyError, cells_of, outcomes, sums_of
from neurobust.report.semantic_evidence import with_semantic
from neurobust.statistics import crossed_interval, one_sided_p
from neurobust.study.claims import Claim, Contrast
from neurobust.study.model import Semantic


def claim(*contrasts, **changes):
    return Claim(**{"says": "so", "source": "us", "contrasts": contrasts, **changes})


def contrast(condition, baseline, **more):
    return Contrast(condition=condition, baseline=baseline, **more)


def rows_of(evidence, **claims):
    return claim_rows(replace(evidence.study, claims=claims), [evidence])


def row_of(evidence, one):
    (row,) = rows_of(evidence, one=one)
    return row


# --- which networks ---


@pytest.fixture
def study(judged_study, new_condition):
    """Two recipes of LO, one of V1, controls of LO and a reference."""
    return judged_study(conditions={
        "LO-cka": new_condition("LO", loss="cka"),
        "LO-cka-shuffled": new_condition("LO", loss="cka", control="shuffled"),
        "LO-random": new_condition("LO", control="random"),
        "V1-w0.5": new_condition("V1", weight=0.5, sweep="V1"),
        "soft": Condition(weight=0.9, reference=Blur(kind="blur")),
    })  # fmt: skip


@pytest.fixture
def evidence(study, new_evidence):
    level = (0.9, 0.7, 0.4, 0.1)
    more = dict.fromkeys(("LO-cka", "LO-cka-shuffled", "LO-random", "V1-w0.5", "soft"), level)
    hue = dict.fromkeys(("none", "LO"), (0.9, 0.4))
    return new_evidence(study, more, {"hue": hue})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (contrast("LO", "V1"), ["LO − V1"]),
        (contrast("LO", "none"), ["LO − none", "LO-cka − none"]),
        (contrast("LO", "shuffled"), ["LO − LO-shuffled", "LO-cka − LO-cka-shuffled"]),
        (contrast("LO", "random"), ["LO − LO-random"]),
        (contrast("LO-random", "none"), ["LO-random − none"]),
        (contrast("LO-cka", "LO-cka-shuffled"), ["LO-cka − LO-cka-shuffled"]),
        (contrast("LO", "blur"), ["LO − soft", "LO-cka − soft"]),
        (contrast("blur", "LO"), ["soft − LO", "soft − LO-cka"]),
        (contrast("V1", "V1-w0.5"), ["V1 − V1-w0.5"]),
        (contrast("V1", "LO-cka"), ["V1 − LO-cka"]),
        (contrast("LO", "V1", over="shuffled"), ["(LO − LO-shuffled) − (V1 − V1-shuffled)"]),
    ],
)
def test_names_of_rois_controls_and_references_find_a_study_s_conditions(evidence, given, expected):
    """A recipe is held against the same recipe, unless a claim names a condition itself."""
    assert sorted(total.text for total in sums_of(evidence, given).values()) == sorted(expected)


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        (contrast("FFA", "none"), "FFA"),
        (contrast("LO", "pixels"), "control pixels of LO"),
        (contrast("LO", "none", attack="cadv"), "attack cadv"),
        (contrast("LO", "low-pass"), "low-pass"),
        (contrast("V1", "none", attack="hue"), "V1 under hue"),
        (contrast("LO-cka", "V1"), "LO-cka and V1 of one recipe"),
    ],
)
def test_what_a_study_lacks_is_named(evidence, given, lacking):
    with pytest.raises(NotInStudyError) as caught:
        sums_of(evidence, given)
    assert str(caught.value) == lacking
    row = row_of(evidence, claim(given, needs="more"))
    assert row["verdict"] == "undetermined" and row["reason"] == f"not in this study: needs {lacking}, more"
    assert "task" not in row


def test_attacks_go_by_name_or_by_norm(evidence):
    for name, attack in (("primary", "pgd"), ("pgd", "pgd"), ("linf", "pgd"), ("hue", "hue")):
        assert {total.attack for total in sums_of(evidence, contrast("LO", "none", attack=name)).values()} == {attack}


def test_an_attack_that_lacks_its_norm_s_budget_tests_nothing(judged_study, new_evidence, new_plan):
    attacks = {"pgd": new_plan("pgd", budgets=(0, 2, 4, 8)), "auto": new_plan("auto", budgets=(0, 2))}
    evidence = new_evidence(
        judged_study(attacks=attacks), more={"auto": dict.fromkeys(("none", "LO"), (0.9, 0.5))}
    )  # fmt: skip
    row = row_of(evidence, claim(contrast("LO", "none", attack="auto")))
    assert row["reason"] == "not in this study: needs the reference budget of its norm among those of auto"


# --- what is said ---


def test_every_contrast_of_a_claim_must_hold(judged_study, new_evidence):
    evidence = new_evidence(judged_study())
    row = row_of(evidence, claim(contrast("LO", "none"), contrast("LO", "shuffled")))
    assert row["verdict"] == "supported" and row["decides"] == "LO − LO-shuffled" and row["task"] == "scenes"
    assert (row["attack"], row["budget"], row["unit"], row["n_seeds"], row["n_images"]) == (
        "pgd",
        4,
        "accuracy",
        5,
        400,
    )
    row = row_of(evidence, claim(contrast("LO", "none"), contrast("V1", "none")))
    assert row["verdict"] == "not supported" and row["decides"] == "V1 − none"


def test_directions(judged_study, new_evidence):
    evidence = new_evidence(judged_study())
    less = claim(contrast("none", "LO"), direction="less")
    assert row_of(evidence, less)["verdict"] == "supported" and row_of(evidence, less)["difference"] < 0
    assert row_of(evidence, less)["reason"].startswith("below 0"), "as the difference that is shown"
    assert row_of(evidence, claim(contrast("LO", "none"), direction="less"))["reason"].startswith("above 0")
    size = row_of(evidence, claim(contrast("none", "LO", measure="size"), direction="less", margin=0.1))
    assert size["verdict"] == "supported" and "interval −" in size["reason"] and size["difference"] < 0
    assert row_of(evidence, claim(contrast("none", "LO")))["verdict"] == "contradicted"
    assert row_of(evidence, claim(contrast("V1", "none"), direction="no-more"))["verdict"] == "supported"
    assert row_of(evidence, claim(contrast("LO", "none"), direction="no-more"))["verdict"] == "contradicted"
    assert row_of(evidence, claim(contrast("none", "LO"), direction="no-more"))["verdict"] == "supported"


def test_there_is_nothing_to_explain_where_there_is_no_gain(judged_study, new_evidence):
    evidence = new_evidence(judged_study())
    given = contrast("V1", "none")
    row = row_of(evidence, claim(contrast("V1", "shuffled"), direction="no-more", given=given))
    assert row["verdict"] == "undetermined" and row["reason"] == "nothing to explain: V1 − none is not supported"
    row = row_of(evidence, claim(contrast("V1", "shuffled"), direction="no-more", given=contrast("LO", "none")))
    assert row["verdict"] == "supported"


def test_a_gain_over_none_that_the_shuffle_has_too_is_nothing_to_explain(judged_study, new_evidence):
    given = contrast("LO", "none")
    one = claim(contrast("V1", "LO"), direction="no-more", given=given)
    found = new_evidence(judged_study(), {"LO-shuffled": (0.9, 0.8, 0.6, 0.3)})
    assert row_of(found, one)["reason"] == "nothing to explain: LO − LO-shuffled is not supported"
    alone = new_evidence(judged_study(conditions={"LO-shuffled": None}))
    assert row_of(alone, one)["verdict"] == "supported", "without a shuffle it is the premise alone"


def test_no_more_is_judged_inside_its_family(judged_study, new_evidence):
    """That a difference lies below the margin is what is asked: it pays for the number of claims like any other."""
    evidence = new_evidence(judged_study())
    for seed, images in enumerate((0, 2, 6, 11, 4)):
        cell = evidence.cells["pgd"]["V1", seed]
        robust = evidence.cells["pgd"]["none", seed].robust.copy()
        robust[200 : 200 + images, 2] = True
        evidence.cells["pgd"]["V1", seed] = cell._replace(robust=robust)
    (total,) = sums_of(evidence, contrast("V1", "none")).values()
    table = outcomes(evidence, total, cells_of(evidence, total))
    p = one_sided_p(0.03 - table)
    assert 0.005 < p < 0.05 and crossed_interval(table).low < 0
    no_more = claim(contrast("V1", "none"), direction="no-more")
    row = row_of(evidence, no_more)
    assert row["verdict"] == "supported" and row["p"] == pytest.approx(p)
    lost = {f"c{i}": claim(contrast("V1", "none")) for i in range(19)}
    among = rows_of(evidence, one=no_more, **lost)[0]
    assert among["verdict"] == "undetermined" and among["level"] == pytest.approx(1 - 0.05 / 20)


def test_claims_pass_the_gates_or_say_nothing(judged_study, new_evidence):
    evidence = new_evidence(judged_study(), {"adversarial": (0.9, 0.7, 0.4, 0.1)})
    order = Claim(says="so", source="us", order=("V1", "V2", "LO"))
    assert row_of(evidence, claim(contrast("LO", "none")))["verdict"] == "undetermined (sensitivity)"
    assert row_of(evidence, order)["reason"] == "not in this study: needs three of V1, V2, LO, each with its shuffle"


def test_the_ledger_is_one_family(judged_study, new_evidence):
    evidence = new_evidence(judged_study())
    many = {f"c{i}": claim(contrast("LO", "none")) for i in range(4)}
    assert [row["level"] for row in rows_of(evidence, **many)] == pytest.approx([0.9875, 1 - 0.05 / 3, 0.975, 0.95])


def test_sizes_are_in_the_attack_s_unit(judged_study, new_evidence):
    evidence = new_evidence(judged_study())
    row = row_of(evidence, claim(contrast("LO", "none", measure="size"), margin=0.1))
    smallest = [
        np.minimum.reduce([np.where(cell.robust[:, k], 8, cell.budgets[k]) for k in range(4)]).mean()
        for cell in (evidence.cells["pgd"]["LO", 2], evidence.cells["pgd"]["none", 2])
    ]
    assert row["verdict"] == "supported" and row["unit"] == "1/255"
    assert row["difference"] == pytest.approx((smallest[0] - smallest[1]) / 0.9, abs=0.05), "of those read rightly"
    assert "pp" not in row["reason"]


def test_an_order_is_a_trend(judged_study, new_evidence, new_condition):
    rois, gains = ("V1", "V2", "LO"), (0.0, 0.1, 0.2)
    conditions, levels = {}, {}
    for roi, gain in zip(rois, gains, strict=True):
        conditions |= {roi: new_condition(roi), f"{roi}-shuffled": new_condition(roi, control="shuffled")}
        levels |= {roi: (0.9, 0.7, 0.4 + gain, 0.1), f"{roi}-shuffled": (0.9, 0.7, 0.4, 0.1)}
    evidence = new_evidence(judged_study(conditions=conditions, rois=rois), levels)
    cell = evidence.cells["pgd"]["LO", 0]
    robust = cell.robust.copy()
    robust[:, 2] = np.arange(400) < 236
    evidence.cells["pgd"]["LO", 0] = cell._replace(robust=robust)  # seeds differ
    row = row_of(evidence, Claim(says="so", source="us", order=("V1", "V2", "hV4", "LO", "TO"), margin=0.01))
    assert row["verdict"] == "supported" and row["decides"] == "slope along V1 < V2 < LO"
    assert row["difference"] == pytest.approx(0.1, abs=0.005) and row["unit"] == "accuracy per step"


def test_every_task_and_recipe_that_tests_a_claim_has_a_row(evidence):
    rows = rows_of(evidence, one=claim(contrast("LO", "none")), two=claim(contrast("FFA", "none")))
    assert [(row["claim"], row.get("decides")) for row in rows] == [
        ("one", "LO − none"), ("one", "LO-cka − none"), ("two", None)
    ]  # fmt: skip


# --- semantic attacks ---


def write_strengths(root, condition, seed, standing, gates_passed=True):
    """A semantic attack's table: `standing` of 100 images at strengths 1 and 8."""
    frames = []
    for strength, count in zip((1.0, 8.0), standing, strict=True):
        images = np.arange(100)
        frame = pd.DataFrame({"image": images, "variant": "attack", "strength": strength, "clean_correct": images < 90})
        frames.append(frame.assign(success=images >= count + seed))
    attrs = {
        "task": "scenes", "architecture": "resnet18", "condition": condition, "seed": seed, "attack": "cadv",
        "axis": "free colour clusters", "gates": [], "gates_passed": gates_passed, "settings": {},
    }  # fmt: skip
    write_parquet(
        semantic_table_path(root, f"scenes/resnet18/{condition}/seed{seed}", "cadv"), pd.concat(frames), attrs
    )


@pytest.mark.parametrize(("gates_passed", "word"), [(True, "supported"), (False, "undetermined (masking)")])
def test_a_claim_may_be_about_a_semantic_attack(judged_study, new_evidence, tmp_path, gates_passed, word):
    plan = SemanticPlan("cadv", SemanticAttack(), conditions=("none", "LO"))
    study = replace(judged_study(), results=str(tmp_path), semantic=Semantic(100, {"cadv": plan}, {}))
    for seed in study.seeds:
        write_strengths(tmp_path, "none", seed, (85, 30), gates_passed)
        write_strengths(tmp_path, "LO", seed, (86, 70), gates_passed)
    evidence = with_semantic(new_evidence(study))
    row = row_of(evidence, claim(contrast("LO", "none", attack="cadv")))
    assert (row["verdict"], row["attack"], row["budget"]) == (word, "cadv", 8), "the strength at which none is in range"
    assert row["difference"] == pytest.approx(0.4) and row["n_images"] == 100
    fixed = with_semantic(new_evidence(replace(study, semantic=Semantic(
        100, {"cadv": SemanticPlan("cadv", SemanticAttack(), None, ("none", "LO"), 1.0)}, {}))))  # fmt: skip
    assert row_of(fixed, claim(contrast("LO", "none", attack="cadv")))["verdict"] == ("undetermined (range)"), (
        "a strength that the study chose is kept, whether it shows anything or not"
    )

"""Gates: each passes, fails and is missing; the reference budget comes from `none` alone and is one per norm."""

import math

import numpy as np
import pytest

from neurobust.networks.conditions import Condition
from neurobust.networks.references_settings import Blur
from neurobust.report.cells import Cell
from neurobust.report.gates import at_reference, choose, gate_rows, gates_of, nearest_to_range
from neurobust.report.shown import ShownAttack

PGD, FGSM = (ShownAttack(name, name.upper(), "linf", "1/255") for name in ("pgd", "fgsm"))


def network(*levels, budgets=(0, 2, 4, 8), n=100):
    """A network that stands at these accuracies."""
    robust = np.arange(n)[:, None] < np.array([round(n * level) for level in levels])
    return Cell(np.arange(n), np.array(budgets[: len(levels)], float), robust, {})


def gates(evidence, conditions=("LO", "LO-shuffled", "none")):
    return {gate.name: gate for gate in gates_of(evidence, "pgd", conditions)}


# --- the reference budget ---


def test_the_reference_budget_is_the_smallest_at_which_none_is_in_range():
    cells = {("none", 0): network(0.95, 0.8, 0.5, 0.2), ("none", 1): network(0.95, 0.9, 0.6, 0.2)}
    chosen = choose(PGD, cells)
    assert (chosen.budget, chosen.in_range) == (4, True) and chosen.accuracy == pytest.approx(0.55)
    assert chosen.levels == pytest.approx({2: 0.85, 4: 0.55, 8: 0.2}), "budget 0 is no budget"


def test_the_ends_of_the_range_are_in_it():
    assert choose(PGD, {("none", 0): network(0.9, 0.6)}).in_range
    assert choose(PGD, {("none", 0): network(0.9, 0.1)}).in_range
    assert not choose(PGD, {("none", 0): network(0.9, 0.61)}).in_range
    assert not choose(PGD, {("none", 0): network(0.9, 0.09)}).in_range


@pytest.mark.parametrize("end", [0.1, 0.6])
@pytest.mark.parametrize("counts", [(9, 10, 11), (7, 9, 14), (8, 9, 10, 11, 12)])
def test_the_ends_of_the_range_are_in_it_for_the_mean_of_several_seeds(end, counts):
    """A mean of shares of images is not exact: of three seeds it is .10000000000000002, or .5999999999999999."""
    shares = [end + (count - 10) / 100 for count in counts]
    assert choose(PGD, {("none", seed): network(0.9, share) for seed, share in enumerate(shares)}).in_range


def test_no_other_condition_has_a_say():
    alone = {("none", 0): network(0.9, 0.8, 0.5, 0.0)}
    others = {("LO", 0): network(0.9, 0.3, 0.2, 0.1), ("adversarial", 0): network(0.9, 0.5, 0.5, 0.5)}
    assert choose(PGD, alone | others) == choose(PGD, alone)


def test_without_one_in_range_the_middle_budget_is_shown():
    chosen = choose(PGD, {("none", 0): network(0.95, 0.9, 0.8, 0.7)})
    assert (chosen.budget, chosen.in_range) == (4, False)
    chosen = choose(PGD, {("LO", 0): network(0.95, 0.5, 0.4, 0.3)})
    assert (chosen.budget, chosen.in_range, chosen.levels) == (4, False, {}) and math.isnan(chosen.accuracy)


def test_one_budget_for_all_attacks_of_a_norm_and_it_is_the_worst_case_s():
    worst = ShownAttack("worst-linf", "worst", "linf", "1/255", members=("fgsm", "pgd"))
    shown = {"fgsm": FGSM, "pgd": PGD, "worst-linf": worst, "l2": ShownAttack("l2", "L2", "l2", "L2")}
    cells = {
        "fgsm": {("none", 0): network(0.95, 0.9, 0.8, 0.5)},
        "pgd": {("none", 0): network(0.95, 0.5, 0.2, 0.0)},
        "worst-linf": {("none", 0): network(0.95, 0.5, 0.2, 0.0)},
        "l2": {("none", 0): network(0.95, 0.9, 0.5, budgets=(0, 0.5, 1))},
    }
    attacks, chosen = at_reference(shown, cells)
    budgets = {name: attack.reference_budget for name, attack in attacks.items()}
    assert budgets == {"fgsm": 2, "pgd": 2, "worst-linf": 2, "l2": 1}
    assert chosen["linf", "1/255"].attack == "worst-linf" and chosen["l2", "L2"].attack == "l2"


def test_an_attack_without_the_budget_is_not_read_at_another():
    attack = ShownAttack("a", "A", "linf", "1/255", reference_budget=2)
    assert attack.reference([0, 2, 4]) == 2 and attack.reference([0, 1, 4]) is None
    assert ShownAttack("a", "A", "linf", "1/255").reference([0, 0.5, 1, 2, 4, 8]) == 2, "the middle one"


def test_a_strength_that_a_study_chose_stays():
    chosen = choose(
        ShownAttack("cadv", "cAdv", "cadv", "clusters", reference_budget=8), {("none", 0): network(0.9, 0.5, 0.4, 0.3)}
    )
    assert (chosen.budget, chosen.in_range) == (8, True)


# --- range ---


def test_range_passes_and_fails(judged_study, new_evidence):
    study = judged_study()
    passed = gates(new_evidence(study))["range"]
    assert passed.passed and passed.sentence == "none stands at 40 % under PGD at 4/255"
    failed = gates(new_evidence(study, {"none": (0.9, 0.9, 0.8, 0.7)}))
    assert not failed["range"].passed and failed["range"].sentence.endswith(": 70 % at 8/255, give larger ones")
    assert not failed["sensitivity"].passed and "cannot be read" in failed["sensitivity"].sentence


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ({1.0: 0.9, 2.0: 0.64, 4.0: 0.09, 8.0: 0.0}, "64 % at 2/255 and 9 % at 4/255, give one between"),
        ({1.0: 0.9, 2.0: 0.61}, "61 % at 2/255, give larger ones"),
        ({1.0: 0.05, 2.0: 0.0}, "5 % at 1/255, give smaller ones"),
    ],
)
def test_a_range_that_no_budget_meets_says_where_one_is_missing(levels, said):
    assert nearest_to_range(levels, "1/255") == said


def test_a_strength_that_a_study_chose_is_the_one_that_is_told():
    attack = ShownAttack("cadv", "cAdv", "cadv", "steps", reference_budget=8)
    chosen = choose(attack, {("none", 0): network(0.9, 0.5, 0.4, 0.0)})
    assert not chosen.in_range and chosen.levels == {8.0: 0.0}


def test_range_needs_the_condition_none(judged_study, new_evidence):
    found = gates(new_evidence(judged_study(conditions={"none": None})), ("LO",))
    assert not found["range"].passed and found["range"].sentence == "there is no condition none"


# --- sensitivity ---


def test_sensitivity_passes_by_its_lower_bound_alone(judged_study, new_evidence):
    study = judged_study()
    assert gates(new_evidence(study))["sensitivity"].passed
    close = gates(new_evidence(study, {"adversarial": (0.8, 0.7, 0.52, 0.3)}))["sensitivity"]
    assert not close.passed and close.sentence.startswith("adversarial − none is +12.0 pp [")
    broken = gates(new_evidence(study, {"adversarial": (0.9, 0.6, 0.3, 0.1)}))["sensitivity"]
    assert not broken.passed and "−10.0" in broken.sentence


@pytest.mark.parametrize("control", [None, Condition(weight=0.9, reference=Blur(kind="blur"))])
def test_sensitivity_needs_a_positive_control(judged_study, new_evidence, control):
    """Without one, or with a reference that is none, nothing shows that a gain would be seen."""
    found = gates(new_evidence(judged_study(conditions={"adversarial": control})))["sensitivity"]
    assert not found.passed and "no adversarially trained condition" in found.sentence


def test_sensitivity_is_read_under_a_bounded_attack(judged_study, new_evidence):
    """Where the primary attack has no norm, the control is still held against the attacks that it is trained for."""
    study = judged_study(primary_attack="hue")
    hue = dict.fromkeys(study.conditions, (0.9, 0.4))
    found = gates(new_evidence(study, more={"hue": hue}))
    assert found["sensitivity"].passed and "PGD at 4/255" in found["sensitivity"].sentence


# --- masking ---


def spoil(evidence, condition, attack="pgd"):
    evidence.checks.append(
        {"condition": condition, "seed": 1, "attack": attack, "check": "doubled_steps", "passed": False}
    )
    return evidence


def test_masking_concerns_the_conditions_that_are_looked_at(judged_study, new_evidence):
    study = judged_study()
    assert gates(new_evidence(study))["masking"].passed
    found = spoil(new_evidence(study), "LO")
    assert gates(found)["masking"].sentence == "1 of 16 checks failed (LO seed 1: doubled steps)"
    assert not gates(found)["masking"].passed
    assert gates(found, ("V1", "V1-shuffled", "none"))["masking"].passed
    assert gates(spoil(new_evidence(study), "LO", attack="hue"))["masking"].passed, "of another attack"
    (row,) = [row for row in gate_rows(found) if row["gate"] == "masking"]
    assert (row["passed"], row["affects"]) == (False, "LO")


@pytest.mark.parametrize("name", ["pgd vs square", "pgd vs noise-uniform"])
def test_a_check_against_a_weaker_attack_is_one_of_the_attack(judged_study, new_evidence, name):
    """As `attacks.checks` writes them: what a weaker attack breaks and this one does not."""
    found = spoil(new_evidence(judged_study()), "LO", attack=name)
    assert not gates(found)["masking"].passed and gates(found, ("V1", "none"))["masking"].passed
    for other in ("pgd-l2 vs square", "hue vs pgd"):
        assert gates(spoil(new_evidence(judged_study()), "LO", attack=other))["masking"].passed, "of another attack"


def test_a_check_of_transfer_is_one_of_the_network(judged_study, new_evidence):
    """Another network's adversarials break what its own do not: whatever attack is asked."""
    found = new_evidence(judged_study())
    found.checks.append(
        {"condition": "LO", "seed": 1, "attack": "from V1 seed 0", "check": "transfer", "passed": False}
    )
    assert gates(found)["masking"].sentence == "1 of 16 checks failed (LO seed 1: transfer)"
    assert gates(found, ("V1", "none"))["masking"].passed


def test_a_missed_canary_spoils_everything(judged_study, new_evidence):
    canaries = [{"canary": "noisy input", "caught": False}, {"canary": "linear", "caught": True}]
    found = gates(new_evidence(judged_study(), canaries=canaries), ("V1", "none"))["masking"]
    assert not found.passed and found.sentence == "canaries were not caught: noisy input"


@pytest.mark.parametrize(("lacking", "word"), [("checks", "check"), ("canaries", "canary")])
def test_masking_needs_checks_and_canaries(judged_study, new_evidence, lacking, word):
    found = gates(new_evidence(judged_study(), **{lacking: []}))["masking"]
    assert not found.passed and found.sentence == f"no {word} was run"


def test_masking_needs_a_check_of_every_condition(judged_study, new_evidence):
    """Others' checks say nothing of a network that was attacked and not checked."""
    found = new_evidence(judged_study())
    found.checks[:] = [row for row in found.checks if row["condition"] != "LO-shuffled"]
    assert gates(found)["masking"].sentence == "no check was run of LO-shuffled" and not gates(found)["masking"].passed
    assert gates(found, ("V1", "V1-shuffled", "none"))["masking"].passed


def test_an_attack_whose_network_failed_its_gate_says_nothing(judged_study, new_evidence):
    assert not gates(new_evidence(judged_study(), spoiled=frozenset({"pgd"})))["masking"].passed


# --- recovery ---


def test_recovery_asks_whether_none_uses_the_cue(judged_study, new_evidence, new_plan, changed_study):
    plan = new_plan("cue-conflict", norm="cue", budgets=(0, 1))
    study = changed_study(judged_study(), attacks={**judged_study().attacks, "cue-conflict": plan}, tasks=("scenes",))
    for conflict, passed in ((0.2, True), (0.7, True), (0.75, False), (0.9, False)):
        evidence = new_evidence(study, more={"cue-conflict": {"none": (0.9, conflict), "LO": (0.9, 0.8)}})
        found = gates(evidence)["recovery"]
        assert found.passed == passed and f"from 90 to {100 * conflict:.0f} %" in found.sentence
    missing = new_evidence(study, more={"cue-conflict": {"LO": (0.9, 0.8)}})
    assert not gates(missing)["recovery"].passed
    assert "recovery" not in gates(new_evidence(study)), "a study that does not turn the cue is not asked"
    real = changed_study(study, phantom=False)
    evidence = new_evidence(real, more={"cue-conflict": {"none": (0.9, 0.9)}})
    assert "recovery" not in gates(evidence), "nothing is planted in a real study"

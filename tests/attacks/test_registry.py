"""Every registered attack's description: price, norms, unit, source and code; and that reading it imports no torch."""

import math
import subprocess
import sys
import typing

import msgspec
import pytest

from neurobust.attacks.ensemble import MEMBERS
from neurobust.attacks.losses import LOSSES, TARGETED
from neurobust.attacks.norms import MEASURED
from neurobust.attacks.plan import read_plan
from neurobust.attacks.registry import ATTACKS, CANARY_METHOD, attack_modules
from neurobust.attacks.search import AttackResult, Batch
from neurobust.core.places import load
from neurobust.core.settings import NODEFAULT, choices, options, read, schema, written

EVERY = pytest.mark.parametrize("method", list(ATTACKS))
BUDGETS = [0, 0.1, 0.2, 0.4]


@EVERY
def test_price_without_keys_is_the_price_at_the_defaults(method):
    kind = ATTACKS[method]
    plain = read_plan("a", {"method": method, "budgets": BUDGETS})
    full = read_plan("a", {"method": method, "budgets": BUDGETS, **written(kind())})
    assert plain == full and 0 < plain.passes == full.passes == kind().passes(3) < math.inf
    assert kind().passes(1) <= plain.passes
    assert (kind().passes(1) == plain.passes) == kind.minimum


@EVERY
def test_price_grows_with_every_count(method):
    """Twice the steps, draws, queries ... of a method cost more; what is no count costs nothing more."""
    kind = ATTACKS[method]
    # a cap; classes that DeepFool ranks; steps between moves
    free = {"max_queries", "candidates", "move_every"} if method != "blended" else set()
    for option in options(kind):
        if isinstance(option.default, int) and not isinstance(option.default, bool):
            more = msgspec.structs.replace(kind(), **{option.name: 2 * option.default + 1})
            assert (more.passes(3) > kind().passes(3)) == (option.name not in free), option.name


@EVERY
def test_description_is_whole(method):
    kind = ATTACKS[method]
    assert kind.norms() and kind().norm in kind.norms()
    assert kind.source and kind.__doc__ and kind.largest > 0
    for norm in kind.norms():
        attack = read(kind, {"norm": norm}, method)
        assert norm not in MEASURED or attack.unit  # brightness, contrast and saturation have no word for it
    for option in options(kind):
        assert option.default is not NODEFAULT, option.name
        assert option.help or option.name == "norm", option.name
    assert set(schema(kind)["properties"]) == set(written(kind()))
    assert not kind.probed or (kind().loss in LOSSES and kind().steps > 0)


@EVERY
def test_run_names_a_function_of_a_batch_and_these_settings(method):
    function = load(ATTACKS[method].run)
    hints = typing.get_type_hints(function)
    assert list(hints.values()) == [Batch, ATTACKS[method], AttackResult]
    assert function.__doc__


def test_facts_are_those_of_the_methods():
    """Which attacks the checks, the canaries and the report single out."""

    def those(fact):
        return {method for method in ATTACKS if getattr(ATTACKS[method], fact)}

    plain = {"uniform", "sign", "gaussian", "salt-pepper"}
    assert those("noise") == plain | {"random-flow", "random-colour", "random-patch", "random-perceptual"}
    functional = {"stadv", "recoloradv", "patch", "perceptual"}  # random ones of their norm may break nearly as much:
    assert those("climbs") == {"pgd", "apgd", "autoattack"} | functional  # they are noise and not `weaker`
    assert not functional & (those("probed") | those("canary")), "the checks' own climb and balls are of linf and l2"
    assert those("helpers") == {"perceptual", "random-perceptual"} == those("measure")
    assert those("probed") == {"pgd", "apgd", "autoattack"} <= those("climbs")
    assert those("black_box") == {"square", "hopskipjump", "boundary", "blended"} <= those("weaker")
    assert those("weaker") == plain | {"fgsm", "square", "hopskipjump", "boundary", "blended"}
    assert those("canary") == {"pgd", "apgd", "fgsm", "uniform", "sign", "gaussian"}
    assert those("neural_head") == {"adaptive-joint", "adaptive-collision"}
    assert those("twins") == {"cue-conflict"}
    assert those("pool") == {"hopskipjump", "blended", "brendel-bethge", "boundary"} <= those("minimum")
    assert ATTACKS[CANARY_METHOD].probed


def test_an_attack_s_losses_are_the_losses():
    assert set(choices(ATTACKS["pgd"], "loss")) == set(LOSSES) == set(TARGETED)


def test_bisection_tries_fewer_budgets():
    plan = {"method": "pgd", "budgets": list(range(17))}
    assert read_plan("a", plan).passes == 2 * 20 * 16
    assert read_plan("a", plan | {"order": "bisection"}).passes == 2 * 20 * 5
    assert read_plan("a", plan | {"warm_steps": 5}).passes == 2 * (20 + 15 * 5)
    assert read_plan("a", plan | {"restarts": 2, "eot": 3}).passes == 3 * 3 * 2 * 20 * 16


def test_the_ensemble_is_priced_as_its_members():
    ensemble = ATTACKS["autoattack"](norm="l2", steps=10, targets=3, queries=40, eot=2)
    assert len(ensemble.members) == len(MEMBERS)
    assert ensemble.passes(4) == 2 * sum(member.passes(4) for member in ensemble.members)
    assert {member.norm for member in ensemble.members} == {"l2"}


def test_modules_of_a_study_are_those_of_its_methods():
    plans = {"a": read_plan("a", {"method": "pgd", "budgets": BUDGETS})}
    assert attack_modules(plans, "square") == [
        "neurobust.attacks.gradient", "neurobust.attacks.gradient_settings",
        "neurobust.attacks.square", "neurobust.attacks.square_settings",
    ]  # fmt: skip
    assert attack_modules({}) == []


def test_reading_descriptions_imports_no_torch():
    code = """
import sys
from neurobust.attacks.plan import read_plan
from neurobust.attacks.registry import ATTACKS, attack_modules
plans = {name: read_plan(name, {"method": name, "budgets": [0, 0.1]}) for name in ATTACKS}
assert len(attack_modules(plans)) > len(ATTACKS) / 2
assert all(plan.passes > 0 and plan.attack.norms() for plan in plans.values())
heavy = {"torch", "numpy", "pandas", "scipy", "h5py", "foolbox"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)

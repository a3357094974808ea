"""A small fake study: what it has, as settings and as plain numbers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from msgspec.structs import replace

from neurobust.attacks.corruptions.settings import Corruptions
from neurobust.attacks.description import Attack
from neurobust.attacks.plan import AttackPlan
from neurobust.attacks.semantic.description import SemanticAttack
from neurobust.attacks.semantic.plan import SemanticPlan
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.settings import written
from neurobust.explain.description import Analysis, Measure
from neurobust.explain.registry import read_analysis
from neurobust.files.quality import Quality, SessionQuality
from neurobust.networks.conditions import Architecture, Condition, Training
from neurobust.networks.description import Task
from neurobust.nsd.settings import ROI, Data, Sessions, Splits
from neurobust.predictors.description import Predictor
from neurobust.study.model import Semantic, Study, TaskPlan

SIZE, N_IMAGES = 16, 60
TOUGHNESS = {"none": 1.0, "V1": 1.15, "LO": 1.7, "LO-shuffled": 1.2}


class Search(Attack, frozen=True, kw_only=True):
    """Any attack that looks at the network."""


class Noise(Attack, frozen=True, kw_only=True):
    """Any attack that does not."""

    noise: ClassVar[bool] = True


class Hue(Attack, frozen=True, kw_only=True):
    """An attack with a range and a unit of its own."""

    shown_unit: ClassVar[str] = "turn"
    norm: str = "hue"


class Inside(Analysis, frozen=True):
    """Any analysis of a network."""

    title: ClassVar[str] = "inside"
    meaning: ClassVar[str] = "What is inside."
    measures: ClassVar[dict[str, Measure]] = {
        "gradient norm": Measure("1/pixel", asked=True), "effective dimensionality": Measure(asked=True),
        "low-frequency share": Measure("fraction", asked=True), "debiased CKA": Measure(asked=True),
    }  # fmt: skip


STUDIES = ("changes", "association", "mediation")  # the analyses of a whole study
EXPLAIN = {"inside": Inside(), **{name: read_analysis(name, {}) for name in STUDIES}}

LINF, L2 = (0, 0.5, 1, 2, 4, 8), (0, 0.1, 0.25, 0.5, 1)


def make_plan(name: str, attack: Attack, budgets=LINF, label=None) -> AttackPlan:
    """An attack of a study as the report sees it; what its method is matters to no page."""
    unit = "1/255" if attack.norm == "linf" else "1"
    return AttackPlan(name, name, attack, tuple(map(float, budgets)), unit, label or name)


ATTACKS = {
    plan.name: plan
    for plan in (
        make_plan("noise-uniform", Noise(), LINF, "uniform noise"),
        make_plan("noise-gaussian", Noise(norm="l2"), L2, "Gaussian noise"),
        make_plan("fgsm", Search(), LINF, "FGSM"),
        make_plan("pgd-linf", Search(), LINF, "PGD L∞"),
        make_plan("pgd-l2", Search(norm="l2"), L2, "PGD L2"),
        make_plan("hue", Hue(), (0, 0.1, 0.25, 0.5)),
        make_plan("saturation", Search(norm="saturation"), (0, 0.5, 1)),
    )
}
STRENGTH = {
    "noise-uniform": 0.08,
    "noise-gaussian": 0.08,
    "fgsm": 0.8,
    "pgd-linf": 1.2,
    "pgd-l2": 1.2,
    "hue": 0.5,
    "saturation": 0.3,
}
VOXELS = {("V1", "subj01"): 140, ("V1", "subj02"): 110, ("V4", "subj01"): 60, ("V4", "subj02"): 50,
          ("LO", "subj01"): 90, ("LO", "subj02"): 80, ("FFA", "subj01"): 40}  # fmt: skip


GRID = (20, 24, 12)
CENTRES = {"V1": (7, 4, 5), "V4": (1, 8, 4), "LO": (4, 10, 6), "FFA": (5, 14, 3)}  # of the left blob of an ROI
# Sessions of which the mean rises by 0.01 % signal change each, the fifth at 2.4 times the others' scale, the third of
# the second subject empty.
SESSIONS = tuple(
    SessionQuality(session=n, mean=0.4 + 0.01 * n, scale=1.2 * (2.4 if n == 5 else 1), mean_r=0.999, repeats_r=0.08)
    for n in range(1, 11)
)
FOUND = Quality(
    subject="subj01", sessions=40, empty_sessions=(), n_voxels=8192, n_images=10000, ncsnr_r=0.9987, mean_r=0.9996,
    repeats_r=0.0781, early_r=0.0021, late_r=-0.0013, chance_r=0.0004, scale_low=0.81, scale_high=1.27,
    tables=("responses.tsv",), halves_r=0.87, by_session=SESSIONS,
)  # fmt: skip
EMPTY = (*SESSIONS[:2], SessionQuality(session=3), *SESSIONS[3:])
QUALITY = {
    "subj01": FOUND,
    "subj02": replace(FOUND, subject="subj02", empty_sessions=(3,), mean_r=None, tables=(), by_session=EMPTY),
}


def guided(roi: str, **changes) -> Condition:
    """A condition that one ROI guides."""
    return Condition(**{"target": (roi,), "loss": "mse", "weight": 0.9, **changes})


CONDITIONS = {
    "none": Condition(weight=0.9), "V1": guided("V1"), "LO": guided("LO"),
    "LO-shuffled": guided("LO", control="shuffled"),
}  # fmt: skip


REGION = ROI(atlas="prf-visualrois", labels=("V1v",))
STUDY = Study(
    name="demo", results="results", planted=None, predictors={}, predictor_seeds=(0, 1), tasks={}, architectures={},
    data=Data(source="phantom", root="resources/phantom", format="nii.gz", subjects={}), rois={}, seeds=(0, 1),
    splits=Splits(test="shared", validation=0.1, seed=0, zscore="train"), conditions=CONDITIONS,
    attacks=ATTACKS, primary_attack="pgd-linf", corruptions=None,
    semantic=Semantic(0, {}, {}), transfer=None, config={}, explain=EXPLAIN,
)  # fmt: skip
NAMES = {
    "rois": ("V1", "V4", "LO", "FFA"), "subjects": ("subj01", "subj02"), "predictors": ("gnet",),
    "tasks": ("digits", "phantom-scenes"), "architectures": ("resnet18",),
}  # fmt: skip


def make_study(root: Path | str = "results", **changes) -> Study:
    """A study with what the report looks at; every task is trained with every condition. subj02 lacks an FFA."""
    return change(replace(STUDY, results=str(root)), **{**NAMES, "transfer": True, **changes})


def change(study: Study, **changes) -> Study:
    """A study with other fields, sections by the names of their entries, and a configuration that goes with them."""
    sections = {
        "rois": lambda names: dict.fromkeys(names, REGION),
        "predictors": lambda names: dict.fromkeys(names, Predictor(kind="gnet", input_size=64)),
        "architectures": lambda names: dict.fromkeys(names, Architecture(stem="imagenet", pretrained=False)),
        "transfer": lambda wanted: Transfer(budget=8) if wanted else None,
        "corruptions": lambda wanted: Corruptions(set="cifar", types="scored", images=4) if wanted else None,
    }
    trained, tasks = changes.pop("trained", {}), changes.pop("tasks", study.tasks)
    if "subjects" in changes:
        subjects = dict.fromkeys(changes.pop("subjects"), Sessions(sessions=2))
        changes["data"] = replace(study.data, subjects=subjects)
    if "phantom" in changes:
        source = "phantom" if changes.pop("phantom") else "nsd"
        changes["data"] = replace(changes.get("data", study.data), source=source)
    if "reference_strengths" in changes:
        strengths = changes.pop("reference_strengths")
        plans = {name: SemanticPlan(name, SemanticAttack(), None, None, value) for name, value in strengths.items()}
        changes["semantic"] = Semantic(4, plans, {})
    changes = {name: sections[name](value) if name in sections else value for name, value in changes.items()}
    given = changes.pop("config", {})
    study = replace(study, **changes)
    plans = {
        name: TaskPlan(
            name=name,
            task=Task(kind=name),
            source="",
            training=Training(),
            conditions=tuple(trained.get(name, study.conditions)),
            architectures=tuple(study.architectures),
            seeds=study.seeds,
            side=SIZE,
            images=300,
            attack_images=N_IMAGES,
        )
        for name in tasks
    }
    attacks = {name: {"method": plan.method, "budgets": list(plan.budgets)} for name, plan in study.attacks.items()}
    config = {
        "attacks": attacks,
        "transfer": written(study.transfer),
        "corruptions": written(study.corruptions),
    } | given
    return replace(study, tasks=plans, config=config)

"""A small fake study on disk, in exactly the formats that the stages pass on."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import subprocess
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.attacks.corruptions.settings import Corruptions
from neurobust.attacks.description import Attack
from neurobust.attacks.plan import AttackPlan
from neurobust.attacks.semantic.description import SemanticAttack
from neurobust.attacks.semantic.plan import SemanticPlan
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.io import write_json, write_parquet
from neurobust.core.seeding import numpy_rng
from neurobust.core.settings import written
from neurobust.explain.description import Analysis, Measure
from neurobust.explain.registry import read_analysis
from neurobust.explain.study import explain_study
from neurobust.files.attack_table import AttackRecord, attack_table_path, write_attack_table
from neurobust.files.canaries import canaries_path
from neurobust.files.checks import Check, checks_path, write_checks
from neurobust.files.corruption_table import corruption_table_path
from neurobust.files.dataset import Source, dataset_path, write_dataset
from neurobust.files.examples import Examples, examples_path, write_examples
from neurobust.files.explained import (
    ExplainedRecord,
    network_analysis_path,
    study_analysis_path,
    write_explained,
)
from neurobust.files.network_metrics import NetworkMetrics, metrics_path, write_metrics
from neurobust.files.predictor_tables import predictor_metrics_path, voxels_path, write_voxels
from neurobust.files.quality import Quality, SessionQuality, quality_path, write_quality
from neurobust.files.roi import roi_path
from neurobust.files.semantic_table import semantic_examples_path, semantic_table_path
from neurobust.files.transfer_table import ENSEMBLE, transfer_table_path
from neurobust.networks.conditions import Architecture, Condition, Training
from neurobust.networks.description import Task
from neurobust.networks.references_settings import Adversarial
from neurobust.nsd.settings import ROI, Data, Sessions, Splits
from neurobust.predictors.description import Predictor
from neurobust.report.cells import Cell
from neurobust.report.collect import collect_results, tabulate_results
from neurobust.report.contents import COLUMNS, FIGURES, SEMANTIC_TABLES
from neurobust.report.draw import draw_figures
from neurobust.report.gates import Evidence, at_reference
from neurobust.report.page import write_index, write_roi_page
from neurobust.report.semantic_section import tabulate_semantic
from neurobust.report.shown import shown_attacks
from neurobust.study.claims import read_claims
from neurobust.study.model import NetworkName, Semantic, Study, TaskPlan
from neurobust.study.pairs import gains_of

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


def write_study(study: Study) -> Study:
    """Write every file that the report reads."""
    for task, architecture in study.blocks():
        write_transfer(study, task, architecture)
    for task in study.tasks:
        write_images(dataset_path(study.root, task), task)
        write_canaries(canaries_path(study.root, task))
    for network in study.networks():
        write_network(study, network)
    for task, architecture in study.blocks():
        write_why(study, task, architecture)
    for roi in study.rois:
        for seed in study.predictor_seeds:
            write_predictor(study, roi, seed)
        for subject in study.subjects:
            if VOXELS.get((roi, subject)):
                write_cortex(roi_path(study.root, subject, roi), roi, subject, VOXELS[roi, subject])
    for subject in study.subjects:
        write_quality(quality_path(study.root, subject), QUALITY[subject])
    write_benchmarks(study.root / "benchmarks")
    return study


def write_images(path: Path, task: str) -> None:
    labels, split = np.arange(300) % 10, np.repeat([0, 2], [200, 100])
    classes, blocks = [f"{task} {index}" for index in range(10)], iter([np.zeros((300, SIZE, SIZE, 3), np.uint8)])
    write_dataset(path, task, Source(labels, split, classes, (SIZE, SIZE), blocks, dict), {})


def write_canaries(path: Path, **changes) -> None:
    """Six canaries, all caught except `changes` {name: entry}."""
    expected = {
        "undefended": [], "scaled logits": ["gradient_ce", "logit_scale"], "probabilities": ["logits"],
        "quantised input": ["gradient_ce", "gradient_margin"], "noisy input": ["deterministic"], "linear": [],
    }  # fmt: skip
    found = [
        {"canary": name, "expected": checks, "found": [*checks, "ascent/pgd-linf"] if checks else [], "caught": True,
         "value": None, "note": ""}
        | changes.get(name, {})
        for name, checks in expected.items()
    ]  # fmt: skip
    write_json(path, {"images": 48, "train_accuracy": 1.0, "attacks": ["pgd-linf"], "canaries": found})


def write_transfer(study: Study, task: str, architecture: str) -> None:
    """Accuracy rises with the target's toughness and is least for its own adversarials; an ensemble per condition."""
    keys = [(condition, seed) for condition in study.conditions for seed in study.seeds]
    rows = []
    for source in [*keys, *((condition, ENSEMBLE) for condition in study.conditions)]:
        for target in keys:
            if source[1] == ENSEMBLE and source[0] == target[0]:
                continue
            accuracy = 0.02 if source == target else 0.3 * TOUGHNESS.get(target[0], 1.3) + 0.1 * (source[1] == 1)
            rows.append(
                {"source_condition": source[0], "source_seed": source[1], "target_condition": target[0],
                 "target_seed": target[1], "n": N_IMAGES, "n_shared": N_IMAGES - 4, "clean_accuracy": 0.95,
                 "accuracy": accuracy, "beyond_white_box": 0.0}
            )  # fmt: skip
    write_parquet(transfer_table_path(study.root, task, architecture), pd.DataFrame(rows))


def write_network(study: Study, network: NetworkName) -> None:
    task, _, condition, seed = network
    rng, names = numpy_rng("fixture", task, condition, seed), network._asdict()
    metrics = NetworkMetrics(
        **names,
        clean_accuracy=round(0.97 - 0.01 * rng.random(), 4),
        train_accuracy=1.0,
        alignment=None if condition == "none" else round(0.6 + 0.1 * rng.random(), 4),
        seconds=12.5,
        provenance={"neurobust": "0.1.0", "inputs": {}, "seed": seed},
    )
    write_metrics(metrics_path(study.root, network.path), metrics)
    images = np.arange(200, 200 + N_IMAGES)
    resistance = (
        4 * numpy_rng("fixture", task).random(N_IMAGES) * TOUGHNESS.get(condition, 1.3) * (0.95 + 0.1 * rng.random())
    )
    clean = rng.random(N_IMAGES) > 0.03
    for plan in study.attacks.values():
        path = attack_table_path(study.root, network.path, plan.name)
        write_attack(path, names, plan, images, resistance, clean)
    write_examples(examples_path(study.root, network.path), examples_of(study.attacks, images, rng))
    noise = Check("noise far weaker than PGD", True, value=0.12, note="drop of accuracy under noise")
    checks = [noise, Check("monotone in budget", True)]
    if (task, condition, seed) == ("digits", "V1", 1):
        note = "31 % of the images have an all-zero cross-entropy gradient"
        checks.append(Check("zero gradient", False, value=0.31, note=note))
    write_checks(checks_path(study.root, network.path), checks)
    rows = [("gradient norm", None, 2 / TOUGHNESS.get(condition, 1.3) + 0.1 * rng.random(), "1/pixel")]
    rows += [("effective dimensionality", None, 20 + rng.random(), ""), ("low-frequency share", None, 0.4, "fraction")]
    rows += [("debiased CKA", roi, 0.5 * (roi == condition) + 0.2 + 0.1 * rng.random(), "") for roi in study.rois]
    frame = pd.DataFrame([row[:3] for row in rows], columns=["measure", "roi", "value"]).fillna({"roi": ""})
    frame = frame.assign(layer="", low=np.nan, high=np.nan, n_images=N_IMAGES)
    write_explained(network_analysis_path(study.root, network.path, "inside"), frame, ExplainedRecord("inside", {}))


def write_why(study: Study, task: str, architecture: str) -> None:
    """What the analyses of a whole study make of the networks of the fixture."""
    networks = [name.path for name in study.networks(tasks=[task]) if name.architecture == architecture]
    explain_study(
        [metrics_path(study.root, network) for network in networks],
        [attack_table_path(study.root, network, study.primary_attack) for network in networks],
        [network_analysis_path(study.root, network, "inside") for network in networks],
        [gain._asdict() for gain in gains_of(study, task)],
        {name: {} for name in STUDIES},
        study_analysis_path(study.root, task, architecture, "x").parent,
    )


def write_attack(path: Path, names: dict, plan: AttackPlan, images, resistance, clean) -> None:
    scale = STRENGTH.get(plan.name, 1.0) * 5 / max(plan.budgets)
    frames = []
    for budget in plan.budgets:
        success = ~clean | (budget * scale > resistance)
        distance = np.where(~clean, 0.0, np.where(success, budget, np.nan))
        columns = {"image": images, "budget": float(budget), "clean_correct": clean, "success": success}
        frames.append(pd.DataFrame(columns | {"distance": distance, "n_forward": 21.0, "n_backward": 20.0}))
    settings = {"method": plan.method, **written(plan.attack), "budgets": list(plan.budgets)}
    record = AttackRecord(
        **names, attack=plan.name, settings=settings, norm=plan.norm, unit=plan.unit, seconds=3.25,
        verification={"checked": len(images), "demoted": 0}, versions={"torch": "2.15.0"},
    )  # fmt: skip
    write_attack_table(path, pd.concat(frames), record)


def examples_of(attacks: dict, images, rng) -> Examples:
    ramp = np.linspace(0, 1, SIZE, dtype=np.float32)
    disc = (ramp[:, None] - 0.5) ** 2 + (ramp[None] - 0.5) ** 2 < 0.08
    clean = np.stack([np.stack([disc * 0.8, ramp[:, None] * np.ones(SIZE), 0.3 + 0.0 * disc], -1)] * 4).astype(
        np.float32
    )
    found = Examples(images[:4], images[:4] % 10, clean, {}, {})
    for attack, plan in attacks.items():
        step = 4 / 255 if plan.norm == "linf" else 0.06
        moved = np.clip(clean + step * rng.choice([-1, 1], clean.shape), 0, 1).astype(np.float32)
        moved[3] = np.nan if attack.startswith("noise") else clean[3]
        found.adversarial[attack], found.budget[attack] = moved, np.full(4, plan.budgets[-2])
    return found


def write_predictor(study: Study, roi: str, seed: int) -> None:
    frames = []
    for subject in study.subjects:
        rng, n = numpy_rng("fixture", roi, subject, seed), VOXELS.get((roi, subject), 0)
        ceiling = 100 * rng.beta(2, 3, n)
        ceiling[:2] = 0.0
        r = np.sqrt(ceiling / 100) * (0.7 + 0.15 * rng.standard_normal(n))
        with np.errstate(divide="ignore", invalid="ignore"):
            normalised = r / np.sqrt(ceiling / 100)
        columns = {
            "subject": subject,
            "voxel_index": np.arange(n),
            "r": r,
            "r_single": 0.6 * r,
            "noise_ceiling": ceiling,
        }
        columns |= {"r_normalised": normalised, "ncsnr": np.sqrt(ceiling / 100)}
        frames.append(pd.DataFrame(columns | {"field_x": 0.0, "field_y": 0.0, "field_size": 1.0}))
    write_voxels(voxels_path(study.root, "gnet", roi, seed), pd.concat(frames), {})
    write_json(predictor_metrics_path(study.root, "gnet", roi, seed), {"provenance": {"neurobust": "0.1.0"}})


def write_cortex(path: Path, roi: str, subject: str, n: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["split"] = np.repeat(np.array([0, 1, 2], np.uint8), [80, 10, 30])
        file["voxel_index"] = voxels_of(roi, n)
        signal = np.linspace(0, 1.1, n, dtype=np.float32) * (np.arange(n) > 1)  # two voxels without any
        file["ncsnr"], file["ncsnr_file"] = signal, signal + 0.01 * (np.arange(n) % 3)
        file["noise_ceiling"] = 100 * signal**2 / (signal**2 + 1 / 3)
        file.attrs.update(
            {"roi": roi, "subject": subject, "atlas": "prf-visualrois", "labels": json.dumps([f"{roi}v", f"{roi}d"])}
            | {"shape": GRID}
        )


def voxels_of(roi: str, n: int) -> np.ndarray:
    """n voxels of the grid, in two blobs left and right of its middle; those of V4 lie at the edge of the volume."""
    centre = {"V1": (7, 4, 5), "V4": (1, 8, 4), "LO": (4, 10, 6), "FFA": (5, 14, 3)}[roi]
    places = np.stack(np.unravel_index(np.arange(np.prod(GRID)), GRID))
    away = [np.square(places - np.array([[x], [centre[1]], [centre[2]]])).sum(0) for x in (centre[0], 19 - centre[0])]
    return np.sort(np.argsort(np.minimum(*away), kind="stable")[:n])


def write_benchmarks(folder: Path) -> None:
    record = {"s": 61.5, "h:m:s": "0:01:01", "max_rss": 812.4, "rule_name": ["train_network"]}
    (folder / "train_network" / "digits").mkdir(parents=True)
    (folder / "train_network" / "digits" / "a.jsonl").write_text(json.dumps(record) + "\n")
    (folder / "train_network" / "b.jsonl").write_text(json.dumps(record | {"s": 58.5, "max_rss": "NA"}) + "\n")
    (folder / "extract_betas" / "subj01").mkdir(parents=True)
    (folder / "extract_betas" / "subj01" / "V1.tsv").write_text("s\th:m:s\tmax_rss\n7.25\t0:00:07\tNA\n")
    (folder / "report").mkdir()
    (folder / "report" / "own.tsv").write_text("s\th:m:s\tmax_rss\n99\t0:01:39\t1\n")


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Study:
    """A fake study that tests only read."""
    return write_study(make_study(tmp_path_factory.mktemp("study") / "results"))


@pytest.fixture(scope="session")
def read_once(study):
    return collect_results(study)


@pytest.fixture(scope="module")
def collected(read_once):
    """The tables of the fake study: a copy for each file of tests."""
    return {name: table.copy() for name, table in read_once.items()}


@pytest.fixture(scope="session")
def tabulated(study, tmp_path_factory) -> Path:
    """A folder with all tables of the fake study as CSV, which tests only read."""
    folder = tmp_path_factory.mktemp("tables")
    tabulate_results(study, {name: folder / f"{name}.csv" for name in COLUMNS})
    return folder


@pytest.fixture
def tiny_study(tmp_path) -> Study:
    """One task, two conditions and one attack, for tests that damage it."""
    keep = {name: CONDITIONS[name] for name in ("none", "LO")}
    attacks = {"pgd-linf": ATTACKS["pgd-linf"]}
    small = {"tasks": ("digits",), "conditions": keep, "attacks": attacks, "rois": ("LO",)}
    return write_study(make_study(tmp_path / "results", primary_attack="pgd-linf", **small))


@pytest.fixture(scope="session")
def fill_study():
    """A function: write every file that the report of a study reads."""
    return write_study


@pytest.fixture(scope="session")
def changed_study():
    """A function: a study with other fields, and a configuration and networks that go with them."""
    return change


@pytest.fixture(scope="session")
def new_study():
    """A function: a study without files, with these fields."""
    return make_study


@pytest.fixture(scope="session")
def new_plan():
    """A function: an attack's plan from its name, norm and whether it is noise."""

    def plan(name, norm="linf", noise=False, **options):
        return make_plan(name, (Noise if noise else Search)(norm=norm), **options)

    return plan


@pytest.fixture(scope="session")
def new_condition():
    """A function: a condition that one ROI guides."""
    return guided


TRUSTED = [{"canary": "undefended", "caught": True}, {"canary": "linear", "caught": True}]


def cells_of(levels: dict, budgets: tuple, seeds: tuple, n: int) -> dict:
    """Networks that stand at these levels of accuracy (one per budget, from 0): a seed is one image apart from the
    next, and image i falls before image i - 1 under every condition."""
    cells = {}
    for condition, level in levels.items():
        for place, seed in enumerate(seeds):
            standing = [round(n * share) + place - len(seeds) // 2 for share in level]
            robust = np.arange(n)[:, None] < np.array(standing)
            cells[condition, seed] = Cell(np.arange(n), np.array(budgets, float), robust, {})
    return cells


def make_evidence(study: Study, levels: dict, n: int = 400, **changes) -> Evidence:
    """One task and architecture's evidence by hand. levels: {attack: {condition: accuracies at its budgets}}; every
    network passed one check and every canary was caught."""
    cells = {
        attack: cells_of(own, study.attacks[attack].budgets, study.seeds, n) for attack, own in levels.items()
    }  # fmt: skip
    attacks, chosen = at_reference(shown_attacks(study.attacks), cells)
    clean = {key: cell.correct.mean() for key, cell in cells.get(study.primary_attack, {}).items()}
    checks = [{"condition": c, "seed": s, "attack": "", "check": "logits", "passed": True} for c, s in clean]
    task = next(iter(study.tasks))
    found = Evidence(study, task, "resnet18", attacks, cells, chosen, clean, checks, TRUSTED)
    return dataclasses.replace(found, **changes)


POSITIVE = Condition(weight=0.9, reference=Adversarial(kind="adversarial"))


@pytest.fixture(scope="session")
def judged_study():
    """A function: a study that may say something of V1 and LO, with five seeds and PGD as its primary attack."""

    def make(**changes):
        conditions = {
            **CONDITIONS, "V1-shuffled": guided("V1", control="shuffled"), "adversarial": POSITIVE,
        } | changes.pop("conditions", {})  # fmt: skip
        attacks = {"pgd": make_plan("pgd", Search(), (0, 2, 4, 8), "PGD"), "hue": make_plan("hue", Hue(), (0, 0.25))}
        kept = {name: condition for name, condition in conditions.items() if condition is not None}
        given = {"attacks": attacks, "primary_attack": "pgd", "seeds": (0, 1, 2, 3, 4), "tasks": ("scenes",)}
        return make_study(**{"conditions": kept, **given, **changes})

    return make


LEVELS = {
    "none": (0.9, 0.7, 0.4, 0.1), "V1": (0.9, 0.7, 0.4, 0.1), "V1-shuffled": (0.9, 0.7, 0.4, 0.1),
    "LO": (0.9, 0.8, 0.6, 0.3), "LO-shuffled": (0.9, 0.7, 0.42, 0.1), "adversarial": (0.8, 0.75, 0.7, 0.6),
}  # fmt: skip


@pytest.fixture(scope="session")
def new_evidence():
    """A function: `make_evidence` with the primary attack's LEVELS, of which some are others."""

    def make(study, changed=None, more=None, **changes):
        levels = {name: level for name, level in LEVELS.items() if name in study.conditions}
        return make_evidence(study, {"pgd": levels | (changed or {}), **(more or {})}, **changes)

    return make


# --- every kind of page ---


CORRUPTED, SEVERITIES = ("gaussian_noise", "fog"), (1, 2, 3, 4, 5)
PAINT, STRENGTHS = "cadv", (0.0, 4.0, 8.0)


def write_corrupted(study: Study, network: NetworkName) -> None:
    """Images fall one after the other with severity; a tough network's later, and fog breaks fewer than noise."""
    rng, images = numpy_rng("corrupted", *network), np.arange(200, 200 + N_IMAGES)
    limit = rng.random(N_IMAGES) * 8 * TOUGHNESS.get(network.condition, 1.3)
    frames = [
        pd.DataFrame({"image": images, "corruption": kind, "severity": severity, "clean_correct": images > 201,
                      "correct": limit > severity * (1.2 if kind == "fog" else 2)})
        for kind in CORRUPTED for severity in SEVERITIES
    ]  # fmt: skip
    attrs = {"scored": list(CORRUPTED), "types": list(CORRUPTED), "set": "cifar"}
    write_parquet(corruption_table_path(study.root, network.path), pd.concat(frames), attrs)


def write_painted(study: Study, network: NetworkName) -> list[Path]:
    """One network's table and pictures under a semantic attack, which aims at a class, and its baseline."""
    rng, n, frames = numpy_rng("painted", *network), 12, []
    limit = rng.random(n) * 12 * TOUGHNESS.get(network.condition, 1.3)
    for variant, slower in (("attack", 1), ("noise", 4)):
        for strength in STRENGTHS:
            success = (np.arange(n) < 1) | (limit < (strength + 1) / slower)
            frame = pd.DataFrame({"image": np.arange(200, 200 + n), "variant": variant, "strength": strength})
            measures = {name: 9 * rng.random(n) for name in ("ciede2000", "ssim", "l2", "feature_distance")}
            frame = frame.assign(clean_correct=np.arange(n) > 0, success=success, oracle_correct=rng.random(n) > 0.2)
            frame = frame.assign(reached_target=success & (np.arange(n) % 3 > 0), **measures)
            frames.append(frame.assign(n_forward=3.0, n_backward=2.0))
    gate = {"network": "colouriser", "gate": "colours", "value": 0.9, "threshold": 0.5, "at_most": False, "note": ""}
    attrs = {
        **network._asdict(), "attack": PAINT, "axis": "steps of recolouring", "gates": [gate | {"passed": True}],
        "gates_passed": True, "settings": {"steps": 3},
    }  # fmt: skip
    path = semantic_table_path(study.root, network.path, PAINT)
    write_parquet(path, pd.concat(frames), attrs)
    pictures = {
        "image": np.arange(200, 203), "label": np.array([0, 1, 2]), "strengths": np.array(STRENGTHS),
        "first": np.array([0, 0, 1]), "clean_correct": np.array([False, True, True]),
        "clean": rng.random((3, SIZE, SIZE, 3)),
    } | {f"example/{name}": rng.random((3, len(STRENGTHS), SIZE, SIZE, 3)) for name in ("noise", "attack")}  # fmt: skip
    np.savez(semantic_examples_path(study.root, network.path, PAINT), **pictures)
    return [path, semantic_examples_path(study.root, network.path, PAINT)]


def write_pages(study: Study, folder: Path, painted: list[Path]) -> Path:
    """All tables, figures and pages of a study, as the workflow writes them; the page of LO."""
    tables = {name: folder / "tables" / f"{name}.csv" for name in COLUMNS}
    figures = {name: folder / "figures" / f"{name}.svg" for name in FIGURES}
    tabulate_results(study, tables)
    draw_figures(study, folder / "tables", figures)
    semantic = {name: folder / "tables" / f"{stem}.csv" for name, stem in SEMANTIC_TABLES.items()}
    tabulate_semantic(study, [path for path in painted if path.suffix == ".parquet"], tables["networks"], semantic)
    shown = [*semantic.values(), *(path for path in painted if path.suffix == ".npz")]
    write_index(study, folder / "tables", figures, folder / "index.html", shown)
    write_roi_page(study, "LO", folder / "roi/LO.html")
    return folder


@pytest.fixture(scope="session")
def every_page(tmp_path_factory, project):
    """A study that has every kind of page, with claims, an odd subject and a failed check; and its report's folder."""
    folder = tmp_path_factory.mktemp("pages")
    strengths = {PAINT: 8.0}
    given = {"semantic": {name: {"reference_strength": value} for name, value in strengths.items()}}
    study = make_study(folder / "results", corruptions=True, reference_strengths=strengths, config=given)
    study = replace(write_study(study), claims=read_claims(project / "config/claims.yaml"))
    painted = []
    for network in study.networks():
        write_corrupted(study, network)
        if network.task == "digits":
            painted += write_painted(study, network)
    return study, write_pages(study, folder / "report", painted)


# --- pages in a browser ---

# What a person would see go wrong: the page wider than the window, something cut at its edge that no box scrolls,
# two texts of a figure on top of each other. A pixel or two is the browser's rounding.
MEASURE = r"""
const found = [], width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > width + 1)
  found.push(`the page is ${document.documentElement.scrollWidth} px wide in a window of ${width}`);
const hidden = (node) => node.closest('.scroll, pre, .skip, .hidden, caption, svg') || !node.getClientRects().length;
for (const node of document.body.querySelectorAll('*')) {
  if (hidden(node)) continue;
  const box = node.getBoundingClientRect();
  if (box.width > 1 && box.height > 1 && (box.right > width + 1 || box.left < -1))
    found.push(`cut: <${node.localName} class="${node.className}"> ${node.textContent.trim().slice(0, 40)}`);
}
for (const svg of document.querySelectorAll('svg')) {
  const texts = [...svg.querySelectorAll('text')].filter((node) => node.textContent.trim());
  const boxes = texts.map((node) => node.getBoundingClientRect());
  for (let i = 0; i < boxes.length; i++) for (let j = 0; j < i; j++) {
    const [a, b] = [boxes[i], boxes[j]];
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 2 && down > 0.35 * Math.min(a.height, b.height))
      found.push(`over each other in ${svg.closest('figure').id}: ${texts[i].textContent}, ${texts[j].textContent}`);
  }
}
report({width, height: document.documentElement.scrollHeight, found});
"""
START = r"""
const report = (value) => {
  const place = document.createElement('pre'); place.id = 'said-by-the-test';
  place.textContent = JSON.stringify(value); parent.document.body.append(place);
};
for (const node of document.querySelectorAll('details')) node.open = true;
"""


def in_browser(page: Path, script: str, folder: Path, width: int = 1280, library: str = "") -> dict:
    """What a script reports of a page, run at its end in a frame of this width."""
    text = page.read_text()
    assert "</body>" in text
    scripts = "".join(f"<script>{part}</script>" for part in (library, START + script) if part)
    whole = html.escape(text.replace("</body>", scripts + "</body>"))
    outer = folder / "page.html"  # a browser has no window as narrow as a phone's, but a frame
    frame = f'<iframe style="width: {width}px; height: 800px; border: 0" srcdoc="{whole}"></iframe>'
    outer.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0">{frame}')
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900", "--virtual-time-budget=60000",
               "--dump-dom", outer.as_uri()]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    said = re.search(r'<pre id="said-by-the-test">(.*?)</pre>', run.stdout, re.DOTALL)
    assert said, run.stderr[-2000:]
    return json.loads(html.unescape(said[1]))


@pytest.fixture(scope="session")
def browse():
    """A function: what a script reports of a page (`in_browser`)."""
    return in_browser


@pytest.fixture(scope="session")
def measure():
    """The script that measures boxes."""
    return MEASURE

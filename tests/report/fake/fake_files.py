"""The fake study on disk, in exactly the formats that the stages pass on, and its report."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from fake_study import CENTRES, GRID, N_IMAGES, QUALITY, SIZE, STRENGTH, STUDIES, TOUGHNESS, VOXELS

from neurobust.attacks.plan import AttackPlan
from neurobust.core.io import write_json, write_parquet
from neurobust.core.seeding import numpy_rng
from neurobust.core.settings import written
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
from neurobust.files.quality import quality_path, write_quality
from neurobust.files.roi import roi_path
from neurobust.files.semantic_adversarials import LentPictures, lent_pictures_path, write_lent_pictures
from neurobust.files.semantic_table import semantic_examples_path, semantic_table_path
from neurobust.files.semantic_transfer_table import (
    SemanticTransferRecord,
    semantic_transfer_path,
    write_semantic_transfer,
)
from neurobust.files.transfer_table import ENSEMBLE, transfer_table_path
from neurobust.report.collect import tabulate_results
from neurobust.report.contents import COLUMNS, FIGURES, SEMANTIC_TABLES
from neurobust.report.draw import draw_figures
from neurobust.report.page import write_index, write_roi_page
from neurobust.report.semantic_section import tabulate_semantic
from neurobust.study.model import NetworkName, Study
from neurobust.study.pairs import gains_of


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
    centre = CENTRES[roi]
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


def write_lent(study: Study, network: NetworkName) -> list[Path]:
    """What a network says of a surrogate's adversarials, and pictures of these."""
    rng, n, lender, frames = numpy_rng("lent", *network), 12, study.surrogate(network), []
    table = semantic_transfer_path(study.root, network.path, PAINT)
    for strength in STRENGTHS:
        answer = np.where(rng.random(n) < strength / 12, 1 - np.arange(n) % 2, np.arange(n) % 2)
        frames.append(pd.DataFrame({
            "image": np.arange(200, 200 + n), "strength": strength, "source_correct": True, "answer": answer,
            "source_broken": strength > 0, "clean_correct": np.arange(n) > 0, "success": answer != np.arange(n) % 2,
        }))  # fmt: skip
    record = SemanticTransferRecord(
        **network._asdict(), attack=PAINT, axis="steps of recolouring", source_condition=lender.condition,
        source_seed=lender.seed, settings={}, provenance={},
    )  # fmt: skip
    write_semantic_transfer(table, pd.concat(frames), record)
    shape = (4, SIZE, SIZE, 3)
    write_lent_pictures(lent_pictures_path(study.root, lender.path, PAINT), LentPictures(
        image=np.arange(200, 204), label=np.arange(4) % 2, clean=rng.random(shape), adversarial=rng.random(shape),
        answer=1 - np.arange(4) % 2, strength=np.array(STRENGTHS[-1]),
    ))  # fmt: skip
    return [table]


def write_pages(study: Study, folder: Path, painted: list[Path]) -> Path:
    """All tables, figures and pages of a study, as the workflow writes them; the page of LO."""
    tables = {name: folder / "tables" / f"{name}.csv" for name in COLUMNS}
    figures = {name: folder / "figures" / f"{name}.svg" for name in FIGURES}
    tabulate_results(study, tables)
    draw_figures(study, folder / "tables", figures)
    semantic = {name: folder / "tables" / f"{stem}.csv" for name, stem in SEMANTIC_TABLES.items()}
    lent = [path for path in painted if path.parent.name == "transfer"]
    own = [path for path in painted if path.suffix == ".parquet" and path not in lent]
    tabulate_semantic(study, own, tables["networks"], semantic, lent)
    shown = [*semantic.values(), *(path for path in painted if path.suffix == ".npz")]
    shown += [path for path in lent if "seed0" in path.parts]
    write_index(study, folder / "tables", figures, folder / "index.html", shown)
    write_roi_page(study, "LO", folder / "roi/LO.html")
    return folder

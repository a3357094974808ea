"""A small fake study on disk, in exactly the formats that the stages pass on."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from neurobust.core.io import write_json, write_parquet
from neurobust.core.seeding import numpy_rng

SIZE, N_IMAGES = 16, 60
TOUGHNESS = {"none": 1.0, "V1": 1.15, "LO": 1.7, "LO-shuffled": 1.2}
LINF = {"norm": "linf", "unit": "1/255", "budgets": [0, 0.5, 1, 2, 4, 8]}
L2 = {"norm": "l2", "unit": "L2", "budgets": [0, 0.1, 0.25, 0.5, 1]}
ATTACKS = {
    "noise-uniform": {"method": "uniform", "label": "uniform noise", **LINF},
    "noise-gaussian": {"method": "gaussian", "label": "Gaussian noise", **L2},
    "fgsm": {"method": "fgsm", "label": "FGSM", **LINF},
    "pgd-linf": {"method": "pgd", "label": "PGD L∞", "steps": 20, **LINF},
    "pgd-l2": {"method": "pgd", "label": "PGD L2", "steps": 20, **L2},
    "hue": {"method": "hue", "label": "hue", "norm": "hue", "unit": "turn", "budgets": [0, 0.1, 0.25, 0.5]},
    "saturation": {
        "method": "saturation",
        "label": "saturation",
        "norm": "saturation",
        "unit": "",
        "budgets": [0, 0.5, 1],
    },
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


def make_study(root: Path) -> dict:
    """The study dict; subj02 lacks an FFA."""
    return {
        "name": "demo",
        "phantom": True,
        "tasks": ["digits", "phantom-scenes"],
        "architectures": ["resnet18"],
        "conditions": {
            "none": {"target": None, "weight": 0.9, "control": None},
            "V1": {"target": "V1", "loss": "mse", "weight": 0.9, "control": None},
            "LO": {"target": "LO", "loss": "mse", "weight": 0.9, "control": None},
            "LO-shuffled": {"target": "LO", "loss": "mse", "weight": 0.9, "control": "shuffled"},
        },
        "seeds": [0, 1],
        "attacks": ATTACKS,
        "rois": ["V1", "V4", "LO", "FFA"],
        "subjects": ["subj01", "subj02"],
        "root": str(root),
        "transfer": {"method": "pgd", "norm": "linf", "budget": 8, "steps": 10, "loss": "margin"},
    }


def write_study(study: dict) -> dict:
    """Write every file that the report reads."""
    root = Path(study["root"])
    for task in study["tasks"]:
        write_dataset(root / "networks" / task / "dataset.h5", task)
        for architecture in study["architectures"]:
            for condition in study["conditions"]:
                for seed in study["seeds"]:
                    write_network(study, task, architecture, condition, seed)
            write_transfer(study, task, architecture)
        write_canaries(root / "attacks" / task / "canaries.json")
    for roi in study["rois"]:
        for seed in study["seeds"]:
            write_predictor(study, roi, seed)
        for subject in study["subjects"]:
            if VOXELS.get((roi, subject)):
                write_cortex(root / "cortex" / subject / f"{roi}.h5", roi, subject, VOXELS[roi, subject])
    write_benchmarks(root / "benchmarks")
    return study


def write_dataset(path: Path, task: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["labels"] = np.arange(300) % 10
        file.attrs["classes"] = json.dumps([f"{task} {index}" for index in range(10)])


def write_canaries(path: Path, **changes) -> None:
    """Six canaries, all caught but for `changes` {name: entry}."""
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


def write_transfer(study: dict, task: str, architecture: str) -> None:
    """Accuracy rises with the target's toughness and is least for its own adversarials; an ensemble per condition."""
    keys = [(condition, seed) for condition in study["conditions"] for seed in study["seeds"]]
    rows = []
    for source in [*keys, *((condition, -1) for condition in study["conditions"])]:
        for target in keys:
            if source[1] == -1 and source[0] == target[0]:
                continue
            accuracy = 0.02 if source == target else 0.3 * TOUGHNESS.get(target[0], 1.3) + 0.1 * (source[1] == 1)
            rows.append(
                {"source_condition": source[0], "source_seed": source[1], "target_condition": target[0],
                 "target_seed": target[1], "n": N_IMAGES, "n_shared": N_IMAGES - 4, "clean_accuracy": 0.95,
                 "accuracy": accuracy, "beyond_white_box": 0.0}
            )  # fmt: skip
    write_parquet(Path(study["root"]) / "attacks" / task / architecture / "transfer.parquet", pd.DataFrame(rows))


def write_network(study: dict, task: str, architecture: str, condition: str, seed: int) -> None:
    root, cell = Path(study["root"]), Path(task) / architecture / condition / f"seed{seed}"
    rng = numpy_rng("fixture", task, condition, seed)
    names = {"task": task, "architecture": architecture, "condition": condition, "seed": seed}
    metrics = names | {
        "clean_accuracy": round(0.97 - 0.01 * rng.random(), 4),
        "train_accuracy": 1.0,
        "alignment": None if condition == "none" else round(0.6 + 0.1 * rng.random(), 4),
        "seconds": 12.5,
        "provenance": {"neurobust": "0.1.0", "inputs": {}, "seed": seed},
    }
    write_json(root / "networks" / cell / "metrics.json", metrics)
    images = np.arange(200, 200 + N_IMAGES)
    resistance = (
        4 * numpy_rng("fixture", task).random(N_IMAGES) * TOUGHNESS.get(condition, 1.3) * (0.95 + 0.1 * rng.random())
    )
    clean = rng.random(N_IMAGES) > 0.03
    for attack, settings in study["attacks"].items():
        write_attack(root / "attacks" / cell / f"{attack}.parquet", names, attack, settings, images, resistance, clean)
    write_examples(root / "attacks" / cell / "examples.npz", study["attacks"], images, rng)
    noise = {
        "check": "noise far weaker than PGD",
        "passed": True,
        "value": 0.12,
        "note": "drop of accuracy under noise",
    }
    checks = [noise, {"check": "monotone in budget", "passed": True, "value": None, "note": ""}]
    if (task, condition, seed) == ("digits", "V1", 1):
        note = "31 % of the images have an all-zero cross-entropy gradient"
        checks.append({"check": "zero gradient", "passed": False, "value": 0.31, "note": note})
    write_json(root / "attacks" / cell / "checks.json", checks)
    rows = [("gradient norm", None, 2 / TOUGHNESS.get(condition, 1.3) + 0.1 * rng.random(), "1/pixel")]
    rows += [("effective dimensionality", None, 20 + rng.random(), ""), ("low-frequency share", None, 0.4, "fraction")]
    rows += [("debiased CKA", roi, 0.5 * (roi == condition) + 0.2 + 0.1 * rng.random(), "") for roi in study["rois"]]
    frame = pd.DataFrame(rows, columns=["measure", "roi", "value", "unit"])
    write_parquet(root / "explain" / cell / "inside.parquet", frame)


def write_attack(path: Path, names: dict, attack: str, settings: dict, images, resistance, clean) -> None:
    scale = STRENGTH.get(attack, 1.0) * 5 / max(settings["budgets"])
    frames = []
    for budget in settings["budgets"]:
        success = ~clean | (budget * scale > resistance)
        distance = np.where(~clean, 0.0, np.where(success, budget, np.nan))
        columns = {"image": images, "budget": float(budget), "clean_correct": clean, "success": success}
        frames.append(pd.DataFrame(columns | {"distance": distance, "n_forward": 21.0, "n_backward": 20.0}))
    attrs = names | {"attack": attack, "settings": settings, "norm": settings["norm"], "unit": settings["unit"]}
    attrs |= {"seconds": 3.25, "verification": {"checked": len(images), "demoted": 0}, "versions": {"torch": "2.15.0"}}
    write_parquet(path, pd.concat(frames), attrs)


def write_examples(path: Path, attacks: dict, images, rng) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, 1, SIZE, dtype=np.float32)
    disc = (ramp[:, None] - 0.5) ** 2 + (ramp[None] - 0.5) ** 2 < 0.08
    clean = np.stack([np.stack([disc * 0.8, ramp[:, None] * np.ones(SIZE), 0.3 + 0.0 * disc], -1)] * 4).astype(
        np.float32
    )
    arrays = {"image": images[:4], "label": images[:4] % 10, "clean": clean}
    for attack, settings in attacks.items():
        step = 4 / 255 if settings["norm"] == "linf" else 0.06
        moved = np.clip(clean + step * rng.choice([-1, 1], clean.shape), 0, 1).astype(np.float32)
        moved[3] = np.nan if attack.startswith("noise") else clean[3]
        arrays[f"adversarial/{attack}"] = moved
        arrays[f"budget/{attack}"] = np.full(4, float(settings["budgets"][-2]))
    np.savez(path, **arrays)


def write_predictor(study: dict, roi: str, seed: int) -> None:
    folder = Path(study["root"]) / "predictors" / "gnet" / roi / f"seed{seed}"
    frames = []
    for subject in study["subjects"]:
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
    write_parquet(folder / "voxels.parquet", pd.concat(frames))
    write_json(folder / "metrics.json", {"provenance": {"neurobust": "0.1.0"}})


def write_cortex(path: Path, roi: str, subject: str, n: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["split"] = np.repeat(np.array([0, 1, 2], np.uint8), [80, 10, 30])
        file["voxel_index"] = np.arange(n)
        for name, level in (("ncsnr", 0.8), ("ncsnr_file", 0.81), ("noise_ceiling", 45.0)):
            file[name] = np.full(n, level, np.float32)
        file.attrs.update(
            {"roi": roi, "subject": subject, "atlas": "prf-visualrois", "labels": json.dumps([f"{roi}v", f"{roi}d"])}
        )


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
def study(tmp_path_factory) -> dict:
    """A fake study that tests only read."""
    return write_study(make_study(tmp_path_factory.mktemp("study") / "results"))


@pytest.fixture
def tiny_study(tmp_path) -> dict:
    """One task, two conditions and one attack, for tests that damage it."""
    study = make_study(tmp_path / "results")
    keep = {"none": study["conditions"]["none"], "LO": study["conditions"]["LO"]}
    small = {"tasks": ["digits"], "conditions": keep, "attacks": {"pgd-linf": ATTACKS["pgd-linf"]}, "rois": ["LO"]}
    return write_study(study | small)


@pytest.fixture(scope="session")
def fill_study():
    """A function: write every file that the report of a study dict reads."""
    return write_study

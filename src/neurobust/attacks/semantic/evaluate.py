"""One network under one semantic attack: every image at every strength, beside its baselines."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neurobust.attacks.cells import cell_path, read_cell, source_hash, write_cell
from neurobust.attacks.images import choose_images, exact_kernels
from neurobust.attacks.perceptual import colour_distance, feature_distance, l2_distance, rgb_to_lab, ssim
from neurobust.attacks.search import check_budgets, frozen
from neurobust.attacks.semantic.data import TaskImages, chunks, load_task
from neurobust.attacks.semantic.descent import Attempt
from neurobust.attacks.semantic.fit import load_auxiliary
from neurobust.attacks.semantic.gates import all_passed, read_gates
from neurobust.attacks.semantic.kinds import FACE_ATTACKS, SEMANTIC, semantic_modules
from neurobust.attacks.verify import logits_again
from neurobust.core import deadline
from neurobust.core.errors import InputError
from neurobust.core.io import provenance, replacing, sha256_file, write_parquet
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device

logger = logging.getLogger("neurobust")

CELL_IMAGES = 64  # part of what the names of finished cells stand for
EXAMPLES = 4
LIGHTNESS = 0.5  # of 100: what float32 and the ends of the gamut may change of it
ATTACK = "attack"
MEASURES = ("ciede2000", "ssim", "l2", "feature_distance")


def resolve(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a semantic attack with every default filled in; a bad one is an InputError."""
    if name not in SEMANTIC:
        raise InputError(f"semantic attack '{name}' is unknown; use one of {sorted(SEMANTIC)}")
    defaults = SEMANTIC[name].defaults
    unknown = sorted(set(settings) - set(defaults))
    if unknown:
        raise InputError(f"semantic.{name}: unknown key '{unknown[0]}'; it takes {sorted(defaults)}")
    found = {**defaults, **settings}
    return found | {"strengths": check_budgets(found["strengths"])}


def attack_semantic(
    dataset: Path,
    model: Path,
    attack: str,
    settings: Mapping[str, Any],
    networks: Mapping[str, Path],
    records: Sequence[Path],
    table: Path,
    examples: Path,
    cells: Path,
    seed: int,
    n_images: int,
    names: Mapping[str, Any],
    attack_batch: int = 32,
) -> None:
    """Attack one network and write a row per (image, strength, variant) and a few images for the gallery.

    networks: the attack's auxiliary networks by name; records: the JSON files of their gates; cells: folder of finished
    work; names: task, architecture and condition. The images are the first `n_images` of those that the other attacks
    take. Nothing in an attack depends on the network's seed, so all networks meet the same hints, textures and edits;
    `attack_batch` changes no result beyond float32 rounding. Raises InputError on bad settings or files.
    """
    from neurobust.networks.architectures import load_network

    settings = resolve(attack, settings)
    paths = {name: Path(networks[name]) for name in SEMANTIC[attack].networks}
    gates = [entry for path in records for entry in read_gates(Path(path))]
    chosen, labels, _ = choose_images(Path(dataset), n_images)
    device = pick_device()
    data = load_task(Path(dataset), attributes=attack in FACE_ATTACKS)
    helpers = {name: load_auxiliary(path, name).to(device) for name, path in paths.items()}
    network = load_network(Path(model)).to(device)
    sources = source_hash("neurobust.attacks.semantic.evaluate", *semantic_modules(attack))
    origin = {
        "attack": attack, "settings": settings, "sources": sources, "torch": torch.__version__,
        "files": {name: sha256_file(path) for name, path in {"model": model, "dataset": dataset, **paths}.items()},
    }  # fmt: skip
    done, progress = [], Progress(math.ceil(n_images / CELL_IMAGES), attack)
    with exact_kernels(), frozen(network):
        run = SEMANTIC[attack](helpers, data, settings)
        judge = Judge(network, helpers)
        for start, rows in enumerate(chunks(chosen, CELL_IMAGES)):
            path = cell_path(Path(cells), ids=rows.tolist(), examples=EXAMPLES if not start else 0, **origin)
            cell = read_cell(path, {"seconds"})
            if cell is None:
                deadline.check()
                cell = compute_cell(network, data, run, judge, rows, EXAMPLES if not start else 0, attack_batch)
                write_cell(path, cell)
            done.append(cell)
            progress.step()
    shown = {key: value for key, value in done[0].items() if key.startswith("example/")}
    cell = {key: np.concatenate([c[key] for c in done], axis=AXES.get(key.partition("/")[0], 0)) for key in done[0]
            if key not in shown}  # fmt: skip
    attrs = {
        **names, "seed": seed, "attack": attack, "axis": run.axis, "settings": settings, "gates": gates,
        "gates_passed": all_passed(gates), "seconds": float(cell.pop("seconds").sum()),
        "verification": dict(zip(COUNTS, cell.pop("counts").sum(0).tolist(), strict=True)),
        "provenance": provenance({"dataset": dataset, "model": model, **paths}, params=settings, seed=seed),
    }  # fmt: skip
    write_parquet(table, to_frame(chosen, settings["strengths"], cell), attrs)
    first = chosen[:EXAMPLES]
    gallery = {
        "image": first, "label": labels[:EXAMPLES], "strengths": np.array(settings["strengths"], np.float64),
        "first": cell["first"][:EXAMPLES], "clean_correct": cell["clean_correct"][:EXAMPLES],
        "clean": data.pixels(first, torch.device("cpu")).permute(0, 2, 3, 1).numpy(), **shown,
    }  # fmt: skip
    with replacing(examples) as temporary, temporary.open("wb") as file:
        np.savez(file, **gallery)


COUNTS = ("checked", "demoted", "bounds", "lightness", "label")
AXES = {"success": 1, "oracle_correct": 1, "same_person": 1} | dict.fromkeys(MEASURES, 1)  # (S, n): the images


class Judge:
    """What is measured of every altered image: the network's answer, distances to the clean one, the oracle's view."""

    def __init__(self, network: nn.Module, helpers: Mapping[str, nn.Module]):
        self.network, self.oracle, self.identity = network, helpers["oracle"], helpers.get("identity")
        self.features = feature_distance(self.oracle.maps)

    @torch.no_grad()
    def measure(self, clean: Tensor, altered: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Columns (n,) of the table for images and what became of them, on the CPU."""
        found = {
            "wrong": logits_again(self.network, altered, batch=len(altered) // 2 + 1).argmax(1) != labels.cpu(),
            "ciede2000": colour_distance(clean, altered),
            "ssim": ssim(clean, altered),
            "l2": l2_distance(clean, altered),
            "feature_distance": self.features(clean, altered),
            "oracle_correct": self.oracle(altered).argmax(1) == labels,
        }
        if self.identity is not None:
            found["same_person"] = self.identity.same(clean, altered)
        return {name: values.cpu() for name, values in found.items()}


def compute_cell(
    network: nn.Module, data: TaskImages, run: Callable[..., Attempt], judge: Judge, ids: np.ndarray, examples: int,
    attack_batch: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Attack, verify and measure the images `ids` batch by batch; arrays (n,), (n, S) or, per variant, (S, n)."""
    began, parts, device = time.monotonic(), [], pick_device()
    for rows in chunks(ids, attack_batch):
        images, labels = data.pixels(rows, device), data.label(rows, device)
        attempt, counts = verify(network, images, labels, run(network, images, labels, rows.tolist()),
                                 getattr(run, "keeps_lightness", False))  # fmt: skip
        part = {name: getattr(attempt, name).numpy() for name in ("clean_correct", "first", "n_forward", "n_backward")}
        part["counts"] = np.array([[counts[name] for name in COUNTS]])
        for variant, batches in {ATTACK: attempt.tried, **attempt.baselines}.items():
            part |= measure_variant(judge, variant, images, labels, attempt, batches)
            kept = np.stack([batch[: max(0, examples - len(parts) * attack_batch)].numpy() for batch in batches])
            part[f"example/{variant}"] = kept.transpose(1, 0, 3, 4, 2).astype(np.float32)
        parts.append(part)
    cell = {key: np.concatenate([part[key] for part in parts], axis=AXES.get(key.partition("/")[0], 0))
            for key in parts[0]}  # fmt: skip
    return cell | {"seconds": np.array([time.monotonic() - began])}


def measure_variant(
    judge: Judge, variant: str, images: Tensor, labels: Tensor, attempt: Attempt, batches: list[Tensor]
) -> dict[str, np.ndarray]:
    """The columns of one variant as `{column}/{variant}` (S, n). A clean error counts as success, without distances."""
    columns: dict[str, list[np.ndarray]] = {}
    for strength, batch in enumerate(batches):
        found = judge.measure(images, batch.to(images.device), labels)
        wrong = found.pop("wrong")
        found["success"] = (attempt.first <= strength) if variant == ATTACK else wrong | ~attempt.clean_correct
        for name in MEASURES:
            found[name] = torch.where(attempt.clean_correct, found[name], math.nan)
        for name, values in found.items():
            columns.setdefault(f"{name}/{variant}", []).append(values.numpy())
    return {name: np.stack(values) for name, values in columns.items()}


def verify(
    network: nn.Module, images: Tensor, labels: Tensor, attempt: Attempt, keeps_lightness: bool
) -> tuple[Attempt, dict[str, int]]:
    """Look at every adversarial again: pixels in [0,1], another class in batches of another size, same lightness.

    An image whose adversarial fails stands at every strength. Returns the corrected attempt and what was found.
    """
    size = len(attempt.strengths)
    rows = (attempt.clean_correct & (attempt.first < size)).nonzero().squeeze(1)
    if not len(rows):
        return attempt, dict.fromkeys(COUNTS, 0)
    points = torch.stack([attempt.tried[attempt.first[row]][row] for row in rows.tolist()])
    inside = ((points >= 0) & (points <= 1)).flatten(1).all(1)
    logits = logits_again(network, points.to(images.device), batch=len(images) // 2 + 1)
    wrong = (logits.argmax(1) != labels.cpu()[rows]) & logits.isfinite().all(1)
    light = torch.ones_like(wrong)
    if keeps_lightness:
        change = (rgb_to_lab(points.double()) - rgb_to_lab(images.cpu()[rows].double()))[:, :1]
        light = change.abs().flatten(1).amax(1) <= LIGHTNESS
    good = inside & wrong & light
    first = attempt.first.clone()
    first[rows[~good]] = size
    masks = {"demoted": ~good, "bounds": ~inside, "lightness": ~light, "label": ~wrong}
    counts = {"checked": len(rows)} | {name: int(mask.sum()) for name, mask in masks.items()}
    if counts["demoted"]:
        logger.warning("verification demoted %s", counts)
    return replace(attempt, first=first), counts


def to_frame(chosen: np.ndarray, strengths: Sequence[float], cell: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """One row per variant, image and strength, the attack first; a baseline costs the one pass that judges it."""
    variants = [key.partition("/")[2] for key in cell if key.startswith("success/")]
    count, size, frames = len(chosen), len(strengths), []
    for variant in sorted(variants, key=lambda name: name != ATTACK):
        frame = {
            "image": np.repeat(chosen, size),
            "strength": np.tile(np.array(strengths, np.float64), count),
            "variant": np.full(count * size, variant, dtype=object),
            "clean_correct": np.repeat(cell["clean_correct"], size),
        }
        for key in cell:
            name, _, owner = key.partition("/")
            if owner == variant:
                frame[name] = cell[key].T.ravel()
        attack = variant == ATTACK
        frame["n_forward"] = cell["n_forward"].ravel() if attack else np.ones(count * size)
        frame["n_backward"] = cell["n_backward"].ravel() if attack else np.zeros(count * size)
        frames.append(pd.DataFrame(frame))
    return pd.concat(frames, ignore_index=True)

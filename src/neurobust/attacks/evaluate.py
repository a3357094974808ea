"""One network under every configured attack: a table per attack, example images and masking checks."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neurobust.attacks.cells import CELL_IMAGES, cell_path, read_cell, source_hash, write_cell
from neurobust.attacks.checks import label, model_checks, table_checks
from neurobust.attacks.images import (
    POOL_IMAGES,
    choose_images,
    choose_training,
    exact_kernels,
    to_batch,
    unit_pixels,
)
from neurobust.attacks.probes import probe_checks
from neurobust.attacks.registry import ADAPTIVE_METHODS, ATTACKS
from neurobust.attacks.run import UNITS, needs_pool, resolve, run_attack
from neurobust.attacks.transfer import TRANSFER_ARRAYS, resolve_transfer, transfer_cell, write_adversarials
from neurobust.attacks.verify import verify
from neurobust.core import deadline
from neurobust.core.errors import InputError
from neurobust.core.io import memmap_dataset, provenance, replacing, sha256_file, write_json, write_parquet
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device

logger = logging.getLogger("neurobust")

EXAMPLES = 6
CHECK_IMAGES = 64
IMAGE_ARRAYS = ("clean_correct", "first", "distance", "n_forward", "n_backward", "member")
CELL_ARRAYS = {*IMAGE_ARRAYS, "adversarial", "seconds", "counts"}
COUNTS = ("checked", "demoted", "bounds", "distance", "label")


def attack_network(
    dataset: Path,
    model: Path,
    attacks: dict[str, dict[str, Any]],
    outputs: dict[str, Path],
    examples: Path,
    checks: Path,
    cells: Path,
    seed: int,
    n_images: int,
    names: dict[str, Any],
    transfer: dict[str, Any] | None = None,
    adversarials: Path | None = None,
    attack_batch: int = 128,
) -> None:
    """Attack one network with every attack of `attacks` and write what docs/design.md says.

    attacks: name -> settings (`registry.resolve`); outputs: name -> parquet; examples: npz; checks: JSON;
    cells: folder of finished work; names: architecture and condition of the network, for the files' attributes. The
    images are the first `n_images` of the task's test images in one fixed order, the same for all its networks.
    With `transfer` (`transfer.resolve_transfer`), the adversarials that other networks will meet go to `adversarials`.
    `attack_batch` images are attacked at once: it costs memory and changes no result beyond float32 rounding. Raises
    InputError on bad settings or files.
    """
    resolved = {name: resolve(name, settings) for name, settings in attacks.items()}
    if set(outputs) != set(resolved):
        raise InputError(f"attacks {sorted(resolved)} and their outputs {sorted(outputs)} differ; name each once")
    chosen, labels, task = choose_images(Path(dataset), n_images)
    device = pick_device()
    pixels = memmap_dataset(dataset, "images")
    network = load_attacked(Path(model), resolved, Path(dataset), pixels, device)
    origin = {
        "model": sha256_file(model), "dataset": sha256_file(dataset), "torch": torch.__version__, "seed": seed,
    }  # fmt: skip
    gallery: dict[str, np.ndarray] = {
        "image": chosen[:EXAMPLES], "label": labels[:EXAMPLES], "clean": unit_pixels(pixels, chosen[:EXAMPLES]),
    }  # fmt: skip
    pool = None
    if any(needs_pool(settings["method"]) for settings in resolved.values()):
        pool = to_batch(pixels, choose_training(Path(dataset), POOL_IMAGES)[0], device)
    tables: dict[str, dict[str, Any]] = {}
    progress = Progress(len(resolved) * math.ceil(n_images / CELL_IMAGES), "attacks")
    with exact_kernels():
        for name, settings in resolved.items():

            def compute(rows: slice, name: str = name, settings: dict[str, Any] = settings) -> dict[str, np.ndarray]:
                return compute_cell(
                    network, pixels, chosen[rows], labels[rows], name, settings, seed, rows.start, attack_batch, device,
                    pool,
                )  # fmt: skip

            parts = {"settings": settings, "sources": sources_of(settings["method"]), **origin}
            cell = gather_cells(Path(cells), chosen, parts, compute, progress)
            tables[name] = summarise(cell, settings) | space_of(network, settings["method"])
            add_examples(gallery, name, cell, settings)
        batch = to_batch(pixels, chosen[:CHECK_IMAGES], device)
        found = all_checks(network, batch, torch.from_numpy(labels[:CHECK_IMAGES]).to(device), tables, seed, model)
        if transfer is not None:
            strong = transfer_cells(
                network, pixels, chosen, labels, transfer, origin, Path(cells), attack_batch, device
            )
    record = provenance({"dataset": dataset, "model": model}, seed=seed)
    names = {"task": task, "seed": seed, **names}
    for name, table in tables.items():
        write_parquet(outputs[name], to_frame(chosen, table), attributes(name, table, names, record))
    with replacing(examples) as temporary, temporary.open("wb") as file:
        np.savez(file, **gallery)
    if transfer is not None:
        write_adversarials(adversarials, strong)
    write_json(checks, found)


def sources_of(method: str) -> str:
    """Digest of the sources behind one attack's cells."""
    return source_hash("neurobust.attacks.evaluate", ATTACKS.module_name(method))


def space_of(network: nn.Module, method: str) -> dict[str, str]:
    """Where an adaptive attack acted on a network: {"space": ...}; nothing for other attacks."""
    return ATTACKS.module(method).describe(network) if method in ADAPTIVE_METHODS else {}


def load_attacked(
    model: Path, attacks: dict[str, dict[str, Any]], dataset: Path, pixels: np.ndarray, device: torch.device
) -> nn.Module:
    """The network; for adaptive attacks with the head of its neural loss and a pool of training images."""
    from neurobust.networks.architectures import load_network

    if not any(settings["method"] in ADAPTIVE_METHODS for settings in attacks.values()):
        return load_network(model).to(device)
    network = load_network(model, neural_head=True).to(device)
    rows, labels, _ = choose_training(dataset, POOL_IMAGES)
    adaptive, shown = ATTACKS.module(ADAPTIVE_METHODS[0]), to_batch(pixels, rows, device)
    with exact_kernels():
        adaptive.show_pool(network, shown, torch.from_numpy(labels).to(device))
    return network


def all_checks(
    network: nn.Module, images: Tensor, labels: Tensor, tables: dict[str, dict[str, Any]], seed: int, model: Path
) -> list[dict[str, Any]]:
    """The checks of a network, of its attacks' tables, and of their ascents; the failed ones go to the log."""
    found = model_checks(network, images, labels, seed)
    found += table_checks(tables) + probe_checks(network, images, labels, tables, seed)
    for entry in found:
        if not entry["passed"]:
            logger.warning(
                "%s: check '%s' failed (%s); robust accuracy may be too high", model, label(entry), entry["note"]
            )
    return found


def transfer_cells(
    network: nn.Module,
    pixels: np.ndarray,
    chosen: np.ndarray,
    labels: np.ndarray,
    transfer: dict[str, Any],
    origin: dict[str, Any],
    folder: Path,
    attack_batch: int,
    device: torch.device,
) -> dict[str, np.ndarray]:
    """The network's adversarials for others, kept in cells as an attack's are."""
    settings = resolve_transfer(transfer)
    chosen, labels = chosen[: settings["images"]], labels[: settings["images"]]

    def compute(rows: slice) -> dict[str, np.ndarray]:
        return transfer_cell(network, pixels, chosen[rows], labels[rows], settings, attack_batch, device)

    progress = Progress(math.ceil(len(chosen) / CELL_IMAGES), "adversarials for other networks")
    parts = {"transfer": settings, "sources": source_hash("neurobust.attacks.transfer"), **origin}
    return gather_cells(folder, chosen, parts, compute, progress, TRANSFER_ARRAYS)


def gather_cells(
    folder: Path,
    chosen: np.ndarray,
    parts: dict[str, Any],
    compute: Callable[[slice], dict[str, np.ndarray]],
    progress: Progress,
    arrays: set[str] = CELL_ARRAYS,
) -> dict[str, np.ndarray]:
    """One attack's cells in order, read where they are finished and computed where not, joined along the images."""
    done = []
    for start in range(0, len(chosen), CELL_IMAGES):
        rows = slice(start, min(start + CELL_IMAGES, len(chosen)))
        path = cell_path(folder, ids=chosen[rows].tolist(), start=start, examples=EXAMPLES, **parts)
        cell = read_cell(path, arrays)
        if cell is None:
            deadline.check()
            cell = compute(rows)
            write_cell(path, cell)
        done.append(cell)
        progress.step()
    return {key: np.concatenate([cell[key] for cell in done]) for key in sorted(arrays)}


def compute_cell(
    network: nn.Module,
    pixels: np.ndarray,
    ids: np.ndarray,
    labels: np.ndarray,
    name: str,
    settings: dict[str, Any],
    seed: int,
    start: int,
    attack_batch: int,
    device: torch.device,
    pool: Tensor | None = None,
) -> dict[str, np.ndarray]:
    """Attack the images `ids` batch by batch and verify. `start`: how many images of the list lie before these.

    `pool`: training images (M, 3, H, W) for the attacks that start from one. Adversarials (n, 3, H, W) are kept for the
    first EXAMPLES images of the whole list alone.
    """
    began, parts, counts = time.monotonic(), [], np.zeros((1, len(COUNTS)), dtype=np.int64)
    for place in range(0, len(ids), attack_batch):
        rows = ids[place : place + attack_batch]
        images = to_batch(pixels, rows, device)
        targets = torch.from_numpy(labels[place : place + attack_batch]).to(device)
        result = run_attack(network, images, targets, settings, seed=seed, ids=rows.tolist(), name=name, pool=pool)
        result, verification = verify(network, images, targets, result, settings["norm"], settings.get("eot", 1))
        if verification["demoted"]:
            logger.warning("%s: verification demoted %s", name, verification)
        counts += np.array([verification[key] for key in COUNTS])
        if result.member is None:
            result.member = torch.full_like(result.first, -1)
        part = {key: getattr(result, key) for key in IMAGE_ARRAYS}
        parts.append(part | {"adversarial": result.adversarial[: max(0, EXAMPLES - start - place)]})
    cell = {key: torch.cat([part[key] for part in parts]).numpy() for key in parts[0]}
    return cell | {"seconds": np.array([time.monotonic() - began]), "counts": counts}


def summarise(cell: dict[str, np.ndarray], settings: dict[str, Any]) -> dict[str, Any]:
    """One attack's results in the configuration's unit, as `table_checks` and `to_frame` read them."""
    size = len(settings["budgets"])
    return {
        "settings": settings,
        "clean_correct": cell["clean_correct"],
        "success": cell["first"][:, None] <= np.arange(size),
        "distance": cell["distance"] / UNITS[settings["unit"]],
        "n_forward": cell["n_forward"],
        "n_backward": cell["n_backward"],
        "member": cell["member"],
        "seconds": float(cell["seconds"].sum()),
        "verification": dict(zip(COUNTS, cell["counts"].sum(0).tolist(), strict=True)),
    }


def attributes(name: str, table: dict[str, Any], names: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """What travels in an attack's parquet beside its rows."""
    settings = table["settings"]
    return {
        **names, "attack": name, "settings": settings, "norm": settings["norm"], "unit": settings["unit"],
        "seconds": table["seconds"], "verification": table["verification"],
        **{key: table[key] for key in ("space",) if key in table},
        "versions": {package: version(package) for package in ("torch", "numpy", "foolbox")},
        "provenance": record | {"params": settings},
    }  # fmt: skip


def to_frame(chosen: np.ndarray, table: dict[str, Any]) -> pd.DataFrame:
    """One row per (image, budget), images in the order of attack, budgets ascending.

    An ensemble's rows also name the `member` that broke the image, empty for clean errors and standing images.
    """
    success, size = table["success"], len(table["settings"]["budgets"])
    distance = np.where(success, table["distance"][:, None], np.nan)
    frame = pd.DataFrame(
        {
            "image": np.repeat(chosen, size),
            "budget": np.tile(np.array(table["settings"]["budgets"], dtype=np.float64), len(chosen)),
            "clean_correct": np.repeat(table["clean_correct"], size),
            "success": success.ravel(),
            "distance": distance.ravel(),
            "n_forward": table["n_forward"].ravel(),
            "n_backward": table["n_backward"].ravel(),
        }
    )
    if table["settings"]["method"] == "autoattack":
        names = np.array([*ATTACKS.module("autoattack").MEMBERS, ""], dtype=object)
        frame["member"] = np.where(success, names[table["member"]][:, None], "").ravel()
    return frame


def add_examples(gallery: dict[str, np.ndarray], name: str, cell: dict[str, np.ndarray], settings: dict) -> None:
    """Add an attack's example adversarials and the smallest budgets that broke them; both NaN where none did."""
    shown = len(gallery["image"])
    budgets = np.array([*settings["budgets"], np.nan], dtype=np.float64)[cell["first"][:shown]]
    adversarial = cell["adversarial"][:shown].transpose(0, 2, 3, 1).astype(np.float32)
    adversarial[np.isnan(budgets)] = np.nan
    gallery[f"adversarial/{name}"], gallery[f"budget/{name}"] = adversarial, budgets

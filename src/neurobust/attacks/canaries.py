"""Canaries: networks whose true answer is known, attacked and checked as the study's own networks are.

An evaluation that does not see through a broken defence proves nothing about the others (Carlini et al., arXiv
1902.06705; Zimmermann et al., NeurIPS 2022). Five canaries are one small undefended network: as it is, with its logits
times 1000, with probabilities as its output, with a quantised input, with noise on its input. The sixth is linear, and
the distance to its boundary is known in closed form. They are attacked on images that the network was trained on: a
canary tests the attack, not the network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurobust.attacks.checks import flags, model_checks, table_checks
from neurobust.attacks.images import choose_training, exact_kernels, to_batch
from neurobust.attacks.norms import lengths
from neurobust.attacks.probes import PROBED, probe_checks
from neurobust.attacks.registry import CANARY_METHOD, NOISE_METHODS
from neurobust.attacks.run import UNITS, resolve, run_attack
from neurobust.attacks.search import frozen, seeded
from neurobust.attacks.verify import verify
from neurobust.core.errors import InputError
from neurobust.core.io import memmap_dataset, provenance, write_json
from neurobust.core.seeding import derive_seed, torch_generator
from neurobust.core.training import pick_device

logger = logging.getLogger("neurobust")

SIDE = 32  # pixels at which the small network looks: larger images are averaged down
SHOWN, EPOCHS, BATCH = 400, 30, 40  # images that it is trained on, and how
LEAST = 8  # images that it must read, or nothing can be said
HALF_BOX = 0.5  # per pixel: every image can become grey, so no classifier can stand
STANDING = 0.02  # share of images that an undefended network may keep there
LINEAR_IMAGES = 12
AROUND = (0.98, 1.001, 1.005, 1.01, 1.02)  # budgets in analytic distances: the first must hold, the last must break
DEFAULT_ATTACK = {"method": CANARY_METHOD, "norm": "linf", "budgets": [0, 2, 8], "steps": 20, "loss": "margin"}


class Altered(nn.Module):
    """A network with one thing done to its input or its output."""

    def __init__(self, body: nn.Module, before: Callable | None = None, after: Callable | None = None):
        super().__init__()
        self.body, self.before, self.after = body, before, after

    def forward(self, images: Tensor) -> Tensor:
        """Logits, or what is made of them, of `images`."""
        logits = self.body(images if self.before is None else self.before(images))
        return logits if self.after is None else self.after(logits)


# name -> (what is done to the undefended network, checks that must fail for it)
CANARIES: dict[str, tuple[dict[str, Callable[[Tensor], Tensor]], list[str]]] = {
    "undefended": ({}, []),
    "scaled logits": ({"after": lambda logits: 1e3 * logits}, ["gradient_ce", "logit_scale"]),
    "probabilities": ({"after": lambda logits: logits.softmax(1)}, ["logits"]),
    "quantised input": ({"before": lambda images: (images * 32).round() / 32}, ["gradient_ce", "gradient_margin"]),
    "noisy input": ({"before": lambda images: images + 0.05 * torch.randn_like(images)}, ["deterministic"]),
}


def attack_canaries(
    dataset: Path, attacks: dict[str, dict[str, Any]], output: Path, n_images: int = 48, seed: int = 0
) -> None:
    """Train, attack and check the canaries on a task's images, and write which were caught as JSON.

    attacks: the study's, of which the iterative, single-step and noise ones take part, as they are configured; for the
    undefended network their budgets go on to half the box. Output: `images`, `train_accuracy`, `attacks` (the iterative
    ones), `provenance`, `canaries`: a list of {canary, expected, found, caught, value, note}. Raises InputError on a
    dataset that the small network cannot learn.
    """
    pixels, device = memmap_dataset(dataset, "images"), pick_device()
    rows, labels, classes = choose_training(Path(dataset), SHOWN)
    images, labels = to_batch(pixels, rows, device), torch.from_numpy(labels).to(device)
    with exact_kernels(), seeded(device, seed, "canaries"):
        network = train_small(images, labels, classes, seed)
        read = correct_rows(network, images, labels)
        if len(read) < LEAST:
            raise InputError(f"{dataset}: a small network reads {len(read)} of {len(rows)} images; check its labels")
        batch = images[read[:n_images]], labels[read[:n_images]]
        chosen = canary_attacks(attacks)
        found = [run_canary(name, network, batch, chosen, seed) for name in CANARIES]
        found.append(run_linear(images[:64], chosen, seed))
    for entry in found:
        if not entry["caught"]:
            logger.warning("canary '%s' was not caught: %s", entry["canary"], entry["note"])
    names = [name for name, settings in chosen.items() if settings["method"] in PROBED]
    record = provenance({"dataset": dataset}, params=attacks, seed=seed)
    summary = {"images": len(batch[0]), "train_accuracy": len(read) / len(rows), "attacks": names}
    write_json(output, {**summary, "canaries": found, "provenance": record})


def canary_attacks(attacks: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The study's attacks that canaries meet, resolved; a default PGD where the study has no iterative one."""
    chosen = {name: s for name, s in attacks.items() if s["method"] in (*PROBED, "fgsm", *NOISE_METHODS)}
    if not any(settings["method"] in PROBED for settings in chosen.values()):
        chosen["pgd"] = DEFAULT_ATTACK
    return {name: resolve(name, settings) for name, settings in chosen.items()}


def up_to_half_box(settings: dict[str, Any], size: int) -> dict[str, Any]:
    """The attack with its budgets doubled on until half the box is reached, where no classifier can stand."""
    largest = HALF_BOX * (1 if settings["norm"] == "linf" else size**0.5) / UNITS[settings["unit"]]
    budgets = [budget for budget in settings["budgets"] if budget < largest]
    while 0 < 2 * budgets[-1] < largest:
        budgets.append(2 * budgets[-1])
    return {**settings, "budgets": [*budgets, largest]}


def train_small(images: Tensor, labels: Tensor, classes: int, seed: int) -> nn.Module:
    """A small convolutional network, fitted to images (N, 3, H, W) by SGD with momentum in fixed order."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "canaries", "network"))
        network = nn.Sequential(
            nn.AdaptiveAvgPool2d(min(SIDE, images.shape[-1])),
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * ((min(SIDE, images.shape[-1]) + 3) // 4) ** 2, classes),
        )  # fmt: skip
    network = network.to(images.device)
    parameters = list(network.parameters())
    momenta = [torch.zeros_like(parameter) for parameter in parameters]
    order = torch_generator(seed, "canaries", "order")
    for epoch in range(EPOCHS):
        rate = 0.05 * (1 - epoch / EPOCHS)
        for rows in torch.randperm(len(images), generator=order).to(images.device).split(BATCH):
            loss = nn.functional.cross_entropy(network(images[rows] - 0.5), labels[rows])
            gradients = torch.autograd.grad(loss, parameters)
            for parameter, momentum, gradient in zip(parameters, momenta, gradients, strict=True):
                parameter.data -= rate * momentum.mul_(0.9).add_(gradient)
    return Altered(network, before=lambda batch: batch - 0.5).eval().requires_grad_(False)


def correct_rows(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Rows (n,) of the images that a network reads correctly."""
    with frozen(network), torch.no_grad():
        right = torch.cat([network(part).argmax(1) for part in images.split(128)]) == labels
    return right.nonzero().squeeze(1)


def attack_tables(
    network: nn.Module, images: Tensor, labels: Tensor, attacks: dict[str, dict[str, Any]], seed: int
) -> dict[str, dict[str, Any]]:
    """One table per attack as `checks.table_checks` reads them."""
    tables = {}
    for name, settings in attacks.items():
        result = run_attack(network, images, labels, settings, seed=seed, ids=range(len(images)), name=name)
        result, verification = verify(network, images, labels, result, settings["norm"])
        tables[name] = {
            "settings": settings, "clean_correct": result.clean_correct.numpy(), "success": result.success.numpy(),
            "verification": verification,
        }  # fmt: skip
    return tables


def find_flags(
    network: nn.Module, images: Tensor, labels: Tensor, attacks: dict[str, dict[str, Any]], seed: int
) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Labels of every check that fails for a network under these attacks, and the attacks' tables."""
    tables = attack_tables(network, images, labels, attacks, seed)
    found = model_checks(network, images, labels, seed) + table_checks(tables)
    return flags(found + probe_checks(network, images, labels, tables, seed)), tables


def run_canary(
    name: str, network: nn.Module, batch: tuple[Tensor, Tensor], attacks: dict[str, dict[str, Any]], seed: int
) -> dict[str, Any]:
    """Attack and check one canary. The undefended one is caught if nothing stands and no check fails."""
    change, expected = CANARIES[name]
    if expected:
        found, _ = find_flags(Altered(network, **change).eval(), *batch, attacks, seed)
        missed = [check for check in expected if check not in found]
        note = f"not flagged: {', '.join(missed)}" if missed else ""
        return record(name, expected, found, not missed, None, note)
    further = {
        key: up_to_half_box(settings, batch[0][0].numel()) if settings["norm"] in ("linf", "l2") else settings
        for key, settings in attacks.items()
    }
    found, tables = find_flags(network, *batch, further, seed)
    standing = {
        key: float((~table["success"][:, -1]).mean())
        for key, table in tables.items()
        if table["settings"]["method"] in PROBED
    }
    worst = max(standing, key=lambda key: standing[key])
    note = f"{worst} leaves {100 * standing[worst]:.0f} % standing where every image can become grey"
    note += f"; flagged without reason: {', '.join(found)}" if found else ""
    return record(name, expected, found, standing[worst] <= STANDING and not found, standing[worst], note)


def record(
    name: str, expected: list[str], found: list[str], caught: bool, value: float | None, note: str
) -> dict[str, Any]:
    """One canary's entry."""
    return {"canary": name, "expected": expected, "found": found, "caught": caught, "value": value, "note": note}


def run_linear(images: Tensor, attacks: dict[str, dict[str, Any]], seed: int) -> dict[str, Any]:
    """The iterative attacks on a random linear classifier: each image falls within 2 % of its analytic distance.

    Two classes compete, so that the way to the nearest boundary is the gradient's; a third is out of reach and there
    for losses that rank three. The images are drawn towards mid-grey, so that no perturbation of this size meets the
    box. Of each norm the images farthest from a boundary are taken, whose distances float32 holds exactly enough.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "canaries", "linear"))
        network = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 3))
    network[1].weight.data[2], network[1].bias.data[2] = 0, -100
    network = network.to(images.device).eval().requires_grad_(False)
    images = 0.5 + 0.2 * (images - 0.5)
    labels = network(images).argmax(1)
    ratios, notes = [], []
    for name, settings in attacks.items():
        if settings["method"] not in PROBED:
            continue
        exact = distances(network[1], images, labels, settings["norm"])
        for row in exact.argsort(descending=True)[:LINEAR_IMAGES].tolist():
            own = {**settings, "unit": "1", "budgets": [0.0, *(exact[row].item() * factor for factor in AROUND)]}
            result = run_attack(network, images[row : row + 1], labels[row : row + 1], own, seed=seed, ids=[row])
            away = lengths(result.adversarial.double() - images[row : row + 1].double().cpu(), settings["norm"])
            found = bool(result.success[0, -1])
            ratios.append(away.item() / exact[row].item() if found else None)
            if not found or result.success[0, 1]:
                notes.append(f"{name} {'succeeds nearer than is possible' if found else 'finds nothing'}")
    worst = max(ratios) if ratios and None not in ratios else None
    note = "; ".join(sorted(set(notes))) or "found distance over analytic distance, the largest"
    return record("linear", [], [], bool(ratios) and not notes, worst, note)


def distances(layer: nn.Linear, images: Tensor, labels: Tensor, norm: str) -> Tensor:
    """Distance (N,) float64 to the nearest boundary of a linear classifier: logit gap over the normal's dual norm."""
    weight, bias = layer.weight.double(), layer.bias.double()
    logits = images.double().flatten(1) @ weight.T + bias
    dual = torch.stack(
        [torch.linalg.vector_norm(row - weight, ord=1 if norm == "linf" else 2, dim=1) for row in weight]
    )
    gaps = logits.gather(1, labels[:, None]) - logits
    return (gaps / dual[labels]).scatter(1, labels[:, None], torch.inf).amin(1)

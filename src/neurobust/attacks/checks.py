"""Checks that catch a defence that only hides its gradients. They mark a network; they never hide its results.

Source of the list: Athalye et al., ICML 2018; Carlini et al., arXiv 1902.06705; the flags of AutoAttack (Croce and
Hein, ICML 2020). Each check is {check, attack, passed, value, note}; `attack` is empty where it is of the network. A
check that does not apply (no budget in common, no clean-correct image) is left out. Here: the network itself, and the
attacks' tables; `probes` climbs again on a few images.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from neurobust.attacks.losses import loss_gradient
from neurobust.attacks.noise import draw, noisy
from neurobust.attacks.registry import GRADIENT_METHODS, NOISE_METHODS
from neurobust.attacks.run import run_attack
from neurobust.attacks.search import frozen

# How much of the clean-correct images a check may lose before it speaks: room for a rounding accident, not for a trend.
TOLERANCE = 0.01

PASSES = 5  # of the same batch, whose logits must agree
ALONE = 4  # images that also go through the network one by one
START = 8 / 255  # how far from the image the gradient is looked at again, L-infinity
REACH = 2.0  # budgets that the steps of an ascent must be able to walk: from one side of its ball to the other
BLACK_BOX_METHODS = ("square", "hopskipjump", "boundary", "blended")  # see no gradient


def check(name: str, passed: bool, value: float | None, note: str, attack: str = "") -> dict[str, Any]:
    """One check's record, with plain Python values."""
    value = None if value is None else float(value)
    return {"check": name, "attack": attack, "passed": bool(passed), "value": value, "note": note}


def label(entry: dict[str, Any]) -> str:
    """`check` or `check/attack`."""
    return "/".join(filter(None, (entry["check"], entry["attack"])))


def flags(checks: list[dict[str, Any]]) -> list[str]:
    """Labels of the checks that failed."""
    return [label(entry) for entry in checks if not entry["passed"]]


# --- the network ---


def model_checks(model: nn.Module, images: Tensor, labels: Tensor, seed: int = 0) -> list[dict[str, Any]]:
    """Checks of the network itself on a batch of images (N, 3, H, W) in [0,1] with its labels (N,)."""
    with frozen(model), torch.no_grad():
        logits = model(images)
        again = [model(images) for _ in range(PASSES - 1)]
        alone = torch.cat([model(image) for image in images[:ALONE].split(1)])
    found = [
        agreement(
            "deterministic", logits, again, f"largest relative difference of the logits of {PASSES} passes", 1e-4
        ),
        agreement("batch_size", logits[:ALONE], [alone], "the same, of an image in a batch and alone", 1e-3),
        *output_checks(logits),
    ]
    correct = logits.argmax(1) == labels
    if correct.any():
        found += gradient_checks(model, images[correct], labels[correct], seed)
    found.append(unbounded(model, images, labels, seed))
    return found


def agreement(name: str, logits: Tensor, others: list[Tensor], note: str, limit: float) -> dict[str, Any]:
    """Logits (N, K) that must not change between passes, relative to the largest of each image."""
    scale = logits.abs().amax(1, keepdim=True).clamp_min(1e-12)
    spread = max(((logits - other) / scale).abs().max().item() for other in others)
    return check(name, spread <= limit, spread, note)


def output_checks(logits: Tensor) -> list[dict[str, Any]]:
    """What the output (N, K) is: a probability distribution, or logits so large that cross-entropy underflows."""
    sums_to_one = bool(((logits.sum(1) - 1).abs() < 1e-4).all() and logits.min() > -1e-5 and logits.max() < 1 + 1e-5)
    saturated = ((logits.float().softmax(1) > 0).sum(1) == 1).double().mean().item()
    note = "share of images for which the softmax of every other class underflows to zero"
    return [
        check("logits", not sums_to_one, sums_to_one, "1 where the output is a probability distribution"),
        check("logit_scale", saturated <= TOLERANCE, saturated, note),
    ]


def gradient_checks(model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> list[dict[str, Any]]:
    """Share of clean-correct images without a gradient to follow, at the image and at a random point beside it."""
    noise = torch.stack([draw("uniform", images.shape[1:], seed, row, 0) for row in range(len(images))]).to(images)
    found, beside = [], noisy(images, noise, START, "linf")
    for points, place, name in ((images, "at the image", "gradient"), (beside, "8/255 beside it", "gradient_start")):
        for loss in ("ce", "margin"):
            with frozen(model):
                size = loss_gradient(model, points, labels, loss)[2].flatten(1).abs().amax(1)
            share = ((size == 0) | ~size.isfinite()).double().mean().item()
            note = f"share of clean-correct images whose {loss} gradient {place} is exactly zero or not finite"
            found.append(check(f"{name}_{loss}", share <= TOLERANCE, share, note))
    return found


def unbounded(model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> dict[str, Any]:
    """With the whole box as its ball, a sound attack leaves nothing standing."""
    settings = {"method": "pgd", "norm": "linf", "unit": "1", "budgets": [0, 1], "steps": 20, "restarts": 2}
    result = run_attack(model, images, labels, settings, seed=seed, ids=range(len(images)), name="unbounded")
    standing = (~result.success[:, -1]).double().mean().item()
    return check("unbounded", standing <= TOLERANCE, standing, "accuracy under PGD with an unbounded budget")


# --- the attacks' tables ---


def table_checks(tables: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Checks of the results of one network's attacks on the same images.

    tables: per attack `settings` (resolved), `clean_correct` bool (N,), `success` bool (N, B), `verification` counts.
    """
    found = [monotone(name, table) for name, table in tables.items()]
    checked = sum(table["verification"]["checked"] for table in tables.values())
    demoted = sum(table["verification"]["demoted"] for table in tables.values())
    share = demoted / max(checked, 1)
    found.append(check("verification", share <= TOLERANCE, share, f"{demoted} of {checked} adversarials demoted"))
    losses = {
        table["settings"]["loss"] for table in tables.values() if is_ascent(table) and "loss" in table["settings"]
    }
    if losses:
        note = f"losses of the iterative attacks: {', '.join(sorted(losses))}"
        found.append(check("margin_loss", losses & {"margin", "dlr"}, None, note))
    for strong, table in tables.items():
        if is_ascent(table):
            found += reach(strong, table["settings"])
            found += comparisons(strong, table, tables)
    return found


def is_ascent(table: dict[str, Any]) -> bool:
    """Whether a table is of an iterative gradient attack."""
    return table["settings"]["method"] in GRADIENT_METHODS


def reach(name: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """An ascent whose steps are too short for its ball looks like robustness. Left out where the steps adapt."""
    if "rel_stepsize" not in settings:
        return []
    size = settings["rel_stepsize"]
    walked = 2.5 if size is None else size * settings["steps"]  # None: 2.5 / steps
    return [check("reach", walked >= REACH, walked, "budgets that all steps walk together; at least 2", name)]


def comparisons(strong: str, table: dict[str, Any], tables: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """An iterative attack against the single step, noise and the attacks without gradients, of the same norm."""
    found = []
    for weak, other in tables.items():
        method = other["settings"]["method"]
        if method not in ("fgsm", *NOISE_METHODS, *BLACK_BOX_METHODS):
            continue
        pairs = common_budgets(table, other) if other["settings"]["norm"] == table["settings"]["norm"] else []
        if not pairs or not table["clean_correct"].any():
            continue
        found.append(not_weaker(strong, table, weak, other, pairs))
        if method in NOISE_METHODS:
            found.append(far_weaker(strong, table, weak, other, pairs))
    return found


def monotone(name: str, table: dict[str, Any]) -> dict[str, Any]:
    """No image may recover at a larger budget."""
    recovered = int((table["success"][:, :-1] & ~table["success"][:, 1:]).any(1).sum())
    return check("monotone", recovered == 0, recovered, "images that recover at a larger budget", name)


def common_budgets(one: dict[str, Any], two: dict[str, Any]) -> list[tuple[int, int]]:
    """Index pairs of the positive budgets that two attacks of the same unit share."""
    if one["settings"]["unit"] != two["settings"]["unit"]:
        return []
    places = {budget: index for index, budget in enumerate(two["settings"]["budgets"])}
    return [(i, places[b]) for i, b in enumerate(one["settings"]["budgets"]) if b > 0 and b in places]


def not_weaker(
    strong: str, table: dict[str, Any], weak: str, other: dict[str, Any], pairs: list[tuple[int, int]]
) -> dict[str, Any]:
    """What a weaker attack breaks, the stronger one breaks too, image by image."""
    correct = table["clean_correct"]
    missed = [(other["success"][correct, j] & ~table["success"][correct, i]).mean() for i, j in pairs]
    share = max(missed)
    note = f"largest share of images that {weak} breaks and {strong} does not"
    return check("not_weaker", share <= TOLERANCE, share, note, f"{strong} vs {weak}")


def far_weaker(
    strong: str, table: dict[str, Any], weak: str, other: dict[str, Any], pairs: list[tuple[int, int]]
) -> dict[str, Any]:
    """Noise must break at most half as many images, at the first budget where the strong attack breaks half of them.

    Where the strong attack breaks next to nothing, noise may break as little as a rounding accident would.
    """
    correct = table["clean_correct"]
    rates = [(table["success"][correct, i].mean(), other["success"][correct, j].mean()) for i, j in pairs]
    white, noise = next((pair for pair in rates if pair[0] >= 0.5), rates[-1])
    ratio, passed = noise / white if white else None, noise <= max(white / 2, 2 * TOLERANCE)
    note = f"{weak} breaks {noise:.3f} and {strong} {white:.3f} of the clean-correct images"
    return check("noise_weaker", passed, ratio, note, f"{strong} vs {weak}")

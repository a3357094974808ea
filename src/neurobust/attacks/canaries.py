"""Canaries: networks whose true answer is known, attacked and checked as the study's own networks are.

An evaluation that does not see through a broken defence proves nothing about the others (Carlini et al., arXiv
1902.06705; Zimmermann et al., NeurIPS 2022). All canaries but one are the same small network: undefended as it is, and
with its input, its output or its gradient spoiled in a known way (`CANARIES`). The last is linear, and the distance to
its boundary is known in closed form. They are attacked on images that the network was trained on: a canary tests the
attack, not the network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from neurobust.attacks.bounded import arrays_of
from neurobust.attacks.check_plans import canary_plans
from neurobust.attacks.checks import flags, model_checks
from neurobust.attacks.images import exact_kernels, to_batch, to_labels
from neurobust.attacks.norms import lengths, per_image
from neurobust.attacks.outcomes import Outcome, outcome_of, table_checks
from neurobust.attacks.plan import AttackPlan
from neurobust.attacks.probes import probe_checks
from neurobust.attacks.run import batch_of, run_attack
from neurobust.attacks.search import frozen, seeded
from neurobust.attacks.twin import twin_checks
from neurobust.attacks.verify import verify
from neurobust.core.errors import InputError
from neurobust.core.io import provenance
from neurobust.core.seeding import derive_seed, torch_generator
from neurobust.core.training import pick_device
from neurobust.files.canaries import Canary, CanaryRecord, write_canaries
from neurobust.files.dataset import read_dataset

logger = logging.getLogger("neurobust")

SIDE = 32  # pixels at which the small network looks: larger images are averaged down
SHOWN, EPOCHS, BATCH = 400, 30, 40  # images that it is trained on, and how
SPOILED_IMAGES = 16  # that suffice to see that something is wrong
LEAST = 8  # images that it must read, or nothing can be said
HALF_BOX = 0.5  # per pixel: every image can become grey, so no classifier can stand
STANDING = 0.02  # share of images that an undefended network may keep there
LINEAR_IMAGES = 12
AROUND = (0.98, 1.001, 1.005, 1.01, 1.02)  # budgets in analytic distances: the first must hold, the last must break
Change = Callable[[Tensor], Tensor]


class Altered(nn.Module):
    """A network with one thing done to its input or its output."""

    def __init__(self, body: nn.Module, before: Change | None = None, after: Change | None = None):
        super().__init__()
        self.body, self.before, self.after = body, before, after

    def forward(self, images: Tensor) -> Tensor:
        """Logits, or what is made of them, of `images`."""
        logits = self.body(images if self.before is None else self.before(images))
        return logits if self.after is None else self.after(logits)


class Spoiled(NamedTuple):
    """What is done to the undefended network, given its median largest logit, and the checks that must fail for it."""

    changes: Callable[[float], dict[str, Change]]
    expected: list[str]


class NoiseForGradient(torch.autograd.Function):
    """The identity, whose gradient is noise of the same length."""

    @staticmethod
    def forward(context: Any, images: Tensor) -> Tensor:
        """The images (N, 3, H, W)."""
        return images.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Noise in the place of the gradient."""
        noise = torch.randn_like(gradient)
        return noise * per_image((lengths(gradient, "l2") / lengths(noise, "l2")).to(noise), noise)


def silent_off_grid(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) as they are, all NaN where their pixels are not n/255: no file holds such an image."""
    away = (255 * images - (255 * images).round()).abs().flatten(1).amax(1) > 1e-2
    return torch.where(per_image(away, images), torch.nan, images)


def straight_through(logits: Tensor, step: float) -> Tensor:
    """Logits rounded to multiples of `step`, with the gradient of what was not rounded."""
    return logits + ((logits / step).round() * step - logits).detach()


CANARIES = {
    "undefended": Spoiled(lambda _: {}, []),
    "scaled logits": Spoiled(lambda _: {"after": lambda logits: 1e3 * logits}, ["gradient_ce", "logit_scale"]),
    "probabilities": Spoiled(lambda _: {"after": lambda logits: logits.softmax(1)}, ["logits"]),
    "quantised input": Spoiled(
        lambda _: {"before": lambda images: (images * 32).round() / 32}, ["gradient_ce", "gradient_margin"]
    ),
    "noisy input": Spoiled(
        lambda _: {"before": lambda images: images + 0.05 * torch.randn_like(images)}, ["deterministic"]
    ),
    "clipped logits": Spoiled(lambda top: {"after": lambda logits: logits.clamp(max=0.7 * top)}, ["saturation"]),
    "noise for a gradient": Spoiled(lambda _: {"before": NoiseForGradient.apply}, ["slope"]),
    "no graph": Spoiled(lambda _: {"before": lambda images: images.detach()}, ["gradient_path"]),
    "silent detector": Spoiled(lambda _: {"before": silent_off_grid}, ["finite"]),
    "straight-through ties": Spoiled(
        lambda top: {"after": lambda logits: straight_through(logits, top)}, ["ties", "slope"]
    ),
}


def attack_canaries(
    dataset: Path, plans: Mapping[str, AttackPlan], output: Path, n_images: int = 48, seed: int = 0
) -> None:
    """Train, attack and check the canaries on a task's images, and write which were caught as JSON.

    plans: the study's attacks, of which the iterative, single-step and noise ones take part, as they are configured;
    for the undefended network their budgets go on to half the box. Output: a `files.canaries.CanaryRecord`. Raises
    InputError on a dataset that the small network cannot learn.
    """
    data, device, chosen = read_dataset(dataset), pick_device(), canary_plans(plans)
    rows = data.shown(SHOWN)
    images, labels = to_batch(data, rows, device), to_labels(data, rows, device)
    with exact_kernels(), seeded(device, seed, "canaries"):
        network = train_small(images, labels, len(data.classes), seed)
        read = correct_rows(network, images, labels)
        if len(read) < LEAST:
            raise InputError(f"{dataset}: a small network reads {len(read)} of {len(rows)} images; check its labels")
        batch = images[read[:n_images]], labels[read[:n_images]]
        found = [run_canary(name, network, batch, chosen, seed) for name in CANARIES]
        found.append(run_linear(images[:64], chosen, seed))
    for entry in found:
        if not entry.caught:
            logger.warning("canary '%s' was not caught: %s", entry.canary, entry.note)
    names = [name for name, plan in chosen.items() if plan.attack.probed]
    settings = {name: plan.settings() for name, plan in chosen.items()}
    record = provenance({"dataset": dataset}, params=settings, seed=seed)
    write_canaries(output, CanaryRecord(found, len(batch[0]), len(read) / len(rows), names, record))


def up_to_half_box(plan: AttackPlan, size: int) -> AttackPlan:
    """The attack with its budgets doubled on until half the box is reached, where no classifier can stand.

    size: values of an image. An attack of another norm than linf and l2 stays as it is.
    """
    if plan.norm not in ("linf", "l2"):
        return plan
    largest = HALF_BOX * (1 if plan.norm == "linf" else size**0.5) / plan.scale
    budgets = [budget for budget in plan.budgets if budget < largest]
    while 0 < 2 * budgets[-1] < largest:
        budgets.append(2 * budgets[-1])
    return replace(plan, budgets=(*budgets, largest))


def train_small(images: Tensor, labels: Tensor, classes: int, seed: int) -> nn.Module:
    """A small convolutional network, fitted to images (N, 3, H, W) by SGD with momentum in fixed order."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "canaries", "network"))
        network = nn.Sequential(
            nn.AdaptiveAvgPool2d(SIDE) if images.shape[-1] > SIDE else nn.Identity(),
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


def outcomes_of(
    network: nn.Module, images: Tensor, labels: Tensor, plans: Mapping[str, AttackPlan], seed: int
) -> dict[str, Outcome]:
    """What each attack does to a network, as the checks read it."""
    outcomes = {}
    for name, plan in plans.items():
        result = run_attack(plan, batch_of(plan, network, images, labels, seed=seed, ids=range(len(images))))
        result, counts = verify(network, images, labels, result, plan.norm)
        outcomes[name] = outcome_of(plan, arrays_of(result), counts)
    return outcomes


def find_flags(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    plans: Mapping[str, AttackPlan],
    seed: int,
    twin: nn.Module | None = None,
) -> tuple[list[str], dict[str, Outcome]]:
    """Labels of every check that fails for a network under these attacks, and what the attacks did to it.

    twin: an undefended network whose adversarials it is shown too.
    """
    outcomes = outcomes_of(network, images, labels, plans, seed)
    found = model_checks(network, images, labels, seed) + table_checks(outcomes)
    found += probe_checks(network, images, labels, outcomes, seed)
    if twin is not None:
        found += twin_checks(network, twin, images, labels, outcomes)
    return flags(found), outcomes


def run_canary(
    name: str, network: nn.Module, batch: tuple[Tensor, Tensor], plans: Mapping[str, AttackPlan], seed: int
) -> Canary:
    """Attack and check one canary. The undefended one is caught if nothing stands and no check fails."""
    changes, expected = CANARIES[name]
    if expected:
        with torch.no_grad():
            top = network(batch[0]).amax(1).median().item()
        images, labels = (part[:SPOILED_IMAGES] for part in batch)
        found, _ = find_flags(Altered(network, **changes(top)).eval(), images, labels, plans, seed, twin=network)
        missed = [check for check in expected if check not in found]
        note = f"not flagged: {', '.join(missed)}" if missed else ""
        return Canary(name, expected, found, not missed, None, note)
    further = {key: up_to_half_box(plan, batch[0][0].numel()) for key, plan in plans.items()}
    found, outcomes = find_flags(network, *batch, further, seed)
    standing = {
        key: float((~outcome.success[:, -1]).mean()) for key, outcome in outcomes.items() if outcome.plan.attack.probed
    }
    worst = max(standing, key=lambda key: standing[key])
    note = f"{worst} leaves {100 * standing[worst]:.0f} % standing where every image can become grey"
    note += f"; flagged without reason: {', '.join(found)}" if found else ""
    return Canary(name, expected, found, standing[worst] <= STANDING and not found, standing[worst], note)


def run_linear(images: Tensor, plans: Mapping[str, AttackPlan], seed: int) -> Canary:
    """The iterative attacks on a random linear classifier: each image falls within 2 % of its analytic distance.

    Two classes compete, so that the way to the nearest boundary is the gradient's; a third is out of reach and there
    for losses that rank three. The images are drawn towards mid-grey, so that no perturbation of this size meets the
    box. Of each norm the images farthest from a boundary are taken, whose distances float32 holds exactly enough.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "canaries", "linear"))
        layer = nn.Linear(images[0].numel(), 3)
    layer.weight.data[2], layer.bias.data[2] = 0, -100
    network = nn.Sequential(nn.Flatten(), layer).to(images.device).eval().requires_grad_(False)
    images = 0.5 + 0.2 * (images - 0.5)
    labels = network(images).argmax(1)
    ratios: list[float | None] = []
    notes: list[str] = []
    for name, plan in plans.items():
        if not plan.attack.probed:
            continue
        exact = distances(layer, images, labels, plan.norm)
        for row in exact.argsort(descending=True)[:LINEAR_IMAGES].tolist():
            nearest = exact[row].item()
            own = replace(plan, name="attack", unit="1", budgets=(0.0, *(nearest * factor for factor in AROUND)))
            one = images[row : row + 1]
            result = run_attack(own, batch_of(own, network, one, labels[row : row + 1], seed=seed, ids=[row]))
            away = lengths(result.adversarial.double() - one.double().cpu(), plan.norm)
            found = bool(result.success[0, -1])
            ratios.append(away.item() / nearest if found else None)
            if not found or result.success[0, 1]:
                notes.append(f"{name} {'succeeds nearer than is possible' if found else 'finds nothing'}")
    reached = [ratio for ratio in ratios if ratio is not None]
    worst = max(reached) if reached and len(reached) == len(ratios) else None
    note = "; ".join(sorted(set(notes))) or "found distance over analytic distance, the largest"
    return Canary("linear", [], [], bool(ratios) and not notes, worst, note)


def distances(layer: nn.Linear, images: Tensor, labels: Tensor, norm: str) -> Tensor:
    """Distance (N,) float64 to the nearest boundary of a linear classifier: logit gap over the normal's dual norm."""
    weight, bias = layer.weight.double(), layer.bias.double()
    logits = images.double().flatten(1) @ weight.T + bias
    dual = torch.stack(
        [torch.linalg.vector_norm(row - weight, ord=1 if norm == "linf" else 2, dim=1) for row in weight]
    )
    gaps = logits.gather(1, labels[:, None]) - logits
    return (gaps / dual[labels]).scatter(1, labels[:, None], torch.inf).amin(1)

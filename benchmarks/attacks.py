"""What attacks cost: eight budgets of PGD beside stock foolbox, a PGD step beside bare passes, a peer's AutoAttack.

    python benchmarks/attacks.py [--images 512] [--epochs 8] [--threads 1] [--small] [--peer]

Trains a ResNet18 on adversarials of scikit-learn's digits at 32 pixels (kept in the temporary folder for the next run).
CPU seconds are compared, and the sides take turns on parts of the images, so that a busy machine slows both alike.
`--small` is a quick look; `--peer` also runs torchattacks' AutoAttack (minutes).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from neurobust.attacks.ascent import Ascent, Ball, climb_fixed
from neurobust.attacks.losses import loss_gradient
from neurobust.attacks.plan import read_plan
from neurobust.attacks.run import batch_of, run_attack
from neurobust.attacks.search import AttackResult, Batch, Search, frozen
from neurobust.networks.architectures import build_network

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

BUDGETS = [2, 4, 6, 8, 12, 16, 24, 32]  # in 1/255
TRAINING_BUDGET = 16 / 255
STEPS = 20
PART = 128

T = TypeVar("T")


def digits(size: int = 32) -> tuple[Tensor, Tensor]:
    """scikit-learn's digits as RGB images (1797, 3, size, size) in [0,1], in a fixed random order, and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    grey = torch.from_numpy(data.images / 16).float()[order, None]
    images = nn.functional.interpolate(grey, (size, size), mode="bilinear").expand(-1, 3, -1, -1).contiguous()
    return images, torch.from_numpy(data.target)[order]


def train(
    network: nn.Module, images: Tensor, labels: Tensor, epochs: int, budget: float = TRAINING_BUDGET, adam: bool = False
) -> None:
    """SGD, or Adam, on single-step adversarials from a random start (Wong et al., ICLR 2020), one cycle of the learning
    rate."""
    if adam:
        optimiser: torch.optim.Optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    else:
        optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    batches = -(-len(images) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3 if adam else 0.05, epochs * batches)
    for epoch in range(epochs):
        for rows in torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch)).split(64):
            noise = budget * (2 * torch.rand_like(images[rows]) - 1)
            network.eval()
            _, _, gradient = loss_gradient(network, (images[rows] + noise).clamp(0, 1), labels[rows], "ce")
            network.train()
            noise = (noise + 1.25 * budget * gradient.sign()).clamp(-budget, budget)
            loss = nn.functional.cross_entropy(network((images[rows] + noise).clamp(0, 1)), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"  epoch {epoch + 1} of {epochs}, loss {loss.item():.2f}", flush=True)


def victim(epochs: int, images: Tensor, labels: Tensor) -> nn.Module:
    """The adversarially trained ResNet18, from the temporary folder where it was trained before."""
    torch.manual_seed(0)
    network = build_network("resnet18", 10)
    path = Path(tempfile.gettempdir()) / f"neurobust-benchmark-{epochs}.pt"
    if path.exists():
        network.load_state_dict(torch.load(path))
    else:
        print("training a ResNet18 on adversarials", flush=True)
        train(network, images, labels, epochs)
        torch.save(network.state_dict(), path)
    return network.eval()


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """What the function returns, and the CPU seconds it took."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


def foolbox_pgd(network: nn.Module, images: Tensor, labels: Tensor, counts: list[int], **options: Any) -> Tensor:
    """Stock foolbox, all budgets in one call: broken, bool (N, B). Gradient evaluations are added to `counts`."""
    import foolbox

    attack = foolbox.attacks.LinfPGD(steps=STEPS, **options)
    target = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    torch.manual_seed(0)
    _, _, success = attack(target, images, labels, epsilons=[budget / 255 for budget in BUDGETS])
    counts.append(len(images) * STEPS * len(BUDGETS))
    network.zero_grad()
    return success.T


def run(network: nn.Module, images: Tensor, labels: Tensor, method: str, **settings: object) -> AttackResult:
    """One of our attacks on these images."""
    plan = read_plan("benchmark", {"method": method, **settings})
    return run_attack(plan, batch_of(plan, network, images, labels, seed=0, ids=range(len(images))))


def our_pgd(network: nn.Module, images: Tensor, labels: Tensor, counts: list[int], **options: Any) -> Tensor:
    """Ours, nested: broken, bool (N, B)."""
    result = run(network, images, labels, "pgd", budgets=[0, *BUDGETS], steps=STEPS, **options)
    counts.append(int(result.n_backward.sum()))
    return result.success[:, 1:]


def report_budgets(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Robust accuracy, gradient evaluations and CPU seconds of foolbox's PGD and ours."""
    sides = {
        "foolbox, as it comes": partial(foolbox_pgd, network),
        "foolbox, step 2.5 / steps": partial(foolbox_pgd, network, rel_stepsize=2.5 / STEPS),
        "ours": partial(our_pgd, network),
        "ours, 10 steps when warm": partial(our_pgd, network, warm_steps=STEPS // 2),
        "ours, bisection": partial(our_pgd, network, order="bisection"),
        "ours, both": partial(our_pgd, network, order="bisection", warm_steps=STEPS // 2),
    }
    broken: dict[str, list[Tensor]] = {name: [] for name in sides}
    seconds = dict.fromkeys(sides, 0.0)
    counts: dict[str, list[int]] = {name: [] for name in sides}
    for part in torch.arange(len(images)).split(PART):
        for name, side in sides.items():
            found, spent = timed(partial(side, images[part], labels[part], counts[name]))
            broken[name].append(found)
            seconds[name] += spent
    print(f"PGD-{STEPS}, linf, {len(images)} images, budgets in 1/255: {BUDGETS}")
    stock, spent = "foolbox, step 2.5 / steps", seconds["foolbox, step 2.5 / steps"]
    for name in sides:
        robust = 1 - torch.cat(broken[name]).double().mean(0)
        gradients, total = sum(counts[name]), sum(counts[stock])
        print(
            f"  {name:26s} {gradients:7d} gradients ({total / gradients:4.1f} x fewer), {seconds[name]:6.1f} CPU s",
            end="",
        )
        print(f" ({spent / seconds[name]:4.1f} x), robust accuracy " + " ".join(f"{value:.3f}" for value in robust))


def report_step(network: nn.Module, images: Tensor, labels: Tensor, repeats: int) -> None:
    """One step of our PGD over a bare forward and backward pass, medians of interleaved repeats of ten steps."""
    images, labels, rows = images[:64], labels[:64], torch.arange(64)
    radius = 1e-4  # too small to break an image, too large to walk in a circle: either would leave a smaller batch
    with frozen(network):
        labels = network(images).argmax(1)
        ratios = []
        for repeat in range(repeats + 1):
            search = Search(Batch(network, images, labels, (radius,), 0, tuple(range(64))))
            ascent = Ascent(search, Ball(0, radius, "linf"), "margin", rows, images, images.clone())
            _, step = timed(partial(climb_fixed, ascent, 10, 0.25))
            gradients = search.n_backward.sum().item() / len(images)
            _, bare = timed(lambda: [bare_pass(network, images, labels) for _ in range(10)])
            last = 1 / 30  # the climb's last forward alone, in gradients: a third of one
            if repeat:
                ratios.append(step / (gradients + 10 * last) / (bare / 10))
    print(f"PGD step over a bare forward and backward pass: {statistics.median(ratios):.3f} ({repeats} repeats)")


def bare_pass(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy's input gradient and nothing else."""
    points = images.detach().requires_grad_()
    return torch.autograd.grad(nn.functional.cross_entropy(network(points), labels), points)[0]


def report_peer(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Our ensemble over all of three budgets, and torchattacks' AutoAttack once for each."""
    import torchattacks

    budgets = BUDGETS[3:8:2]
    settings = {"budgets": [0, *budgets], "steps": 10, "queries": 1000}
    result, ours = timed(lambda: run(network, images, labels, "autoattack", **settings))
    robust, theirs = [], 0.0
    for budget in budgets:
        peer = torchattacks.AutoAttack(network, eps=budget / 255, seed=0)
        adversarial, spent = timed(partial(peer, images, labels))
        robust.append((network(adversarial).argmax(1) == labels).double().mean().item())
        theirs += spent
    found = (1 - result.success[:, 1:].double().mean(0)).tolist()
    print(f"AutoAttack, {len(images)} images, budgets {budgets}: robust accuracy and CPU seconds")
    print(f"  torchattacks {' '.join(f'{value:.3f}' for value in robust)}, {theirs:.0f} s")
    print(f"  ours         {' '.join(f'{value:.3f}' for value in found)}, {ours:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="64 images, 2 epochs")
    parser.add_argument("--peer", action="store_true", help="torchattacks' AutoAttack too, on 64 images")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    count, epochs = (64, 2) if options.small else (options.images, options.epochs)
    images, labels = digits()
    held = min(512, len(images) // 2)
    network = victim(epochs, images[held:], labels[held:])
    report_step(network, images[:64], labels[:64], 5 if options.small else 15)
    report_budgets(network, images[:count], labels[:count])
    if options.peer:
        report_peer(network, images[:64], labels[:64])


if __name__ == "__main__":
    main()

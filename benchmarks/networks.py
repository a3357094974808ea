"""What guidance costs: a regularised training step beside a plain one, and CKA by Gram matrices beside features.

    python benchmarks/networks.py [--threads 1] [--repeats 15] [--only cka steps loop]

Prints medians over interleaved repeats, so that a busy machine slows both sides of a ratio alike. Freed memory is kept,
as it is in a job. `loop`: a small G-net that answers to every batch: its readout of all voxels at once (as it was) and
of a few at a time, which must give the same bits, and a training of 60 epochs whose images have eight versions: the
predictor's pass in eight epochs, the step with a looked-up target in all.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from neurobust.core.memory import keep_freed_memory
from neurobust.core.similarity import linear_cka
from neurobust.files.pixels import resized
from neurobust.networks.architectures import build_network
from neurobust.networks.registry import LOSSES
from neurobust.predictors.gnet import GNet, read_voxels

BATCH, SIZE, VOXELS = 64, 32, 1000
EPOCHS, VERSIONS = 60, 8


def medians(repeats: int, **functions: Callable[[], object]) -> dict[str, float]:
    """Median CPU seconds of each function; they take turns, in changing order, after a call that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name in sorted(functions, reverse=repeat % 2 == 1):
            start = time.process_time()
            functions[name]()
            if repeat:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def feature_cka(x: Tensor, y: Tensor) -> Tensor:
    """Linear CKA in its feature form ||Y'X||^2 / (||X'X|| ||Y'Y||), as published training code has it."""
    x, y = x - x.mean(0), y - y.mean(0)
    return (y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())


def trainer(loss: str | None, target: Callable[[Tensor, Tensor], Tensor] | None) -> Callable[[], None]:
    """One optimiser step of ResNet18 on a batch of 64 images of 32 px, with or without a neural loss."""
    torch.manual_seed(0)
    network = build_network("resnet18", 10).train()
    if loss is not None and LOSSES[loss].needs_head:
        network.neural_head = nn.Linear(network.feature_dim, VOXELS)
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    images, labels, rows = torch.rand(BATCH, 3, SIZE, SIZE), torch.randint(10, (BATCH,)), torch.arange(BATCH)

    def step() -> None:
        features = network.features(images)
        total = 0.1 * nn.functional.cross_entropy(network.head(features), labels)
        if loss is not None:
            compared = network.neural_head(features) if network.neural_head is not None else features
            assert target is not None
            total = total + 0.9 * LOSSES[loss].function(compared, target(images, rows))
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        optimiser.step()

    return step


def report_steps(repeats: int) -> None:
    """The regularised step by loss with cached targets over the plain one."""
    plain = trainer(None, None)
    steps = {f"cached {name}": trainer(name, cached_targets()) for name, loss in LOSSES.items() if not loss.by_class}
    print(f"step of resnet18 on {BATCH} images of {SIZE} px, towards {VOXELS} voxels")
    for name, step in steps.items():
        found = medians(repeats, plain=plain, step=step)
        ratio = found["step"] / found["plain"]
        print(f"  {name:24s} {found['step'] * 1e3:7.1f} ms, plain {found['plain'] * 1e3:7.1f} ms, ratio {ratio:.3f}")


def cached_targets() -> Callable[[Tensor, Tensor], Tensor]:
    """Targets that are looked up."""
    cache = torch.randn(5000, VOXELS)
    return lambda images, rows: cache[rows]


@torch.no_grad()
def report_loop(repeats: int) -> None:
    """A small G-net in the loop, as it was and as it is, and with versions."""
    gnet = GNet({"subj01": VOXELS}, 64, (48, 96), 24).eval().requires_grad_(False)
    readout = gnet.readout("subj01")

    def at_once(images: Tensor, rows: Tensor) -> Tensor:
        flat = gnet.flat_maps(resized(images, 64))
        return read_voxels(flat, list(readout.fields), readout.weight, readout.bias)

    def few_at_a_time(images: Tensor, rows: Tensor) -> Tensor:
        return gnet(resized(images, 64))

    images, rows = torch.rand(BATCH, 3, SIZE, SIZE), torch.arange(BATCH)
    assert torch.equal(at_once(images, rows), few_at_a_time(images, rows)), "not the same bits"
    tried = {
        "plain": trainer(None, None),
        "cached": trainer("mse", cached_targets()),
        "before": trainer("mse", torch.no_grad()(at_once)),
        "now": trainer("mse", torch.no_grad()(few_at_a_time)),
        "predictor": lambda: few_at_a_time(images, rows),
    }
    with torch.enable_grad():
        found = medians(repeats, **{name: step for name, step in tried.items() if name != "predictor"})
    found |= medians(repeats, predictor=tried["predictor"])
    found[f"{VERSIONS} versions"] = found["cached"] + VERSIONS / EPOCHS * found["predictor"]
    print(f"a small G-net in the loop of such a step; {VERSIONS} versions in {EPOCHS} epochs")
    for name, seconds in found.items():
        print(f"  {name:24s} {seconds * 1e3:7.1f} ms, ratio to plain {seconds / found['plain']:.3f}")
    print(f"  targets of an image's versions: {VERSIONS * VOXELS * 4 / 1e3:.0f} kB in memory, half of it in a file")


def report_cka(repeats: int) -> None:
    """Both forms of linear CKA at n = 64, d = 4096, v = 4627, forward and backward."""
    x = torch.randn(64, 4096, requires_grad=True)
    y = torch.randn(64, 4627)

    def run(form: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(form(x, y), x)

    found = medians(repeats, gram=run(linear_cka), features=run(feature_cka))
    with torch.no_grad():
        error = abs(linear_cka(x, y).item() - feature_cka(x.double(), y.double()).item())
    gram, features = found["gram"] * 1e3, found["features"] * 1e3
    print(f"linear CKA, n 64, d 4096, v 4627: Gram {gram:.2f} ms, features {features:.0f} ms")
    print(f"  {features / gram:.0f} times faster; differs by {error:.1e} from float64")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", nargs="+", choices=["cka", "steps", "loop"], default=["cka", "steps", "loop"])
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    reports = {"cka": lambda: report_cka(max(3, options.repeats // 3))}
    reports |= {"steps": lambda: report_steps(options.repeats), "loop": lambda: report_loop(options.repeats)}
    for name in options.only:
        reports[name]()


if __name__ == "__main__":
    main()

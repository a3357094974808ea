"""Predictors side by side with what users would run instead: G-net's step and memory, and ridge.

    python benchmarks/predictors.py [--batch 20] [--voxels 1000] [--steps 3] [--ridge 1000 500 1000]
    python benchmarks/predictors.py --only kernel --kernel 1000 3000 1000             # fewer images than features
    python benchmarks/predictors.py --only memory --batch 100 --voxels 10000          # the size of a subject

step: images a second of a training step at 227 pixels, as published (dense readout, a full forward and backward pass
for each of two optimisers, gradients into the prefilter that nobody uses) and ours (`accumulate_gradients`, one pass).
memory: peak memory of one step, readout dense and in voxel batches. ridge: the same folds and penalties as
himalaya's RidgeCV, and scikit-learn's (leave-one-out) beside them. kernel: the same with fewer images than features,
beside himalaya's KernelRidgeCV with the features' weights (its data are centred once, ours in each fold, so that a few
penalties differ). Each runs in a process of its own, on one thread, in turns; times are CPU seconds, the least of the
repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

SIZE, SUBJECT = 227, "subj01"
ALPHAS = [10.0**k for k in range(-1, 9)]


def gnet(voxels: int, frozen: bool):
    import torch

    from neurobust.predictors.gnet import GNet

    torch.manual_seed(0)
    model = GNet({SUBJECT: voxels}, input_size=SIZE).train()
    model.prefilter.requires_grad_(not frozen)
    return model


def batch_of(batch: int, voxels: int):
    import torch

    return torch.rand(batch, 3, SIZE, SIZE), torch.randn(batch, voxels)


def plain_phi(x):
    import torch

    return torch.log(1 + torch.abs(x)) * torch.tanh(x)


def dense_loss(model, images, target):
    """The published loss through a plain readout of all voxels at once."""
    import torch

    from neurobust.predictors.loss import correlation_weights

    maps = model.trunk(model.prefilter(images - model.mean))
    readout = model.readouts[SUBJECT]
    pooled = [
        torch.tensordot(plain_phi(m).flatten(2), f.softmax(1), ([2], [1]))
        for m, f in zip(maps, readout.fields, strict=True)
    ]
    features = plain_phi(torch.cat(pooled, 1))  # images, channels, voxels
    predicted = torch.bmm(features.permute(2, 0, 1), readout.weight.unsqueeze(2)).squeeze(2).t() + readout.bias
    omega = correlation_weights(predicted, target, 0.1)
    return (omega * (predicted - target).square().sum(0)).sum() / omega.mean() + 0.1 * readout.weight.abs().sum()


def published_step(batch: int, voxels: int) -> Callable[[], None]:
    import torch

    model = gnet(voxels, frozen=False)
    core = torch.optim.Adam(model.trunk.parameters(), lr=1e-3)
    head = torch.optim.Adam(model.readouts.parameters(), lr=1e-3)
    images, target = batch_of(batch, voxels)

    def step():
        for optimiser in (core, head):
            optimiser.zero_grad()
            dense_loss(model, images, target).backward()
            optimiser.step()

    return step


def our_step(batch: int, voxels: int) -> Callable[[], None]:
    import torch

    from neurobust.predictors.loss import LossTerms, accumulate_gradients

    model = gnet(voxels, frozen=True)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    images, target = batch_of(batch, voxels)
    weight = torch.ones(batch)

    def step():
        optimiser.zero_grad(set_to_none=True)
        accumulate_gradients(model, SUBJECT, images, target, weight, LossTerms(l1=0.1, floor=0.1, voxel_batch=256))
        optimiser.step()

    return step


def dense_step(batch: int, voxels: int) -> Callable[[], None]:
    import torch

    model = gnet(voxels, frozen=True)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    images, target = batch_of(batch, voxels)

    def step():
        optimiser.zero_grad(set_to_none=True)
        dense_loss(model, images, target).backward()
        optimiser.step()

    return step


def regression(n: int, features: int, voxels: int):
    """Features of falling variance; voxels from clean to noisy, so that they need different penalties."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, features)).astype(np.float32) * np.geomspace(10, 0.1, features, dtype=np.float32)
    y = x @ rng.standard_normal((features, voxels)).astype(np.float32)
    y /= y.std(0)
    return x, y + rng.standard_normal((n, voxels)).astype(np.float32) * np.geomspace(0.1, 10, voxels, dtype=np.float32)


def our_ridge(n: int, features: int, voxels: int) -> Callable[[], Any]:
    import torch

    from neurobust.predictors.ridge import ridge_cv

    x, y = (torch.from_numpy(a) for a in regression(n, features, voxels))
    return lambda: ridge_cv(x, y, ALPHAS, folds=5).alpha.tolist()


def himalaya_ridge(n: int, features: int, voxels: int) -> Callable[[], Any]:
    from himalaya.backend import set_backend
    from himalaya.ridge import RidgeCV
    from sklearn.model_selection import KFold

    set_backend("torch")
    x, y = regression(n, features, voxels)
    model = RidgeCV(alphas=ALPHAS, cv=KFold(5), fit_intercept=True)
    return lambda: [float(alpha) for alpha in model.fit(x, y).best_alphas_]


def himalaya_kernel(n: int, features: int, voxels: int) -> Callable[[], Any]:
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV
    from sklearn.model_selection import KFold

    set_backend("torch")
    x, y = regression(n, features, voxels)
    x, y = x - x.mean(0), y - y.mean(0)  # its linear kernel has no intercept
    model = KernelRidgeCV(alphas=ALPHAS, kernel="linear", cv=KFold(5))

    def fit():
        model.fit(x, y)
        model.get_primal_coef()
        return [float(alpha) for alpha in model.best_alphas_]

    return fit


def sklearn_ridge(n: int, features: int, voxels: int) -> Callable[[], Any]:
    from sklearn.linear_model import RidgeCV

    x, y = regression(n, features, voxels)
    model = RidgeCV(alphas=ALPHAS, alpha_per_target=True)  # leave-one-out: its penalties may differ a little
    return lambda: model.fit(x, y).alpha_.tolist()


GROUPS: dict[str, dict[str, Callable[..., Callable[[], Any]]]] = {
    "step": {"published loop": published_step, "ours": our_step},
    "memory": {"dense": dense_step, "ours": our_step},
    "ridge": {"ours": our_ridge, "himalaya": himalaya_ridge, "scikit-learn": sklearn_ridge},
    "kernel": {"ours": our_ridge, "himalaya": himalaya_kernel},
}


def measure(group: str, name: str, sizes: list[int], steps: int) -> None:
    """Run one entry in this process; print its CPU seconds, peak GiB, and what it found, as JSON."""
    import torch

    torch.set_num_threads(1)
    call = GROUPS[group][name](*sizes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds, found = [], None
    for _ in range(steps):
        start = time.process_time()
        found = call()
        seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": min(seconds), "peak": peak, "extra": peak - before, "found": found}))


def run(group: str, sizes: list[int], steps: int) -> dict[str, dict[str, Any]]:
    """Every entry of a group in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    results = {}
    for name in GROUPS[group]:
        command = [sys.executable, __file__, "--only", group, "--entry", name, "--steps", str(steps), "--sizes"]
        done = subprocess.run(
            [*command, *map(str, sizes)], capture_output=True, text=True, check=True, env=environment
        )  # fmt: skip
        results[name] = json.loads(done.stdout.splitlines()[-1])
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(GROUPS))
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--voxels", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--ridge", type=int, nargs=3, default=[1000, 500, 1000], metavar=("N", "FEATURES", "VOXELS"))
    parser.add_argument("--kernel", type=int, nargs=3, default=[500, 2000, 500], metavar=("N", "FEATURES", "VOXELS"))
    parser.add_argument("--entry", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.entry:
        measure(options.only, options.entry, options.sizes, options.steps)
        return
    for group in [options.only] if options.only else list(GROUPS):
        sizes = {"ridge": options.ridge, "kernel": options.kernel}.get(group, [options.batch, options.voxels])
        results = run(group, sizes, 1 if group == "memory" else options.steps)
        print(f"{group}, {' x '.join(map(str, sizes))}")
        ours = results["ours"]
        for name, result in results.items():
            rate = f"{sizes[0] / result['seconds']:8.2f} images/s" if group in ("step", "memory") else " " * 17
            print(
                f"  {name:<16}{result['seconds']:9.2f} s {rate}{result['seconds'] / ours['seconds']:7.2f} x ours"
                f"{result['peak']:8.2f} GiB peak{result['extra']:8.2f} GiB of it in the step"
            )
        if group in ("ridge", "kernel"):
            same = [abs(a / b - 1) < 1e-6 for a, b in zip(ours["found"], results["himalaya"]["found"], strict=True)]
            print(f"  the same penalty as himalaya for {sum(same)} of {len(same)} voxels")


if __name__ == "__main__":
    main()

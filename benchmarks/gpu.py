"""What a GPU makes of this project, in one short run: training, predictors and attacks, and how busy it is kept.

    python benchmarks/gpu.py                # a few minutes on one GPU, 2 GB in the temporary folder
    python benchmarks/gpu.py --miniature    # the same on small things, for a machine without one

training: images a second of whole epochs of ResNet18 (`networks.trainer.Trainer`: reading, crop and flip, copying
and step): plain; guided by cached targets; guided by a G-net in the loop; by versions that it has seen, once they are
known, and how fast it sees one. busy: the share of that time that the same steps take on a batch that lies on the
device already. predictors: images a second of G-net's readout and of its training step. attacks: images a second of
PGD in one batch, at several budgets one after the other, with float32 convolutions, with TF32 and under bfloat16
autocast, on a ResNet18 adversarially trained on digits: the robust accuracy that the search saw, and that of its
adversarials in float32, which is the one that counts.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from attacks import digits, train
from torch import Tensor, nn

from neurobust.attacks.images import exact_kernels
from neurobust.attacks.plan import read_plan
from neurobust.attacks.run import batch_of, run_attack
from neurobust.attacks.search import misread
from neurobust.core.io import save_weights
from neurobust.core.training import pick_device
from neurobust.files.dataset import Source, dataset_path, read_dataset, write_dataset
from neurobust.files.pixels import to_pixels
from neurobust.networks.architectures import build_network
from neurobust.networks.conditions import read_recipe
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.trainer import Trainer
from neurobust.predictors.gnet import GNet
from neurobust.predictors.loss import LossTerms, accumulate_gradients

GUIDED = {"target": "V1", "loss": "mse", "weight": 0.5}
RUNS: dict[str, dict[str, object]] = {
    "plain": {"condition": {"weight": 0.5}},
    "guided, cached targets": {"condition": GUIDED, "augment": "none"},
    "guided, G-net in the loop": {"condition": GUIDED},
    "the same, G-net in bfloat16": {"condition": GUIDED, "predictor_precision": "bfloat16"},
    "guided, versions": {"condition": GUIDED, "versions": 1},
}


@dataclass(frozen=True)
class Sizes:
    """How large everything is: batches of `batch` images of `side` px; the sizes of the G-net and of the attack."""

    side: int = 224
    batch: int = 256
    batches: int = 8
    gnet_side: int = 227
    gnet_channels: tuple[int, int] = (64, 192)
    gnet_width: int = 64
    gnet_batch: int = 100
    voxels: int = 5000
    attack_side: int = 224
    attack_images: int = 1500
    attack_epochs: int = 3
    attack_steps: int = 40
    budgets: tuple[float, ...] = (4.0, 16.0, 32.0)
    repeats: int = 5


MINIATURE = Sizes(32, 8, 2, 64, (4, 6), 3, 6, 12, 32, 16, 1, 2, (2.0, 16.0), 1)  # in the order of the fields


def seconds_of(function: Callable[[], object], repeats: int) -> float:
    """Wall seconds of one call, the mean over repeats after one that does not count; a GPU is waited for."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    function()
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    wait()
    return (time.perf_counter() - start) / repeats


def make_files(folder: Path, sizes: Sizes) -> NetworkInputs:
    """A task of random images and the weights of an untrained G-net."""
    rng, count = np.random.default_rng(0), sizes.batch * sizes.batches
    images = (rng.integers(0, 256, (1, sizes.side, sizes.side, 3), dtype=np.uint8) for _ in range(count + 1))
    split = np.where(np.arange(count + 1) < count, 0, 2).astype(np.uint8)
    labels = np.arange(count + 1) % 50
    classes = [f"class {number}" for number in range(50)]
    source = Source(labels, split, classes, (sizes.side, sizes.side), images, dict)
    write_dataset(dataset_path(folder, "random"), "random", source, {})
    config = {
        "voxels": {"subj01": sizes.voxels}, "input_size": sizes.gnet_side, "prefilter_channels": sizes.gnet_channels,
        "trunk_width": sizes.gnet_width,
    }  # fmt: skip
    torch.manual_seed(0)
    save_weights(folder / "gnet.safetensors", GNet(**config).state_dict(), {"kind": "gnet", **config})
    return NetworkInputs(dataset_path(folder, "random"), (folder / "gnet.safetensors",))


def report_training(inputs: NetworkInputs, sizes: Sizes) -> None:
    """Whole epochs, and the same steps on a batch that is there already."""
    print(f"training of resnet18, batches of {sizes.batch} images of {sizes.side} px")
    for name, asked in RUNS.items():
        recipe = read_recipe(
            {"architecture": "resnet18", "augment": "crop-flip", "epochs": 1000, "batch_size": sizes.batch,
             "learning_rate": 1e-3, "schedule": "constant", **asked}
        )  # fmt: skip
        files = NetworkInputs(inputs.dataset, inputs.predictors if recipe.condition.target else ())
        trainer = Trainer(files, read_dataset(inputs.dataset), recipe, 0, sizes.batch)
        epoch = iter(range(1000))
        whole = seconds_of(lambda trainer=trainer, epoch=epoch: trainer.run_epoch(next(epoch)), sizes.repeats)
        step = seconds_of(step_at_hand(trainer), sizes.repeats * sizes.batches)
        rate, busy = sizes.batch * sizes.batches / whole, step * sizes.batches / whole
        print(f"  {name:28s} {rate:9.1f} images/s, step {step * 1e3:8.1f} ms, busy {busy:.2f}")
        if trainer.guidance is not None and (kept := trainer.guidance.kept) is not None:
            seen = seconds_of(lambda kept=kept: (kept.known.clear(), kept.prepare(0)), sizes.repeats)
            print(f"  {'a version, seen':28s} {sizes.batch * sizes.batches / seen:9.1f} images/s")


def step_at_hand(trainer: Trainer) -> Callable[[], object]:
    """A step of a trainer on its first batch, which lies on the device."""
    rows, images, partners = trainer._read(((0, 0), trainer.batches(0)[0]))
    pixels, labels = to_pixels(images, trainer.device), torch.from_numpy(trainer.data.labels[rows]).to(trainer.device)
    shown = None if partners is None else partners.to(trainer.device)

    def step() -> Tensor:
        goal = trainer.guidance.goal((0, 0), rows, shown, labels) if trainer.guidance else None
        return trainer._step(pixels, labels, goal)

    return step


def report_predictors(sizes: Sizes) -> None:
    """G-net's responses, and one step of its training."""
    device, batch = pick_device(), sizes.gnet_batch
    torch.manual_seed(0)
    model = GNet({"subj01": sizes.voxels}, sizes.gnet_side, sizes.gnet_channels, sizes.gnet_width).to(device)
    model.prefilter.requires_grad_(False)
    images = torch.rand(batch, 3, sizes.gnet_side, sizes.gnet_side, device=device)
    target, weight = torch.randn(batch, sizes.voxels, device=device), torch.ones(batch, device=device)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        accumulate_gradients(model, "subj01", images, target, weight, LossTerms(0.1, 0.1, 256))
        optimiser.step()

    print(f"G-net, batches of {batch} images of {sizes.gnet_side} px, {sizes.voxels} voxels")
    print(f"  {'training step':28s} {batch / seconds_of(step, sizes.repeats):9.1f} images/s")
    model.eval()
    with torch.inference_mode():
        print(f"  {'readout':28s} {batch / seconds_of(lambda: model(images), sizes.repeats):9.1f} images/s")


class HalfPrecision(nn.Module):
    """A network under bfloat16 autocast."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K), float32."""
        with torch.autocast(images.device.type, torch.bfloat16):
            return self.network(images).float()


@contextlib.contextmanager
def tensor_cores() -> Iterator[None]:
    """Convolutions and matrix products in TF32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def report_attacks(sizes: Sizes) -> None:
    """PGD by precision."""
    device = pick_device()
    images, labels = (part.to(device) for part in digits(sizes.attack_side))
    torch.manual_seed(0)
    stem = "imagenet" if sizes.attack_side > 64 else "cifar"
    network = build_network("resnet18", 10, stem=stem).to(device)
    held = sizes.batch
    taught = slice(held, held + sizes.attack_images)
    train(network, images[taught], labels[taught], sizes.attack_epochs)
    network.eval()
    shown, wanted = images[:held], labels[:held]
    plan = read_plan(
        "pgd", {"method": "pgd", "norm": "linf", "steps": sizes.attack_steps, "budgets": [0, *sizes.budgets]}
    )
    precisions = {
        "float32": (network, exact_kernels), "TF32": (network, tensor_cores),
        "bfloat16": (HalfPrecision(network), exact_kernels),
    }  # fmt: skip
    print(f"PGD-{sizes.attack_steps}, {held} images of {sizes.attack_side} px, budgets {sizes.budgets} / 255")
    for name, (attacked, kernels) in precisions.items():
        batch = batch_of(plan, attacked, shown, wanted, seed=0, ids=range(held))
        with kernels():
            result = run_attack(plan, batch)
            rate = held / seconds_of(lambda batch=batch: run_attack(plan, batch), 1)
        with exact_kernels(), torch.no_grad():
            holds = misread(network(result.adversarial.to(device)), wanted) | misread(network(shown), wanted)
        broken = result.success[:, 1:]
        seen, robust = ((1 - part.double().mean(0)).tolist() for part in (broken, broken & holds.cpu()[:, None]))
        print(f"  {name:28s} {rate:9.1f} images/s, robust accuracy {in_percent(seen)} in the search, "
              f"{in_percent(robust)} in float32")  # fmt: skip


def in_percent(shares: list[float]) -> str:
    """Shares, one after the other."""
    return " ".join(f"{100 * share:.1f}" for share in shares)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miniature", action="store_true", help="small things, for a machine without a GPU")
    sizes = MINIATURE if parser.parse_args(words).miniature else Sizes()
    found = torch.cuda.get_device_name() if torch.cuda.is_available() else "none, so this says nothing about one"
    print(f"GPU: {found}; torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        report_training(make_files(Path(folder), sizes), sizes)
    report_predictors(sizes)
    report_attacks(sizes)


if __name__ == "__main__":
    main()

"""What stands in for a predictor that sees every augmented image anew: how near it comes, and what it does to accuracy.

    python benchmarks/in_loop.py RESULTS [--task phantom-scenes] [--rois V1 LO FFA] [--images 64] [--draws 6]
    python benchmarks/in_loop.py RESULTS --train [--architecture small] [--epochs 12] [--seeds 3]

RESULTS is the folder of a finished run. Without `--train`: responses of its predictors to crops and flips of test
images, beside those to the images as they are stored, those interpolated bilinearly between a grid of shifts (whole
pixels; each with both flips), and those under bfloat16 autocast. Correlations over images and draws, the median voxel
and the 5 % quantile; then the same for what the augmentation changes: of both sides the response to the stored image
is taken away. With `--train`: test accuracy of networks that meet ever new versions, a few in turn, or none.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neurobust.core.memory import keep_freed_memory
from neurobust.files.dataset import Dataset, dataset_path, read_dataset
from neurobust.files.pixels import to_pixels
from neurobust.files.splits import TEST
from neurobust.networks.batches import Draws, draw_crop_flip
from neurobust.networks.conditions import read_recipe
from neurobust.networks.guidance import mean_correlation
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.stores import Mapped
from neurobust.networks.trainer import Trainer
from neurobust.predictors.target import Target, load_target

CPU = torch.device("cpu")
GRIDS = (2, 3, 5)  # shifts along each side


def voxel_correlations(x: Tensor, y: Tensor) -> np.ndarray:
    """Pearson's r of each column of (N, D); NaN where one is constant."""
    return np.array([mean_correlation(x[:, v : v + 1], y[:, v : v + 1]) for v in range(x.shape[1])])


class Shown:
    """Some images, and a predictor's responses (n, D) to them as draws move and mirror them."""

    def __init__(self, target: Target, images: np.ndarray):
        self.target, self.store, self.rows, self.shape = (
            target,
            Mapped(images, CPU),
            np.arange(len(images)),
            images.shape,
        )

    def respond(self, draws: Draws | None, half: bool = False) -> Tensor:
        pixels = to_pixels(self.store.read(self.rows, None if draws is None else draws.windows()), CPU)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return self.target(pixels).float()

    def at(self, pad: int, down: int, right: int, mirrored: bool) -> Tensor:
        """All images moved alike."""
        count = len(self.rows)
        full = (np.full(count, value) for value in (down, right, mirrored))
        return self.respond(Draws(self.shape[1:3], pad, *full))

    def grid(self, pad: int, size: int) -> tuple[np.ndarray, Tensor]:
        """Shifts (size,), and the responses (2, size, size, n, D) to them, without and with a flip."""
        shifts = np.unique(np.linspace(0, 2 * pad, size).round().astype(int))
        answers = [
            torch.stack([self.at(pad, down, right, mirrored) for down in shifts for right in shifts])
            for mirrored in (False, True)
        ]
        return shifts, torch.stack(answers).unflatten(1, (len(shifts), len(shifts)))


def interpolated(shifts: np.ndarray, answers: Tensor, draws: Draws) -> Tensor:
    """Responses (n, D) to some draws, from those at a grid of shifts."""

    def between(wanted: np.ndarray) -> tuple[np.ndarray, Tensor]:
        low = np.clip(np.searchsorted(shifts, wanted, side="right") - 1, 0, len(shifts) - 2)
        return low, torch.from_numpy((wanted - shifts[low]) / (shifts[low + 1] - shifts[low])).float()[:, None]

    (row, down), (column, right) = between(draws.down), between(draws.right)
    flip, image = draws.mirrored.astype(int), np.arange(len(row))

    def at(below: int, beside: int) -> Tensor:
        return answers[flip, row + below, column + beside, image]

    upper, lower = (at(k, 0) * (1 - right) + at(k, 1) * right for k in (0, 1))
    return upper * (1 - down) + lower * down


def report_roi(name: str, target: Target, images: np.ndarray, count: int) -> None:
    """How near each stand-in comes to the responses of one predictor."""
    shown, size = Shown(target, images), images.shape[1:3]
    drawn = [draw_crop_flip(len(images), *size, 0, k) for k in range(count)]
    exact, stored = torch.cat([shown.respond(draws) for draws in drawn]), shown.respond(None).repeat(count, 1)
    tried: dict[str, Callable[[], Tensor]] = {"as stored": lambda: stored}
    for points in GRIDS:
        grid = shown.grid(drawn[0].pad, points)
        tried[f"{points} x {points} shifts, {2 * points**2} passes an image"] = lambda grid=grid: torch.cat(
            [interpolated(*grid, draws) for draws in drawn]
        )
    tried["bfloat16"] = lambda: torch.cat([shown.respond(draws, half=True) for draws in drawn])
    print(f"{name}: {exact.shape[1]} voxels, {len(images)} images of {size[0]} px, {count} draws each")
    for way, answer in tried.items():
        found = answer()
        both = [voxel_correlations(found, exact)]
        if way != "as stored":
            both.append(voxel_correlations(found - stored, exact - stored))
        words = [f"r {np.nanmedian(r):.5f} (5 % below {np.nanquantile(r, 0.05):.5f})" for r in both]
        print(f"  {way:36s} {'; of what the augmentation changes '.join(words)}")


def report_training(data: Dataset, options: argparse.Namespace) -> None:
    """Test accuracies by versions."""
    print(f"{options.architecture}, {len(data.rows(0))} training images, {options.epochs} epochs, test accuracy")
    ways = {"ever new": {"augment": "crop-flip"}, "none": {"augment": "none"}}
    ways |= {f"{k} in turn": {"augment": "crop-flip", "versions": k} for k in options.versions}
    for name, changes in ways.items():
        found = []
        for seed in range(options.seeds):
            recipe = read_recipe(
                {
                    "condition": {"weight": 0.5},
                    "architecture": options.architecture,
                    "epochs": options.epochs,
                    **changes,
                }
            )
            trainer = Trainer(NetworkInputs(data.path), data, recipe, seed, 256)
            for epoch in range(options.epochs):
                trainer.run_epoch(epoch)
            found.append(100 * trainer.evaluate(data.rows(TEST))["accuracy"])
        print(f"  {name:12s} {np.mean(found):.1f} % ({', '.join(f'{value:.1f}' for value in found)})", flush=True)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--task", default="phantom-scenes")
    parser.add_argument("--rois", nargs="+", default=["V1", "LO", "FFA"])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--architecture", default="small")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--versions", type=int, nargs="+", default=[2, 4])
    options = parser.parse_args(words)
    keep_freed_memory()
    torch.set_num_threads(1)
    data = read_dataset(dataset_path(options.results, options.task))
    if options.train:
        report_training(data, options)
        return
    images = data.images[data.rows(TEST, options.images)]
    for roi in options.rois:
        target = load_target(options.results / "predictors/gnet" / roi / "seed0/model.safetensors")
        report_roi(roi, target, images, options.draws)


if __name__ == "__main__":
    main()

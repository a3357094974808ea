"""Images made for a predictor: those that excite it most, and the smallest changes that move it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neurobust.core.seeding import torch_generator
from neurobust.explain.findings import Findings, Row
from neurobust.explain.predictor_bench import PredictorBench
from neurobust.explain.predictors.columns import moving, pictures, some
from neurobust.explain.predictors.exciting import Ascent, components, most_exciting, noise_images, spectrum_peak
from neurobust.explain.predictors.fragility import (
    Norm,
    Spectrum,
    length,
    random_change,
    smallest_change,
    spectrum,
)
from neurobust.explain.predictors.settings import Exciting, Fragility

MEAN = "mean over voxels"
NORMS: dict[Norm, tuple[str, float]] = {"linf": ("L∞", 255.0), "l2": ("L2", 1.0)}  # its name, and its units per pixel
SHOWN = 2  # images that a page shows with their changes


def component_names(count: int) -> list[str]:
    """What the directions of `exciting.components` are called."""
    return [MEAN, *(f"component {k + 1}" for k in range(count))]


def exciting(bench: PredictorBench, settings: Exciting) -> Findings:
    """Images for the mean over voxels and for principal components; the score is in standard deviations over natural
    images. Arrays: `{component}` (starts, side, side, 3) and `natural` (components, side, side, 3), the best held-out
    image of each."""
    columns, mean, scale = moving(bench)
    if len(columns) < 2:
        return Findings([], {})
    z = (bench.predicted[:, columns].clone() - mean) / scale
    ceiling = torch.from_numpy(np.nan_to_num(bench.noise_ceiling)).to(columns.device)[columns]
    directions = components(z, min(settings.components, len(z) - 1, len(columns)), ceiling if ceiling.any() else None)
    rows, arrays, natural = [], {}, []
    colour = bench.images.mean((0, 2, 3)).clone()
    for name, direction in zip(component_names(len(directions) - 1), directions, strict=True):
        along = z @ direction
        middle, spread = along.mean(), along.std().clamp_min(1e-9)

        def score(images: Tensor, d: Tensor = direction, m: Tensor = middle, s: Tensor = spread) -> Tensor:
            found: Tensor = (((bench.predictor(images)[:, columns] - mean) / scale) @ d - m) / s
            return found

        made, values = most_exciting(
            score, bench.side, colour, torch_generator(bench.seed, "exciting", name),
            Ascent(settings.starts, settings.steps, settings.rate, settings.contrast, settings.jitter),
        )  # fmt: skip
        noise = noise_images(settings.starts * 4, bench.side, settings.contrast, colour, torch_generator(name, "noise"))
        with torch.no_grad():
            chance = score(noise).max()
        frequency, angle = spectrum_peak(made.cpu())
        found = {
            "response to the most exciting image": values[0], "response to noise": chance,
            "response to the best natural image": (along.max() - middle) / spread, "peak frequency": frequency,
            "peak orientation": angle,
        }  # fmt: skip
        rows += [Row(measure, float(value), layer=name, n_images=len(z)) for measure, value in found.items()]
        arrays[name] = pictures(made)
        natural.append(pictures(bench.images[int(along.argmax())][None])[0])
    return Findings(rows, {**arrays, "natural": np.stack(natural)})


def fragility(bench: PredictorBench, settings: Fragility) -> Findings:
    """Medians over images, the interval their quartiles. Arrays: `images`, `linf` and `l2` (n, side, side, 3), the
    changes of these images, NaN where none was found."""
    columns, _, scale = moving(bench)
    if not len(columns):
        return Findings([], {})
    images = some(bench, settings.images)

    def respond(x: Tensor) -> Tensor:
        found: Tensor = bench.predictor(x)[:, columns]
        return found

    generator = torch_generator(bench.seed, "fragility")
    jacobian = spectrum(respond, images, scale, generator, settings.probes)
    sizes: dict[str, Tensor] = {}
    arrays = {"images": pictures(images[:SHOWN])}
    for norm, (name, unit) in NORMS.items():
        change = smallest_change(respond, images, scale, norm, jacobian.direction, settings.steps)
        noise = random_change(respond, images, scale, norm, generator)
        sizes[f"smallest change, {name}"] = length(change, norm).flatten() * unit
        sizes[f"random change, {name}"] = length(noise, norm).flatten() * unit
        arrays[norm] = change[:SHOWN].permute(0, 2, 3, 1).float().cpu().numpy()
    sizes |= jacobian_sizes(jacobian, len(columns))
    sizes["distance of images, L2"] = torch.pdist(bench.images.flatten(1)[:64])
    return Findings([size_row(name, values, len(images)) for name, values in sizes.items()], arrays)


def jacobian_sizes(jacobian: Spectrum, voxels: int) -> dict[str, Tensor]:
    """The gain along the direction of most change, in standard deviations (root mean square over voxels) per unit of
    L2, and the stable rank; each (n,)."""
    return {"largest gain": jacobian.largest / voxels**0.5, "stable rank": jacobian.rank}


def size_row(measure: str, values: Tensor, n_images: int) -> Row:
    """The median over images, and quartiles as its ends; what never moved is larger than all that did."""
    found = torch.nan_to_num(values.double(), nan=torch.inf).cpu().numpy()
    low, middle, high = (
        float(v) if np.isfinite(v) else None for v in np.quantile(found, [0.25, 0.5, 0.75], method="nearest")
    )
    return Row(measure, middle, low=low, high=high, n_images=n_images)

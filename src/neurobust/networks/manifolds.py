"""Category manifolds: where the responses to each class lie, and losses that ask features to lie there as well.

Source: Shao et al. 2024, manifold guidance. Its released code adds the share of variance *inside* a class's subspace to
what is minimised; here it is the share outside, which is what the text asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from neurobust.core.errors import InputError
from neurobust.core.similarity import raise_precision

VARIANCE = 0.95  # share of a class's variance that its subspace holds
RADIUS_SHARE = 0.3 / 0.92  # of the radius term beside the dimension term: weights 0.3 and 0.62 in the source
EPSILON = 1e-12


@dataclass(frozen=True)
class Manifolds:
    """Centre (C, D), RMS radius (C,) and orthonormal basis (C, D, K) of each class; absent columns of a basis are 0."""

    centres: Tensor
    radii: Tensor
    bases: Tensor

    def to(self, device: torch.device) -> Manifolds:
        """The same on another device."""
        return Manifolds(self.centres.to(device), self.radii.to(device), self.bases.to(device))

    def of(self, labels: Tensor) -> ClassTarget:
        """The target of images with these labels (n,)."""
        return ClassTarget(labels, self)


@dataclass(frozen=True)
class ClassTarget:
    """What images of known class are drawn towards: labels (n,) int64 and the manifolds of all classes."""

    labels: Tensor
    manifolds: Manifolds


def fit_manifolds(responses: Tensor, labels: Tensor, classes: int) -> Manifolds:
    """Manifolds of standardised responses (N, D) to training images with `labels` (N,).

    A class's subspace holds 95 % of its variance about its own centre. Raises InputError for a class of under 2 images.
    """
    centres, radii, bases = [], [], []
    for label in range(classes):
        points = responses[labels == label].double()
        if len(points) < 2:
            raise InputError(
                f"class {label} has {len(points)} training images; manifold guidance needs 2 in each class"
            )
        centre = points.mean(0)
        spread = points - centre
        _, sizes, axes = torch.linalg.svd(spread, full_matrices=False)
        share = sizes.square().cumsum(0) / sizes.square().sum().clamp_min(EPSILON)
        count = int((share < VARIANCE).sum()) + 1
        centres.append(centre)
        radii.append(spread.square().sum(1).mean().sqrt())
        bases.append(axes[:count].T)
    widest = max(basis.shape[1] for basis in bases)
    bases = [torch.nn.functional.pad(basis, (0, widest - basis.shape[1])) for basis in bases]
    return Manifolds(torch.stack(centres).float(), torch.stack(radii).float(), torch.stack(bases).float())


def manifold_radius(x: Tensor, y: ClassTarget) -> Tensor:
    """Mean over the batch's classes of ReLU(RMS distance to the class's centre - its radius)."""
    excess = []
    for label, z in _deviations(x, y):
        excess.append(((z.square().sum(1).mean() + EPSILON).sqrt() - y.manifolds.radii[label].to(z)).relu())
    return torch.stack(excess).mean()


def manifold_dimension(x: Tensor, y: ClassTarget) -> Tensor:
    """Mean over classes, then images, of ||z - P z|| / ||z||: what of z = x - centre lies outside the class's subspace.

    0 inside the subspace, 1 orthogonal to it: minimising it RAISES the variance that the subspace accounts for.
    """
    shares = []
    for label, z in _deviations(x, y):
        basis = y.manifolds.bases[label].to(z)
        outside = z - (z @ basis) @ basis.T
        shares.append(((outside.square().sum(1) + EPSILON) / (z.square().sum(1) + EPSILON)).sqrt().mean())
    return torch.stack(shares).mean()


def _deviations(x: Tensor, y: ClassTarget) -> Iterator[tuple[int, Tensor]]:
    """For each class of the batch, its label and the deviations (k, D) of its images from its centre."""
    x = raise_precision(x)
    for label in y.labels.unique().tolist():
        yield label, x[y.labels == label] - y.manifolds.centres[label].to(x)


def manifold(x: Tensor, y: ClassTarget) -> Tensor:
    """Radius and dimension together, in the proportion of the source."""
    return RADIUS_SHARE * manifold_radius(x, y) + (1 - RADIUS_SHARE) * manifold_dimension(x, y)

"""SemanticAdv: a face gets one attribute turned, halfway and place by place, so that the network misreads it.

Source: Qiu et al., ECCV 2020: features of the face as it is and as edited are mixed with a weight at every place of the
map, the weights being what is optimised, smooth by their total variation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.semantic.descent import Attempt, Book, descend, misclassify
from neurobust.attacks.semantic.editor import Editor, flip_attributes
from neurobust.attacks.semantic.optimise import Adam
from neurobust.attacks.semantic.semanticadv_settings import SemanticAdv
from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng, torch_generator
from neurobust.files.dataset import Dataset

REBUILD_RATE = 0.01  # of Adam in the search for the image that the editor gives back best


class SemanticAdvAttack:
    """Strength s: weights of the edited features lie in [1 - s, 1]; 0 is the plain edit, 0.4 the published range."""

    def __init__(self, networks: Mapping[str, nn.Module], data: Dataset, settings: SemanticAdv):
        self.editor, self.data, self.settings = cast(Editor, networks["editor"]), data, settings
        names = data.attribute_names
        if settings.attribute not in ("random", *names):
            raise InputError(f"semanticadv: attribute '{settings.attribute}' is unknown; use random or one of {names}")

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, ids: Sequence[int]) -> Attempt:
        """Attack images (N, 3, H, W) in [0,1] with labels (N,); `ids`: their rows in the dataset."""
        setup = self.settings
        book = Book(model, images, labels, setup.strengths, setup.confidence)
        mix = self.prepare(images, ids)
        ones = torch.ones_like(mix.here)
        with torch.no_grad():
            edited, rebuilt = mix.render(slice(None), [ones]), mix.render(slice(None), [torch.zeros_like(ones)])
        baselines: dict[str, list[Tensor]] = {"edit-only": [], "random-edit": [], "reconstruction": []}
        weights = ones.clone()
        for index, strength in enumerate(book.strengths):
            rows = book.standing()
            if len(rows):
                start = weights[rows] if index and book.strengths[index - 1] else (1 - strength / 2) * ones[rows]
                weights[rows] = self._climb(book, mix, index, rows, start, strength)
            book.close(index)
            baselines["edit-only"].append(edited)
            baselines["random-edit"].append(random_edit(mix, strength, ids))
            baselines["reconstruction"].append(rebuilt)
        turned = np.array(self.data.attribute_names)[self.drawn(ids)]
        return replace(book.attempt(baselines), notes={"attribute": turned})

    def _climb(self, book: Book, mix: Mixture, index: int, rows: Tensor, start: Tensor, strength: float) -> Tensor:
        lose = misclassify(self.settings.loss, book.labels)

        def objective(here: Tensor, images: Tensor, logits: Tensor, points: list[Tensor]) -> Tensor:
            return lose(here, images, logits, points) + self.settings.smoothness * total_variation(points[0])

        def bounds(points: list[Tensor]) -> list[Tensor]:
            return [points[0].clamp(1 - strength, 1)]

        optimiser = Adam(bounds([start]), self.settings.learning_rate, bounds)
        steps = self.settings.steps if strength else 0  # nothing is free: one look at the plain edit
        return descend(book.at(index), rows, optimiser, mix.render, objective, steps)[0]

    def prepare(self, images: Tensor, ids: Sequence[int]) -> Mixture:
        """Features of the faces as they are and with one attribute turned."""
        code = torch.from_numpy(self.data.attributes[list(ids)]).to(images)
        start = rebuild(self.editor, images, code, self.settings.rebuild)
        return mixture(self.editor, start, code, torch.tensor(self.drawn(ids), device=images.device))

    def drawn(self, ids: Sequence[int]) -> list[int]:
        """The attribute of each image that is turned: the one of the settings, or one drawn from the image's row."""
        names = self.data.attribute_names
        if self.settings.attribute != "random":
            return [names.index(self.settings.attribute)] * len(ids)
        return [int(numpy_rng("semanticadv", "attribute", row).integers(len(names))) for row in ids]


class Mixture:
    """Two feature maps (N, C, h, w) of a batch and the decoder that turns their mixture into images."""

    def __init__(self, editor: Editor, here: Tensor, there: Tensor):
        self.editor, self.here, self.there = editor, here, there

    def render(self, rows: Tensor | slice, weights: Sequence[Tensor]) -> Tensor:
        """Images of `rows`, whose edited features weigh `weights[0]` (n, C, h, w)."""
        share = weights[0]
        return self.editor.decode((1 - share) * self.here[rows] + share * self.there[rows])


@torch.no_grad()
def mixture(editor: Editor, images: Tensor, code: Tensor, which: Tensor) -> Mixture:
    """Features of `images` under their `code` (N, A), and under it with attribute `which` (N,) of each turned."""
    return Mixture(editor, editor.encode(images, code), editor.encode(images, flip_attributes(code, which)))


def rebuild(editor: Editor, images: Tensor, code: Tensor, steps: int) -> Tensor:
    """The images near `images` that the editor gives back as `images`: Adam on both squared errors."""
    optimiser = Adam([images], REBUILD_RATE, lambda points: [points[0].clamp(0, 1)])
    for _ in range(steps):
        with torch.enable_grad():
            points = optimiser.points[0].detach().requires_grad_()
            errors = (editor(points, code) - images).square() + (points - images).square()
            values = errors.flatten(1).mean(1)
            (gradient,) = torch.autograd.grad(values.sum(), points)
        optimiser.tell(values.detach(), [gradient])
    return optimiser.points[0]


def total_variation(maps: Tensor) -> Tensor:
    """Twice the mean squared difference of vertical neighbours plus that of horizontal ones: (N,).

    The means are over channels and places, as in the paper's own code: maps of any size weigh alike.
    """
    down, across = maps[:, :, 1:] - maps[:, :, :-1], maps[:, :, :, 1:] - maps[:, :, :, :-1]
    return 2 * (down.square().mean((1, 2, 3)) + across.square().mean((1, 2, 3)))


@torch.no_grad()
def random_edit(mix: Mixture, strength: float, ids: Sequence[int], draw: int = 0) -> Tensor:
    """Mixtures with weights drawn evenly from [1 - strength, 1]: an image's draw `draw`, whatever the strength."""
    which = ("semanticadv", "random", draw) if draw else ("semanticadv", "random")
    draws = [torch.rand(mix.here.shape[1:], generator=torch_generator(*which, i)) for i in ids]
    return mix.render(slice(None), [1 - strength * torch.stack(draws).to(mix.here)])

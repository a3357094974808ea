"""cAdv: an image loses its colours and gets others, by hints to a colouriser, until it is taken for another class.

Source: Bhattad et al., ICLR 2020, section 3.1, and their code. Colours are clustered, true colours are given away at
some pixels of the clusters that the colouriser is surest of, and from there Adam moves hints and mask over the whole
image, hinted pixels included, towards a class of its own for each image. Batched and seeded, and with two differences:
colours are blurred in the plane alone (their code mixes a and b), and an image is left at its first lead of
`confidence`, where their code goes on until the lead stands still.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.semantic.cadv_settings import CAdv
from neurobust.attacks.semantic.colouriser import Colouriser, recolour_clipped
from neurobust.attacks.semantic.descent import Attempt, Book, descend, misclassify, random_targets, reach
from neurobust.attacks.semantic.optimise import Adam
from neurobust.attacks.semantic.scene import Scene, free
from neurobust.files.dataset import Dataset


class CAdvAttack:
    """Strength: steps of Adam. The paper's k is `hinted`: it says where the attack starts, never how far it may go."""

    def __init__(self, networks: Mapping[str, nn.Module], data: Dataset, settings: CAdv):
        self.colouriser, self.settings = cast(Colouriser, networks["colouriser"]), settings
        self.classes = np.arange(len(data.classes))

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, ids: Sequence[int]) -> Attempt:
        """Attack images (N, 3, H, W) in [0,1] with labels (N,); `ids`: their rows in the dataset."""
        setup, targets = self.settings, None
        if setup.targeted:
            targets = random_targets("cadv", self.classes, labels, ids)
        objective = misclassify("ce", labels) if targets is None else reach(targets)
        book = Book(model, images, labels, setup.strengths, setup.confidence, targets)
        scene = Scene(self.colouriser, images, ids, setup, recolour_clipped)
        start = scene.start(scene.hinted(setup.hinted, setup.hints))
        plain, whole = scene.render(slice(None), start), scene.whole()
        nowhere = torch.zeros_like(start[1], dtype=torch.bool)
        optimiser = Adam([part[book.standing()] for part in start], setup.learning_rate, free)
        baselines: dict[str, list[Tensor]] = {"reconstruction": [], "colouriser-only": [], "random-hints": []}
        done = 0
        for index, strength in enumerate(book.strengths):
            rows = book.standing()
            descend(book.at(index), rows, optimiser, scene.render, objective, int(strength) - done)
            held = book.standing()
            book.close(index)
            optimiser.keep(~book.left[held])
            done = int(strength)
            baselines["reconstruction"].append(whole)
            baselines["colouriser-only"].append(plain)
            baselines["random-hints"].append(scene.random_hints(start, nowhere, book.tried[-1].to(images.device)))
        return book.attempt(baselines)

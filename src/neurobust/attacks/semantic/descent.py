"""What semantic attacks share: strengths that only add freedom, images that leave when broken, baselines.

Strengths ascend like budgets: at a larger one an attacker may do whatever he may do at a smaller one. So an image that
is broken stays broken, only survivors are attacked on, and success never falls with strength.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.attacks.losses import LOSSES
from neurobust.attacks.search import abstains, check_budgets, misread
from neurobust.attacks.semantic.optimise import LBFGS, Adam
from neurobust.core.seeding import numpy_rng

Render = Callable[[Tensor, list[Tensor]], Tensor]  # (rows (n,), variables) -> images (n, 3, H, W) in [0,1]
# (rows, images, what the network says of them, variables) -> (n,)
Objective = Callable[[Tensor, Tensor, Tensor, list[Tensor]], Tensor]


class Trial(Protocol):
    """What a descent shows its candidates to, and what decides which images leave."""

    def ask(self, rows: Tensor, images: Tensor) -> Tensor:
        """What the network says of the candidates (n, 3, H, W) of `rows` (n,), first axis n; with a gradient where one
        is wanted."""

    def offer(self, rows: Tensor, images: Tensor, answers: Tensor) -> Tensor:
        """Look at the candidates of `rows` and what was said of them; bool (n,), which of them leave."""


@dataclass
class Attempt:
    """One attack on N images at S strengths.

    clean_correct (N,); first int64 (N,): index of the smallest strength that broke the image, S where none did, 0 for
    clean errors; tried: S batches (N, 3, H, W), the adversarial where there is one, else the last image tried (the
    clean image for clean errors); baselines: name -> S batches made without the network under attack; n_forward and
    n_backward float64 (N, S): its passes; targets int64 (N,): the class that each image is to be taken for, None where
    any other than its own will do; notes: what else the table says of each image, name -> (N,), such as the attribute
    that was turned.
    """

    strengths: list[float]
    clean_correct: Tensor
    first: Tensor
    tried: list[Tensor]
    n_forward: Tensor
    n_backward: Tensor
    baselines: dict[str, list[Tensor]] = field(default_factory=dict)
    targets: Tensor | None = None
    notes: dict[str, np.ndarray] = field(default_factory=dict)


class Book:
    """Which images stand, what broke the others, what it cost.

    An image leaves once another class leads the true one by more than `confidence` in probability; at the end of a
    strength those where another class leads at all are broken too, by the largest lead that was seen. With `targets`
    int64 (N,) an image leaves by its own target's lead over all other classes alone. Until then it counts as broken as
    soon as any other class leads, and the largest lead over the true class is kept; an image that shows its target is
    better than any that does not. No answer (logits that are not finite) is no robustness: it breaks an image as
    another class than the target does.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        strengths: Sequence[float],
        confidence: float,
        targets: Tensor | None = None,
    ):
        self.model, self.images, self.labels, self.confidence = model, images, labels, confidence
        self.strengths, self.targets = check_budgets(strengths), targets
        count, size = len(images), len(self.strengths)
        self.first = torch.full((count,), size, device=images.device)
        self.best = images.clone()
        self.lead = torch.full((count,), -torch.inf, device=images.device)
        self.reached = torch.zeros(count, dtype=torch.bool, device=images.device)
        self.tried: list[Tensor] = []
        self.n_forward, self.n_backward = (
            torch.zeros(count, size, dtype=torch.float64, device=images.device) for _ in range(2)
        )
        with torch.no_grad():
            logits = model(images)
        self.n_forward[:, 0] += 1
        self.clean_correct = ~misread(logits, labels)
        self.first[~self.clean_correct] = 0
        self.left = ~self.clean_correct

    def standing(self) -> Tensor:
        """Rows (n,) of the images that have not left."""
        return (~self.left).nonzero().squeeze(1)

    def offer(self, rows: Tensor, images: Tensor, logits: Tensor, strength: int) -> Tensor:
        """Look at the candidates of `rows`; bool (n,), which of them leave."""
        lead = probability_lead(logits, self.labels[rows])
        whole = images.flatten(1).isfinite().all(1)  # one that is no image says nothing of a network
        lead = torch.where(whole, lead, -torch.inf)
        if self.targets is None:
            reached = lead > 0
        else:
            ahead = torch.where(whole, target_lead(logits, self.targets[rows]), -torch.inf)
            reached = ahead > 0
            lead = torch.where(reached, ahead, lead)
        before = self.reached[rows]
        better = (reached & ~before) | ((reached == before) & (lead > self.lead[rows]))
        chosen = rows[better]
        self.best[chosen], self.lead[chosen], self.reached[chosen] = images[better], lead[better], reached[better]
        gone = reached & (lead > self.confidence)
        self.left[rows[gone]] = True
        self.first[rows[gone]] = self.first[rows[gone]].clamp_max(strength)
        return gone

    def at(self, strength: int) -> AtStrength:
        """This book, open at the strength of this index."""
        return AtStrength(self, strength)

    def close(self, strength: int) -> None:
        """End a strength: any lead breaks an image, that of its target makes it leave; what was tried is kept."""
        self.first[self.lead > 0] = self.first[self.lead > 0].clamp_max(strength)
        self.left |= self.reached
        self.tried.append(self.best.cpu().clone())

    def attempt(self, baselines: dict[str, list[Tensor]]) -> Attempt:
        """Everything, on the CPU."""
        stored = {name: [batch.detach().cpu() for batch in batches] for name, batches in baselines.items()}
        return Attempt(
            self.strengths, self.clean_correct.cpu(), self.first.cpu(), self.tried,
            self.n_forward.cpu(), self.n_backward.cpu(), stored,
            None if self.targets is None else self.targets.cpu(),
        )  # fmt: skip


@dataclass(frozen=True)
class AtStrength:
    """A book at one strength, as a `Trial`: the network says logits, and its passes are counted there."""

    book: Book
    strength: int

    def ask(self, rows: Tensor, images: Tensor) -> Tensor:
        """Logits (n, K)."""
        self.book.n_forward[rows, self.strength] += 1
        if torch.is_grad_enabled():
            self.book.n_backward[rows, self.strength] += 1
        logits: Tensor = self.book.model(images)
        return logits

    def offer(self, rows: Tensor, images: Tensor, answers: Tensor) -> Tensor:
        """`Book.offer` there."""
        return self.book.offer(rows, images, answers, self.strength)


def probability_lead(logits: Tensor, labels: Tensor) -> Tensor:
    """Probability of the best wrong class minus that of the right one (n,); positive means broken, 1 no answer."""
    return _lead(logits, lambda values: LOSSES["margin"](values, labels), unanswered=1.0)


def target_lead(logits: Tensor, targets: Tensor) -> Tensor:
    """Probability of the target minus that of the best other class (n,); positive: it is shown, -1: no answer."""
    return _lead(logits, lambda values: -LOSSES["margin"](values, targets), unanswered=-1.0)


def _lead(logits: Tensor, lead_of: Callable[[Tensor], Tensor], unanswered: float) -> Tensor:
    """A lead in probability; `unanswered` where a logit is not finite."""
    lead = lead_of(logits.double().softmax(1))
    # two probabilities that both round to zero tell nothing: the logits do
    tie = torch.where(lead_of(logits) > 0, 1e-12, -1e-12)
    return torch.where(abstains(logits), unanswered, torch.where(lead == 0, tie.double(), lead)).to(logits.dtype)


def random_targets(stream: str, classes: np.ndarray, labels: Tensor, ids: Sequence[int]) -> Tensor:
    """A class for each image to be taken for, int64 (N,): a random other one of `classes`, from the image's stream.

    It depends on no network under attack. Raises ValueError where there is no other class.
    """
    drawn = [
        numpy_rng(stream, "target", image).choice(np.setdiff1d(classes, [label]))
        for image, label in zip(ids, labels.tolist(), strict=True)
    ]
    return torch.from_numpy(np.array(drawn, dtype=np.int64)).to(labels.device)


def descend(
    trial: Trial, rows: Tensor, optimiser: Adam | LBFGS, render: Render, objective: Objective, steps: int
) -> list[Tensor]:
    """Minimise the objective of each of `rows` for `steps` steps, until it leaves; its last variables, in that order.

    Every proposed point is rendered and looked at, the one after the last step too. The optimiser is left with the
    images that stand, and may go on from there.
    """
    final = [point.detach().clone() for point in optimiser.points]
    places = torch.arange(len(rows), device=rows.device)
    for step in range(steps + 1):
        if not len(places):
            break
        moving, here = step < steps, rows[places]
        points = [point.detach().requires_grad_(moving) for point in optimiser.points]
        with torch.set_grad_enabled(moving):
            images = render(here, points)
            answers = trial.ask(here, images)
            values = objective(here, images, answers, points)
        for whole, point in zip(final, points, strict=True):
            whole[places] = point.detach()
        gone = trial.offer(here, images.detach(), answers.detach())
        if moving:
            gradients = torch.autograd.grad(values.sum(), points)
            optimiser.tell(values.detach(), gradients)
        if gone.any():
            optimiser.keep(~gone)
        places = places[~gone]
    return final


def misclassify(loss: str, labels: Tensor) -> Objective:
    """The objective to lose the true label: minus the loss `ce`, `margin` or `dlr`."""

    def objective(rows: Tensor, images: Tensor, logits: Tensor, points: list[Tensor]) -> Tensor:
        return -LOSSES[loss](logits, labels[rows])

    return objective


def reach(targets: Tensor) -> Objective:
    """The objective to be taken for the targets (N,): the cross-entropy to them."""

    def objective(rows: Tensor, images: Tensor, logits: Tensor, points: list[Tensor]) -> Tensor:
        return functional.cross_entropy(logits, targets[rows], reduction="none")

    return objective


def match_scale(
    make: Callable[[Tensor], Tensor], distance: Callable[[Tensor], Tensor], wanted: Tensor, rounds: int = 6
) -> Tensor:
    """The images `make(scale)` whose distance comes nearest to `wanted` (N,) from below, scales (N,) in [0, 1].

    By bisection, so a distance that is not monotone in the scale gives some crossing of it.
    """
    low, high = torch.zeros_like(wanted), torch.ones_like(wanted)
    full = distance(make(high)) <= wanted
    for _ in range(rounds):
        middle = (low + high) / 2
        below = distance(make(middle)) <= wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return make(torch.where(full, 1.0, low))

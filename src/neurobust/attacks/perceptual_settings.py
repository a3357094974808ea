"""Settings of the attack within a perceptual distance (`perceptual_attack`)."""

from __future__ import annotations

from typing import Annotated, Literal

from neurobust.attacks.description import Attack, AttackLoss, Draws, Repeats
from neurobust.core.settings import Count, FilePath, Positive, about

OF_FEATURES = "of LPIPS form"
OF_LPIPS = "root of LPIPS"


class WithinLpips(Attack, frozen=True):
    """Budgets are a distance of LPIPS form in the oracle's features; with `backbone` and its two files the root of
    LPIPS itself."""

    helpers = ("oracle",)
    bring = "neurobust.attacks.lpips:bring"
    measure = "neurobust.attacks.perceptual_attack:distance_of"

    norm: Literal["lpips"] = "lpips"
    backbone: Annotated[
        Literal["alex", "vgg", "squeeze"] | None,
        about("the network of LPIPS itself, with `weights` and `linear`; default: the oracle's features, unweighted"),
    ] = None
    weights: Annotated[FilePath | None, about("file of the backbone's state dict, as torchvision has it")] = None
    linear: Annotated[FilePath | None, about("file of the linear weights, as the package lpips has them")] = None

    def __post_init__(self) -> None:
        given = [key for key in ("backbone", "weights", "linear") if getattr(self, key) is not None]
        if len(given) in (1, 2):
            raise ValueError(f"backbone, weights and linear: only {' and '.join(given)}; give all three or none")

    @property
    def reads(self) -> tuple[str, ...]:
        """The oracle, unless it brings networks of its own."""
        return () if self.files else self.helpers

    @property
    def files(self) -> dict[str, str]:
        """Weights of the backbone and of its layers, where they are given."""
        return {"weights": self.weights, "linear": self.linear} if self.weights and self.linear else {}

    @property
    def unit(self) -> str:
        """Which distance it is."""
        return f"{OF_LPIPS} ({self.backbone})" if self.files else OF_FEATURES


class Perceptual(WithinLpips, frozen=True):
    """Any change that another network's features hardly see: ascent under a penalty on their distance beyond the
    budget."""

    run = "neurobust.attacks.perceptual_attack:perceptual"
    source = "Laidlaw et al., ICLR 2021 (LPA); distance of Zhang et al., CVPR 2018"
    climbs = True

    loss: AttackLoss = "margin"
    steps: Annotated[Count, about("of a round")] = 20
    rounds: Annotated[Count, about("at each budget; the penalty grows after one that ends outside it")] = 5
    penalty: Annotated[Positive, about("weight of the distance beyond the budget in the first round")] = 0.01
    eot: Draws = 1

    def passes(self, budgets: int) -> float:
        """A gradient a step and a look at the end of each round; those of the oracle are as many and not counted."""
        return self.eot * self.rounds * (2 * self.steps + 1) * budgets


class RandomPerceptual(WithinLpips, frozen=True):
    """Best of several random changes of the budget's distance, by turns from one for the whole to one per pixel."""

    run = "neurobust.attacks.perceptual_attack:random_perceptual"
    source = "baseline: random changes"
    noise = True

    repeats: Repeats = 10

    def passes(self, budgets: int) -> float:
        """Every draw is tried at every budget."""
        return self.repeats * budgets

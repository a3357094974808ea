"""Settings of the minimum-norm attacks that foolbox computes (`foolbox_attacks`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from neurobust.attacks.description import Attack
from neurobust.core.settings import Count, NotNegative, Positive, about

Steps = Annotated[Count, about("of the search")]


class DeepFool(Attack, frozen=True):
    """Walks to the nearest linearised boundary."""

    run = "neurobust.attacks.foolbox_attacks:deepfool"
    source = "Moosavi-Dezfooli et al., CVPR 2016"
    minimum = True

    norm: Literal["l2", "linf"] = "l2"
    steps: Steps = 50
    candidates: Annotated[int, Meta(ge=2), about("classes that are looked at, the likeliest first")] = 10
    overshoot: Annotated[NotNegative, about("share of the way that is added at the end")] = 0.02

    def passes(self, budgets: int) -> float:
        """A gradient a step, once for all budgets."""
        return 2 * self.steps


class DDN(Attack, frozen=True):
    """Decoupled direction and norm: a step along the gradient, then a sphere that shrinks or grows."""

    run = "neurobust.attacks.foolbox_attacks:ddn"
    source = "Rony et al., CVPR 2019"
    minimum = True

    norm: Literal["l2"] = "l2"
    steps: Steps = 100
    init_epsilon: Annotated[Positive, about("radius of the first sphere", "pixel units")] = 1.0
    gamma: Annotated[Positive, about("share by which the radius changes")] = 0.05

    def passes(self, budgets: int) -> float:
        """A gradient a step, once for all budgets."""
        return 2 * self.steps


class Weighted(Attack, frozen=True):
    """The distance plus a weight times the misclassification is made small; the weight is found by bisection."""

    minimum = True

    steps: Annotated[Count, about("in each round")] = 100
    binary_search_steps: Annotated[Count, about("rounds of bisection for the weight of the misclassification")] = 6
    stepsize: Annotated[Positive, about("of the optimiser")] = 0.01
    initial_const: Annotated[Positive, about("weight of the misclassification in the first round")] = 0.1

    def passes(self, budgets: int) -> float:
        """A gradient a step in every round, once for all budgets."""
        return 2 * self.steps * self.binary_search_steps


class CarliniWagner(Weighted, frozen=True):
    """Adam on the distance plus a weight times the margin; the weight is found by bisection."""

    run = "neurobust.attacks.foolbox_attacks:carlini_wagner"
    source = "Carlini and Wagner, IEEE S&P 2017"

    norm: Literal["l2"] = "l2"


class EAD(Weighted, frozen=True):
    """Elastic net attack: Carlini and Wagner's with an l1 term."""

    run = "neurobust.attacks.foolbox_attacks:ead"
    source = "Chen et al., AAAI 2018"

    norm: Literal["l1"] = "l1"
    regularization: Annotated[NotNegative, about("weight of the l1 term")] = 0.01


class BrendelBethge(Attack, frozen=True):
    """Walks along the decision boundary by solving a small trust-region problem per step; needs the package numba."""

    run = "neurobust.attacks.foolbox_attacks:brendel_bethge"
    source = "Brendel et al., NeurIPS 2019"
    minimum = True
    pool = True

    norm: Literal["l2"] = "l2"
    steps: Annotated[Count, about("along the boundary; after 100 it is twice as far as after 400")] = 400

    def passes(self, budgets: int) -> float:
        """A gradient a step, once for all budgets."""
        return 2 * self.steps


class Boundary(Attack, frozen=True):
    """A random walk along the decision boundary towards the image."""

    run = "neurobust.attacks.foolbox_attacks:boundary"
    source = "Brendel et al., ICLR 2018"
    weaker = True
    black_box = True
    minimum = True
    pool = True

    norm: Literal["l2"] = "l2"
    steps: Annotated[Count, about("of the walk")] = 5000
    spherical_step: Annotated[Positive, about("first step along the sphere around the image, in its radius")] = 0.1
    source_step: Annotated[Positive, about("first step towards the image, in its distance")] = 0.1

    def passes(self, budgets: int) -> float:
        """Two decisions a step, once for all budgets."""
        return 2 * self.steps

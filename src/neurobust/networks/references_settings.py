"""The references that a condition can name, with their settings; the functions are in `references`.

Budgets are L-infinity in units of 1/255 of [0, 1] pixels.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from neurobust.core.settings import Count, NotNegative, Positive, about
from neurobust.networks.description import Reference


class Ascent(Reference, frozen=True, kw_only=True):
    """What references have in common that attack each batch by steps of gradient ascent."""

    positive: ClassVar[bool] = True
    reach: ClassVar[str] = "epsilon"

    epsilon: Annotated[Positive, about("L-infinity budget", "1/255")] = 4.0
    steps: Annotated[Count, about("of gradient ascent on each batch")] = 7
    step: Annotated[Positive, about("size of a step", "1/255")] = 1.0

    @property
    def passes(self) -> float:
        """Each step of the ascent costs as much as a plain training step."""
        return 1.0 + self.steps


class Adversarial(Ascent, frozen=True):
    """Training on PGD examples."""

    perturb: ClassVar[str] = "neurobust.networks.references:pgd_examples"
    source: ClassVar[str] = "Madry et al. 2018"


class Trades(Ascent, frozen=True):
    """Cross-entropy plus beta KL(clean || adversarial)."""

    perturb: ClassVar[str] = "neurobust.networks.references:trades_examples"
    source: ClassVar[str] = "Zhang et al. 2019"

    beta: Annotated[Positive, about("weight of the divergence")] = 6.0

    @property
    def penalty(self) -> float:
        """Weight of the divergence beside the cross-entropy of the clean pixels."""
        return self.beta


class GaussianNoise(Reference, frozen=True):
    """Training on pixels plus normal noise."""

    perturb: ClassVar[str] = "neurobust.networks.references:noisy"
    reach: ClassVar[str] = "sigma"

    sigma: Annotated[Positive, about("SD of the noise", "1/255")] = 8.0


class Blur(Reference, frozen=True):
    """Training on pixels under a Gaussian blur."""

    perturb: ClassVar[str] = "neurobust.networks.references:blurred"

    sigma: Annotated[Positive, about("SD of the blur", "pixels")] = 1.0


class WeightDecay(Reference, frozen=True):
    """Another weight decay, for networks as smooth as guided ones."""

    training: ClassVar[tuple[str, ...]] = ("weight_decay",)

    weight_decay: Annotated[NotNegative, about("of the optimiser, in the place of the training's own")] = 5e-3


class OracleCue(Reference, frozen=True):
    """Training on the task's images with a cue drawn at random: all that leaving the cue can bring."""

    images: ClassVar[str] = "random_cue"


class LowPass(Reference, frozen=True):
    """A network that begins with a low-pass filter, in training and under attack."""

    cutoff: Annotated[Positive, about("where a Gaussian filter halves the amplitude", "cycles per image")] = 8.0
    match: Annotated[
        str | None, about("guided condition whose networks' input gradients say the cut-off, in the place of `cutoff`")
    ] = None

    def __post_init__(self) -> None:
        if self.match is not None and self.cutoff != 8.0:
            raise ValueError(f"cutoff: {self.cutoff:g}: '{self.match}' says it (match); remove one of the two")

    @property
    def low_pass(self) -> float:
        """The filter is a part of the network."""
        return self.cutoff

    @property
    def matched(self) -> str | None:
        """The network of the same task, architecture and seed."""
        return self.match

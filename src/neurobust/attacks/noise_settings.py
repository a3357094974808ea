"""Settings of noise attacks (`noise`)."""

from __future__ import annotations

from typing import Literal

from neurobust.attacks.description import RandomDraws


class Noise(RandomDraws, frozen=True):
    """Best of several random perturbations of a norm, or of single pixels."""

    weaker = True


class Uniform(Noise, frozen=True):
    """Best of several draws uniform in [-budget, budget] per pixel and channel."""

    run = "neurobust.attacks.noise:uniform"
    source = "baseline: independent uniform noise"
    canary = True

    norm: Literal["linf"] = "linf"


class Sign(Noise, frozen=True):
    """Best of several random corners of the linf cube: each pixel moves by exactly the budget, either way."""

    run = "neurobust.attacks.noise:sign"
    source = "baseline: random signs"
    canary = True

    norm: Literal["linf"] = "linf"


class Gaussian(Noise, frozen=True):
    """Best of several Gaussian draws, stretched so that the l2 norm is the budget after clipping."""

    run = "neurobust.attacks.noise:gaussian"
    source = "baseline: independent Gaussian noise"
    canary = True

    norm: Literal["l2"] = "l2"


class SaltPepper(Noise, frozen=True):
    """Best of several draws that turn a share of the pixels, the budget, black or white."""

    run = "neurobust.attacks.noise:salt_pepper"
    source = "baseline: salt and pepper noise"
    shown_unit = "of the pixels"
    largest = 1.0

    norm: Literal["salt-pepper"] = "salt-pepper"

"""What a network goes by where shape and cue disagree (Geirhos et al. 2019)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from neurobust.core.errors import InputError
from neurobust.statistics import wilson_interval

# `<shape><number>-<texture><number>.png`: how the published cue-conflict stimuli are named
STIMULUS = re.compile(r"(?P<shape>[a-z]+)\d*-(?P<cue>[a-z]+)\d*\.(png|jpe?g)", re.IGNORECASE)


class CueBias(NamedTuple):
    """cue: share of cue decisions among the images read as either, with its Wilson interval; as_shape, as_cue: shares
    of all images; n: images whose shape and cue disagree; n_decided: those read as either."""

    cue: float
    low: float
    high: float
    as_shape: float
    as_cue: float
    n: int
    n_decided: int


def cue_bias(decisions: np.ndarray, shape: np.ndarray, cue: np.ndarray) -> CueBias:
    """Bias of decisions (n,) between the class of the shape (n,) and that of the cue (n,): 1 goes by the cue alone.

    Images whose shape and cue agree are left out. NaN where nothing is read as either.
    """
    differ = shape != cue
    n = int(differ.sum())
    as_shape, as_cue = (int((decisions[differ] == wanted[differ]).sum()) for wanted in (shape, cue))
    decided = as_shape + as_cue
    low, high = wilson_interval(as_cue, decided)
    share = as_cue / decided if decided else math.nan
    shares = [k / n if n else math.nan for k in (as_shape, as_cue)]
    return CueBias(share, low, high, shares[0], shares[1], n, decided)


def stimulus_classes(names: Sequence[str], classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Shape and cue, each int64 (n,), of stimuli that are named like the published ones: `cat3-elephant1.png`.

    Raises InputError for a name of another form, or a class that the task has not.
    """
    number = {name.lower(): k for k, name in enumerate(classes)}
    found = []
    for name in names:
        match = STIMULUS.fullmatch(name)
        if match is None:
            raise InputError(f"{name}: not named <shape><number>-<texture><number>.png; rename it, or take it away")
        for part in match["shape"], match["cue"]:
            if part.lower() not in number:
                raise InputError(f"{name}: '{part}' is no class of the task ({', '.join(classes)}); take it away")
        found.append((number[match["shape"].lower()], number[match["cue"].lower()]))
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]

"""Do two observers err on the same images? Error consistency (Geirhos, Meding and Wichmann 2020), with human trials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurobust.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("subj", "object_response", "category", "condition", "imagename")  # of a table of human trials


class Kappa(NamedTuple):
    """Cohen's kappa of two observers' correctness, its 95 % interval, and what it is made of: the agreement that was
    observed and the one that their accuracies alone would give."""

    value: float
    low: float
    high: float
    observed: float
    expected: float


def expected_agreement(a: float, b: float) -> float:
    """Agreement in right and wrong of two independent observers with these accuracies: ab + (1 - a)(1 - b)."""
    return a * b + (1 - a) * (1 - b)


def error_consistency(a: np.ndarray, b: np.ndarray) -> Kappa:
    """Cohen's kappa of the correctness (n,) of two observers on the same images: 0 independent, 1 identical.

    Interval: the observed agreement's normal one, at the expected agreement given. NaN where both are always right, or
    always wrong: then nothing is left to agree on.
    """
    x, y = np.asarray(a, bool), np.asarray(b, bool)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"correctness of the same images, (n,): {x.shape} and {y.shape}")
    if not len(x):
        return Kappa(math.nan, math.nan, math.nan, math.nan, math.nan)
    observed, expected = float((x == y).mean()), expected_agreement(float(x.mean()), float(y.mean()))
    left = 1 - expected
    if left < 1e-12:
        return Kappa(math.nan, math.nan, math.nan, observed, expected)
    value = (observed - expected) / left
    half = 1.96 * math.sqrt(observed * (1 - observed) / len(x)) / left
    return Kappa(value, value - half, min(value + half, 1.0), observed, expected)


def mean_consistency(own: np.ndarray, others: Sequence[np.ndarray]) -> float:
    """Mean kappa of one observer (n,) with others, without those that give none; NaN where none is left."""
    found = [error_consistency(own, other).value for other in others]
    found = [value for value in found if math.isfinite(value)]
    return float(np.mean(found)) if found else math.nan


def read_trials(path: Path) -> pd.DataFrame:
    """Human trials as model-vs-human publishes them (a CSV per observer or experiment): columns COLUMNS and `correct`.

    Raises InputError for a file that is not such a table, or has no answer.
    """
    import pandas as pd

    way = "give a CSV of human trials as model-vs-human publishes them"
    try:
        table = pd.read_csv(path, dtype=str)
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing; {way}") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({' '.join(str(error).split())}); {way}") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path}: rows have more entries than the header has names; {way}")
    if missing := [name for name in COLUMNS if name not in table]:
        raise InputError(f"{path}: no column '{missing[0]}' (has {', '.join(map(str, table))}); {way}")
    gaps = table[["subj", "category", "imagename"]].isna()
    if not len(table) or gaps.to_numpy().any():
        where = f"row {int(gaps.any(axis=1).to_numpy().argmax()) + 2} is incomplete" if len(table) else "has no trials"
        raise InputError(f"{path}: {where}; {way}")
    response = table["object_response"].fillna("na").str.strip().str.lower()  # no answer in time is `na`, and wrong
    return table[list(COLUMNS)].assign(correct=response == table["category"].str.strip().str.lower())


def observers(trials: pd.DataFrame) -> dict[str, pd.Series]:
    """Observer -> whether it was right, by image; of an image that it saw twice, the first time."""
    found = {}
    for name, part in trials.groupby("subj", sort=True):
        found[str(name)] = part.drop_duplicates("imagename").set_index("imagename")["correct"].astype(bool)
    return found


def human_band(trials: pd.DataFrame) -> tuple[float, float, float]:
    """Mean, lowest and highest kappa of pairs of human observers, over the images that both saw: what a network's
    consistency with humans is read against. NaN for one observer."""
    found = []
    for a, b in itertools.combinations(observers(trials).values(), 2):
        both = a.index.intersection(b.index)
        found.append(error_consistency(a[both].to_numpy(), b[both].to_numpy()).value)
    found = [value for value in found if math.isfinite(value)]
    return (float(np.mean(found)), min(found), max(found)) if found else (math.nan,) * 3


def consistency_with_humans(correct: Mapping[str, bool], trials: pd.DataFrame) -> float:
    """Mean kappa of a network with each human observer, over the images that both saw; correct: image name -> right."""
    found = []
    for own in observers(trials).values():
        both = [name for name in own.index if name in correct]
        network = np.array([correct[name] for name in both], bool)
        found.append(error_consistency(network, own[both].to_numpy()).value)
    found = [value for value in found if math.isfinite(value)]
    return float(np.mean(found)) if found else math.nan

"""Which factors the gain over the own shuffle goes with: chosen by what the study can tell apart, then estimated.

Per task and architecture. A factor of an ROI has as many independent values as there are ROIs, so few of them fit into
one model (`factor_fit.carried`); the first in the order of `ROI_FACTORS` come first, which is fixed here and not by the
data. A factor that does not vary, or that others explain but for a tenth of its variance (`VIF_LIMIT`), is not
estimated beside them, and its row says so. Each factor is estimated twice: `alone` among those of its kind, and
`together` with all that the study carries. Factors of an ROI are adjusted for those of conditions in both. Alignment is
reached by training, so it is itself an effect of the others: it enters no model but its own (Rosenbaum 1984,
doi:10.2307/2981697).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from neurobust.report.blocks import Block, Row, blocks
from neurobust.report.factor_fit import (
    VIF_LIMIT,
    Gains,
    carried,
    condition_effects,
    inflation,
    roi_effects,
    within_rois,
)

ALONE, TOGETHER = "alone", "together"
OF_ROI, OF_CONDITION, OF_NETWORK = "ROI", "condition", "network"
SAME = "the same in every network:"  # begins the note of a factor that does not vary
Known = np.ndarray  # (conditions,) bool: which enter a model


class Factor(NamedTuple):
    """A factor: its name for readers, its column of the table `gains`, and what its numbers count."""

    name: str
    column: str
    unit: str = ""


# In the order in which they enter a model that cannot carry all of them: the proposal's own question, then what could
# make a later area only look better (reference: the quality of its data and of its predictor).
ROI_FACTORS = (
    Factor("hierarchy index", "hierarchy", "steps"),
    Factor("predictor accuracy", "predictor_accuracy", "r/√NC"),
    Factor("noise ceiling", "noise_ceiling", "%"),
    Factor("number of voxels", "n_voxels", "doublings"),
)
CONDITION_FACTORS = (
    Factor("weight", "weight"), Factor("loss", "loss"), Factor("images", "images"),
    Factor("layer depth", "layer_depth", "of the network"),
)  # fmt: skip
CATEGORIES = ("loss", "images")  # columns whose values are words: each word against the first of the study
ALIGNMENTS = (Factor("alignment reached", "alignment_cka", "CKA"), Factor("alignment reached", "alignment", "r"))


class Column(NamedTuple):
    """A factor as numbers (conditions, seeds), in standard deviations; sd: one of them, NaN for a category. constant:
    what it is in every network where it does not vary, else empty."""

    name: str
    kind: str
    values: np.ndarray
    sd: float
    unit: str
    constant: str = ""


class Cohort(NamedTuple):
    """The networks of one task and architecture: gains (conditions, seeds), the ROI of each condition, and its rows of
    the table `gains`, ordered as these."""

    gains: np.ndarray
    rois: np.ndarray
    rows: pd.DataFrame

    @property
    def everything(self) -> Known:
        """All conditions."""
        return np.ones(len(self.rois), dtype=bool)


class Choice(NamedTuple):
    """The columns that one model carries, why each other one is left out of it, and variance inflation by name."""

    taken: list[Column]
    notes: dict[str, str]
    vif: dict[str, float]


def factor_rows(gains: pd.DataFrame) -> list[Row]:
    """The table `factors` from the table `gains`: per factor and model an effect per SD, or why there is none; then the
    same without each ROI in turn."""
    return [row for block in blocks(gains) for row in block_rows(block)]


def block_rows(block: Block) -> Iterator[Row]:
    """The rows of one task and architecture."""
    task, architecture, part = block
    cohort = cohort_of(part)
    if not len(cohort.rois):
        return
    of_rois = [column for factor in ROI_FACTORS for column in columns_of(cohort, factor, OF_ROI)]
    of_conditions = [column for factor in CONDITION_FACTORS for column in columns_of(cohort, factor, OF_CONDITION)]
    of_networks = columns_of(cohort, alignment_of(part), OF_NETWORK)
    conditions = choose(cohort, of_conditions)
    adjust = conditions.taken
    rois, networks = choose(cohort, of_rois), choose(cohort, [*adjust, *of_networks])
    names = {"task": task, "architecture": architecture}
    for columns, choice in ((of_rois, rois), (of_conditions, conditions), (of_networks, networks)):
        for column in columns:
            for row in rows_of(cohort, column, choice, adjust):
                yield names | row


def cohort_of(part: pd.DataFrame) -> Cohort:
    """The rows of `gains` as arrays; a condition that lacks a seed of the others is left out."""
    seeds = part["seed"].nunique()
    rows = part[part.groupby("condition")["seed"].transform("size") == seeds]
    count = len(rows) // seeds
    gains = rows["gain"].to_numpy(float).reshape(count, seeds)
    return Cohort(gains, rows["roi"].to_numpy(str)[::seeds], rows)


def alignment_of(part: pd.DataFrame) -> Factor:
    """The measure of alignment that most networks have: CKA for every loss, the correlation for those with a head."""
    return max(ALIGNMENTS, key=lambda factor: int(part[factor.column].notna().sum()))


def columns_of(cohort: Cohort, factor: Factor, kind: str) -> list[Column]:
    """A factor as one column, or a category as one per word beside the first."""
    shape, given = cohort.gains.shape, cohort.rows[factor.column]
    if factor.column in CATEGORIES:
        words = list(dict.fromkeys(given.astype(str)))
        if len(words) == 1:
            return [Column(factor.name, kind, np.zeros(shape), math.nan, "", words[0])]
        found = [(word, given.eq(word).to_numpy(float).reshape(shape)) for word in words[1:]]
        return [Column(f"{factor.name} {word} − {words[0]}", kind, values, math.nan, "") for word, values in found]
    values = given.to_numpy(float).reshape(shape)
    if kind == OF_ROI:
        values = roi_means(cohort, values)
    if factor.column == "n_voxels":
        values = np.log2(values)
    units = {OF_ROI: np.unique(cohort.rois, return_index=True)[1], OF_CONDITION: slice(None), OF_NETWORK: slice(None)}
    each = values[units[kind]].ravel() if kind == OF_NETWORK else values[units[kind], 0]
    each = each[np.isfinite(each)]
    if not len(each) or np.ptp(each) <= 1e-9 * max(1.0, float(np.abs(each).max())):
        shown = given.dropna()
        return [Column(factor.name, kind, values, math.nan, factor.unit, f"{shown.iloc[0]:.3g}" if len(shown) else "")]
    sd = float(each.std(ddof=1))
    return [Column(factor.name, kind, (values - each.mean()) / sd, sd, factor.unit)]


def roi_means(cohort: Cohort, values: np.ndarray) -> np.ndarray:
    """Each ROI's mean of values (conditions, seeds) in all its places: predictors of several seeds are one ROI's."""
    found = np.empty_like(values)
    for roi in np.unique(cohort.rois):
        known = values[cohort.rois == roi]
        known = known[np.isfinite(known)]
        found[cohort.rois == roi] = known.mean() if len(known) else math.nan
    return found


def choose(cohort: Cohort, columns: Sequence[Column]) -> Choice:
    """The columns that one model carries, in their order; the rest with the reason why it does not carry them."""
    choice = Choice([], {}, {})
    for column in columns:
        trial = [*choice.taken, column]
        note, vif = problem(cohort, column, trial)
        choice.vif[column.name] = vif
        if note:
            choice.notes[column.name] = note
        else:
            choice.taken.append(column)
    return choice


def problem(cohort: Cohort, column: Column, trial: list[Column]) -> tuple[str, float]:
    """Why the last column of a model cannot be estimated in it, empty where it can; and its variance inflation."""
    if column.constant:
        return f"{SAME} {column.constant}", math.nan
    if not np.isfinite(column.values).any():
        return "not known of any network", math.nan
    known, others = known_of(trial, cohort.everything), ", ".join(other.name for other in trial[:-1])
    x, rois = matrix(cohort, trial, known)
    count = len(np.unique(rois))
    if column.kind == OF_ROI:
        most, what = carried(count), f"{count} ROIs"
    else:
        things = "conditions" if column.kind == OF_CONDITION else "networks"
        most, what = carried(len(rois), count), f"{len(rois)} {things} of {count} ROI{'s' * (count > 1)}"
        x = within_rois(x, rois)
        if np.ptp(x[:, -1]) <= 1e-9:
            return "varies from ROI to ROI only, so it cannot be told from the ROI", math.nan
    if len(trial) > most:
        room = f"{what} carry {most or 'no factor'}"
        return f"{room} at once; {others} first" if others else room, math.nan
    vif = float(inflation(x)[-1])
    if vif > VIF_LIMIT:
        return f"moves with {others or 'the ROI'} (variance inflation {vif:.3g}): cannot be told apart here", vif
    return "", vif


def matrix(cohort: Cohort, columns: Sequence[Column], mask: Known) -> tuple[np.ndarray, np.ndarray]:
    """Columns side by side (n, k), and the ROI of each row (n,). A row is what the last column is a factor of: an ROI,
    a condition, or a network of which all is known."""
    values, rois = np.stack([column.values[mask] for column in columns], -1), cohort.rois[mask]
    if columns[-1].kind == OF_ROI:
        first = np.unique(rois, return_index=True)[1]
        return values[first, 0], rois[first]
    if columns[-1].kind == OF_CONDITION:
        return values[:, 0], rois
    flat, places = values.reshape(-1, len(columns)), np.repeat(rois, values.shape[1])
    known = np.isfinite(flat).all(1)
    return flat[known], places[known]


def known_of(columns: Sequence[Column], mask: Known) -> Known:
    """The conditions, among those of a mask, of which every column of an ROI or of a condition is known."""
    for column in columns:
        finite = np.isfinite(column.values)
        mask = mask & (finite.any(1) if column.kind == OF_NETWORK else finite.all(1))
    return mask


def rows_of(cohort: Cohort, column: Column, choice: Choice, adjust: list[Column]) -> Iterator[Row]:
    """The rows of one factor: alone, together, and one per ROI left out of the larger of the two models."""
    single = choose(cohort, [column])
    models = {ALONE: (single.taken, single.notes), TOGETHER: (choice.taken, choice.notes)}
    last: list[Column] = []
    for model, (taken, notes) in models.items():
        note = notes.get(column.name, "")
        row: Row = {"factor": column.name, "kind": column.kind, "model": model, "left_out": ""}
        row |= {"sd": column.sd, "unit": column.unit, "vif": choice.vif.get(column.name) if model == TOGETHER else 1.0}
        if note:
            yield row | blank(note)
            continue
        last = taken
        yield row | estimate(cohort, column, taken, adjust, cohort.everything)
    for roi in dict.fromkeys(cohort.rois) if last else ():
        found = estimate(cohort, column, last, adjust, cohort.rois != roi)
        if known_of(last, cohort.rois == roi).any() and math.isfinite(found["effect"]):
            model = TOGETHER if last is choice.taken else ALONE
            yield {
                "factor": column.name, "kind": column.kind, "model": model, "left_out": roi, "sd": column.sd,
                "unit": column.unit, "vif": math.nan, **found,
            }  # fmt: skip


def blank(note: str) -> Row:
    """The numbers of a factor that is not estimated."""
    empty = dict.fromkeys(("effect", "low", "high", "df", "n_rois", "n_conditions", "n_seeds"), math.nan)
    return empty | {"note": note}


def estimate(cohort: Cohort, column: Column, taken: list[Column], adjust: list[Column], mask: Known) -> Row:
    """The effect of one column of a model on the gain, over the conditions of a mask."""
    mask = known_of(taken, mask)
    names, codes = np.unique(cohort.rois[mask], return_inverse=True)
    gains = Gains(cohort.gains[mask], codes)
    x, rois = matrix(cohort, taken, mask)
    of_roi = column.kind == OF_ROI
    if not full_rank(x - x.mean(0) if of_roi else within_rois(x, rois)) or (of_roi and len(x) < x.shape[1] + 2):
        return blank("nothing to compare it over")
    if of_roi:
        recipes = np.array([other.values[mask, 0] for other in adjust]).reshape(len(adjust), int(mask.sum())).T
        found = roi_effects(gains, x, recipes)
    else:
        found = condition_effects(gains, np.stack([other.values[mask] for other in taken], -1))
    index = [other.name for other in taken].index(column.name)
    effects = [float(part[index]) for part in found]
    row = dict(zip(("effect", "low", "high", "df"), effects, strict=True))
    row |= {"n_rois": len(names), "n_conditions": int(mask.sum()), "n_seeds": gains.values.shape[1]}
    return row | {"note": why_no_interval(row) if math.isnan(row["df"]) else ""}


def full_rank(x: np.ndarray) -> bool:
    """Whether no column of x (n, k), free of its means, is a mixture of the others."""
    return len(x) > 0 and int(np.linalg.matrix_rank(x, tol=1e-8)) == x.shape[1]


def why_no_interval(row: Row) -> str:
    """Why an effect has no interval."""
    return "no interval: one seed" if row["n_seeds"] < 2 else "no interval: it varies within one ROI only"

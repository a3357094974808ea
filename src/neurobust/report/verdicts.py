"""What a study may say: the rule of `neurobust.statistics` on its contrasts, corrected for their number.

The rule is fixed before the data: gates, all baselines at once, Holm within a task and architecture, and three readings
of clean accuracy (docs/science.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from neurobust.core.reference_range import BASELINE
from neurobust.report.blocks import Row
from neurobust.report.contrasts import (
    NONE,
    NotInStudyError,
    Sum,
    cells_of,
    control_of,
    guided_by,
    outcomes,
    primary_sums,
    readings,
    required_controls,
)
from neurobust.report.entries import with_interval
from neurobust.report.gates import GATES, Evidence, gates_of
from neurobust.statistics import (
    CONTRADICTED,
    EQUIVALENCE,
    LEVEL,
    MARGIN,
    NOT_SUPPORTED,
    SUPPORTED,
    UNDETERMINED,
    Gate,
    Interval,
    Trend,
    claim_p,
    components,
    counted,
    crossed_interval,
    deciding,
    detectable,
    holm_levels,
    one_sided_p,
    shared,
    trend,
    verdict,
)
from neurobust.study.model import Study
from neurobust.study.pairs import SHUFFLED

EARLY_TO_LATE = ("V1", "V2", "hV4", "LO", "TO")  # from early to late: Shao et al. 2024
FEWEST_ROIS = 3  # of a trend
TREND_MARGIN = 0.01  # accuracy per step that would matter
STEP_UNIT = "accuracy per step"  # in tables; for readers:
PER_STEP = "pp a step"


class Asked(NamedTuple):
    """A question: the sums that must all lie above 0 (direction `more`), below it, or not above it by the margin."""

    sums: tuple[Sum, ...]
    direction: str = "more"
    margin: float = MARGIN


class Answer(NamedTuple):
    """A verdict on a question. word: with the gate in brackets that forbids one; decides: the sum that does
    (`statistics.deciding`); interval: its 95 % one; level, p: of the family; table (seeds, images): what it is a mean
    of; readings: of clean accuracy, by name."""

    word: str
    reason: str
    decides: Sum
    interval: Interval
    level: float
    p: float
    table: np.ndarray
    readings: Mapping[str, Interval]


def judge(evidence: Evidence, family: Sequence[Asked], others: int = 0) -> list[Answer]:
    """Answers to a family of questions of one task and architecture, each at its level of Holm's procedure.

    others: questions of the same family that are not looked at here; they count, and as unanswered ones.
    """
    tables = [[signed_outcomes(evidence, asked, total) for total in asked.sums] for asked in family]
    p_values = [question_p(question, group) for question, group in zip(family, tables, strict=True)]
    levels = holm_levels([*p_values, *[math.nan] * others])
    asked = zip(family, tables, p_values, levels.tolist()[: len(family)], strict=True)
    return [answer(evidence, question, group, p, level) for question, group, p, level in asked]


def question_p(asked: Asked, tables: Sequence[np.ndarray]) -> float:
    """P value of one question for Holm's family; NaN where its sums have nothing in common.

    Of `no-more` the smaller of two: that it lies above 0, and that it lies below the margin (one-sided: a mean cannot
    be at most 0 and at least the margin, so that one of the two is wrong at most).
    """
    if not all(table.size for table in tables):
        return math.nan
    p = claim_p(tables)
    if asked.direction == "no-more" and math.isfinite(p):
        return min(p, *(one_sided_p(asked.margin - table) for table in tables))
    return p


def signed_outcomes(evidence: Evidence, asked: Asked, total: Sum) -> np.ndarray:
    """The outcomes of one sum of a question, (seeds, images), so that what is asked for lies above 0."""
    table = outcomes(evidence, total, cells_of(evidence, total))
    return -table if asked.direction == "less" else table


def answer(evidence: Evidence, asked: Asked, tables: list[np.ndarray], p: float, level: float) -> Answer:
    """The verdict on one question. tables: of its sums, signed as asked."""
    # What `no-more` asks is the equivalence test itself: judged at the family's level, and not at a fixed one.
    equivalence = 2 * level - 1 if asked.direction == "no-more" else EQUIVALENCE
    empty = [index for index, table in enumerate(tables) if not table.size]
    place = empty[0] if empty else deciding(tables, level, asked.margin, equivalence)
    decides, table = asked.sums[place], tables[place]
    if not table.size:
        return Answer(UNDETERMINED, "no image or seed in common", decides, NONE, level, p, table, {})
    found: dict[str, Interval] = {}
    if decides.measure == "accuracy":
        found = readings(evidence, decides, cells_of(evidence, decides))
    turned = {name: turn(reading) for name, reading in found.items()} if asked.direction == "less" else found
    gates = all_gates(evidence, asked.sums)
    said = verdict(
        tables, level=level, gates=gates, confound=tuple(turned.values()), margin=asked.margin, equivalence=equivalence
    )
    word, reason = said.word, said.reason
    if decides.measure == "size" and not any(not gate.passed for gate in gates):
        shown = -table if asked.direction == "less" else table
        reason = size_reason(shown, asked.margin, word, shared(equivalence, len(tables)))
    elif asked.direction == "less":
        reason = as_asked(reason)
    if asked.direction == "no-more":
        word = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED, NOT_SUPPORTED: SUPPORTED}.get(word, word)
    interval = turn(said.interval) if asked.direction == "less" else said.interval
    return Answer(with_gate(word, gates), reason, decides, interval, level, p, table, found)


def as_asked(reason: str) -> str:
    """The reason of a claim that asks for less: its differences were turned, and what is shown of them is not."""
    for said, other in (("above 0", "below 0"), ("below 0", "above 0")):
        if reason.startswith(said):
            return other + reason.removeprefix(said)
    return reason


def size_reason(table: np.ndarray, margin: float, word: str, level: float = EQUIVALENCE) -> str:
    """Why a claim about sizes of perturbations reads as it does: they are no points of accuracy."""
    low, high = crossed_interval(table, level)[1:3]
    ends = f"{low:.3g} to {high:.3g}".replace("-", "−")
    said = f"{100 * level:.4g} % interval {ends} with {counted(*table.shape)}"
    return said if word in (SUPPORTED, CONTRADICTED) else f"{said}; {margin:g} would matter"


def turn(interval: Interval) -> Interval:
    """The interval of the opposite difference."""
    return Interval(-interval.mean, -interval.high, -interval.low, interval.df)


def all_gates(evidence: Evidence, sums: Iterable[Sum]) -> list[Gate]:
    """The gates of everything that some sums look at, `none` and the positive control included; each name once."""
    sums = list(sums)
    looked = {name for total in sums for name in total.conditions}
    looked |= {BASELINE, evidence.positive_control or BASELINE}
    found: dict[str, Gate] = {}
    for attack in dict.fromkeys(total.attack for total in sums):
        for gate in gates_of(evidence, attack, looked):
            if gate.name not in found or found[gate.name].passed:
                found[gate.name] = gate
    return sorted(found.values(), key=lambda gate: GATES.index(gate.name))


def with_gate(word: str, gates: Iterable[Gate]) -> str:
    """`undetermined (sensitivity)`: the word with the first gate that forbids another one."""
    failed = [gate.name for gate in gates if not gate.passed]
    return f"{UNDETERMINED} ({failed[0]})" if failed else word


# --- the table `verdicts` ---


def verdict_rows(evidence: Evidence, whole: Study | None = None) -> list[Row]:
    """A row per guided condition: what may be said of its primary contrast.

    whole: the study of which `evidence` sees a part, all of whose primary contrasts make the family.
    """
    if evidence.primary is None:
        return []
    conditions = evidence.study.conditions
    guided = [name for name in evidence.conditions if conditions[name].guided]
    sums, lacking = {}, {}
    for name in guided:
        try:
            sums[name] = primary_sums(evidence, name)
        except NotInStudyError as error:
            lacking[name] = str(error)
    asked = [Asked(tuple(own)) for own in sums.values()]
    others = family_size(whole, evidence.task) - len(asked) if whole else 0
    answers = dict(zip(sums, judge(evidence, asked, max(others, 0)), strict=True))
    rows = []
    for name in guided:
        row = evidence.block | {"condition": name, "roi": conditions[name].roi, "attack": evidence.primary}
        row |= {"budget": evidence.budget(evidence.primary), "unit": evidence.attacks[evidence.primary].unit}
        if name in lacking:
            reason = f"not in this study: needs {lacking[name]}"
            rows.append(row | {"verdict": UNDETERMINED, "reason": reason})
        else:
            rows.append(row | {"contrast": answers[name].decides.text} | answer_row(answers[name]))
    return rows


def family_size(study: Study, task: str) -> int:
    """How many primary contrasts a study has on a task: its guided conditions with the controls that they need."""
    bare = Evidence(study, task, "", {}, {}, {}, {})
    guided = [name for name in bare.conditions if study.conditions[name].guided]
    return sum(has_controls(bare, name) for name in guided)


def has_controls(evidence: Evidence, condition: str) -> bool:
    """Whether a study has all that a guided condition must beat."""
    try:
        return bool([control_of(evidence, condition, control) for control in required_controls(evidence, condition)])
    except NotInStudyError:
        return False


def answer_row(found: Answer) -> Row:
    """An answer as columns."""
    seeds, images = found.table.shape
    row: Row = {"difference": found.interval.mean, "low": found.interval.low, "high": found.interval.high}
    row |= {"level": found.level, "p": found.p, "verdict": found.word, "reason": found.reason}
    for name, reading in found.readings.items():
        row |= {name: reading.mean, f"{name}_low": reading.low, f"{name}_high": reading.high}
    row |= {"n_seeds": seeds, "n_images": images}
    if not found.table.size:
        return row
    return row | {"detectable": detectable(seeds, images, *components(found.table), level=found.level)}


# --- the table `trend` ---


class Along(NamedTuple):
    """Increments over the own shuffle along an order of ROIs: conditions and their increments (seeds, ROIs)."""

    rois: tuple[str, ...]
    sums: tuple[Sum, ...]
    increments: np.ndarray


def along(evidence: Evidence, order: Sequence[str]) -> dict[str, Along]:
    """The increments of the ROIs of an order that the study has, by recipe, where there are three or more.

    For the seeds that all of them have: a row is one seed, which Page's test takes for a block.
    """
    met = {name for name, _ in evidence.cells[evidence.primary]} if evidence.primary else set()
    guided: dict[str, dict[str, str]] = {}
    for roi in order:
        for key, name in guided_by(evidence, roi).items():
            guided.setdefault(key, {})[roi] = name
    found = {}
    for key, names in guided.items():
        sums = {}
        for roi, name in names.items():
            try:
                control = control_of(evidence, name, SHUFFLED)
            except NotInStudyError:
                continue
            if {name, control} <= met:
                sums[roi] = Sum(((1, name), (-1, control)), evidence.primary or "")
        if len(sums) < FEWEST_ROIS:
            continue
        cells = [cells_of(evidence, total) for total in sums.values()]
        seeds = set.intersection(*({seed for _, seed in own} for own in cells))
        paired = [{key: cell for key, cell in own.items() if key[1] in seeds} for own in cells]
        tables = [outcomes(evidence, *pair) for pair in zip(sums.values(), paired, strict=True)]
        increments = np.array([table.mean(1) for table in tables]).T if seeds else np.empty((0, len(sums)))
        found[key] = Along(tuple(sums), tuple(sums.values()), increments)
    return found


def trend_rows(evidence: Evidence) -> list[Row]:
    """A row per recipe with three or more ROIs of the hierarchy: does the increment grow along it?

    The recipes of a task and architecture are one family (Bonferroni).
    """
    if evidence.primary is None:
        return []
    rows, lines = [], along(evidence, EARLY_TO_LATE)
    for line in lines.values():
        found = trend(line.increments, range(len(line.rois)))
        level = shared(LEVEL, len(lines))
        word, reason = trend_verdict(found, TREND_MARGIN, all_gates(evidence, line.sums), level)
        rows.append(
            evidence.block
            | {"attack": evidence.primary, "rois": " < ".join(line.rois)}
            | {"conditions": ", ".join(total.terms[0][1] for total in line.sums)}
            | {"slope": found.slope.mean, "low": found.slope.low, "high": found.slope.high, "p": found.p}
            | {"n_seeds": len(line.increments), "verdict": word, "reason": reason}
        )
    return rows


def trend_verdict(found: Trend, margin: float, gates: Sequence[Gate], level: float = LEVEL) -> tuple[str, str]:
    """Word and reason of a trend: Page's test and the slope must agree. margin: accuracy per step."""
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        return with_gate(UNDETERMINED, failed), "; ".join(f"{gate.name}: {gate.sentence}" for gate in failed)
    slope = found.slope
    if math.isnan(slope.low) or slope.df < 2:
        return UNDETERMINED, "fewer than three seeds, or seeds that do not differ"
    said = with_interval(slope.mean, slope.low, slope.high, PER_STEP)
    if at_level(slope, level).low > 0 and found.p < 1 - level:
        return SUPPORTED, f"{said}; Page's test p = {found.p:.2g}"
    if at_level(slope, level).high < 0:
        return CONTRADICTED, said
    if at_level(slope, 0.9).high < margin:
        return NOT_SUPPORTED, f"{said}: less than {100 * margin:g} {PER_STEP}"
    strict = at_level(slope, level)
    judged = f", judged at {100 * level:.4g} %: {with_interval(slope.mean, strict.low, strict.high, PER_STEP)}"
    return UNDETERMINED, f"{said}; Page's test p = {found.p:.2g}{judged * (level > LEVEL)}"


def at_level(interval: Interval, level: float) -> Interval:
    """Student's interval of another level, from that of 95 %."""
    from scipy.special import stdtrit

    share = float(stdtrit(interval.df, 0.5 + level / 2) / stdtrit(interval.df, 0.5 + LEVEL / 2))
    half = (interval.high - interval.mean) * share
    return Interval(interval.mean, interval.mean - half, interval.mean + half, interval.df)

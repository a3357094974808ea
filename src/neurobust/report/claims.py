"""The claims ledger against a study: a row per claim, task, architecture and recipe that can test it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from neurobust.report.blocks import Row
from neurobust.report.contrasts import ANY, NotInStudyError, Sum, sums_of, with_control
from neurobust.report.gates import Evidence
from neurobust.report.verdicts import (
    STEP_UNIT,
    Along,
    Answer,
    Asked,
    all_gates,
    along,
    answer_row,
    judge,
    trend_verdict,
)
from neurobust.statistics import LEVEL, SUPPORTED, UNDETERMINED, trend
from neurobust.study.claims import Claim
from neurobust.study.model import Study
from neurobust.study.pairs import SHUFFLED

READ = ("difference", "low", "high", "level", "p", "verdict", "reason", "n_seeds", "n_images", "detectable")


class Tested(NamedTuple):
    """A claim as one task, architecture and recipe can test it; premise: what must be supported first, all of it."""

    name: str
    claim: Claim
    sums: tuple[Sum, ...]
    premise: tuple[Sum, ...] = ()


def claim_rows(study: Study, blocks: Iterable[Evidence]) -> list[Row]:
    """The rows of the table `claims`, in the ledger's order; one without a task for a claim that nothing here tests."""
    blocks = list(blocks)
    found: dict[str, list[Row]] = {name: [] for name in study.claims}
    lacking: dict[str, list[str]] = {name: [] for name in study.claims}
    for evidence in blocks:
        tested, ordered = [], []
        for name, claim in study.claims.items():
            try:
                if claim.order:
                    ordered += [(name, claim, line) for line in lines_of(evidence, claim.order)]
                else:
                    tested += tests_of(evidence, name, claim)
            except NotInStudyError as error:
                lacking[name].append(str(error))
        rows = tested_rows(evidence, tested, len(ordered))
        level = 1 - (1 - LEVEL) / max(len(tested) + len(ordered), 1)  # of Holm's first step: no order is judged at more
        rows += [(name, order_row(evidence, name, claim, line, level)) for name, claim, line in ordered]
        for name, row in rows:
            found[name].append(row)
    return [
        row for name, claim in study.claims.items() for row in found[name] or [untested(name, claim, lacking[name])]
    ]  # fmt: skip


def untested(name: str, claim: Claim, lacking: list[str]) -> Row:
    """The row of a claim that the study cannot test, with what it would need."""
    needs = ", ".join(dict.fromkeys(filter(None, [*lacking, claim.needs]))) or "results of attacks"
    return {"claim": name, **said(claim), "verdict": UNDETERMINED, "reason": f"not in this study: needs {needs}"}


def said(claim: Claim) -> Row:
    """What the ledger says of a claim, as columns."""
    return {"says": claim.says, "source": claim.source, "direction": claim.direction, "margin": claim.margin}


def tests_of(evidence: Evidence, name: str, claim: Claim) -> list[Tested]:
    """A claim with all of its contrasts for each recipe that has them; NotInStudyError where none has."""
    parts = [sums_of(evidence, contrast) for contrast in claim.contrasts]
    premise = sums_of(evidence, claim.given) if claim.given else {}
    every = [*parts, premise] if claim.given else parts
    keys = dict.fromkeys(key for part in every for key in part if key != ANY) or {ANY: None}
    whole = [key for key in keys if all(key in part or ANY in part for part in every)]
    if not whole:
        raise NotInStudyError(f"{', '.join(contrast.condition for contrast in claim.contrasts)} of one recipe")
    return [
        Tested(
            name, claim, tuple(pick(part, key) for part in parts),
            with_shuffle(evidence, pick(premise, key)) if premise else (),
        )
        for key in whole
    ]  # fmt: skip


def with_shuffle(evidence: Evidence, total: Sum) -> tuple[Sum, ...]:
    """A premise, and the same condition against its own shuffle where the study has one: a gain is that of a brain."""
    (_, condition), *_ = total.terms
    shuffle = with_control(evidence, condition, SHUFFLED) if len(total.terms) == 2 else None
    if shuffle is None or shuffle in total.conditions:
        return (total,)
    met = {name for name, _ in evidence.cells[total.attack]}
    return (total, total._replace(terms=((1, condition), (-1, shuffle)))) if shuffle in met else (total,)


def pick(part: dict[str, Sum], key: str) -> Sum:
    """A contrast for a recipe; one that goes with every recipe where it has none of its own."""
    return part[key] if key in part else part[ANY]


def tested_rows(evidence: Evidence, tested: list[Tested], others: int = 0) -> list[tuple[str, Row]]:
    """Rows of one task and architecture; the claims of a ledger are one family of Holm's. others: its orders."""
    answers = judge(evidence, [Asked(one.sums, one.claim.direction, one.claim.margin) for one in tested], others)
    rows = []
    for one, answer in zip(tested, answers, strict=True):
        row = {"claim": one.name, **said(one.claim), **evidence.block, **shown(evidence, one, answer)}
        if one.premise and "(" not in answer.word:
            (first,) = judge(evidence, [Asked(one.premise)])
            if first.word != SUPPORTED:
                said_of = f"{first.decides.text} is {first.word}"
                row |= {"verdict": UNDETERMINED, "reason": f"nothing to explain: {said_of}"}
        rows.append((one.name, row))
    return rows


def shown(evidence: Evidence, one: Tested, answer: Answer) -> Row:
    """What a page shows of an answer: the deciding contrast, its interval and its attack."""
    found, total = answer_row(answer), answer.decides
    attack = evidence.attacks[total.attack]
    sized = total.measure == "size"
    return {
        "contrast": "; ".join(part.text for part in one.sums), "decides": total.text, "attack": total.attack,
        "budget": math.nan if sized else evidence.budget(total.attack), "unit": attack.unit if sized else "accuracy",
        **{name: found.get(name, math.nan) for name in READ},
    }  # fmt: skip


def lines_of(evidence: Evidence, order: tuple[str, ...]) -> list[Along]:
    """The recipes that have three ROIs of an order or more; NotInStudyError where none has."""
    if evidence.primary is None:
        raise NotInStudyError("attack primary")
    lines = list(along(evidence, order).values())
    if not lines:
        raise NotInStudyError(f"three of {', '.join(order)}, each with its shuffle")
    return lines


def order_row(evidence: Evidence, name: str, claim: Claim, line: Along, level: float) -> Row:
    """One recipe's row of a claim about an order of ROIs."""
    found = trend(line.increments, range(len(line.rois)))
    word, reason = trend_verdict(found, claim.margin, all_gates(evidence, line.sums), level)
    text = f"slope along {' < '.join(line.rois)}"
    return {
        "claim": name, **said(claim), **evidence.block, "contrast": text, "decides": text, "attack": evidence.primary,
        "budget": evidence.budget(evidence.primary or ""), "unit": STEP_UNIT, "difference": found.slope.mean,
        "low": found.slope.low, "high": found.slope.high, "level": level, "p": found.p, "verdict": word,
        "reason": reason, "n_seeds": len(line.increments),
    }  # fmt: skip

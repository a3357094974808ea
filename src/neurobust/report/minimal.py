"""The smallest budget that breaks each image, merged over the attacks of one norm, and which attack broke which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from neurobust.report.blocks import Row
from neurobust.report.cells import Cell, rows_of, shared_images
from neurobust.report.shown import ShownAttack, by_measure, middle_budget

Attacks = Mapping[str, ShownAttack]
Own = Mapping[str, Cell]  # one network's cells by attack
POINTS = 40  # of a survival curve, beside the attacks' own budgets
MEMBER = "by its member "  # begins `other` in the rows of an ensemble's members


def minimal_budget(cells: list[Cell]) -> tuple[np.ndarray, np.ndarray]:
    """Images (n,) that all `cells` hold, and the smallest budget (n,) that breaks each under any of the attacks.

    0 for clean errors, inf for images that stand under every attack. The size of the verified adversarial counts where
    it is below the smallest budget of the list: its budget would have sufficed. All cells share a norm and a unit.
    """
    images = shared_images(cells)
    smallest = np.full(len(images), np.inf)
    for cell in cells:
        smallest = np.minimum(smallest, own_budget(cell)[rows_of(cell, images)])
    return images, smallest


def own_budget(cell: Cell) -> np.ndarray:
    """The smallest budget (n,) that breaks each image under one attack; inf where none of its list does."""
    standing = cell.robust.all(1)
    listed = np.where(standing, np.inf, cell.budgets[np.where(standing, 0, (~cell.robust).argmax(1))])
    return listed if cell.distance is None else np.fmin(listed, np.where(standing, np.inf, cell.distance))


def survival(smallest: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    """Share of images that stand at each budget: those whose smallest budget is larger. It cannot rise."""
    return (smallest[:, None] > budgets * (1 + 1e-6)).mean(0) if len(smallest) else np.full(len(budgets), np.nan)


def common_range(cells: list[Cell]) -> float:
    """The largest budget that every attack was given: beyond it an image may stand untried."""
    return min(float(cell.budgets[-1]) for cell in cells)


def minimal_rows(attacks: Attacks, cells: Own) -> Iterator[Row]:
    """Per norm: quartiles over images of the smallest budget, empty where more images than that stand."""
    for (norm, unit), members in by_measure(attacks).items():
        images, smallest = minimal_budget([cells[name] for name in members])
        most = common_range([cells[name] for name in members])
        found = np.where(smallest <= most * (1 + 1e-6), smallest, np.inf)
        quartiles = np.quantile(found, [0.25, 0.5, 0.75], method="higher") if len(found) else [np.inf] * 3
        yield {
            "norm": norm, "unit": unit, "attacks": ", ".join(members), "largest": most, "n_images": len(images),
            "n_broken": int(np.isfinite(found).sum()),
            **{name: value if np.isfinite(value) else np.nan
               for name, value in zip(("q25", "median", "q75"), quartiles, strict=True)},
        }  # fmt: skip


def survival_rows(attacks: Attacks, cells: Own) -> Iterator[Row]:
    """Per norm: robust accuracy against the worst of all its attacks, on a fine list of budgets."""
    for (norm, unit), members in by_measure(attacks).items():
        chosen = [cells[name] for name in members]
        _, smallest = minimal_budget(chosen)
        most = common_range(chosen)
        listed = np.concatenate([cell.budgets for cell in chosen])
        budgets = np.unique(np.concatenate([listed[listed <= most], np.linspace(0, most, POINTS + 1)]).round(9))
        for budget, share in zip(budgets, survival(smallest, budgets), strict=True):
            yield {"norm": norm, "unit": unit, "budget": budget, "robust_accuracy": share}


def break_rows(attacks: Attacks, cells: Own) -> Iterator[Row]:
    """Per norm with two attacks or more: what each breaks at the reference budget that another does not.

    n_broken: clean-correct images that `attack` breaks and `other` does not; all that it breaks where both are one.
    n_only: those that it breaks and none of the others does. Rows whose `other` begins with MEMBER count what fell to
    each member of an ensemble.
    """
    for (norm, unit), members in by_measure(attacks).items():
        shared = set.intersection(*({*cells[name].budgets.tolist()} for name in members))
        budget = attacks[members[0]].reference(shared) or middle_budget(shared)
        if len(members) < 2 or budget is None:
            continue
        images = shared_images([cells[name] for name in members])
        correct = np.all([cells[name].robust[rows_of(cells[name], images), 0] for name in members], axis=0)
        stands = np.array([cells[name].at(budget)[rows_of(cells[name], images)] for name in members])
        broken = (~stands & correct).astype(int)  # (attacks, images)
        n_correct, alone = int(correct.sum()), broken @ (broken.sum(0) == 1)
        missed = broken @ stands.T + np.diag(broken.sum(1))
        for name, counts, only in zip(members, missed.tolist(), alone.tolist(), strict=True):
            for other, count in zip(members, counts, strict=True):
                yield {
                    "norm": norm, "unit": unit, "budget": budget, "attack": name, "other": other,
                    "n_correct": n_correct, "n_broken": count, "n_only": only,
                }  # fmt: skip
        for name in members:
            members_of = cells[name].member
            if members_of is None:
                continue
            place = int(np.flatnonzero(cells[name].budgets == budget)[0])
            credited = members_of[rows_of(cells[name], images), place]
            for member in sorted({*credited.tolist()} - {""}):
                yield {
                    "norm": norm, "unit": unit, "budget": budget, "attack": name, "other": f"{MEMBER}{member}",
                    "n_correct": n_correct, "n_broken": int((correct & (credited == member)).sum()),
                    "n_only": 0,
                }  # fmt: skip

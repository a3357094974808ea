"""What a page says of the attacks as instruments: canaries, smallest budgets, which attack broke which image."""

from __future__ import annotations

from typing import Any

import pandas as pd

from neurobust.report.blocks import Row, Tables, blocks
from neurobust.report.entries import Entry, between, percent, short, signed, text
from neurobust.report.minimal import MEMBER
from neurobust.report.shown import NORMS, beside_norm, format_budget
from neurobust.report.view import View


def canary_note(tables: Tables) -> Row:
    """The canaries: `missed` in words, `caught` per task in one line, all of them as `rows`."""
    table = tables["canaries"]
    missed, caught, rows = [], [], []
    for task, part in table.groupby("task", sort=False):
        found = part[part["caught"].astype(bool)]
        caught.append(f"{len(found)} of {len(part)} on {task}")
        for row in part.itertuples():
            entry = {
                "task": task, "canary": row.canary, "caught": bool(row.caught), "note": text(row.note),
                "expected": words(row.expected), "found": words(row.found),
                "value": "" if pd.isna(row.value) else f"{row.value:.4g}",
            }  # fmt: skip
            rows.append(entry)
            if not entry["caught"]:
                missed.append(entry)
    return {"missed": missed, "caught": ", ".join(caught), "rows": rows}


MEANINGS = {
    "deterministic": "five passes of the same images give the same logits",
    "batch_size": "an image alone and in a batch gives the same logits",
    "logits": "the output is logits and no probabilities",
    "logit_scale": "the softmax does not underflow",
    "finite": "the network gives an answer, at the images and beside them",
    "ties": "one logit is the largest, at the images and beside them",
    "gradient_path": "a graph leads from the image to the logits",
    "saturation": "the true logit moves with the image",
    "slope": "a small step along the gradient does what it promises",
    "directions": "so do small steps in random directions",
    "gradient_ce": "cross-entropy has a gradient at the images",
    "gradient_margin": "the margin has a gradient at the images",
    "gradient_start_ce": "cross-entropy has a gradient beside the images",
    "gradient_start_margin": "the margin has a gradient beside the images",
    "unbounded": "nothing stands when the budget is the whole box",
    "monotone": "no image recovers at a larger budget",
    "verification": "adversarials hold when looked at again: bounds, size, label",
    "margin_loss": "an iterative attack uses a loss that does not underflow",
    "reach": "the steps of an attack can cross its ball",
    "not_weaker": "single steps, noise and black-box attacks break nothing that it does not",
    "worst_case": "all other attacks of its norm together break hardly more",
    "queries_alone": "no image falls to queries where every ascent fails",
    "answers": "images do not count as broken for want of an answer",
    "twin": "an undefended twin's adversarials break nothing that its own attacks do not",
    "ran": "the attack ran to its end",
    "auxiliary": "the auxiliary networks that an attack reads have passed their gates",
    "noise_weaker": "noise of the same size breaks far less",
    "doubled_steps": "twice the steps, from a random start, break hardly more",
    "other_loss": "an ascent by a loss of another kind breaks hardly more",
    "ascent": "the loss rises along the iterations",
    "unfinished": "the loss has nearly ended to rise",
    "silent_success": "what was broken on the way is broken in the result",
    "transfer": "other networks' adversarials break nothing that its own do not",
}


def words(checks: Any) -> str:
    """Names of checks for readers: `gradient_ce, ascent/pgd` -> `gradient ce, ascent (pgd)`."""
    names = [name for name in text(checks).split(", ") if name]
    parts = [name.replace("_", " ").partition("/") for name in names]
    return ", ".join(f"{check} ({attack})" if attack else check for check, _, attack in parts)


def minimal_tables(view: View) -> list[Row]:
    """Per task: the median smallest budget of each condition under the worst of all attacks of each norm."""
    table = with_units(view.tables["minimal_budget"])
    merged = table[table["attacks"].str.contains(", ", regex=False)] if len(table) else table
    result = []
    for task, architecture, part in blocks(merged):
        norms = list(part[["norm", "unit"]].drop_duplicates().itertuples(index=False, name=None))
        lines = []
        for condition in view.in_order(part["condition"]):
            cells = [median_cell(part[(part["condition"] == condition) & (part["norm"] == norm)]) for norm, _ in norms]
            lines.append({"condition": view.head(condition), "cells": cells})
        heads = [{"name": NORMS.get(norm, norm), "unit": beside_norm(norm, unit)} for norm, unit in norms]
        result.append({"task": task, "architecture": architecture, "heads": heads, "lines": lines})
    return result


def with_units(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose missing units are empty."""
    return table.assign(unit=table["unit"].fillna(""))


def median_cell(seeds: pd.DataFrame) -> Entry:
    """Mean over seeds of the median image, with the range over seeds; `> 8` where half the images stand at 8."""
    if not len(seeds):
        return Entry()
    if seeds["median"].isna().any():
        standing = int(seeds["median"].isna().sum())
        note = f"in {standing} of {len(seeds)} seeds" if standing < len(seeds) else ""
        return Entry(f"> {seeds['largest'].max():g}", note)
    spread = between(seeds["median"].min(), seeds["median"].max(), short) if len(seeds) > 1 else "one seed"
    return Entry(short(seeds["median"].mean()), spread)


def break_tables(view: View) -> list[Row]:
    """Per task and norm: share of the clean-correct images that each attack breaks, and that it alone breaks."""
    table = with_units(view.tables["breaks"])
    result = []
    for task, architecture, part in blocks(table):
        for (norm, unit), rows in part.groupby(["norm", "unit"], sort=False):
            attacks = list(dict.fromkeys(rows["attack"]))
            found = broken_by(rows)
            lines = [
                {"condition": view.head(name), "cells": [break_cell(*found[name, attack]) for attack in attacks]}
                for name in view.in_order(rows["condition"])
            ]
            names = {"task": task, "architecture": architecture, "norm": NORMS.get(norm, norm)}
            names["members"] = member_notes(view, rows)
            heads = [view.label(attack) for attack in attacks]
            pairs = pair_lines(view, rows, attacks)
            budget = format_budget(float(rows["budget"].iloc[0]), unit)
            result.append(names | {"budget": budget, "heads": heads, "lines": lines, "pairs": pairs})
    return result


def matched_table(view: View) -> Row:
    """Conditions at equal clean accuracy: `lines`, and the attack under which they are read."""
    table = view.tables["matched"]
    if not len(table):
        return {}
    attack = table["attack"].iloc[0]
    unit = view.attacks[attack].unit if attack in view.attacks else ""
    lines = [
        {"task": row.task, "architecture": row.architecture, "condition": view.head(row.condition)}
        | {"baseline": row.baseline, "weights": int(row.n_weights), "seeds": int(row.n_seeds)}
        | {"budget": format_budget(float(row.budget), unit)}
        | {"clean": between(row.clean_low, row.clean_high) or "none in common", "difference": signed(row.difference)}
        | {"interval": between(row.low, row.high, signed)}
        for row in table.itertuples()
    ]
    return {"attack": view.label(attack), "lines": lines}


def broken_by(rows: pd.DataFrame) -> dict[tuple[str, str], tuple[int, int, int]]:
    """By condition and attack, over its seeds: images read rightly, those that it breaks, and that it alone breaks."""
    keys, counts = ["condition", "attack"], ["n_correct", "n_broken", "n_only"]
    own = rows[rows["attack"] == rows["other"]].groupby(keys)[counts].sum()
    return {key: tuple(found) for key, found in zip(own.index, own.to_numpy(), strict=True)}


def break_cell(n_correct: int, n_broken: int, n_only: int) -> Row:
    """What an attack breaks of a condition's images, and breaks alone."""
    count = max(n_correct, 1)
    return {"main": percent(n_broken / count), "only": percent(n_only / count), "any": bool(n_only)}


def member_notes(view: View, rows: pd.DataFrame) -> list[str]:
    """What of an ensemble's success each of its members had, over all networks: one sentence per ensemble."""
    own = rows[rows["other"].str.startswith(MEMBER)]
    notes = []
    for attack, part in own.groupby("attack", sort=False):
        counts = part.groupby("other")["n_broken"].sum().sort_values(ascending=False)
        shares = [
            f"{name.removeprefix(MEMBER)} {percent(count / max(counts.sum(), 1))}" for name, count in counts.items()
        ]
        notes.append(f"Of what {view.label(attack)} broke, in percent by its members: {', '.join(shares)}.")
    return notes


def pair_lines(view: View, rows: pd.DataFrame, attacks: list[str]) -> list[Row]:
    """Over all networks: the share of images that the line's attack breaks and the column's does not."""
    sums = rows[rows["other"].isin(attacks)].groupby(["attack", "other"])[["n_correct", "n_broken"]].sum()
    share = (sums["n_broken"] / sums["n_correct"].clip(lower=1)).unstack()
    return [
        {"name": view.label(attack),
         "cells": [percent(share.loc[attack, other]) if other != attack else "" for other in attacks]}
        for attack in attacks
    ]  # fmt: skip

"""Pictures of semantic transfer: an image, what the attack made of it on a surrogate, what each network says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from neurobust.core.errors import InputError
from neurobust.files.semantic_adversarials import LentPictures, lent_pictures_path, read_lent_pictures
from neurobust.files.semantic_transfer_table import SemanticTransferRecord, read_semantic_transfer
from neurobust.report.blocks import Row
from neurobust.report.examples import ClassNames, changed_cell, png_data, thin
from neurobust.report.view import View
from neurobust.study.model import NetworkName

STANDS, FOOLED, LOST = "stands", "fooled", "wrong when clean"


def transfer_galleries(view: View, paths: Iterable[Path]) -> dict[tuple[str, str, str], Row]:
    """By task, architecture and attack: pictures of one surrogate's adversarials, and a line per condition of one seed.

    paths: tables of the networks that met these, of one seed. A picture's alternative text says what it shows. Raises
    InputError where the surrogate's pictures are not of the images that a table has.
    """
    met: dict[tuple[str, str, str], dict[str, tuple[pd.DataFrame, SemanticTransferRecord]]] = {}
    for path in paths:
        frame, record = read_semantic_transfer(path)
        met.setdefault((record.task, record.architecture, record.attack), {})[record.condition] = frame, record
    galleries = {key: gallery(view, *key, tables) for key, tables in met.items()}
    return {key: shown for key, shown in galleries.items() if shown["pictures"]}


def gallery(
    view: View,
    task: str,
    architecture: str,
    attack: str,
    tables: Mapping[str, tuple[pd.DataFrame, SemanticTransferRecord]],
) -> Row:
    """One attack's pictures, a column per image, and the answers of every condition beneath."""
    record = next(iter(tables.values()))[1]
    source = NetworkName(task, architecture, record.source_condition, record.source_seed)
    path, classes = lent_pictures_path(view.study.root, source.path, attack), ClassNames(view.study, task)
    found = read_lent_pictures(path)
    lines = []
    for condition in view.in_order(tables):
        frame = tables[condition][0]
        rows = frame[frame["strength"] == float(found.strength)].set_index("image")
        if not set(found.image) <= set(rows.index):
            raise InputError(f"{path}: pictures of other images or another strength than the tables; delete it")
        told = [
            answer_cell(classes, label, rows.loc[image]) for image, label in zip(found.image, found.label, strict=True)
        ]
        lines.append({"condition": view.head(condition), "cells": told})
    return {
        "source": f"{source.condition}, seed {source.seed}", "seed": record.seed,
        "strength": f"{float(found.strength):g}",
        "pictures": [picture(classes, found, place) for place in range(len(found.image))], "lines": lines,
    }  # fmt: skip


def picture(classes: ClassNames, found: LentPictures, place: int) -> Row:
    """One column's pictures, with their alternative texts: clean, changed, and the difference, amplified."""
    clean, label = found.clean[place], classes.name(int(found.label[place]))
    taken, image = named(classes, int(found.answer[place])), int(found.image[place])
    cell = changed_cell(clean, found.adversarial[place], f"taken for {taken}")
    return cell | {
        "clean": png_data(thin(clean)), "label": label, "clean_text": f"image {image} as it is: {label}",
        "text": f"image {image} as the attack left it: {label}, which the surrogate takes for {taken}",
    }  # fmt: skip


def answer_cell(classes: ClassNames, label: int, row: Any) -> Row:
    """What a network says of an adversarial: its class, and what has become of the image's own."""
    state = LOST if not row["clean_correct"] else FOOLED if row["answer"] != label else STANDS
    return {"answer": named(classes, int(row["answer"])), "state": state, "fooled": state == FOOLED}


def named(classes: ClassNames, answer: int) -> str:
    """A class by its name; -1 is none."""
    return "no class" if answer < 0 else classes.name(answer)

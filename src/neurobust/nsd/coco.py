"""COCO's categories of the NSD images: what of each object is left inside the crop that subjects saw."""

from __future__ import annotations

import json
import zipfile
from ast import literal_eval
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import provenance, write_parquet

SPLITS = ("train2017", "val2017")
COLUMNS = ("cocoId", "cocoSplit", "cropBox", "nsdId", "flagged")


class Image(TypedDict):
    """An image of COCO: its number, and its size in pixels."""

    id: int
    width: float
    height: float


class Thing(TypedDict):
    """An object in an image of COCO, of a category; bbox: x, y, width and height in pixels."""

    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]


class Category(TypedDict):
    """A category of COCO."""

    id: int
    name: str
    supercategory: NotRequired[str]


class Instances(TypedDict):
    """Of COCO's annotations of a split what is read."""

    images: list[Image]
    annotations: list[Thing]
    categories: list[Category]


def build_labels(stim_info: Path, annotations: Path, output: Path) -> None:
    """Write a parquet table: a row per NSD image, `nsd_id`, `flagged`, and a column per COCO category.

    A category's value is the largest share of the image that the box of one of its objects covers, 0 if none is left
    inside the crop. `annotations` is COCO's annotations_trainval2017.zip or a folder with instances_train2017.json and
    instances_val2017.json, given by the user. Attributes list the categories and their supercategories.
    """
    import pandas as pd

    info = read_stim_info(stim_info)
    boxes = dict(zip(zip(info["cocoSplit"], info["cocoId"], strict=True), info["cropBox"].map(parse_crop), strict=True))
    rows = {key: row for row, key in enumerate(boxes)}
    if len(rows) != len(info):
        raise InputError(f"{stim_info}: a COCO image appears twice; fetch it from the bucket again")
    shares: np.ndarray | None = None
    categories: list[Category] = []
    for split in SPLITS:
        content = read_instances(annotations, split)
        found = sorted(content["categories"], key=lambda category: category["id"])
        if shares is None:
            categories, shares = found, np.zeros((len(rows), len(found)), np.float32)
        elif [c["name"] for c in found] != [c["name"] for c in categories]:
            raise InputError(f"{annotations}: train2017 and val2017 have different categories; fetch them again")
        fill_shares(shares, content, split, boxes, rows)
    missing = sorted({split for split, _ in rows} - set(SPLITS))
    if missing:
        raise InputError(f"{stim_info}: cocoSplit '{missing[0]}' is not one of {', '.join(SPLITS)}")
    frame = pd.DataFrame(shares, columns=[category["name"] for category in categories])
    frame.insert(0, "nsd_id", info["nsdId"].to_numpy(np.int64))
    frame.insert(1, "flagged", info["flagged"].to_numpy(bool))
    groups = {category["name"]: category.get("supercategory", "") for category in categories}
    sources = {"stim_info": stim_info, "annotations": annotations}
    if annotations.is_dir():
        sources = {"stim_info": stim_info} | {split: annotations / f"instances_{split}.json" for split in SPLITS}
    attrs = {"supercategories": groups, "provenance": provenance(sources)}
    write_parquet(output, frame.sort_values("nsd_id", ignore_index=True), attrs)


def read_stim_info(path: Path):
    """The columns of nsd_stim_info_merged.csv that say which part of which COCO image each stimulus is."""
    import pandas as pd

    try:
        return pd.read_csv(path, usecols=list(COLUMNS))
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not the NSD table of stimuli ({reason}); fetch it from the bucket again") from error


def parse_crop(text: str) -> tuple[float, float, float, float]:
    """(top, bottom, left, right): the shares of an image that were cut off its four sides."""
    try:
        box = tuple(float(share) for share in literal_eval(text))
    except (ValueError, SyntaxError, TypeError) as error:
        raise InputError(f"cropBox: '{text}' is not (top, bottom, left, right)") from error
    if len(box) != 4 or min(box) < 0 or box[0] + box[1] >= 1 or box[2] + box[3] >= 1:
        raise InputError(f"cropBox: '{text}' is not four shares (top, bottom, left, right) that leave an image")
    return box


def crop_box(
    box: tuple[float, float, float, float], crop: tuple[float, float, float, float], width: float, height: float
) -> tuple[float, float, float, float]:
    """A COCO box (x, y, w, h) in pixels as (x1, y1, x2, y2) in shares of the cropped image, cut at its borders."""
    top, bottom, left, right = crop
    x1, y1, x2, y2 = left * width, top * height, (1 - right) * width, (1 - bottom) * height
    across, down = x2 - x1, y2 - y1
    x, y, w, h = box
    edges = (x - x1) / across, (y - y1) / down, (x + w - x1) / across, (y + h - y1) / down
    left_edge, top_edge, right_edge, bottom_edge = (min(max(edge, 0.0), 1.0) for edge in edges)
    return left_edge, top_edge, right_edge, bottom_edge


def fill_shares(
    shares: np.ndarray, content: Instances, split: str, boxes: Mapping[Any, Any], rows: Mapping[Any, int]
) -> None:
    """Enter the objects of a split's annotations into `shares` (images, categories)."""
    columns = {
        category["id"]: column
        for column, category in enumerate(sorted(content["categories"], key=lambda category: category["id"]))
    }
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    for thing in content["annotations"]:
        key = (split, thing["image_id"])
        if key not in rows:
            continue
        x1, y1, x2, y2 = crop_box(thing["bbox"], boxes[key], *sizes[thing["image_id"]])
        row, column = rows[key], columns[thing["category_id"]]
        shares[row, column] = max(shares[row, column], (x2 - x1) * (y2 - y1))


def read_instances(annotations: Path, split: str) -> Instances:
    """COCO's objects of a split, from a folder or from the zip as it is downloaded."""
    name = f"instances_{split}.json"
    try:
        if annotations.is_dir():
            content: Instances = json.loads((annotations / name).read_bytes())
        else:
            with zipfile.ZipFile(annotations) as archive:
                content = json.loads(archive.read(f"annotations/{name}"))
        if not all(
            isinstance(part, list) for part in (content["images"], content["annotations"], content["categories"])
        ):
            raise ValueError("images, annotations and categories are not lists")
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{annotations}: no readable {name} ({reason}); give COCO's annotations_trainval2017.zip or its folder"
        ) from error
    return content

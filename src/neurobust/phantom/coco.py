"""What COCO would say of the phantom's images: their objects, in the format of its annotations.

As in `files`, the path and the format are spelled out here apart from the reader that is tested on them.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.core.io import canonical_json, write_text
from neurobust.phantom.scenes import CATEGORIES, Scene

SIDE = 640  # pixels: the longer side of an image before it was cropped to a square
SPLITS = ("train2017", "val2017")
FACE = "face"


def write_annotations(root: Path, table: pd.DataFrame, scenes: Sequence[Scene], rows: np.ndarray) -> None:
    """Write instances_train2017.json and instances_val2017.json for the images of `design.stim_info`.

    rows (pool,) gives the scene that each image shows, -1 for one that nobody sees: it has no objects. Boxes are those
    of the objects (x, y, width, height) in pixels of the image before its crop.
    """
    names = (*CATEGORIES, FACE)
    groups = ["person" if name == FACE else "object" for name in names]
    categories = [
        {"id": number, "name": name, "supercategory": group}
        for number, (name, group) in enumerate(zip(names, groups, strict=True), start=1)
    ]
    folder = Path(root) / "neurobust" / "annotations"
    for split in SPLITS:
        images: list[dict[str, Any]] = []
        things: list[dict[str, Any]] = []
        part = table[table["cocoSplit"] == split]
        for coco, crop, pool in zip(part["cocoId"], part["cropBox"], part["nsdId"], strict=True):
            left, right, top, bottom = kept_part(crop)
            images.append({"id": int(coco), "width": left + right, "height": top + bottom})
            if rows[pool] >= 0:
                scene = scenes[rows[pool]]
                number = names.index(scene.category) + 1
                box = object_box(scene, (left, top), right - left)
                things.append({"id": int(coco), "image_id": int(coco), "category_id": number, "bbox": box})
        content = {"images": images, "annotations": things, "categories": categories}
        write_text(folder / f"instances_{split}.json", canonical_json(content))


def kept_part(crop: str) -> tuple[int, int, int, int]:
    """First and last column and row (px) that a crop (top, bottom, left, right), in shares, keeps of an image.

    The crop takes as much from two opposite sides as leaves a square; the longer side of the image has SIDE pixels.
    """
    top, bottom, left, right = literal_eval(crop)
    side = round(SIDE * (1 - top - bottom - left - right))
    columns, across = round(SIDE * left), SIDE if left + right else side
    lines, down = round(SIDE * top), SIDE if top + bottom else side
    return columns, across - columns, lines, down - lines


def object_box(scene: Scene, corner: tuple[int, int], side: int) -> list[float]:
    """Box (x, y, width, height) in pixels around a scene's object, where the scene fills a square at this corner."""
    half = scene.size * side / 2
    centre = [start + (place + 1) / 2 * side for start, place in zip(corner, (scene.x, scene.y), strict=True)]
    return [round(float(edge), 2) for edge in (centre[0] - half, centre[1] - half, 2 * half, 2 * half)]

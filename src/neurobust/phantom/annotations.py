"""COCO's annotations of the phantom's images: the same zip, with one box around what each image shows."""

from __future__ import annotations

import json
import zipfile
from ast import literal_eval
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import pandas as pd

from neurobust.core.io import replacing
from neurobust.phantom.scenes import CATEGORIES, Scene

NAMES = (*CATEGORIES, "face")
PLACE = "coco/annotations_trainval2017.zip"
SPLITS = ("train2017", "val2017")
SIDE = 640  # of COCO's images before they were cropped, in pixels
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in the zip, so that bytes depend on the contents alone


def write_annotations(root: Path, info: pd.DataFrame, scenes: Mapping[int, Scene]) -> None:
    """Write the zip: the objects of the images that were seen (0-based pool id -> scene); `info`: their table.

    Boxes are given on the uncropped image, so that the crop that subjects saw has the object where the scene has it.
    """
    rows = info[info["nsdId"].isin(list(scenes))]
    with replacing(Path(root) / PLACE) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for split in SPLITS:
            part = rows[rows["cocoSplit"] == split]
            entries = zip(part["cocoId"].tolist(), part["cropBox"], part["nsdId"].tolist(), strict=True)
            things = [thing(coco, literal_eval(crop), scenes[pool]) for coco, crop, pool in entries]
            content = {
                "images": [{"id": coco, "width": SIDE, "height": SIDE} for coco in part["cocoId"].tolist()],
                "annotations": things,
                "categories": [{"id": number, "name": name, "supercategory": "face" if name == "face" else "object"}
                               for number, name in enumerate(NAMES, start=1)],
            }  # fmt: skip
            entry = zipfile.ZipInfo(f"annotations/instances_{split}.json", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, json.dumps(content))


class Thing(TypedDict):
    """An object as COCO's annotations have it; bbox: x, y, width and height in pixels."""

    id: int
    image_id: int
    category_id: int
    bbox: list[float]


def thing(coco: int, crop: tuple[float, float, float, float], scene: Scene) -> Thing:
    """An object of COCO's: the square around the scene's object. crop: shares cut off (top, bottom, left, right)."""
    top, bottom, left, right = crop
    across, down = SIDE * (1 - left - right), SIDE * (1 - top - bottom)
    x, y = left * SIDE + (scene.x - scene.size + 1) / 2 * across, top * SIDE + (scene.y - scene.size + 1) / 2 * down
    box = [round(value, 2) for value in (x, y, scene.size * across, scene.size * down)]
    return {"id": coco, "image_id": coco, "category_id": NAMES.index(scene.category) + 1, "bbox": box}

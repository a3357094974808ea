"""The sidecar that only tests read: what each voxel answers to, what each image shows, and what must come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from neurobust.core.io import write_json
from neurobust.core.settings import written
from neurobust.files.records import write_arrays
from neurobust.phantom.cortex import KINDS, REGIONS, Voxel
from neurobust.phantom.scenes import Scene
from neurobust.phantom.settings import PlantedNSD

# Kinds of voxels that hold the class of a cue, and those that tell the category without it.
CARRIES = {"pattern": {"energy"}, "hue": {"midlevel"}}
HELPS = {"category", "silhouette"}


def write_voxels(root: Path, subject: str, voxels: Sequence[Voxel], places: Mapping[str, np.ndarray]) -> None:
    """Per planted voxel its label, kind (its number in KINDS and its word), pRF (half frames) and ncsnr.

    places: `voxel_index` (V,), where each lies; `saturated` and `invalid`: numbers of those that saturate and of those
    that are out of the field of view in session 2.
    """
    parts = {part.name: np.array([getattr(voxel, part.name) for voxel in voxels]) for part in fields(Voxel)}
    kinds = np.array([KINDS[voxel.kind] for voxel in voxels])
    write_arrays(root / "truth" / f"{subject}.npz", {**places, **parts, "answers_to": kinds})


def write_stimuli(
    root: Path, nsd_id: np.ndarray, scenes: Sequence[Scene], cues: np.ndarray | None, answers: np.ndarray
) -> None:
    """Per image that was seen its 0-based id, category, the class whose cue it bears (-1: none), and the image to which
    brains answer when they see it."""
    none = np.full(len(scenes), -1)
    arrays = {
        "nsd_id": nsd_id, "category": np.array([scene.category for scene in scenes]),
        "cue": none if cues is None else cues, "answers": nsd_id[answers],
    }  # fmt: skip
    write_arrays(root / "truth" / "stimuli.npz", arrays)


def write_world(root: Path, settings: PlantedNSD) -> None:
    """What the world is, and the order of regions that a study of it must find."""
    cue = None if settings.cue is None else {**written(settings.cue), "amplitude": settings.cue.strength}
    world = {"cue": cue, "responses": settings.responses, "order": expected_order(settings)}
    write_json(root / "truth" / "world.json", world)


def expected_order(settings: PlantedNSD) -> list[list[str]]:
    """Labels of regions in groups, from those whose guidance helps least against what takes the cue away.

    Least help those that hold the cue itself; then those that know neither the cue nor the category of an object; most
    those that tell the category and are free of the cue. One group where there is no cue or responses say nothing.
    """
    kinds = {kind: [region.label for region in REGIONS if region.kind == kind] for kind in KINDS}
    cue = settings.cue
    if cue is None or cue.strength == 0 or settings.responses == "permuted":
        return [sorted(label for labels in kinds.values() for label in labels)]
    carries = CARRIES[cue.kind]
    groups = (carries, set(KINDS) - carries - HELPS, HELPS)
    return [sorted(label for kind in group for label in kinds[kind]) for group in groups]

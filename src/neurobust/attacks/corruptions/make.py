"""A task's corrupted test images, made once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from neurobust.attacks.corruptions.registry import CORRUPTIONS, SEVERITIES
from neurobust.attacks.corruptions.settings import Corruptions
from neurobust.attacks.corruptions.tables import NATIVE_SIDE, TABLES
from neurobust.core.errors import InputError
from neurobust.core.io import provenance
from neurobust.core.progress import Progress
from neurobust.core.seeding import numpy_rng
from neurobust.core.settings import written
from neurobust.files.corruptions import Corrupted, write_corruptions
from neurobust.files.dataset import Dataset, read_dataset


def make_corruptions(dataset: Path, settings: Corruptions, output: Path) -> None:
    """Corrupt the first images of the list that attacks work through, and write them."""
    data, kinds = read_dataset(dataset), settings.names
    chosen = data.examined(settings.images)
    strengths = settings.set_for(data.side)
    record = provenance({"dataset": dataset}, params=written(settings))
    record["versions"] = {name: version(name) for name in ("numpy", "scipy", "pillow")}
    found = Corrupted(data.task, strengths, kinds, SEVERITIES, chosen, record)
    write_corruptions(output, found, data.images.shape[1:], all_corrupted(data, chosen, kinds, strengths))


def all_corrupted(data: Dataset, rows: np.ndarray, kinds: Sequence[str], strengths: str) -> Iterator[np.ndarray]:
    """Every image under every corruption at every severity, by kind, then by row.

    Raises InputError after a kind with a severity that changes no image, or changes all as the severity before it.
    """
    progress = Progress(len(kinds) * len(rows), "corruptions")
    for kind in kinds:
        moved = np.zeros((2, len(SEVERITIES)), dtype=bool)
        for row in rows:
            made = [corrupt(data.images[row], kind, severity, strengths, row) for severity in SEVERITIES]
            moved |= differences(data.images[row], made)
            yield from made
            progress.step()
        check_moved(moved, kind, len(rows), data.path)


def differences(image: np.ndarray, made: Sequence[np.ndarray]) -> np.ndarray:
    """Which severities of an image differ from the image itself and from the severity before, bool (2, severities)."""
    before = [image, *made[:-1]]
    return np.array(
        [[not np.array_equal(one, image) for one in made],
         [not np.array_equal(one, other) for one, other in zip(made, before, strict=True)]]
    )  # fmt: skip


def check_moved(moved: np.ndarray, kind: str, count: int, path: Path) -> None:
    """Raise InputError for a severity that is, on all `count` images, the image itself or the severity before it.

    moved: which severities differ on any image, as `differences` has it. Both would count as robustness in the mean.
    """
    for level in np.flatnonzero(~moved.all(0)):
        same = f"is what severity {level} is on" if moved[0, level] else "changes no pixel of"
        raise InputError(
            f"{path}: {kind} of severity {level + 1} {same} all {count} images; leave {kind} out of "
            "`corruptions.types`, or choose another set"
        )


def corrupt(image: np.ndarray, kind: str, severity: int, strengths: str, image_id: int) -> np.ndarray:
    """One image uint8 (S, S, 3) under corruption `kind` at severity 1 to 5 of a set of strengths: uint8, rounded.

    The random part is drawn from the image's id, the type and the severity alone, so an image is corrupted alike
    whatever is corrupted before it or beside it. Raises InputError for an unknown name or an image of another shape.
    """
    if strengths not in TABLES or kind not in CORRUPTIONS or severity not in SEVERITIES:
        raise InputError(
            f"corruption '{kind}', severity {severity}, set '{strengths}': choose a type of {', '.join(CORRUPTIONS)}, "
            f"a severity from 1 to 5 and a set of {', '.join(TABLES)}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.shape[0] != image.shape[1]:
        raise InputError(f"image {image_id}: {image.dtype} {image.shape}; give uint8 (side, side, 3)")
    rng = numpy_rng("corruption", kind, severity, int(image_id))
    scale = len(image) / NATIVE_SIDE[strengths]
    changed = CORRUPTIONS[kind](image / 255, rng, scale, *TABLES[strengths][kind][severity - 1])
    return np.rint(changed.clip(0, 1) * 255).astype(np.uint8)

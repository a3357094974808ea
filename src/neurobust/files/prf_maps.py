"""Maps of population receptive fields as NSD publishes them: `prf_{angle,eccentricity,size}.nii.gz` of a subject."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neurobust.core.errors import InputError
from neurobust.core.unreadable import unreadable

if TYPE_CHECKING:
    import numpy as np

STIMULUS_DEGREES = 8.4  # width of an NSD stimulus: where a voxel looks is given in degrees
MAPS = ("angle", "eccentricity", "size")  # degrees, 0 to the right and 90 up; the others degrees of visual angle


def read_prf_maps(maps: Sequence[Path], voxel_index: np.ndarray) -> np.ndarray:
    """Angle, eccentricity and size of some voxels (V,), by their C-order flat index: (V, 3), NaN where not measured.

    maps: a volume (X, Y, Z) for each of MAPS. Raises InputError for what is no such volume or has no such voxel.
    """
    import nibabel
    import numpy as np

    columns = []
    for path in maps:
        try:
            values = np.asarray(nibabel.load(path).dataobj, np.float64).ravel()  # type: ignore[attr-defined]
        except Exception as error:
            raise unreadable(path, error, "no map of pRFs; delete it and fetch it again") from error
        if len(voxel_index) and voxel_index.max() >= len(values):
            raise InputError(
                f"{path}: {len(values)} voxels, fewer than the ROI's grid has; use maps of the betas' space"
            )
        columns.append(values[voxel_index])
    return np.stack(columns, 1) if columns else np.full((len(voxel_index), len(MAPS)), np.nan)

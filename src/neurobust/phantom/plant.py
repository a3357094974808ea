"""The job that plants a root: once for all studies that use it, and never halfway."""

from __future__ import annotations

import logging
from pathlib import Path

from msgspec.structs import replace

from neurobust.core.io import canonical_json
from neurobust.core.settings import written
from neurobust.phantom.build import build_phantom
from neurobust.phantom.outputs import phantom_files
from neurobust.phantom.ownership import Marker, digest_of, only_one, read_marker, refuse_foreign, write_marker
from neurobust.phantom.settings import PlantedNSD

logger = logging.getLogger("neurobust")


def plant(root: Path, settings: PlantedNSD, code: str) -> None:
    """Write the phantom under `root`, unless just this one stands there; `code`: a hash of what makes it.

    What stood there goes first, so that a planting that fails leaves no root that looks whole.
    """
    made = digest_of(canonical_json([code, written(settings)]))
    outputs = [Path(path) for path in phantom_files(root, settings)]
    with only_one(root, f"planting {root}"):
        marker = read_marker(root)
        if marker is None:  # nobody has claimed it: the workflow's hooks are switched off
            refuse_foreign(root)
            marker = Marker(digest=made, studies=())
        if marker.planted == made and all(path.exists() for path in outputs):
            logger.info("%s: planted already", root)
            return
        write_marker(root, replace(marker, planted=None))
        for path in outputs:
            path.unlink(missing_ok=True)
        build_phantom(root, settings)
        write_marker(root, replace(marker, planted=made))

"""Which files of the phantom the pipeline reads."""

from __future__ import annotations

from pathlib import Path

from neurobust.files.prf_maps import MAPS
from neurobust.nsd import layout
from neurobust.phantom.settings import PlantedNSD


def phantom_files(root: Path, planted: PlantedNSD) -> list[str]:
    """Every planted file that a rule of the pipeline declares as input, where the pipeline's reader expects it."""
    annotations = layout.planted_annotations(root)  # on real data the user brings it
    files = [layout.expdesign(root), layout.stimuli(root), layout.stim_info(root), annotations]
    for subject, spec in planted.subjects.items():
        files += [layout.brainmask(root, subject), layout.ncsnr(root, subject), layout.responses(root, subject)]
        files += [layout.prf(root, subject, name) for name in MAPS]
        files += [layout.mean_beta(root, subject, session) for session in range(1, spec.sessions + 1)]
        sides = (None, *layout.HEMISPHERES)
        files += [layout.roi(root, subject, atlas, side) for atlas in layout.ATLASES for side in sides]
        files += [layout.ctab(root, subject, atlas) for atlas in layout.SURFACE_ATLASES]
        files += [
            layout.session(root, subject, session, suffix)
            for session in range(1, spec.sessions + 1)
            for suffix in planted.formats
        ]
    files += [layout.ctab(root, "subj01", atlas) for atlas in layout.VOLUME_ATLASES]
    return [str(file) for file in files]

"""What the rule that plants the phantom is told, and which of its files the pipeline reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurobust.nsd import layout


def phantom_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The `settings` of `build_phantom`: the phantom of the config, each subject with the sessions that it runs."""
    phantom = {key: value for key, value in config["phantom"].items() if key not in ("scenes", "face_task")}
    subjects = {
        subject: {**phantom["subjects"][subject], "sessions": spec["sessions"]}
        for subject, spec in config["data"]["subjects"].items()
    }
    return {**phantom, "subjects": subjects}


def phantom_files(config: Mapping[str, Any]) -> list[str]:
    """Every planted file that a rule of the pipeline declares as input, where the pipeline's reader expects it."""
    root = Path(config["data"]["root"])
    files = [layout.expdesign(root), layout.stimuli(root)]
    for subject, spec in config["data"]["subjects"].items():
        files += [layout.brainmask(root, subject), layout.ncsnr(root, subject)]
        sides = (None, *layout.HEMISPHERES)
        files += [layout.roi(root, subject, atlas, side) for atlas in layout.ATLASES for side in sides]
        files += [layout.ctab(root, subject, atlas) for atlas in layout.SURFACE_ATLASES]
        files += [
            layout.session(root, subject, session, suffix)
            for session in range(1, spec["sessions"] + 1)
            for suffix in config["phantom"]["formats"]
        ]
    files += [layout.ctab(root, "subj01", atlas) for atlas in layout.VOLUME_ATLASES]
    return [str(file) for file in files]

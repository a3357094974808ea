"""A tiny NSD on disk, by the phantom's writers: two subjects with different non-cubic grids and session counts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from neurobust.nsd import layout
from neurobust.phantom import files
from neurobust.phantom.design import Design, Sizes, make_design, responses_table, stim_info
from neurobust.phantom.labels import ATLASES, SURFACE_ATLASES

GRIDS = {"subj01": (9, 11, 8), "subj02": (10, 9, 7)}
SESSIONS = {"subj01": 5, "subj02": 4}
SIZES = Sizes(shared_images=20, unique_images=40, planned_sessions=6, trials_per_session=30)
SOURCE_SIZE = 12
IN_BOTH = {"subj01": (4, 5, 4), "subj02": (5, 4, 3)}  # lh says cortex without label, rh says 3
NCSNR = 2.0


@dataclass
class TinyNSD:
    """The bucket's root and what was written there: int16 betas (X, Y, Z, trials), label volumes, images."""

    root: Path
    design: Design
    betas: dict[str, np.ndarray] = field(default_factory=dict)
    labels: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    images: np.ndarray | None = None

    def session_paths(self, subject: str, suffix: str = "nii.gz") -> list[Path]:
        return [layout.session(self.root, subject, n, suffix) for n in range(1, SESSIONS[subject] + 1)]


def brain(grid: tuple[int, int, int]) -> np.ndarray:
    """A brain mask that leaves out the faces of the grid and one odd corner."""
    mask = np.zeros(grid, bool)
    mask[1:-1, 1:-1, 1:-1] = True
    mask[1:3, 1:4, 1:2] = False
    return mask


def draw_labels(rng, subject: str, atlas: str) -> tuple[np.ndarray, np.ndarray]:
    """lh and rh volumes: labels at random places of each half, -1 (or 0) elsewhere."""
    grid = GRIDS[subject]
    left = np.arange(grid[0])[:, None, None] < grid[0] // 2
    background = -1 if atlas in SURFACE_ATLASES else 0
    count = len(ATLASES[atlas])
    volumes = []
    for side in (left, ~left):
        cortex = np.broadcast_to(side, grid) & (rng.random(grid) < 0.5)
        labels = np.where(rng.random(grid) < 0.5, rng.integers(1, count + 1, grid), 0)
        if subject == "subj02" and atlas == "floc-faces":
            labels[labels == 3] = 0  # this subject has no FFA-2
        volumes.append(np.where(cortex, labels, background).astype(float))
    if atlas == "prf-visualrois":
        volumes[0][IN_BOTH[subject]], volumes[1][IN_BOTH[subject]] = 0, 3
    return volumes[0], volumes[1]


def draw_betas(rng, subject: str, design: Design) -> np.ndarray:
    """int16 (X, Y, Z, trials) of images' planted signals and noise, with a gain and an offset of each session."""
    grid, sessions = GRIDS[subject], SESSIONS[subject]
    ids = design.nsd_ids(layout.subject_number(subject), sessions)
    signal = rng.normal(size=(*grid, SIZES.pool))
    values = NCSNR * signal[..., ids] + rng.normal(size=(*grid, len(ids)))
    gain, offset = rng.uniform(0.5, 2, sessions), rng.normal(0, 3, sessions)
    values = values * np.repeat(gain, SIZES.trials_per_session) + np.repeat(offset, SIZES.trials_per_session)
    values[3, 3, 3] *= 100  # saturates
    values[4, 4, 4, 30:60] = 0  # out of the field of view in session 2
    values[5, 5, 4] = 0  # never in it
    return files.to_int16(values * brain(grid)[..., None])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> TinyNSD:
    """The tiny NSD; tests must not change it (see `copied`)."""
    root = tmp_path_factory.mktemp("bucket")
    nsd = TinyNSD(root, make_design(SIZES, seed=3))
    rng = np.random.default_rng(5)
    files.write_expdesign(root, nsd.design)
    files.write_stim_info(root, stim_info(nsd.design))
    nsd.images = rng.integers(0, 256, (SIZES.pool, SOURCE_SIZE, SOURCE_SIZE, 3), np.uint8)
    files.write_stimuli(root, nsd.images)
    for number, subject in enumerate(GRIDS, start=1):
        nsd.betas[subject] = draw_betas(rng, subject, nsd.design)
        for session in range(SESSIONS[subject]):
            trials = slice(session * SIZES.trials_per_session, (session + 1) * SIZES.trials_per_session)
            files.write_session(root, subject, session + 1, nsd.betas[subject][..., trials])
        files.write_volume(root, subject, "brainmask", brain(GRIDS[subject]))
        published = np.where(brain(GRIDS[subject]), rng.random(GRIDS[subject]), np.nan)
        files.write_volume(root, subject, "ncsnr", published)
        for atlas in ATLASES:
            nsd.labels[subject, atlas] = draw_labels(rng, subject, atlas)
            files.write_roi(root, subject, atlas, *nsd.labels[subject, atlas])
        files.write_ctabs(root, subject)
        files.write_responses(root, subject, responses_table(nsd.design, number, SESSIONS[subject], seed=1))
    return nsd


@pytest.fixture
def copied(tiny, tmp_path) -> TinyNSD:
    """A copy of the tiny NSD that a test may damage."""
    root = tmp_path / "bucket"
    shutil.copytree(tiny.root, root)
    return TinyNSD(root, tiny.design, tiny.betas, tiny.labels, tiny.images)

"""What is known of a subject's betas: some voxels of all trials, and what the mirror has published of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neurobust.files.betas import CHUNK_VOXELS
from neurobust.nsd import layout
from neurobust.nsd.design import Design
from neurobust.nsd.layout import Preparation, Root
from neurobust.nsd.tables import behaviour_problem, read_behaviour, read_stim_info, stim_info_problem
from neurobust.nsd.volumes import Grid, read_ncsnr, read_volume

VOXELS = 8192  # most that are looked at


@dataclass(frozen=True)
class Sample:
    """Some voxels of a subject: betas int16 (trials, voxels) with the session and the image of each trial, and the flat
    index of each voxel."""

    subject: str
    design: Design
    grid: Grid
    voxel_index: np.ndarray
    betas: np.ndarray
    session: np.ndarray
    nsd_id: np.ndarray

    @property
    def sessions(self) -> int:
        """Sessions that the subject ran."""
        return len(self.session) // self.design.trials_per_session

    @property
    def by_session(self) -> np.ndarray:
        """The betas as (sessions, trials, voxels)."""
        return self.betas.reshape(self.sessions, self.design.trials_per_session, -1)


@dataclass(frozen=True)
class Published:
    """What a mirror says of a subject's betas: ncsnr (X, Y, Z), means (X, Y, Z) by session from 0, which tables there
    are, what is wrong with them, and how many sessions they say that the subject ran."""

    ncsnr: np.ndarray
    means: Mapping[int, np.ndarray]
    tables: tuple[str, ...]
    problem: str | None
    ran: int | None


def spread(voxels: int, most: int = VOXELS, width: int = CHUNK_VOXELS) -> np.ndarray:
    """Ascending columns (n,) of at most `most` voxels, in runs of `width` spread evenly: whole chunks of betas.h5."""
    blocks = np.arange(-(-voxels // width))
    wanted = most // width
    if len(blocks) > wanted:
        blocks = blocks[np.linspace(0, len(blocks) - 1, wanted).astype(int)]
    columns = (blocks[:, None] * width + np.arange(width)).ravel()
    return columns[columns < voxels]


def read_published(root: Root, sample: Sample, prepared: Preparation) -> Published:
    """What a mirror says of a subject's betas of that preparation; means and tables may be absent."""
    subject, design, grid, sessions = sample.subject, sample.design, sample.grid, sample.sessions
    means = {}
    for number in range(1, sessions + 1):
        path = layout.mean_beta(root, subject, number, prepared)
        if path.exists():
            means[number - 1] = read_volume(path, grid)[0]
    tables, wrong, ran = [], [], None
    path = layout.responses(root, subject)
    if path.exists():
        table = read_behaviour(path)
        ran = len(table) // design.trials_per_session
        problem = behaviour_problem(table.head(sessions * design.trials_per_session), design, subject, sessions)
        wrong += [f"{path.name}: {problem}"] if problem else []
        tables.append(path.name)
    path = layout.stim_info(root)
    if path.exists():
        problem = stim_info_problem(read_stim_info(path), design)
        wrong += [f"{path.name}: {problem}"] if problem else []
        tables.append(path.name)
    return Published(
        read_ncsnr(layout.ncsnr(root, subject, prepared), grid), means, tuple(tables), next(iter(wrong), None), ran
    )

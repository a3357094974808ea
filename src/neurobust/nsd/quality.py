"""The gate behind extraction: are a subject's betas its own, in their place and in their order?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from neurobust.core.io import provenance
from neurobust.files.quality import Quality, write_quality
from neurobust.nsd import layout
from neurobust.nsd.betas import check_place, read_session
from neurobust.nsd.design import Design, load_design
from neurobust.nsd.judge import judge
from neurobust.nsd.labelled import labelled_voxels
from neurobust.nsd.layout import Root
from neurobust.nsd.manifest import evidence_files
from neurobust.nsd.responses import open_trials
from neurobust.nsd.sample import Sample, read_published, spread
from neurobust.nsd.volumes import Grid


def check_subject(root: Root, betas: Path, subject: str, output: Path) -> None:
    """Write the evidence that the betas.h5 of a subject is what the mirror's design and published maps say.

    Raises InputError, with the likely cause, where it is not. Means of sessions and tables are looked at where the
    mirror has them.
    """
    design = load_design(root)
    with open_trials(root, betas, subject) as (trials, grid):
        prepared = layout.Preparation(trials.space, trials.version)
        columns = spread(len(trials.voxel_index))
        sample = Sample(
            subject, design, grid, trials.voxel_index[columns], trials.columns(columns), trials.session, trials.nsd_id
        )
        digest = trials.sha256
    quality = judge(sample, read_published(root, sample, prepared), str(betas))
    files = {path.name: path for path in evidence_files(root, subject, sample.sessions, prepared) if path.exists()}
    files |= {"design": layout.expdesign(root), "ncsnr": layout.ncsnr(root, subject, prepared)}
    record = provenance(files, {"subject": subject})
    record["inputs"]["betas"] = {"file": Path(betas).name, "sha256_of_arrays": digest}
    write_quality(output, replace(quality, provenance=record))


def judge_sessions(root: Root, subject: str, design: Design, grid: Grid, paths: Sequence[Path]) -> Quality:
    """The same evidence from session files 1, 2, ... themselves; InputError, with the likely cause, as there."""
    voxels = labelled_voxels(root, subject, grid)
    voxels = voxels[spread(len(voxels))]
    betas = [read_session(path, voxels, grid.shape, design.trials_per_session) for path in paths]
    for path in paths:
        check_place(path, subject, grid)
    count = len(paths)
    sample = Sample(
        subject, design, grid, voxels, np.concatenate(betas), design.sessions(count), design.nsd_ids(subject, count)
    )
    return judge(sample, read_published(root, sample, layout.preparation_of(paths[0])), str(paths[0].parent))

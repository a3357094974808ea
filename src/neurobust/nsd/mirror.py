"""A mirror of the bucket as the doctor's checks look at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from neurobust.core.errors import InputError
from neurobust.nsd import layout, manifest
from neurobust.nsd.design import Design, read_design
from neurobust.nsd.layout import Root
from neurobust.nsd.settings import Data
from neurobust.nsd.volumes import Grid, read_grid, read_labels


class Skip(Exception):
    """A check that has nothing to look at; the message says why."""


@dataclass
class Mirror:
    """What the checks look at: the data of a study, and files read once."""

    data: Data
    grids: dict[str, Grid] = field(default_factory=dict)

    @property
    def root(self) -> Root:
        """Where its files lie."""
        return self.data.mirror

    @property
    def sessions(self) -> dict[str, int]:
        """Sessions that each subject ran."""
        return self.data.sessions

    @cached_property
    def design_and_dtypes(self) -> tuple[Design, dict[str, str]]:
        """The design, and the dtypes of its variables in the file."""
        return read_design(layout.expdesign(self.root))

    @property
    def design(self) -> Design:
        """The design."""
        return self.design_and_dtypes[0]

    @cached_property
    def records(self) -> dict[str, manifest.Record]:
        """What is known of each file that was fetched, by its key in the bucket."""
        return manifest.read_records(self.data.folder)

    def record_of_images(self, subject: str) -> manifest.Record | None:
        """What is known of the images of a subject, where they were fetched, be it into a copy that is only read."""
        for path in layout.fetched_stimuli(self.root, subject):
            folder = path.parents[1]
            if record := manifest.read_records(folder).get(path.relative_to(folder).as_posix()):
                return record
        return None

    def atlases(self, subject: str) -> list[str]:
        """The atlases of which a subject has all files; a copy may lack those that nobody uses."""

        def whole(atlas: str) -> bool:
            volumes = (layout.roi(self.root, subject, atlas, side) for side in (None, *layout.HEMISPHERES))
            return all(path.exists() for path in (*volumes, layout.ctab(self.root, subject, atlas)))

        return [atlas for atlas in layout.ATLASES if whole(atlas)]

    def grid(self, subject: str) -> Grid:
        """The functional grid of a subject."""
        if subject not in self.grids:
            self.grids[subject] = read_grid(self.root, subject, self.data.space)
        return self.grids[subject]

    def labels(self, subject: str, atlas: str, side: str | None = None) -> np.ndarray:
        """Labels (X, Y, Z) of an atlas: both hemispheres, or "lh" or "rh"."""
        return read_labels(layout.roi(self.root, subject, atlas, side, self.data.space), self.grid(subject))


def need(holds: Any, problem: str) -> None:
    """Raise InputError(problem) unless `holds`."""
    if not holds:
        raise InputError(problem)

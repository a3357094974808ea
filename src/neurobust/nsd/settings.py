"""What a study says about its data, its ROIs and its splits. No arrays here: the workflow reads it in every job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from neurobust.core.errors import InputError
from neurobust.core.settings import Count, FilePath, Names, NotNegative, Seed, Settings, Subject, about, shaped
from neurobust.nsd.layout import REGION, Atlas, Copies, Hemisphere, Root, SessionFormat, ours


class Sessions(Settings, frozen=True, kw_only=True):
    """One subject of the study."""

    sessions: Annotated[int, Meta(ge=1, le=40), about("sessions that the subject ran")]


class Data(Settings, frozen=True, kw_only=True):
    """Where the data come from, and whose they are."""

    source: Annotated[
        Literal["phantom", "nsd"], about("phantom: planted by the pipeline; nsd: a local mirror of the bucket")
    ]
    root: Annotated[FilePath, about("folder in the layout of the NSD bucket")]
    cache: Annotated[
        FilePath | None,
        about("folder for what is missing under `root`, which is only read then; null: it is fetched into `root`"),
    ] = None
    format: Annotated[SessionFormat, about("which twin of the session betas to read")]
    accept_terms: Annotated[
        bool, about("you have accepted the NSD terms of use; NSD_ACCEPT_TERMS=yes says the same")
    ] = False
    endpoint: Annotated[
        Annotated[str, shaped("^https?://", "an address that begins with http:// or https://")] | None,
        about("S3 server; null is the public bucket's own"),
    ] = None
    region: Annotated[str, Meta(min_length=1), about("of the bucket")] = REGION
    keep_betas: Annotated[bool, about("keep the downloaded sessions after extraction")] = False
    stimuli: Annotated[Literal["needed", "all"], about("fetch the images that a subject saw, or the whole file")] = (
        "needed"
    )
    coco_annotations: Annotated[
        FilePath | None, about("COCO 2017 annotations, a folder or zip of yours; null: no labels")
    ] = None
    subjects: Annotated[dict[Subject, Sessions], Meta(min_length=1), about("each with what it ran")]

    @property
    def mirror(self) -> Root:
        """Where its files lie: one folder, or one that is read and one for what is missing there."""
        return Path(self.root) if self.cache is None else Copies(Path(self.root), Path(self.cache))

    @property
    def folder(self) -> Path:
        """The folder that is written to."""
        return ours(self.mirror)

    @property
    def from_bucket(self) -> bool:
        """Whether the data are the real ones, of which missing files are fetched."""
        return self.source == "nsd"

    @property
    def only_needed_stimuli(self) -> bool:
        """Whether images are fetched one by one, those that a subject saw."""
        return self.from_bucket and self.stimuli == "needed"

    @property
    def sessions(self) -> dict[str, int]:
        """Sessions that each subject ran."""
        return {subject: ran.sessions for subject, ran in self.subjects.items()}

    @property
    def min_sessions(self) -> int:
        """The fewest sessions of any subject: images that all saw three times had their repeats within these."""
        return min(self.sessions.values())


# Regions and splits are written without the keys that are not set (`omit_defaults`): an ROI's file says what it was
# asked for, and a key that is new to the code changes no file.
class Region(Settings, frozen=True, kw_only=True, omit_defaults=True):
    """Some labels of an atlas."""

    atlas: Annotated[Atlas, about("that draws it")]
    labels: Annotated[Names, about("names in its colour table (ctab)")]
    hemisphere: Annotated[Hemisphere | None, about("default: both")] = None


class ROI(Region, frozen=True, kw_only=True, omit_defaults=True):
    """A region and, if wanted, regions that are added, limits that it must lie within, and a least ncsnr."""

    plus: Annotated[
        Annotated[tuple[Region, ...], Meta(min_length=1)] | None, about("regions of other atlases to add")
    ] = None
    within: Annotated[
        Atlas | Annotated[tuple[Region, ...], Meta(min_length=1)] | None,
        about("keep only voxels with any label of an atlas, or those inside one of some regions"),
    ] = None
    ncsnr_min: Annotated[NotNegative | None, about("keep only voxels whose published ncsnr reaches this")] = None

    @property
    def added(self) -> tuple[Region, ...]:
        """The regions whose union the ROI is, before anything is taken away."""
        return (self, *(self.plus or ()))

    @property
    def limits(self) -> tuple[Region, ...]:
        """The regions that the ROI must lie within, in any of them; without labels a region is all of its atlas."""
        if isinstance(self.within, str):
            return (Region(atlas=self.within, labels=()),)
        return self.within or ()


class Splits(Settings, frozen=True, kw_only=True, omit_defaults=True):
    """Which images are held out, and how responses are made and kept."""

    test: Annotated[
        Literal["shared", "special"], about("shared images, or those of them that all subjects saw three times")
    ]
    validation: Annotated[float, Meta(gt=0, lt=1), about("share of the other images")]
    seed: Annotated[Seed, about("of the draw of validation images")]
    zscore: Annotated[Literal["train", "all"], about("trials that the per-session z-score is fitted on")]
    trials: Annotated[
        Literal["test", "all"],
        about("single trials that the ROI files keep; all for G-net's published schedule"),
    ] = "test"


class StudySplits(Splits, frozen=True, kw_only=True, omit_defaults=True):
    """Splits with what they need to know of the study."""

    min_sessions: Annotated[Count | None, about("the fewest of any subject, which `special` needs")] = None

    def special_sessions(self) -> int:
        """The sessions within which a special image had its three trials; InputError where they are not known."""
        if self.min_sessions is None:
            raise InputError(
                "splits.min_sessions: missing; splits.test 'special' needs the fewest sessions of any subject"
            )
        return self.min_sessions

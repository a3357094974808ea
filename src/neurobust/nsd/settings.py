"""What a study says about its data, its ROIs and its splits. No arrays here: the workflow reads it in every job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from neurobust.core.errors import InputError
from neurobust.core.settings import Count, FilePath, Names, NotNegative, Seed, Settings, Subject, about, shaped
from neurobust.nsd.layout import (
    REGION,
    Atlas,
    BetaVersion,
    Copies,
    Hemisphere,
    Preparation,
    Root,
    SessionFormat,
    Space,
    ours,
)

SESSIONS = {  # that each subject of NSD ran, as published (NSD Data Manual)
    "subj01": 40, "subj02": 40, "subj03": 32, "subj04": 30, "subj05": 40, "subj06": 32, "subj07": 40, "subj08": 30,
}  # fmt: skip
GRIDS = {  # of each subject, in voxels of 1.8 mm (NSD Data Manual)
    "subj01": (81, 104, 83), "subj02": (82, 106, 84), "subj03": (81, 106, 82), "subj04": (85, 99, 80),
    "subj05": (79, 97, 78), "subj06": (85, 113, 83), "subj07": (78, 95, 81), "subj08": (80, 103, 78),
}  # fmt: skip
TRIALS = 750  # of a session
IMAGE_BYTES = 425 * 425 * 3  # of one image in the bucket's file
# Images with at least 1, 2 and 3 trials in this many sessions (NSD Data Manual).
SEEN = {40: (10000, 10000, 10000), 32: (9411, 8355, 6234), 30: (9209, 7846, 5445)}
ADDRESS = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?(/[^\s?#]*)?$"
WITHHELD = 3  # the last sessions of each subject, which were not public until August 2023


def fewest_sessions(planned: int = max(SESSIONS.values())) -> int:
    """The fewest sessions that any of the eight subjects ran; of a phantom's `planned` ones as large a share."""
    return max(1, planned * min(SESSIONS.values()) // max(SESSIONS.values()))


def most_images(sessions: int) -> int:
    """How many images a subject saw in so many sessions: exactly, or for other counts at most."""
    return SEEN[sessions][0] if sessions in SEEN else min(max(SEEN.values())[0], TRIALS * sessions)


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
    betas: Annotated[
        BetaVersion,
        about("estimates of single trials: b1 with one assumed HRF, b2 with fitted ones, b3 denoised and regularised"),
    ] = "b3"
    space: Annotated[Space, about("functional space: voxels of 1.8 mm, or of 1 mm, which are six times as many")] = (
        "func1pt8mm"
    )
    accept_terms: Annotated[
        bool, about("you have accepted the NSD terms of use; NSD_ACCEPT_TERMS=yes says the same")
    ] = False
    endpoint: Annotated[
        Annotated[str, shaped(ADDRESS, "an address that begins with http:// or https:// and names a server")] | None,
        about("S3 server; null is the public bucket's own"),
    ] = None
    region: Annotated[str, shaped("^[A-Za-z0-9_-]+$", "a name of letters, digits, - and _"), about("of the bucket")] = (
        REGION
    )
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

    def ran(self, subject: str) -> int:
        """Sessions that a subject ran, whatever a study takes of them; of a phantom those that are planted."""
        return SESSIONS[subject] if self.from_bucket else self.subjects[subject].sessions

    @property
    def prepared(self) -> Preparation:
        """The preparation of the betas: their version, and their space."""
        return Preparation(self.space, self.betas)


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
        Literal["shared", "special", "legacy37", "algonauts"],
        about(
            "shared: the shared images; special: the 515 that all eight subjects saw three times, whoever is in the "
            "study; legacy37: the shared images of all sessions but the last 3, of which no trial is used (37 of 40 "
            "sessions: 982 images); algonauts: images of those last 3 sessions alone, as in Algonauts 2023"
        ),
    ]
    validation: Annotated[float, Meta(gt=0, lt=1), about("share of the other images")]
    seed: Annotated[Seed, about("of the draw of validation images")]
    zscore: Annotated[Literal["train", "all"], about("trials that the per-session z-score is fitted on")]
    trials: Annotated[
        Literal["test", "all"],
        about("single trials that the ROI files keep; all for G-net's published schedule"),
    ] = "test"


class StudySplits(Splits, frozen=True, kw_only=True, omit_defaults=True):
    """Splits of one subject, with the facts of the data set that they need: none that depends on who is in a study."""

    min_sessions: Annotated[Count | None, about("the fewest of any of the eight subjects, which `special` needs")] = (
        None
    )
    sessions: Annotated[Count | None, about("that the subject ran, which `legacy37` and `algonauts` need")] = None

    def special_sessions(self) -> int:
        """The sessions within which a special image had its three trials; InputError where they are not known."""
        if self.min_sessions is None:
            raise InputError(
                "splits.min_sessions: missing; splits.test 'special' needs the fewest sessions of any of the eight"
            )
        return self.min_sessions

    def public_sessions(self) -> int:
        """The sessions before the last three of the subject; InputError where there are none or it is not known."""
        if self.sessions is None:
            raise InputError(f"splits.sessions: missing; splits.test '{self.test}' needs the sessions of the subject")
        if self.sessions <= WITHHELD:
            raise InputError(
                f"splits.test: '{self.test}' takes the last {WITHHELD} sessions of a subject away, which here ran "
                f"{self.sessions}; name another split"
            )
        return self.sessions - WITHHELD

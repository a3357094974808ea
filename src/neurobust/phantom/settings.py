"""What a study says about its phantom. Names of subjects and formats are spelled out here a second time, as in `files`:
the phantom takes nothing from the reader that is tested on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from neurobust.core.settings import UNIQUE, Count, Settings, Share, Whole, about

Subject = Annotated[str, Meta(pattern="^subj0[1-8]$")]
SessionFormat = Literal["nii.gz", "hdf5"]
Side = Annotated[int, Meta(ge=8)]
Pixels = Annotated[int, Meta(ge=16)]


# Written without the keys that are not set (`omit_defaults`): the same study keeps the same parameters of its job.
class PhantomSubject(Settings, frozen=True, kw_only=True, omit_defaults=True):
    """One planted brain."""

    grid: Annotated[tuple[Side, Side, Side], about("of the functional volume", "voxels")]
    missing: Annotated[tuple[str, ...], about("labels that the subject lacks")] = ()


class PlantedSubject(PhantomSubject, frozen=True, kw_only=True, omit_defaults=True):
    """One planted brain with the sessions that it runs in a study."""

    sessions: Annotated[int, Meta(ge=1, le=40), about("sessions that the subject ran")]


class TaskImages(Settings, frozen=True, kw_only=True):
    """How many labelled pictures a task has, and how large they are."""

    seed: Annotated[Whole, about("of the pictures")]
    train: Annotated[Count, about("pictures for training", "images")]
    validation: Annotated[Count, about("pictures for validation", "images")]
    test: Annotated[Count, about("pictures for testing", "images")]
    size: Annotated[Pixels, about("side of the pictures", "pixels")]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Images for training, validation and test."""
        return self.train, self.validation, self.test


class SceneTask(TaskImages, frozen=True, kw_only=True):
    """The labelled scenes of the task phantom-scenes."""


class FaceTask(TaskImages, frozen=True, kw_only=True):
    """The labelled faces of the task phantom-faces."""

    identities: Annotated[int, Meta(ge=2), about("people, the classes of the task")]
    aligned: Annotated[bool, about("faces fill the frame, upright")] = False


class Miniature(Settings, frozen=True, kw_only=True):
    """The numbers of a small NSD, whoever its subjects are."""

    seed: Annotated[Whole, about("of all that is planted")]
    shared_images: Annotated[Count, about("images shown to all subjects")]
    unique_images: Annotated[Count, about("images shown to one subject")]
    planned_sessions: Annotated[int, Meta(ge=1, le=40), about("sessions of the design, run or not")]
    trials_per_session: Annotated[int, Meta(ge=12, multiple_of=6), about("a multiple of 6")]
    stimulus_size: Annotated[int, Meta(ge=64, multiple_of=64), about("side of the images, a multiple of 64", "pixels")]
    faces: Annotated[Share, about("share of images that show a face")]
    formats: Annotated[tuple[SessionFormat, ...], UNIQUE, about("in which the sessions are written")]


class PlantedNSD(Miniature, frozen=True, kw_only=True):
    """Everything that the files of a phantom are made from."""

    subjects: dict[Subject, PlantedSubject]


class Phantom(Miniature, frozen=True, kw_only=True):
    """The phantom of a study: a small NSD, and pictures for tasks that no subject saw."""

    subjects: Annotated[dict[Subject, PhantomSubject], about("planted brains")]
    face_task: Annotated[FaceTask | None, about("pictures of the task phantom-faces")] = None
    scenes: Annotated[SceneTask, about("pictures of the task phantom-scenes")]

    def planted(self, sessions: Mapping[str, int]) -> PlantedNSD:
        """What is planted for a study whose subjects run the given `sessions`."""
        subjects = {
            subject: PlantedSubject(
                grid=self.subjects[subject].grid, missing=self.subjects[subject].missing, sessions=count
            )
            for subject, count in sessions.items()
        }
        return PlantedNSD(
            seed=self.seed, shared_images=self.shared_images, unique_images=self.unique_images,
            planned_sessions=self.planned_sessions, trials_per_session=self.trials_per_session,
            stimulus_size=self.stimulus_size, faces=self.faces, formats=self.formats, subjects=subjects,
        )  # fmt: skip

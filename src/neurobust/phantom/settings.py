"""What a study says about its phantom. Names of subjects and formats are spelled out here a second time, as in `files`:
the phantom takes nothing from the reader that is tested on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from neurobust.core.faults import Unread
from neurobust.core.settings import LARGEST_SIDE, UNIQUE, Count, NotNegative, Seed, Settings, Share, Subject, about

SessionFormat = Literal["nii.gz", "hdf5"]
Side = Annotated[int, Meta(ge=8)]
Pixels = Annotated[int, Meta(ge=16, le=LARGEST_SIDE)]


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

    seed: Annotated[Seed, about("of the pictures")]
    train: Annotated[Count, about("pictures for training", "images")]
    validation: Annotated[Count, about("pictures for validation", "images")]
    test: Annotated[Count, about("pictures for testing", "images")]
    size: Annotated[Pixels, about("side of the pictures", "pixels")]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Images for training, validation and test."""
        return self.train, self.validation, self.test


class Cue(Settings, frozen=True, kw_only=True):
    """A property that predicts the class of a scene and is easily taken away: what networks should not rely on."""

    kind: Annotated[Literal["pattern", "hue"], about("two fine gratings of each class, or the object's hue")]
    amplitude: Annotated[
        NotNegative | None,
        about("of a pattern in 1/255, default 4; of a hue its saturation, from 0 to 1, default 1; 0: no cue"),
    ] = None
    reliability: Annotated[Share, about("share of the task's images whose cue is that of their class")] = 0.95

    def __post_init__(self) -> None:
        most, whole = {"pattern": (255, "the whole range"), "hue": (1, "full saturation")}[self.kind]
        if self.strength > most:
            raise ValueError(f"amplitude {self.strength:g} of a {self.kind} is more than {most}, {whole}; lower it")

    @property
    def strength(self) -> float:
        """The amplitude: that of a pattern in 1/255, that of a hue as a share of full saturation."""
        return {"pattern": 4.0, "hue": 1.0}[self.kind] if self.amplitude is None else self.amplitude


class SceneTask(TaskImages, frozen=True, kw_only=True):
    """The labelled scenes of the task phantom-scenes."""


class CuedScenes(SceneTask, frozen=True, kw_only=True):
    """The scenes with the cue that they bear, where the phantom has one."""

    cue: Annotated[Cue | None, about("of `phantom`")] = None


class FaceTask(TaskImages, frozen=True, kw_only=True):
    """The labelled faces of the task phantom-faces."""

    identities: Annotated[int, Meta(ge=2), about("people, the classes of the task")]
    aligned: Annotated[bool, about("faces fill the frame, upright")] = False


class Miniature(Settings, frozen=True, kw_only=True, omit_defaults=True):
    """The numbers of a small NSD, whoever its subjects are."""

    seed: Annotated[Seed, about("of all that is planted")]
    shared_images: Annotated[Count, about("images shown to all subjects")]
    unique_images: Annotated[Count, about("images shown to one subject")]
    planned_sessions: Annotated[int, Meta(ge=1, le=40), about("sessions of the design, run or not")]
    trials_per_session: Annotated[int, Meta(ge=12, multiple_of=6), about("a multiple of 6")]
    stimulus_size: Annotated[
        int, Meta(ge=64, le=LARGEST_SIDE, multiple_of=64), about("side of the images, a multiple of 64", "pixels")
    ]
    faces: Annotated[Share, about("share of images that show a face")]
    formats: Annotated[tuple[SessionFormat, ...], UNIQUE, about("in which the sessions are written")]
    cue: Annotated[Cue | None, about("of the scenes' classes; subjects see any object with any class's cue")] = None
    responses: Annotated[
        Literal["own", "permuted"], about("of the brains: to the images shown, or to others, so that they say nothing")
    ] = "own"


class PlantedNSD(Miniature, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that the files of a phantom are made from."""

    subjects: dict[Subject, PlantedSubject]


class Phantom(Miniature, frozen=True, kw_only=True, omit_defaults=True):
    """The phantom of a study: a small NSD, and pictures for tasks that no subject saw."""

    subjects: Annotated[dict[Subject, PhantomSubject], about("planted brains")]
    face_task: Annotated[FaceTask | None, about("pictures of the task phantom-faces")] = None
    scenes: Annotated[SceneTask, about("pictures of the task phantom-scenes")]

    @property
    def scene_task(self) -> CuedScenes:
        """The scenes of the task with their cue."""
        shown = self.scenes
        return CuedScenes(
            seed=shown.seed, train=shown.train, validation=shown.validation, test=shown.test, size=shown.size,
            cue=self.cue,
        )  # fmt: skip

    def planted(self, sessions: Mapping[str, int]) -> PlantedNSD:
        """What is planted for a study whose subjects run the given `sessions`.

        Raises Unread for a subject that the phantom has not: `study.fit_data.check_subject` says so.
        """
        if not self.subjects.keys() >= sessions.keys():
            raise Unread
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
            cue=self.cue, responses=self.responses,
        )  # fmt: skip

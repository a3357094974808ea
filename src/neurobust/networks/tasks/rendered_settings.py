"""The tasks that the phantom renders, described; `rendered` reads them."""

from __future__ import annotations

from typing import ClassVar

from neurobust.networks.description import Task


class Scenes(Task, frozen=True):
    """The phantom's rendered scenes, with its cue where it has one."""

    reader: ClassVar[str] = "neurobust.networks.tasks.rendered:read"
    phantom: ClassVar[str] = "scenes"
    cue: ClassVar[bool] = True


class Faces(Task, frozen=True):
    """The phantom's rendered faces: the classes are people, and each face has attributes."""

    reader: ClassVar[str] = "neurobust.networks.tasks.rendered:read"
    phantom: ClassVar[str] = "face_task"
    faces: ClassVar[bool] = True
    attributes: ClassVar[int] = 4
    people: ClassVar[bool] = True

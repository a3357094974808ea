"""The files that a configuration names and that no rule makes: what must lie there before anything is planned.

Snakemake leaves a job out whose input is missing and that no rule makes, where the job's outputs exist: a wrong path
would be an edit without effect. So they are asked for before there is a DAG. The images of tasks may come later
(`study.doubts`): their job says what it lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from neurobust.core.errors import InputError
from neurobust.core.faults import Faults, readable
from neurobust.core.names import nearest, neighbours
from neurobust.networks.tasks.image_folder_settings import SHIPPED, ImageFolder
from neurobust.nsd.layout import planted_annotations
from neurobust.predictors.gnet_settings import ALEXNET
from neurobust.study.model import Study


class NamedFile(NamedTuple):
    """A path of a configuration: the key that names it, what it should be, words that the key may have instead, and
    whether it may be a folder and a single file."""

    key: str
    path: str
    what: str
    instead: tuple[str, ...] = ()
    folder: bool = False
    file: bool = True


def check_named_files(study: Study) -> None:
    """Raise InputError for each file that a study names, that is not there and that no rule makes."""
    faults = Faults()
    for some in NAMED:
        with faults.caught():
            for file in some(study):
                with faults.caught():
                    if not is_made(study, file):
                        check_named_file(file)
    faults.refuse()


def check_named_file(file: NamedFile) -> None:
    """Raise InputError unless the file is there."""
    path = Path(file.path)
    if path.is_dir() and not file.folder:
        raise InputError(f"{file.key}: {file.path!r}: a folder, not {file.what}: name a file in it")
    if path.is_file() and not file.file:
        raise InputError(f"{file.key}: {file.path!r}: a file, not a folder: name the folder of {file.what}")
    if path.exists():
        return
    ways = ["put it there", "correct the path", *(f"write {word}" for word in file.instead)]
    meant = nearest(file.path, file.instead) or nearest(path.name, neighbours(path))
    raise InputError(f"{file.key}: {file.path!r}: no such file, {file.what}: {' or '.join(ways)}{meant}")


def all_named_files(study: Study) -> Iterator[NamedFile]:
    """Every file that a study names, in the order of its sections.

    The file of its claims is not among them: it is read before there is a study.
    """
    for some in NAMED:
        yield from some(study)


def is_made(study: Study, file: NamedFile) -> bool:
    """Whether a rule makes the file: AlexNet is fetched, and the phantom writes its annotations."""
    if Path(file.path).name == ALEXNET:
        return True
    return study.phantom and Path(file.path) == planted_annotations(study.data.folder)


def of_data(study: Study) -> Iterator[NamedFile]:
    """Those of the data."""
    if study.data.coco_annotations is not None:
        key, path = "config.data.coco_annotations", study.data.coco_annotations
        yield NamedFile(key, path, "COCO's annotations, folder or zip", folder=True)


def of_predictors(study: Study) -> Iterator[NamedFile]:
    """Those of predictors."""
    for name, predictor in readable(study.predictors):
        for key, path in predictor.files.items():
            origin = f" ({predictor.origin()})" if predictor.origin() else ""
            what = f"the weights of a network{origin}"
            yield NamedFile(f"config.predictors.{name}.{key}", path, what, predictor.instead)


def of_tasks(study: Study) -> Iterator[NamedFile]:
    """Those of tasks, but their images."""
    for name, plan in readable(study.tasks):
        classes = plan.task.classes if isinstance(plan.task, ImageFolder) else None
        if classes is not None and classes not in SHIPPED:
            yield NamedFile(f"config.tasks.{name}.classes", classes, "a list of class folders", tuple(SHIPPED))


def of_conditions(study: Study) -> Iterator[NamedFile]:
    """Those of conditions."""
    for name, condition in readable(study.conditions):
        if condition.features is not None and condition.features.weights is not None and condition.sweep is None:
            key = f"config.conditions.{name}.features.weights"
            yield NamedFile(key, condition.features.weights, "the weights of a network")


def of_outside(study: Study) -> Iterator[NamedFile]:
    """Those of networks that others trained."""
    for name, wanted in readable(study.outside):
        if wanted.file is not None:
            yield NamedFile(f"config.outside.{name}.weights", wanted.file, "the weights of a network")
        if isinstance(wanted.outputs, str):
            yield NamedFile(f"config.outside.{name}.outputs", wanted.outputs, "a list of class folders")


def of_explain(study: Study) -> Iterator[NamedFile]:
    """Those of analyses."""
    for name, analysis in readable(study.explain):
        for key, path in analysis.files.items():
            folder = key in analysis.folders
            what = f"what `{name}` reads"
            yield NamedFile(f"config.explain.{name}.{key}", path, what, folder=folder, file=not folder)


def of_attacks(study: Study) -> Iterator[NamedFile]:
    """Those of attacks."""
    for name, plan in readable(study.attacks):
        for key, path in plan.attack.files.items():
            yield NamedFile(f"config.attacks.{name}.{key}", path, "the weights of a network")


NAMED = (of_data, of_predictors, of_tasks, of_conditions, of_attacks, of_outside, of_explain)

"""The task `image-folder`: a folder in the layout of ImageNet."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.image_files import ImageFiles, images_in
from neurobust.files.dataset import Source
from neurobust.files.splits import TEST, TRAIN
from neurobust.networks.tasks.image_folder_settings import SHIPPED, ImageFolder
from neurobust.networks.tasks.reading import required_source, stratified_split


def read(settings: ImageFolder, source: Path | None) -> Source:
    """A folder `root/{train,val}/{class folder}/*`: its `val` is the test split, part of its `train` the validation.

    Shorter side resized (bilinear), centre cropped to `image_size`. `classes`: "imagenet50", the path of a list
    (`folder name` per line), or None for every folder of `train`. The class index is the order of the folder names.
    """
    root = required_source(source, settings.kind, settings.brings)
    folders = _class_list(settings.classes, root)
    files: list[Path] = []
    classes: list[int] = []
    parts: list[int] = []
    for part, index in (("train", TRAIN), ("val", TEST)):
        for label, folder in enumerate(folders):
            found = images_in(root / part / folder)
            if not found:
                raise InputError(f"{root / part / folder}: no images; complete the folder or leave the class out")
            files += found
            classes += [label] * len(found)
            parts += [index] * len(found)
    labels, split = np.array(classes, np.int64), np.array(parts, np.uint8)
    train = split == TRAIN
    shares = (1 - settings.validation, settings.validation)
    split[train] = stratified_split(labels[train], shares, settings.seed, "image-folder", "validation")
    size = settings.image_size
    images = ImageFiles(files, root, size, settings.resize)
    names = list(folders.values())
    return Source(labels, split, names, (size, size), images.blocks(), images.provenance, folders=tuple(folders))


def _class_list(classes: str | None, root: Path) -> dict[str, str]:
    """Folder name -> class name, in the order of the folder names."""
    if classes is None:
        names = sorted(path.name for path in (root / "train").glob("*") if path.is_dir())
        return {name: name for name in names}
    if classes in SHIPPED:
        text = resources.files("neurobust.networks.tasks").joinpath(f"{classes}.txt").read_text(encoding="utf-8")
    else:
        try:
            text = Path(classes).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"{classes}: class list cannot be read ({error.strerror}); give 'imagenet50' or a file"
            ) from error
    pairs = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {pair[0]: pair[-1].strip() for pair in sorted(pairs)}

"""The task `digits`: scikit-learn's handwritten digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neurobust import __version__
from neurobust.files.dataset import Source
from neurobust.networks.tasks.digits_settings import Digits
from neurobust.networks.tasks.reading import stratified_split


def read(settings: Digits, source: Path | None) -> Source:
    """The 1797 digits (8 x 8, 0..16) as RGB in the wanted size; 70 / 10 / 20 % per class."""
    from PIL import Image
    from sklearn.datasets import load_digits

    size = settings.image_size
    digits = load_digits()
    gray = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = np.stack(
        [np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)) for image in gray]
    )
    labels = digits.target.astype(np.int64)
    return Source(
        labels=labels,
        split=stratified_split(labels, (0.7, 0.1, 0.2), settings.seed, "digits", "split"),
        classes=[str(digit) for digit in range(10)],
        size=(size, size),
        blocks=iter([np.repeat(images[..., None], 3, axis=-1)]),
        provenance=lambda: {"neurobust": __version__, "inputs": {"digits": {"file": "sklearn.datasets.load_digits"}}},
    )

"""Image files as arrays: decoded in blocks, cut to one size, and digested on the way."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from neurobust import __version__
from neurobust.core.errors import InputError
from neurobust.core.io import InputFile, Provenance

BLOCK = 256  # images decoded and written at a time
IMAGE_SUFFIXES = {".jpeg", ".jpg", ".png", ".bmp", ".webp"}


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, by name."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


class ImageFiles:
    """Image files decoded in blocks and digested on the way.

    The shorter side is resized to `resize` (bilinear), then the centre of `size` x `size` pixels is cut out. Names in
    the digest are relative to `root`.
    """

    def __init__(self, files: Sequence[Path], root: Path, size: int, resize: int | None = None):
        self.files, self.root, self.size, self.resize = files, root, size, resize or size
        self.digest = hashlib.sha256()

    def blocks(self) -> Iterator[np.ndarray]:
        """uint8 (n, size, size, 3) of up to 256 files at a time, in order."""
        for start in range(0, len(self.files), BLOCK):
            yield np.stack([self._decode(path) for path in self.files[start : start + BLOCK]])

    def provenance(self) -> Provenance:
        """How many files there were and the SHA-256 of their names and bytes."""
        images: InputFile = {
            "file": self.root.name, "count": len(self.files), "sha256": self.digest.hexdigest(),
        }  # fmt: skip
        return {"neurobust": __version__, "inputs": {"images": images}}

    def _decode(self, path: Path) -> np.ndarray:
        from PIL import Image, UnidentifiedImageError

        size = self.size
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); complete the folder of images") from error
        self.digest.update(f"{path.relative_to(self.root).as_posix()}\x1f{len(content)}\x1f".encode())
        self.digest.update(content)
        try:
            image = Image.open(io.BytesIO(content)).convert("RGB")
        except UnidentifiedImageError as error:
            raise InputError(f"{path}: not an image that can be read; replace the file") from error
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: not a readable image ({error}); replace the file") from error
        scale = max(self.resize, size) / min(image.size)
        image = image.resize([max(size, round(side * scale)) for side in image.size], Image.Resampling.BILINEAR)
        left, top = ((side - size) // 2 for side in image.size)
        return np.asarray(image.crop((left, top, left + size, top + size)))

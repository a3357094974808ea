"""Where the images of a batch come from: a memory map, or the device that trains. Both give the same bytes."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from neurobust.networks.batches import Windows

SHARE = 0.5  # of the device's free memory that the images of a task may take
BLOCK = 256 * 2**20  # bytes that are moved to the device at a time

logger = logging.getLogger("neurobust")


class Store(Protocol):
    """Images uint8 (N, H, W, 3), some rows of which are read at a time."""

    def read(self, rows: np.ndarray, windows: Windows | None = None) -> Tensor:
        """The images `rows` uint8 (n, H, W, 3), as stored or as the windows cut them."""


class Mapped:
    """Images in an array or a memory map of the host, read into memory that the device can copy from by itself."""

    def __init__(self, images: np.ndarray, device: torch.device):
        self.images = np.asarray(images)
        self.pinned = device.type == "cuda"

    def read(self, rows: np.ndarray, windows: Windows | None = None) -> Tensor:
        """As `Store.read`; pinned memory where the device is a GPU."""
        found = torch.empty((len(rows), *self.images.shape[1:]), dtype=torch.uint8, pin_memory=self.pinned)
        if windows is None:
            for row, out in zip(rows, found.numpy(), strict=True):
                out[...] = self.images[row]
            return found
        parts = zip(rows, windows.lines, windows.columns, windows.mirrored, found.numpy(), strict=True)
        for row, lines, columns, mirrored, out in parts:
            moved = np.empty_like(out) if mirrored else out
            shift(self.images[row].take(lines, axis=0), columns, moved)
            if mirrored:
                pixels = torch.from_numpy(moved).permute(2, 0, 1)[None]  # as torch mirrors fastest
                out[...] = pixels.flip(3)[0].permute(1, 2, 0).numpy()
        return found


def shift(image: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """`image[:, columns]` of (H, W, 3) into `out`: the rising run of columns in one piece, the borders one by one."""
    first = int(columns.argmin())
    end = first + int(columns[first:].argmax()) + 1
    out[:, first:end] = image[:, columns[first] : columns[end - 1] + 1]
    for border in (slice(first), slice(end, None)):
        out[:, border] = image.take(columns[border], axis=1)


class Resident:
    """Images on the device, all of them, in its memory from the start."""

    def __init__(self, images: np.ndarray, device: torch.device):
        self.images = torch.empty(images.shape, dtype=torch.uint8, device=device)
        step = max(1, BLOCK * len(images) // max(1, images.nbytes))
        for start in range(0, len(images), step):
            block = slice(start, start + step)
            self.images[block] = torch.from_numpy(np.array(images[block]))

    def read(self, rows: np.ndarray, windows: Windows | None = None) -> Tensor:
        """As `Store.read`, on the device."""
        device = self.images.device
        which = torch.from_numpy(rows).to(device)
        if windows is None:
            return self.images[which]
        across = np.where(windows.mirrored[:, None], windows.columns[:, ::-1], windows.columns)
        lines, columns = (torch.from_numpy(part).to(device) for part in (windows.lines, across))
        return self.images[which[:, None, None], lines[:, :, None], columns[:, None, :]]


def open_store(images: np.ndarray, device: torch.device, share: float = SHARE) -> Store:
    """Images uint8 (N, H, W, 3) on a GPU where they take at most `share` of its free memory, else as they are mapped.

    The CPU has nothing to gain: what it maps it has at hand.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    if images.nbytes > share * free:
        return Mapped(images, device)
    logger.info("%.1f GB of images are kept on the device, which has %.1f GB free", images.nbytes / 1e9, free / 1e9)
    return Resident(images, device)

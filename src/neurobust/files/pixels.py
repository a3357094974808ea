"""From stored uint8 images to what networks take: float32 (n, 3, H, W) in [0, 1]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LUMA = (0.2126, 0.7152, 0.0722)  # of red, green and blue in brightness (ITU-R BT.709)


def to_pixels(images: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """uint8 (n, H, W, 3) as float32 (n, 3, H, W) in [0, 1] on `device`, channels last in memory as they are stored.

    Convolutions on the CPU sum in another order where the channels come first in memory.
    """
    if isinstance(images, np.ndarray) and not images.flags.writeable:
        images = np.array(images)  # a mapped file: torch wants memory that it could write to
    images = torch.as_tensor(images).to(device, non_blocking=True).permute(0, 3, 1, 2)
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def to_images(pixels: Tensor) -> np.ndarray:
    """Pixels (n, 3, H, W) as float32 (n, H, W, 3) on the CPU, for files, figures and galleries."""
    return np.ascontiguousarray(pixels.detach().permute(0, 2, 3, 1).cpu().numpy(), dtype=np.float32)


def resized(pixels: Tensor, size: int) -> Tensor:
    """Pixels (n, 3, H, W) at another size: bilinear, antialiased when smaller; kept as they are at the same size."""
    if pixels.shape[-1] == size and pixels.shape[-2] == size:
        return pixels
    return torch.nn.functional.interpolate(pixels, (size, size), mode="bilinear", align_corners=False, antialias=True)

"""JPEG as a layer: the very pixels that a file gives back, and the gradient as if there were none."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurobust.attacks.corruptions.digital import through_jpeg


class JPEG(torch.autograd.Function):
    """Images (N, 3, H, W) in [0,1] through a JPEG file, straight through backwards (Athalye et al., ICML 2018)."""

    @staticmethod
    def forward(context: Any, images: Tensor, quality: int) -> Tensor:
        """The images as files of this quality give them back, of the same shape."""
        pictures = images.detach().permute(0, 2, 3, 1).cpu().numpy().astype(np.float64)
        decoded = np.stack([through_jpeg(picture, quality) for picture in pictures]) if len(pictures) else pictures
        return torch.from_numpy(decoded).permute(0, 3, 1, 2).to(images).contiguous()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient as it is."""
        return gradient, None


def in_jpeg(images: Tensor, quality: int) -> Tensor:
    """Images (N, 3, H, W) in [0,1] as JPEG files of this quality (1 to 95) give them back; see `JPEG`."""
    decoded: Tensor = JPEG.apply(images, quality)
    return decoded

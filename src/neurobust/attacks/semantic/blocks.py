"""The parts that auxiliary networks are built of, small by default and as wide as their arguments say."""

from __future__ import annotations

from torch import Tensor, nn


def convolution(inputs: int, outputs: int, stride: int = 1, dilation: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Residual(nn.Module):
    """x + two convolutions, with a norm of choice. Source: He et al., CVPR 2016."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, norm: type[nn.Module] = nn.BatchNorm2d):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), norm(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), norm(outputs),
        )  # fmt: skip
        same = stride == 1 and inputs == outputs
        self.way = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        return nn.functional.relu(self.way(images) + self.body(images))


PLACES = 4  # side of the grid that maps are averaged to before a head
FEATURES = 4 * PLACES**2  # of a trunk, in widths


def small_trunk(width: int) -> nn.Sequential:
    """[0,1] images (N, 3, H, W) -> features (N, 64 width): four stages of convolutions, halved in between."""
    w = width
    return nn.Sequential(
        Centre(), convolution(3, w), nn.MaxPool2d(2), convolution(w, 2 * w), nn.MaxPool2d(2), convolution(2 * w, 4 * w),
        convolution(4 * w, 4 * w), nn.AdaptiveAvgPool2d(PLACES), nn.Flatten(),
    )  # fmt: skip


class Centre(nn.Module):
    """[0,1] -> about unit scale around zero."""

    def forward(self, images: Tensor) -> Tensor:
        """4 (x - 1/2)."""
        return 4 * (images - 0.5)

"""By what torchvision's published weights want images in [0, 1] normalised: mean and deviation of red, green, blue."""

from __future__ import annotations

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

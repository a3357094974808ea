"""By what torchvision's published weights want images in [0, 1] normalised: mean and deviation of red, green, blue."""

from __future__ import annotations

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Networks whose published weights want their images otherwise: EfficientNetV2-L says so, and the two that come from
# TensorFlow change images that are normalised as above inside (`transform_input`), where they are built with weights.
HALF = (0.5, 0.5, 0.5)
BY_HALF = ("efficientnet_v2_l", "googlenet", "inception_v3")

Three = tuple[float, float, float]


def statistics_of(network: str) -> tuple[Three, Three]:
    """Mean and deviation by which the published weights of a network of torchvision want images normalised."""
    return (HALF, HALF) if network in BY_HALF else (MEAN, STD)

"""Which axes of a layer's output are channels and which are space, told from what the layer gives for two sizes.

Families of networks lay their maps out differently: ResNets as (N, C, H, W), Swin as (N, H, W, C), ViT as tokens
(N, T, C) behind class and register tokens; inside one network both may occur. A network that is shown images of a side
and of twice that side says it itself: the axes that grow are space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

from torch import Tensor

from neurobust.core.errors import InputError

MAPS, MAPS_LAST, TOKENS, TOKENS_LAST, VECTOR = "NCHW", "NHWC", "NTC", "NCT", "NC"
MOST_EXTRA = 32  # class and register tokens before those of the image: no network known has as many


@dataclass(frozen=True)
class Layout:
    """axes: one letter an axis, T being places of an image one after the other; extra: tokens of no place, the first
    ones."""

    axes: str
    extra: int = 0


def layout_of(small: Sequence[int], large: Sequence[int], where: str) -> Layout:
    """The layout of outputs of these shapes, for as many images of a side and of twice that side.

    An output that does not grow (behind a pooling to a fixed grid) is laid out as its two equal neighbouring axes say.
    Raises InputError, beginning with `where`, for what cannot be told, or is no square.
    """
    shown = f"{tuple(small)} becomes {tuple(large)} for images of twice the side"
    grown = [axis for axis in range(min(len(small), len(large))) if small[axis] != large[axis]]
    found: Layout | None = None
    if len(small) != len(large) or 0 in grown:
        found = None
    elif len(small) == 2 and not grown:
        found = Layout(VECTOR)
    elif len(small) == 4:
        first, second = small[1] == small[2], small[2] == small[3]
        if second and (grown == [2, 3] or (not grown and not first)):
            found = Layout(MAPS)
        elif first and (grown == [1, 2] or (not grown and not second)):
            found = Layout(MAPS_LAST)
    elif len(small) == 3 and grown in ([1], [2]):
        extra = extra_tokens(small[grown[0]], large[grown[0]])
        if extra is not None:
            found = Layout(TOKENS if grown == [1] else TOKENS_LAST, extra)
    if found is None:
        raise InputError(f"{where}: {shown}; which axes are space cannot be told from that: name another layer")
    return found


def extra_tokens(small: int, large: int) -> int | None:
    """How many of a grid's tokens are of no place; None where the counts do not say.

    A square of tokens has twice the side for an image of twice the side, or one more where that is no whole patch.
    """
    found = set()
    for side in range(1, isqrt(small) + 1):
        extra = small - side * side
        if extra <= MOST_EXTRA and large - extra in ((2 * side) ** 2, (2 * side + 1) ** 2):
            found.add(extra)
    return found.pop() if len(found) == 1 else None


def as_maps(output: Tensor, layout: Layout) -> Tensor:
    """An output of this layout as maps (N, C, side, side): a vector is one place, extra tokens are left out."""
    if layout.axes == VECTOR:
        return output[..., None, None]
    if layout.axes == MAPS:
        return output
    if layout.axes == MAPS_LAST:
        return output.permute(0, 3, 1, 2)
    tokens = output.transpose(1, 2) if layout.axes == TOKENS else output
    places = tokens[:, :, layout.extra :]
    side = isqrt(places.shape[2])
    return places.reshape(*places.shape[:2], side, side)

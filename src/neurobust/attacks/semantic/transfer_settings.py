"""Settings of the semantic transfer: what the adversarials of an undefended network do to the others. No torch."""

from __future__ import annotations

from typing import Annotated

from neurobust.attacks.semantic.description import Lead
from neurobust.core.settings import Count, Settings, about


class SemanticTransfer(Settings, frozen=True):
    """Every semantic attack made once on `none` of the next seed, and shown to every network of this seed.

    What transfers did not depend on the network's own gradients: where a network's own attack breaks less than a
    stranger's adversarials do, its optimiser was blocked; where both break little, the change was resisted.
    """

    images: Annotated[Count | None, about("the first of those that semantic attacks meet; default: all")] = None
    confidence: Annotated[
        Lead, about("lead in probability at which the surrogate's image is left; what just breaks one travels badly")
    ] = 0.9

    def count(self, images: int) -> int:
        """How many of the images that semantic attacks meet travel."""
        return min(self.images or images, images)

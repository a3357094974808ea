"""What analyses look at: a network with some images of its task. Each part is computed when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from neurobust.explain.measures import margin_gradients


@dataclass(frozen=True)
class View:
    """network: in eval mode, logits of images; embed: images -> features of its penultimate layer (n, D).

    images (n, 3, H, W) in [0, 1], labels int64 (n,), all on one device; `image_batch` bounds the memory.
    """

    network: nn.Module
    embed: Callable[[Tensor], Tensor]
    images: Tensor
    labels: Tensor
    image_batch: int = 64

    def over_images(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """A function's rows for all images, without gradients, a batch at a time."""
        with torch.inference_mode():
            return torch.cat([function(batch) for batch in self._batches()])

    @cached_property
    def features(self) -> Tensor:
        """Activations (n, D) of the penultimate layer."""
        return self.over_images(self.embed)

    @property
    def margin(self) -> Tensor:
        """Logit of the label less the largest other one (n,)."""
        return self._margin_gradients[0]

    @property
    def gradient(self) -> Tensor:
        """Gradient (n, 3, H, W) of each image's margin."""
        return self._margin_gradients[1]

    @cached_property
    def _margin_gradients(self) -> tuple[Tensor, Tensor]:
        return margin_gradients(self.network, self.images, self.labels, self.image_batch)

    def _batches(self) -> Iterator[Tensor]:
        return (self.images[k : k + self.image_batch] for k in range(0, len(self.images), self.image_batch))

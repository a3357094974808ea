"""Random numbers: every stream is named, so that no draw depends on what ran before it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from the names of a stream: `derive_seed(seed, "epoch", 3)`. Stable over machines and versions."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_rng(*parts: object) -> np.random.Generator:
    """A numpy Generator for the named stream."""
    import numpy as np

    return np.random.default_rng(derive_seed(*parts))


def torch_generator(*parts: object) -> torch.Generator:
    """A CPU torch.Generator for the named stream."""
    import torch

    return torch.Generator().manual_seed(derive_seed(*parts))


def seed_everything(*parts: object) -> None:
    """Seed the global generators of Python, numpy and torch (layer initialisation, dropout, foolbox)."""
    import random

    import numpy as np
    import torch

    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (libraries read the global state)
    torch.manual_seed(seed)

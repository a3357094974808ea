"""What an analysis finds: rows of its table, and arrays for pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    import numpy as np


class Row(Struct, frozen=True):
    """One number. measure: a name of the description's `measures`; layer, roi: "" where it has none; value: None or NaN
    where it is undefined; low, high: the ends of its interval, None without one; n_images: how many images it rests on.

    of, condition, n_networks: of an analysis of the whole study, the measure and the condition that the number is about
    and how many networks it rests on.
    """

    measure: str
    value: float | None
    layer: str = ""
    roi: str = ""
    low: float | None = None
    high: float | None = None
    n_images: int = 0
    of: str = ""
    condition: str = ""
    n_networks: int = 0


class Findings(Struct, frozen=True):
    """rows of the table; arrays by name, of an analysis with `arrays`: float32 pictures (n, H, W, 3) in [0, 1], maps
    (H, W), ... as its description says."""

    rows: Sequence[Row]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

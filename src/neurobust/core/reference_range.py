"""What conditions are compared with, and where a difference in robust accuracy can be seen: room below and above."""

from __future__ import annotations

BASELINE = "none"  # the condition that every guided one is compared with
IN_RANGE = (0.10, 0.60)  # of it at the reference budget
ROUNDING = 1e-9


def in_range(level: float) -> bool:
    """Whether the robust accuracy of `none` leaves room on both sides."""
    return IN_RANGE[0] - ROUNDING <= level <= IN_RANGE[1] + ROUNDING

"""Settings of the cue conflict (`cue`)."""

from __future__ import annotations

from typing import Literal

from neurobust.attacks.description import Attack


class CueConflict(Attack, frozen=True):
    """The cue of another class in place of the image's own, on tasks whose images bear a cue; all else is the same.

    A budget is the share of the way from the image to that twin. Accuracy at 1 tells shape from cue without a gradient.
    """

    run = "neurobust.attacks.cue:cue_conflict"
    source = "Geirhos et al., ICLR 2019: images whose cues disagree"
    shown_unit = "of the conflicting cue"
    largest = 1.0
    twins = True

    norm: Literal["cue"] = "cue"

    def passes(self, budgets: int) -> float:
        """One at each budget."""
        return budgets

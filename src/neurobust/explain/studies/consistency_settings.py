"""Whether networks err on the same images. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from neurobust.explain.description import Analysis, Measure, Scope


class Consistency(Analysis, frozen=True):
    """Error consistency of each condition's networks among themselves and with those of `none`."""

    scope: ClassVar[Scope] = "study"
    run: ClassVar[str] = "neurobust.explain.studies.consistent:consistent"
    title: ClassVar[str] = "error consistency"
    meaning: ClassVar[str] = (
        "Cohen's kappa of two networks' being right and wrong on the same images: 0 for networks of these accuracies "
        "that err independently, 1 for those that err alike. Guided networks that agree less with `none` than `none` "
        "agrees with itself have changed what they go by, and not only how often they are right."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "consistency within": Measure("kappa", "of networks of one condition with different seeds"),
        "consistency with none": Measure("kappa", "of a condition's networks with those of `none` of another seed"),
        "consistency within, attacked": Measure("kappa", "of surviving the primary attack at the reference budget"),
        "consistency with none, attacked": Measure("kappa", "of the same, with `none`"),
    }
    source: ClassVar[str] = "Geirhos, Meding and Wichmann 2020"

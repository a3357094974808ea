"""The analyses over all networks of a task and an architecture: what changed, and why. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.core.settings import Seed, about
from neurobust.explain.description import Analysis, Measure, Scope


class Changes(Analysis, frozen=True):
    """What guidance changed in each measure."""

    scope: ClassVar[Scope] = "study"
    run: ClassVar[str] = "neurobust.explain.studies.adapters:changes"
    title: ClassVar[str] = "what guidance changed"
    meaning: ClassVar[str] = (
        "By how much a measure of a guided network differs from that of its own shuffle (of `none` where no shuffle "
        "was trained), paired over seeds, with Student's 95 % interval over seeds. Many measures are shown: one "
        "interval in twenty leaves out 0 by chance."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "change": Measure("as the measure", "mean over seeds of guided less control"),
    }


class Association(Analysis, frozen=True):
    """Which measures go with robust accuracy."""

    scope: ClassVar[Scope] = "study"
    run: ClassVar[str] = "neurobust.explain.studies.adapters:association"
    title: ClassVar[str] = "what goes with robustness"
    meaning: ClassVar[str] = (
        "How a measure goes with robust accuracy. The seeds of a condition are no independent evidence, so conditions "
        "are the units: r between their means, partial r given clean accuracy, its p, and q, the share of false finds "
        "among measures with a q as small (Benjamini and Hochberg). Within conditions: whether a seed that has more of "
        "the measure than others of its condition is more robust. What goes with robustness need not cause it."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "correlation": Measure("r", "between the means of conditions"),
        "partial correlation": Measure("r", "the same, given clean accuracy"),
        "p": Measure("", "of the partial correlation, two-sided"),
        "q": Measure("", "p, adjusted over all measures that are asked about"),
        "within conditions": Measure("r", "of seeds' deviations from their condition, given clean accuracy"),
    }
    source: ClassVar[str] = "Benjamini and Hochberg 1995; Fisher's z for intervals"


class Mediation(Analysis, frozen=True):
    """Which measure carries the gain of guidance."""

    scope: ClassVar[Scope] = "study"
    run: ClassVar[str] = "neurobust.explain.studies.adapters:mediation"
    title: ClassVar[str] = "through what guidance works"
    meaning: ClassVar[str] = (
        "The gain of a guided condition in robust accuracy over its control, paired by seed, is parted in two: what "
        "goes through a measure (how much guidance moves the measure, times how much robust accuracy moves with it "
        "among seeds of one condition at equal clean accuracy) and what does not. That the measure carries part of "
        "the gain is said where this part is surely above 0 and, over all conditions, those with more of the measure "
        "are the more robust (or the less, as among seeds): q below .05. Measures are taken one at a time, so their "
        "parts do not add up, and what moves together is not told apart."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "total": Measure("share", "gain in robust accuracy over the control"),
        "through": Measure("share", "part of the gain that goes through the measure"),
        "direct": Measure("share", "the rest of it"),
        "moved": Measure("as the measure", "how much guidance moves the measure"),
        "slope": Measure("share per unit", "robust accuracy for one more unit of the measure, within conditions"),
        "between": Measure("r", "between the means of all conditions, given clean accuracy"),
        "p": Measure("", "of both, the part through the measure and `between`, in one direction: the larger of theirs"),
        "q": Measure("", "p, adjusted over all measures and conditions"),
    }
    source: ClassVar[str] = (
        "MacKinnon et al. 2004 (interval of a product); Judd et al. 2001 (pairs); Buyse et al. 2000 (two levels)"
    )

    draws: Annotated[int, Meta(ge=1000), about("of both paths, for the interval of their product")] = 20000
    seed: Annotated[Seed, about("of these draws")] = 0

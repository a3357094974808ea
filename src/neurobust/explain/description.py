"""What an analysis of a trained network is: one class per analysis, its fields the settings, its constants the facts.

Descriptions import no torch. A new analysis is one such class with its function and a line in `registry` (or an entry
point `neurobust.analyses` of another package, whose class and function may stand in one module).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from neurobust.core.settings import Settings

# What an analysis looks at, beside images, labels and the network itself.
Need = Literal["features", "gradient", "predictors"]


class Analysis(Settings, frozen=True):
    """An analysis and its settings.

    measure: what the table calls it; unit: of its value; meaning: a line for readers. run: `package.module:function`,
    called as run(view, settings) with a `view.View`, giving a number or None where it is undefined. needs: `features`
    are those of the penultimate layer; `gradient` is the margin's with respect to each image; with `predictors` it is
    called once for each ROI, as run(view, settings, responses), with the responses (n, voxels) of the ROI's predictor.
    """

    run: ClassVar[str] = ""
    measure: ClassVar[str] = ""
    unit: ClassVar[str] = ""
    meaning: ClassVar[str] = ""
    needs: ClassVar[tuple[Need, ...]] = ()

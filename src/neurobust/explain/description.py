"""What an analysis is to the rest of the house: one class per analysis, its fields the settings, its constants facts.

Descriptions import no torch. A new analysis is one such class with its function and a line in `registry` (or an entry
point `neurobust.analyses` of another package, whose class and function may stand in one module).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from msgspec import Struct

from neurobust.core.settings import Settings

# What is explained: a trained predictor, a trained network, or all networks of a task and an architecture together.
Scope = Literal["predictor", "network", "study"]
# What an analysis looks at beside the module and its images. Where a bench has none, a table has no rows and says why.
#   of a predictor: `concepts` of its held-out stimuli, the `prfs` of its voxels, the predictors of the `others` ROIs
#   of a network: the `predictors` of the ROIs that it is compared with, held-out `stimuli` with measured responses of
#   these ROIs, `adversarials` that the attacks stored, the `minimal` distances that minimum-norm attacks in L2 found,
#   cue `twins` of its images
Need = Literal["concepts", "prfs", "others", "predictors", "stimuli", "adversarials", "minimal", "twins"]


class Measure(Struct, frozen=True):
    """A number that an analysis gives. unit: of its value; meaning: a line for readers.

    asked: whether the analyses of the whole study ask if it predicts robustness and mediates the gain of guidance.
    These measures are one family, the same for every study; they are read without a layer, or at the
    penultimate one.
    """

    unit: str = ""
    meaning: str = ""
    asked: bool = False


class Analysis(Settings, frozen=True):
    """An analysis and its settings.

    scope: what it explains. run: `package.module:function`, called as run(bench, settings) with the bench of the scope
    (`predictor_bench.PredictorBench`, `network_bench.NetworkBench`, `study_bench.StudyBench`) and giving
    `findings.Findings`. title: what readers call it; meaning: a paragraph on how to read it. measures: every measure of
    its rows, by name. needs: what the bench must have. arrays: whether it leaves an `.npz` beside its table.
    apart: it is dear and has a job of its own. usual: it is done where a study has no section `explain`. source: the
    paper.
    """

    scope: ClassVar[Scope] = "network"
    run: ClassVar[str] = ""
    title: ClassVar[str] = ""
    meaning: ClassVar[str] = ""
    measures: ClassVar[Mapping[str, Measure]] = {}
    needs: ClassVar[tuple[Need, ...]] = ()
    arrays: ClassVar[bool] = False
    apart: ClassVar[bool] = False
    usual: ClassVar[bool] = True
    source: ClassVar[str] = ""

    def passes(self) -> float:
        """Passes forward through the network or predictor that an image of its bench costs: its price.

        A pass backward counts two. Those of the predictors that a network is compared with come on top.
        """
        return 1.0

    @property
    def files(self) -> dict[str, str]:
        """Paths of the user's own files and folders that it reads, by key; none for most."""
        return {}

    @property
    def folders(self) -> tuple[str, ...]:
        """The keys of `files` that name folders; the others name single files."""
        return ()

    @property
    def leaves_arrays(self) -> bool:
        """Whether there is an `.npz` beside its table: a job of its own always leaves one."""
        return self.arrays or self.apart

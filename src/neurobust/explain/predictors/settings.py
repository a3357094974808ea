"""The analyses of a predictor: what it sees, and how easily it is fooled. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.core.settings import Count, NotNegative, Positive, Whole, about
from neurobust.explain.description import Analysis, Measure, Need, Scope

Images = Annotated[int, Meta(ge=2)]


class OfPredictor(Analysis, frozen=True):
    """An analysis of the predictor of one ROI."""

    scope: ClassVar[Scope] = "predictor"


class Fields(OfPredictor, frozen=True):
    """Where voxels look, beside their measured population receptive fields."""

    run: ClassVar[str] = "neurobust.explain.predictors.seeing:fields"
    title: ClassVar[str] = "fields of voxels"
    meaning: ClassVar[str] = (
        "Each voxel's field in the predictor against its population receptive field, measured in other scans. On "
        "the diagonal the predictor looks where the voxel does; an area that answers to objects wherever they are "
        "gives a cloud. Sizes agree less than places: a field is as coarse as the map that it pools, and features "
        "see beyond it."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "r of x": Measure("", "correlation over voxels of the horizontal place of field and pRF"),
        "r of y": Measure("", "of the vertical place"),
        "r of size": Measure("", "of the size"),
        "centre error": Measure("degrees", "median distance between the centres of field and pRF"),
        "size ratio": Measure("", "median of size of the field / size of the pRF"),
        "chance r": Measure("", "95 % quantile of |r| of x where pRFs are dealt out among voxels at random"),
    }
    needs: ClassVar[tuple[Need, ...]] = ("prfs",)
    arrays: ClassVar[bool] = True

    def passes(self) -> float:
        """The fields were found at the fit."""
        return 0.0


class Tuning(OfPredictor, frozen=True):
    """Which layers explain the ROI."""

    run: ClassVar[str] = "neurobust.explain.predictors.layered:tuning"
    title: ClassVar[str] = "layers that explain the ROI"
    meaning: ClassVar[str] = (
        "Filled: correlation with the measured responses by one layer of the predictor's core alone; hollow: by all "
        "layers but this one; dashed: by all. A layer matters where the filled mark is high and the hollow one "
        "below the dashed line. Layers that say the same each look dispensable. Nothing is fitted again."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "r of all layers": Measure("", "median over voxels of the correlation with the measured responses"),
        "r of the layer alone": Measure("", "the same by one layer (inclusive)"),
        "r of all but the layer": Measure("", "the same without it (exclusive)"),
        "unique r²": Measure("", "median over voxels of r² of all layers less r² without the layer"),
    }
    source: ClassVar[str] = "St-Yves, Allen, Wu, Kay & Naselaris 2023, Nat. Commun. 14:3329"

    resamples: Annotated[Count, about("of images, for intervals")] = 100


class Transfer(OfPredictor, frozen=True):
    """How well the core serves other ROIs."""

    run: ClassVar[str] = "neurobust.explain.predictors.layered:transfer"
    title: ClassVar[str] = "transfer of cores"
    meaning: ClassVar[str] = (
        "The core that was trained for one ROI, frozen, with a new linear readout for each ROI. What a core loses "
        "on another ROI, against that ROI's own core, is their distance; the index of hierarchy is 1 where cores "
        "serve the areas below theirs and not those above, and 0 where distance alone counts."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "r of a new readout": Measure("", "median over voxels, on images that the readout was not fitted to"),
    }
    needs: ClassVar[tuple[Need, ...]] = ("others",)
    apart: ClassVar[bool] = True
    usual: ClassVar[bool] = False
    source: ClassVar[str] = "St-Yves, Allen, Wu, Kay & Naselaris 2023, Nat. Commun. 14:3329"

    folds: Annotated[int, Meta(ge=2), about("of held-out images: fitted to all but one")] = 5


class Attribution(OfPredictor, frozen=True):
    """Which part of an image the responses rest on."""

    run: ClassVar[str] = "neurobust.explain.predictors.seeing:attribution"
    title: ClassVar[str] = "what in an image counts"
    meaning: ClassVar[str] = (
        "Upper row: images; below: what in each makes the ROI answer as it does (integrated gradients from the mean "
        "colour; green raises the answer, purple lowers it). The maps of single voxels show how far each response "
        "moves when a patch is covered; the circle is the measured pRF (two sizes). The ratio says how much more of "
        "a voxel's map lies inside its own pRF than inside other voxels': 1 is chance."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "mass in the pRF": Measure(
            "", "median over voxels of the share of the occlusion map within two sizes of the pRF"
        ),
        "mass ratio": Measure("", "that share over the share in other voxels' pRFs; interval: of chance, around 1"),
        "r of x, occluded": Measure("", "correlation over voxels of the place of the occlusion map and of the pRF"),
        "r of y, occluded": Measure("", "of the vertical place"),
        "r of size, occluded": Measure("", "of the size"),
    }
    arrays: ClassVar[bool] = True
    source: ClassVar[str] = "Zeiler & Fergus 2014; Sundararajan, Taly & Yan 2017"

    images: Annotated[Images, about("that are covered, patch by patch")] = 8
    grid: Annotated[Count, about("patches along a side")] = 8
    pictures: Annotated[Count, about("shown with their gradients")] = 4
    steps: Annotated[Count, about("of the integral")] = 12

    def passes(self) -> float:
        """Of `images`, one per patch; the price is of each held-out image, of which there are more."""
        return float(self.grid**2) / 8


class Exciting(OfPredictor, frozen=True):
    """What the ROI answers to most."""

    run: ClassVar[str] = "neurobust.explain.predictors.pictured:exciting"
    title: ClassVar[str] = "most exciting images"
    meaning: ClassVar[str] = (
        "Images made by gradient ascent to which the predictor answers most, of natural spectrum and one contrast: "
        "for the mean over voxels, and for the principal components of the ROI. Each column is another random "
        "start: what they share is what the component wants. Beneath: the answer in standard deviations over "
        "natural images. An answer far beyond the best natural image shows how easily the predictor is driven by "
        "what no subject saw."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "response to the most exciting image": Measure("SD", "of the component, over natural images"),
        "response to the best natural image": Measure("SD", "the largest over held-out images"),
        "response to noise": Measure("SD", "largest over as many random images of the same spectrum and contrast"),
        "peak frequency": Measure("cycles per image", "of the most exciting images, against their 1 / f"),
        "peak orientation": Measure("degrees", "of the wave's direction there, counterclockwise from the right"),
    }
    arrays: ClassVar[bool] = True
    source: ClassVar[str] = "Walker et al. 2019, Nat. Neurosci. 22"

    components: Annotated[Whole, about("principal components beside the mean over voxels")] = 2
    starts: Annotated[Count, about("random starts of each")] = 3
    steps: Annotated[Count, about("of gradient ascent")] = 20
    rate: Annotated[Positive, about("length of the first step, in lengths of the spectrum")] = 0.5
    contrast: Annotated[Positive, about("root mean square over pixels", "of the range")] = 0.2
    jitter: Annotated[Whole, about("by which the image is moved at random", "pixels")] = 2

    def passes(self) -> float:
        """Of the images that are made, which are few beside the held-out ones."""
        return 3.0 * self.steps * (self.components + 1) * self.starts / 100


class Concepts(OfPredictor, frozen=True):
    """What the voxels tell apart."""

    run: ClassVar[str] = "neurobust.explain.predictors.told:concepts"
    title: ClassVar[str] = "concepts that voxels tell"
    meaning: ClassVar[str] = (
        "Area under the ROC curve of each voxel for what an image shows: the chance that an image with it gets the "
        "larger answer than one without it; 0.5 is chance, and below it the voxel answers less. Of measured "
        "responses and of those that the predictor makes; a voxel is selective beyond the largest value of any "
        "voxel when images are shuffled (5 %)."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "measured AUC": Measure("", "median over voxels, of measured responses"),
        "predicted AUC": Measure("", "median over voxels, of the predictor's responses"),
        "measured d'": Measure("SD", "median over voxels, of measured responses"),
        "predicted d'": Measure("SD", "median over voxels, of the predictor's responses"),
        "selective voxels": Measure("", "share of voxels whose measured AUC is beyond chance"),
        "chance AUC": Measure("", "95 % quantile of the largest AUC of any voxel under shuffled images"),
    }
    needs: ClassVar[tuple[Need, ...]] = ("concepts",)
    arrays: ClassVar[bool] = True

    fewest: Annotated[Count, about("images with a concept, and without it, below which it is left out")] = 5
    permutations: Annotated[Count, about("of images, for chance")] = 100


class Fragility(OfPredictor, frozen=True):
    """How little moves the response."""

    run: ClassVar[str] = "neurobust.explain.predictors.pictured:fragility"
    title: ClassVar[str] = "the predictor's own fragility"
    meaning: ClassVar[str] = (
        "The smallest change of an image that moves the ROI's predicted response by one standard deviation (root "
        "mean square over voxels). Filled: the smallest that was found; hollow: what a random direction needs; grey "
        "bar: how far two natural images lie apart; lines are quartiles over images. A target that a change "
        "invisible to subjects moves by a standard deviation is itself not robust, and what resembles it need not "
        "be. The stable rank says how many directions share the sensitivity."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "smallest change, L∞": Measure("1/255", "median over images"),
        "smallest change, L2": Measure("L2", "median over images"),
        "random change, L∞": Measure("1/255", "the same along random signs"),
        "random change, L2": Measure("L2", "the same along white noise"),
        "distance of images, L2": Measure("L2", "median over pairs of natural images"),
        "largest gain": Measure("SD / L2", "median over images of the Jacobian's largest singular value / √voxels"),
        "stable rank": Measure(
            "directions", "median over images of energy of the Jacobian / its largest singular value²"
        ),
    }
    arrays: ClassVar[bool] = True
    source: ClassVar[str] = "Berardino, Ballé, Laparra & Simoncelli 2017; Hutchinson 1990"

    images: Annotated[Images, about("that are changed")] = 8
    steps: Annotated[Count, about("of the search, for each norm")] = 8
    probes: Annotated[Count, about("of the Jacobian's energy")] = 4

    def passes(self) -> float:
        """Of `images`, which are few beside the held-out ones."""
        return (2 * 5.0 * self.steps + 3.0 * self.probes + 50) / 8


class Shifted(OfPredictor, frozen=True):
    """What is left of the accuracy on other versions of the images."""

    run: ClassVar[str] = "neurobust.explain.predictors.told:shifted"
    title: ClassVar[str] = "other versions of the images"
    meaning: ClassVar[str] = (
        "Correlation of the predictor's responses to other versions of its held-out images with the responses that "
        "were measured to the intact ones. What falls tells what the predicted response rests on: colour (grey), "
        "detail (blur, another image's detail), surface (line drawing). Another image altogether is the control and "
        "must be at 0."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "r on a version": Measure("", "median over voxels of the correlation with the measured responses"),
        "share kept": Measure("", "that, over the one of intact images"),
    }

    resamples: Annotated[Count, about("of images, for intervals")] = 50
    least_ceiling: Annotated[NotNegative, about("noise ceiling of voxels that count", "percent")] = 5.0

    def passes(self) -> float:
        """One per version."""
        return 7.0

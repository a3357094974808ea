"""The analyses of networks: layers, frequencies, geometry, Jacobian, cue bias, saliency, calibration. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.core.settings import Count, FilePath, NotNegative, Positive, Share, about
from neurobust.explain.description import Analysis, Measure, Need

USUAL_IMAGES = 200  # that attacks look at, by which what looks at fewer is priced


class LayerSimilarity(Analysis, frozen=True):
    """Similarity of every layer to predictors and to measured responses."""

    run: ClassVar[str] = "neurobust.explain.networks.adapters:layers"
    title: ClassVar[str] = "similarity layer by layer"
    meaning: ClassVar[str] = (
        "How alike images are to each layer of the network and to an ROI: to its predictor, on the task's images, and "
        "to the responses that were measured, on stimuli that no predictor was trained on. 1 is the same, 0 is "
        "unrelated (a shuffle of the images lies there). Measured responses are noisy, so that even the true signal "
        "would only reach the ceiling: read a curve against it. Guidance should lift its own ROI's curve above that "
        "of its shuffle, most at the layer that it acts on; where only the predictor's curve rises and not that of "
        "the brain, the network has learned the predictor's errors."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "CKA with the predictor": Measure("debiased CKA", "of a layer with the predictor's responses; jackknife"),
        "RSA with the predictor": Measure("Spearman's r", "of the distances of all pairs of images"),
        "CKA with the brain": Measure(
            "debiased CKA", "of a layer with measured responses, mean of subjects", asked=True
        ),
        "RSA with the brain": Measure("Spearman's r", "with measured responses, mean of subjects"),
        "CKA ceiling": Measure("debiased CKA", "what the true signal would have with the measured responses"),
        "RSA ceiling": Measure("Spearman's r", "of one subject's distances with the others' mean; high: with all's"),
    }
    needs: ClassVar[tuple[Need, ...]] = ("predictors", "stimuli")
    source: ClassVar[str] = "Kornblith et al. 2019; Song et al. 2012; Kriegeskorte et al. 2008; Nili et al. 2014"

    def passes(self) -> float:
        """Images and stimuli once."""
        return 2.0


class Fourier(Analysis, frozen=True):
    """Which spatial frequencies make the network err."""

    run: ClassVar[str] = "neurobust.explain.networks.adapters:fourier_sensitivity"
    title: ClassVar[str] = "Fourier map"
    meaning: ClassVar[str] = (
        "Each point of the map is one wave that is added to every image: its direction and its number of cycles, the "
        "mean colour in the centre and the finest gratings at the edges. Bright is where the network errs with the "
        "wave on the images. A bright ring far out is a network that goes by fine patterns; guidance that makes it go "
        "by shape should darken the ring, and may brighten the centre."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "error from low frequencies": Measure(
            "share of images", "mean error beyond the clean one, waves up to `cutoff`"
        ),
        "error from high frequencies": Measure("share of images", "the same, waves above `cutoff`", asked=True),
        "frequency of errors": Measure("of Nyquist", "mean frequency of the waves that make the network err"),
    }
    arrays: ClassVar[bool] = True
    source: ClassVar[str] = "Yin et al. 2019"

    images: Annotated[Count, about("that each wave is added to, at most")] = 10
    grid: Annotated[Count, about("frequencies along each axis, about; the image's side for all")] = 8
    strength: Annotated[Positive, about("L2 of a wave, of each channel, per 32 pixels of the image's side")] = 2.0
    cutoff: Annotated[Share, about("highest frequency that counts as low", "of Nyquist")] = 0.25

    def passes(self) -> float:
        """A pass per image and wave, and half of the waves have an opposite."""
        return self.images * (self.grid + 1) ** 2 / 2 / USUAL_IMAGES


class Perturbations(Analysis, frozen=True):
    """What the attacks did: the spectrum of their perturbations, and the network's confidence in its wrong answers."""

    run: ClassVar[str] = "neurobust.explain.networks.adapters:perturbations"
    title: ClassVar[str] = "spectrum of the perturbations"
    meaning: ClassVar[str] = (
        "Where in the spectrum the perturbations lie that an attack found: a map of the share of their energy, the "
        "mean colour in the centre. The slope says how fast power falls with frequency: 0 is white, -2 looks like a "
        "natural image. An attack that must change coarse things to break a guided network has a steeper slope than "
        "against `none`. Confidence under attack near that on clean images is a network that does not notice."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "slope of perturbations": Measure(
            "log power / log frequency", "of their mean spectrum up to Nyquist", asked=True
        ),
        "frequency of perturbations": Measure("of Nyquist", "mean frequency of their energy"),
        "low-frequency share of perturbations": Measure("", "of their energy, up to `cutoff`"),
        "confidence under attack": Measure("", "mean probability of the wrong answers"),
        "found over linear distance": Measure("", "L2 that an attack took over the linear distance; 1 where straight"),
    }
    needs: ClassVar[tuple[Need, ...]] = ("adversarials",)
    arrays: ClassVar[bool] = True
    source: ClassVar[str] = "Yin et al. 2019"

    attack: Annotated[
        str, about("whose perturbations the numbers are of; of all that are stored where it has none")
    ] = "transfer"
    cutoff: Annotated[Share, about("highest frequency that counts as low", "of Nyquist")] = 0.25


class Geometry(Analysis, frozen=True):
    """The shape of the penultimate layer, and of the classes in it."""

    run: ClassVar[str] = "neurobust.explain.networks.adapters:geometry_of"
    title: ClassVar[str] = "geometry"
    meaning: ClassVar[str] = (
        "How the penultimate layer lays images out. The spectral exponent says how fast its directions fade (about 1 "
        "in visual cortex; larger is smoother), the intrinsic dimension how many an image can move in, class radius "
        "how wide a class is beside its distance from others, and the signal-to-noise ratio how surely a few examples "
        "tell two classes apart. From about 100 images on, conditions can differ by more than their seeds do; with 32 "
        "they cannot, and classes of fewer than ten images say nothing. The intrinsic dimension grows with the number "
        "of images: compare it within a task alone."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "spectral exponent": Measure("", "of the covariance's eigenvalues over their rank", asked=True),
        "intrinsic dimension": Measure(
            "dimensions", "from the ratio of each image's two nearest distances", asked=True
        ),
        "class radius": Measure("of the distance of centres", "root of a class's total variance", asked=True),
        "class dimension": Measure("dimensions", "participation ratio within classes"),
        "class signal-to-noise": Measure("", "of telling two classes by the nearer mean of `shots` images", asked=True),
    }
    source: ClassVar[str] = "Stringer et al. 2019; Facco et al. 2017; Sorscher et al. 2022"

    shots: Annotated[Count, about("images that a class is learned from")] = 5


class Jacobian(Analysis, frozen=True):
    """How strongly and how straight the network answers to small changes of an image."""

    run: ClassVar[str] = "neurobust.explain.networks.adapters:jacobian_of"
    title: ClassVar[str] = "Jacobian and curvature"
    meaning: ClassVar[str] = (
        "The spectral norm is the most that the logits move per unit of L2 in the image: it grows with the scale of "
        "the logits, so compare it with the linear distance. Curvature is how much the margin's gradient turns on the "
        "way along itself: 0 is a straight network, whose linear distance is the true one; a large one hides its "
        "boundary from attacks by gradient."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "spectral norm of the Jacobian": Measure("logits / L2", "median over images", asked=True),
        "curvature of the margin": Measure("1 / L2", "relative turn of its gradient along itself, median", asked=True),
    }

    images: Annotated[Count, about("that are looked at, at most")] = 10
    steps: Annotated[Count, about("of power iteration")] = 4
    distance: Annotated[float, Meta(ge=1e-4, le=100), about("L2 along the gradient, where it is asked again")] = 0.1

    def passes(self) -> float:
        """Two products with the Jacobian per step, of about three passes each, and two gradients."""
        return (6 * self.steps + 6) * self.images / USUAL_IMAGES


class Boundary(Analysis, frozen=True):
    """Whether the boundary lies where the gradient says."""

    run: ClassVar[str] = "neurobust.explain.networks.adapters:boundary"
    title: ClassVar[str] = "linear and true distance to the boundary"
    meaning: ClassVar[str] = (
        "The linear distance asks the gradient at the image how far the boundary is; a minimum-norm attack walks "
        "there. If both put the images in one order (1), the cheap measure stands for the dear one within this "
        "network. The ratio is 1 for a straight network; below 1 the boundary is nearer than the gradient says, and "
        "well above 1 the attack is weak or the gradient misleads."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "order of linear and true distance": Measure("Spearman's r", "over images that an attack in L2 broke"),
        "true over linear distance": Measure("", "median over these images"),
    }
    needs: ClassVar[tuple[Need, ...]] = ("minimal",)
    source: ClassVar[str] = "Moosavi-Dezfooli et al. 2016"


class CueBias(Analysis, frozen=True):
    """Whether the network goes by the shape or by the cue where they disagree."""

    run: ClassVar[str] = "neurobust.explain.networks.adapters:cue_bias_of"
    title: ClassVar[str] = "cue bias"
    meaning: ClassVar[str] = (
        "The same images with the cue of another class: the share of answers that follow the cue among those that "
        "follow either. 1 is a network that goes by the cue alone, 0 one that goes by the shape, one half one that "
        "guesses. Guidance that makes a network robust by making it see shapes must lower the bar below that of its "
        "shuffle."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "cue bias": Measure("share of decisions", "that follow the cue, of those that follow cue or shape", asked=True),
        "read as the cue": Measure("share of images", "with a conflicting cue"),
        "read as the shape": Measure("share of images", "with a conflicting cue"),
    }
    needs: ClassVar[tuple[Need, ...]] = ("twins",)
    source: ClassVar[str] = "Geirhos et al. 2019"


class Saliency(Analysis, frozen=True):
    """Where the network looks, beside the object and beside what the ROI responds to."""

    run: ClassVar[str] = "neurobust.explain.networks.adapters:saliency_of"
    title: ClassVar[str] = "saliency"
    meaning: ClassVar[str] = (
        "Saliency is how much each pixel moves the margin. Its share on the object is read against the object's share "
        "of the image, which is what chance gives. Shared saliency is the correlation with the pixels that move an "
        "ROI's predictor, less that of different images: 0 where the two look at different places, or only share a "
        "love of the centre."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "saliency on the object": Measure("share", "of the saliency that lies in the object's mask", asked=True),
        "pointing game": Measure("share of images", "whose most salient pixel lies in the object's mask"),
        "area of the object": Measure("share", "of the image in the mask: what chance gives both"),
        "shared saliency": Measure("Pearson's r", "with an ROI's predictor, less that of different images", asked=True),
        "predictor's saliency on the object": Measure("share", "of an ROI's own saliency in the object's mask"),
    }
    needs: ClassVar[tuple[Need, ...]] = ("predictors",)
    source: ClassVar[str] = "Zhang et al. 2018; Wang et al. 2020"

    images: Annotated[Count, about("that are shown to predictors, at most")] = 16
    draws: Annotated[Count, about("random projections of the responses")] = 2
    blur: Annotated[NotNegative, about("standard deviation by which maps are smoothed", "% of the side")] = 3.0

    def passes(self) -> float:
        """The predictors' gradients; the network's are those of `distance`."""
        return (1 + 2 * self.draws) * self.images / USUAL_IMAGES


class Calibration(Analysis, frozen=True):
    """Whether confidence tells how often the network is right."""

    run: ClassVar[str] = "neurobust.explain.networks.adapters:calibration_of"
    title: ClassVar[str] = "calibration"
    meaning: ClassVar[str] = (
        "Calibration error is how far confidence and accuracy lie apart, on average; few images give some even to a "
        "perfectly calibrated network, and that much has been taken off: 0 is calibrated. Overconfidence above 0 is a "
        "network that thinks too well of itself."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "calibration error": Measure("", "beyond that of a calibrated network of as many images", asked=True),
        "overconfidence": Measure("", "mean confidence less accuracy"),
        "confidence": Measure("", "mean probability of the answer"),
    }
    source: ClassVar[str] = "Guo et al. 2017"

    bins: Annotated[Count, about("of equal width, of confidence")] = 10


class Humans(Analysis, frozen=True):
    """Cue bias on published stimuli, and whether the network errs where human observers do."""

    run: ClassVar[str] = "neurobust.explain.networks.humans:humans"
    title: ClassVar[str] = "beside human observers"
    meaning: ClassVar[str] = (
        "Error consistency is Cohen's kappa of being right and wrong on the same images: 0 for observers who err "
        "independently, 1 for those who err alike. Read the network's with humans against that of humans with each "
        "other."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "cue bias on the stimuli": Measure(
            "share of decisions", "that follow the texture, of those that follow either"
        ),
        "consistency with humans": Measure("kappa", "mean over observers"),
        "consistency of humans": Measure("kappa", "mean over pairs of observers, with the least and the most"),
    }
    usual: ClassVar[bool] = False
    source: ClassVar[str] = "Geirhos et al. 2019; Geirhos, Meding and Wichmann 2020"

    stimuli: Annotated[
        FilePath | None, about("folder of images named <shape><number>-<texture><number>.png; none: no numbers")
    ] = None
    trials: Annotated[FilePath | None, about("CSV of human trials on them, as model-vs-human publishes them")] = None

    def __post_init__(self) -> None:
        if self.trials is not None and self.stimuli is None:
            raise ValueError("stimuli: missing: trials are read beside the images that were seen; name their folder")

    @property
    def files(self) -> dict[str, str]:
        """The stimuli and the trials."""
        return {key: path for key, path in (("stimuli", self.stimuli), ("trials", self.trials)) if path is not None}

    @property
    def folders(self) -> tuple[str, ...]:
        """The stimuli."""
        return ("stimuli",)

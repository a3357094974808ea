"""What a loss, a control, a reference and a kind of task are to the rest of the house. Imports no torch.

Each is described once, beside its code, and named once, in `registry`. What another package adds can stand in one file:

    from neurobust.networks.description import Loss

    def closeness(x, y):
        return (x - y).abs().mean()

    CLOSENESS = Loss(run=f"{__name__}:closeness", needs_head=True, help="mean absolute difference")

with `closeness = "my_package.my_module:CLOSENESS"` among the entry points `neurobust.losses`. A control is such an
object too (`neurobust.controls`); a reference (`neurobust.references`) and a kind of task (`neurobust.tasks`) are
classes, because they have settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from msgspec import Struct

from neurobust.core.places import load
from neurobust.core.settings import Settings, about


class Loss(Struct, frozen=True, kw_only=True):
    """A loss that draws the features of a batch towards a target.

    run: `package.module:function`, called as run(x, y) and giving a scalar to minimise: x (n, d) and the target y
    (n, v) of the same n images. needs_head: x is what the neural head predicts, compared column by column (d = v);
    otherwise x are the features themselves. min_batch: the fewest images that it is defined on. mixes_layers: the
    features pass through a learned `layers.LayerMixture`. by_class: y is a `manifolds.ClassTarget`, the images' classes
    with the manifolds of all classes. source: paper and equation. help: one line for readers.
    """

    run: str
    needs_head: bool
    min_batch: int = 1
    mixes_layers: bool = False
    by_class: bool = False
    source: str = ""
    help: str = ""

    @property
    def function(self) -> Callable[..., Any]:
        """The function at `run`; its module is imported now."""
        return load_function(self.run)


class Control(Struct, frozen=True, kw_only=True):
    """A control: what takes the place of a target, so that one ingredient of it is gone and all else is kept.

    run: place of respond(setting: controls.Setting) -> controls.Respond, what answers to the images. partners: place of
    partners(split (N,), seed) -> rows (N,), whose response each image gets. moments: the responses are given mean and
    covariance of the true target over the training images. subsample: only voxels that every ROI of the condition's
    `match` has alike (files `voxels` and `matched` of `inputs.NetworkInputs`). oracle: `run` reads the image classifier
    of the condition's `features` (file `oracle`, where it has weights). categories: `run` reads what the images show
    (of stimuli the file `labels` says it). pairs: it can be used with measured responses. shuffled_predictor: the
    condition names a predictor that was trained on shuffled pairs. source: paper. help: what it takes away.
    """

    run: str = "neurobust.networks.controls:predicted"
    partners: str = "neurobust.networks.controls:own_partners"
    moments: bool = False
    subsample: bool = False
    oracle: bool = False
    categories: bool = False
    pairs: bool = False
    shuffled_predictor: bool = False
    source: str = ""
    help: str = ""


class Reference(Settings, frozen=True, kw_only=True):
    """A known way to a robust network, without a target, and its settings; networks with a target are held against it.

    perturb: place of perturb(network, pixels, labels, settings) -> the pixels that it trains on; empty for the clean
    ones. images: the images of `files.dataset.Dataset` that it trains on; everything is measured on the task's own.
    training: fields that replace the setting of `conditions.Training` of the same name. positive: a positive control:
    its networks are known to stand bounded attacks better, so a study that cannot see it sees nothing. reach: the field
    that says how far it moves pixels, in 1/255. source: paper.
    """

    perturb: ClassVar[str] = ""
    images: ClassVar[str] = "images"
    positive: ClassVar[bool] = False
    training: ClassVar[tuple[str, ...]] = ()
    reach: ClassVar[str] = ""
    source: ClassVar[str] = ""

    kind: Annotated[str, about("the name of the reference")]

    @property
    def penalty(self) -> float:
        """Weight of KL(clean || perturbed) beside the cross-entropy of the clean pixels; 0: of the perturbed ones."""
        return 0.0

    @property
    def low_pass(self) -> float | None:
        """Cut-off of the low-pass filter that its network begins with, in cycles per image; None: it has none."""
        return None

    @property
    def matched(self) -> str | None:
        """The condition whose network, of the same seed, says the cut-off in place of `low_pass`; None: no such."""
        return None

    @property
    def passes(self) -> float:
        """Passes through the network of one training step, in those of plain training."""
        return 1.0


class Task(Settings, frozen=True, kw_only=True):
    """A kind of task and its settings: labelled images that networks are trained to classify.

    reader: place of read(settings, source) -> files.dataset.Source. brings: what `source` must be where the user brings
    the images, else empty. phantom: the key of `phantom` that renders them, else empty. faces: the images have
    attributes beside their labels. attributes: how many, people: the labels say who is shown. cue: the images bear a
    cue (`Source.twins`); those of a phantom where it has one.
    """

    reader: ClassVar[str] = ""
    brings: ClassVar[str] = ""
    phantom: ClassVar[str] = ""
    faces: ClassVar[bool] = False
    attributes: ClassVar[int] = 0
    people: ClassVar[bool] = False
    cue: ClassVar[bool] = False

    kind: Annotated[str, about("how the images are made or read")]

    @property
    def side(self) -> int | None:
        """Side of the images in pixels; None where the phantom's settings say it."""
        return None

    @property
    def images(self) -> int | None:
        """How many images there are, for the price of a study; None where the phantom's settings say it."""
        return None


def load_function(place: str) -> Callable[..., Any]:
    """The function at `package.module:function`."""
    found = load(place)
    assert callable(found), f"{place} is not a function"
    return found

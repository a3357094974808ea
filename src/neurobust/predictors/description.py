"""What a kind of predictor is to the rest of the house: one class per kind, its fields the settings, its constants the
places of its code.

Descriptions import no torch. The schema of the configuration, its checks, the prices of a plan and the sources of a
job are made from them. A new kind is one such class with its functions and a line in `registry` (or an entry point
`neurobust.predictors` of another package, whose class and functions may stand in one module).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from msgspec import Meta

from neurobust.core.settings import LARGEST_SIDE, Settings, about

INPUT_SIZE = about("side at which it sees an image; 227 as published", "pixels")


class Predictor(Settings, frozen=True, kw_only=True):
    """A predictor and its settings; `read_predictor` makes it. `kind` is its name in the registry.

    fit: `package.module:function`, called as fit(settings, context) with a `fitting.FitContext` and giving a
    `fitting.Fitted`. build: what rebuilds the module (a `model.ResponseModel`) from the arguments in `Fitted.config`.
    fields: where each voxel looks, called as fields(model, subject) and giving (V, 3) of x, y and size in degrees;
    empty where a kind has none. source: the paper. instead: words that a key may have in the place of a file's path.
    usual: values of keys that a configuration must state, for a fit to a caller's own arrays (`own_arrays`).
    """

    fit: ClassVar[str] = ""
    build: ClassVar[str] = ""
    fields: ClassVar[str] = ""
    source: ClassVar[str] = ""
    instead: ClassVar[tuple[str, ...]] = ()
    usual: ClassVar[Mapping[str, object]] = {}

    kind: Annotated[str, about("how it is fitted: a registered kind of predictor")]
    input_size: Annotated[int, Meta(ge=16, le=LARGEST_SIDE), INPUT_SIZE]
    shuffle_pairing: Annotated[
        bool, about("train on permuted pairs of image and response, for the control predictor-shuffled")
    ] = False

    def passes(self) -> float:
        """Passes over the subjects' images, forward and backward, that its training costs: its price."""
        raise NotImplementedError

    def checked(self, where: str) -> Self:
        """These settings with what follows from others filled in.

        Raises InputError, beginning with `where`, for fields that do not fit together.
        """
        return self

    def origin(self) -> str:
        """How to come by the files that the settings name, for the message where one is missing; may be empty."""
        return ""

    @property
    def files(self) -> dict[str, str]:
        """Paths of the user's own files that it reads, by key; none for most."""
        return {}

"""Settings of face verification under attack. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from neurobust.core.errors import InputError
from neurobust.core.settings import (
    UNIQUE,
    Count,
    Given,
    Names,
    NotNegative,
    Positive,
    Settings,
    Share,
    Whole,
    about,
    field_names,
    read,
    written,
)

Goal = Literal["targeted", "untargeted"]
Rate = Annotated[float, Meta(gt=0, lt=1)]


class Verification(Settings, frozen=True):
    """Face verification under SemanticAdv: an attribute is turned so that two images pass, or not, for one person.

    The verifier is each network, by the squared distance of its unit embeddings (the penultimate layer), at thresholds
    of its own false-positive rates. A targeted pair is to pass for another person, an untargeted one no longer for
    itself. The defaults are the published ones.
    """

    source: ClassVar[str] = "Qiu et al., ECCV 2020, 4.1"
    helpers: ClassVar[tuple[str, ...]] = ("editor", "identity", "oracle")

    pairs: Annotated[Count, about("of each goal, from the first images of the list that attacks work through")] = 32
    goals: Annotated[
        tuple[Goal, ...], UNIQUE, about("targeted: taken for another person; untargeted: no longer for the same one")
    ] = ("targeted", "untargeted")
    untargeted_reference: Annotated[
        Literal["itself", "another"],
        about("whom an untargeted image is compared with: itself, or another of the person"),
    ] = "itself"
    attributes: Annotated[Names | None, about("that are turned, one at a time; default: all of the task")] = None
    rates: Annotated[tuple[Rate, ...], UNIQUE, about("false-positive rates of the thresholds")] = (1e-3, 3e-4, 1e-4)
    threshold_images: Annotated[Count, about("held-out images at most, whose pairs set the thresholds")] = 2000
    range: Annotated[Share, about("of the mixing weights below 1; they start in its middle")] = 0.4
    steps: Annotated[Count, about("of the attack, for each pair and attribute")] = 200
    rebuild: Annotated[Whole, about("steps of the search for the image that the editor gives back best")] = 300
    learning_rate: Annotated[Positive, about("of Adam, for the mixing weights")] = 0.05
    smoothness: Annotated[NotNegative, about("weight of the total variation of the mixing weights")] = 0.01
    draws: Annotated[Count, about("random edits of a pair, the best of which is the baseline")] = 20

    def __post_init__(self) -> None:
        if self.untargeted_reference != "itself" and "untargeted" not in self.goals:
            raise ValueError(
                f"untargeted_reference: {self.untargeted_reference}: `goals` has no untargeted one; remove it, or add "
                "untargeted to goals"
            )

    def passes(self, attributes: int) -> float:
        """Steps forward and backward that one pair costs under all goals, with this many attributes to turn."""
        turned = attributes if self.attributes is None else len(self.attributes)
        return float(len(self.goals) * turned * (self.steps + self.draws / 2))


class Met(Settings, frozen=True):
    """Whose networks are verifiers: it changes no number."""

    tasks: Annotated[Names | None, about("default: all")] = None
    conditions: Annotated[Names | None, about("whose networks are attacked; default: all")] = None


class VerificationPlan(Struct, frozen=True):
    """The verification of a study: its settings, and whom it meets."""

    settings: Verification
    tasks: tuple[str, ...] | None = None
    conditions: tuple[str, ...] | None = None

    def written(self) -> dict[str, Any]:
        """All that makes its numbers, every default filled in, as JSON types."""
        found: dict[str, Any] = written(self.settings)
        return found


def read_verification(given: Given, where: str = "semantic.verification") -> VerificationPlan:
    """The verification that a configuration describes; InputError for whatever could not be used."""
    if not isinstance(given, Mapping):
        read(Verification, given, where)  # which says so
    outer = field_names(Met)
    settings = read(Verification, {key: value for key, value in given.items() if key not in outer}, where)
    met = read(Met, {key: value for key, value in given.items() if key in outer}, where)
    return VerificationPlan(settings, met.tasks, met.conditions)


def chosen_attributes(settings: Verification, names: list[str]) -> list[str]:
    """The attributes that are turned, of those of a task; InputError for one that it does not have."""
    wanted = names if settings.attributes is None else list(settings.attributes)
    if unknown := [name for name in wanted if name not in names]:
        raise InputError(f"semantic.verification.attributes: '{unknown[0]}' is unknown; use some of {names}")
    return wanted

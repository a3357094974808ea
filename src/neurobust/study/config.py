"""The configuration as a user writes it: its sections, before their names are looked up and fitted together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from neurobust.attacks.corruptions.settings import Corruptions
from neurobust.attacks.shifted.settings import ShiftedSet
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.settings import Count, Given, Seeds, Settings, about, shaped
from neurobust.networks.conditions import Architecture
from neurobust.networks.outside_settings import OutsideNetwork
from neurobust.nsd.settings import ROI, Data, Splits
from neurobust.phantom.settings import Phantom

Name = Annotated[
    str,
    shaped("^[A-Za-z0-9]+([.-][A-Za-z0-9]+)*$", "a name of letters and digits, with . or - between them"),
    Meta(description="becomes part of paths", max_length=100),
]
# A section whose entries are of many kinds: `read` looks each kind up in its registry.
Entries = Annotated[dict[Name, dict[str, Any]], Meta(min_length=1)]


def as_written(given: Given) -> Given:
    """A configuration with the key `on` of its conditions as it stands in the file: YAML 1.1 reads it as true."""
    conditions = given.get("conditions") if isinstance(given, Mapping) else None
    if not isinstance(conditions, Mapping):
        return given
    return {**given, "conditions": {name: _with_on(condition) for name, condition in conditions.items()}}


def _with_on(condition: Any) -> Any:
    if not isinstance(condition, Mapping) or True not in condition:
        return condition
    return {"on" if key is True else key: value for key, value in condition.items()}


def with_text_keys(given: Any) -> Any:
    """The same with every key as text: of a file whose odd keys have been named already."""
    if isinstance(given, Mapping):
        return {str(key): with_text_keys(value) for key, value in given.items()}
    return [with_text_keys(item) for item in given] if isinstance(given, list) else given


class Config(Settings, frozen=True, kw_only=True):
    """A neurobust study."""

    study: Annotated[Name, about("name of the study, on its report")]
    results: Annotated[
        str,
        shaped("^results(/[A-Za-z0-9][A-Za-z0-9._-]*)?$", "text that is results, or results/ and one name"),
        about("folder of everything that is computed"),
    ]
    data: Annotated[Data, about("where the data come from")]
    rois: Annotated[dict[Name, ROI], Meta(min_length=1), about("regions of cortex, by name")]
    splits: Annotated[Splits, about("which images are held out")]
    predictors: Annotated[Entries, about("what maps images to responses, by name; pages show the first")]
    predictor_seeds: Annotated[Seeds, about("of the predictors; the k-th goes with the k-th of `seeds`, counted round")]
    tasks: Annotated[Entries, about("labelled images that networks classify, by name")]
    architectures: Annotated[
        dict[Annotated[str, shaped("^[A-Za-z0-9_.-]+$", "the name of an architecture")], Architecture],
        Meta(min_length=1),
        about("classifiers, by torchvision's name, or `small`"),
    ]
    training: Annotated[dict[str, Any], about("the same for every condition; a task may say what differs")]
    conditions: Annotated[Entries, about("recipes of training, by name")]
    seeds: Annotated[Seeds, about("of the networks")]
    attack_images: Annotated[Count, about("test images per network that attacks and analyses look at")]
    attacks: Annotated[Entries, about("methods with their settings and budgets, by name")]
    primary_attack: Annotated[
        str, about("the answer is read from the worst case of its norm, at its budgets; its own number stands beside")
    ]
    phantom: Annotated[
        Phantom | None, about("what is planted, for `data.source: phantom` and for tasks that are rendered")
    ] = None
    corruptions: Annotated[Corruptions | None, about("of test images; without it there are none")] = None
    shifted: Annotated[
        dict[Name, ShiftedSet] | None,
        about("published test sets in their official layouts, by name; without it there are none"),
    ] = None
    outside: Annotated[
        dict[Name, OutsideNetwork] | None,
        about("networks that others trained, by name, as calibration: they meet the attacks and enter no comparison"),
    ] = None
    semantic: Annotated[dict[str, Any] | None, about("semantic attacks; without it there are none")] = None
    claims: Annotated[
        str | dict[str, Any] | None,
        about("what the report tests: a file such as config/claims.yaml, or claims by name"),
    ] = None
    transfer: Annotated[
        Transfer | None, about("of each network's adversarials to the others; without it there is none")
    ] = None

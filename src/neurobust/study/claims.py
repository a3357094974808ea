"""The claims ledger: sentences of the proposal and its literature, each with the contrast that tests it.

A ledger is a YAML file, name -> claim (`config/claims.yaml`), or the same mapping in the configuration itself. Claims
name ROIs, controls and references and no conditions of one study, so that they hold for every study that has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from neurobust.core.errors import InputError
from neurobust.core.settings import Given, Names, Positive, Settings, about, no_path, read, shaped
from neurobust.networks.registry import CONTROLS
from neurobust.study.locate import located
from neurobust.study.yaml_file import read_yaml

PREFIX = "claims"  # what messages about a ledger's file begin with, until `located` names the line
ClaimName = Annotated[str, shaped("^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$", "letters and digits, with . _ - between them")]


def is_control(name: str) -> bool:
    """Whether a name in a claim is that of a control, whatever a study trains."""
    return name in CONTROLS


class Contrast(Settings, frozen=True, kw_only=True):
    """Two conditions, and what is compared of them.

    A name is that of an ROI (every guided condition of that ROI), of a control (`shuffled`: the condition's own), of a
    kind of reference (`adversarial`), or of a condition.
    """

    condition: Annotated[str, about("ROI, reference or condition; `V1-shuffled`: a control of an ROI")]
    baseline: Annotated[str, about("ROI, control, reference or condition")]
    over: Annotated[str | None, about("control: both sides are increments over their own, such as `shuffled`")] = None
    attack: Annotated[str, about("name of an attack, norm or semantic attack; default: the study's primary one")] = (
        "primary"
    )
    measure: Annotated[
        Literal["accuracy", "size"],
        about(
            "accuracy at the reference budget, or mean smallest perturbation that breaks an image, of those that both "
            "networks read rightly, in the attack's unit"
        ),
    ] = "accuracy"


class Claim(Settings, frozen=True, kw_only=True):
    """A sentence, where it comes from, and what must hold for it to be supported: all of its contrasts, or an order."""

    says: Annotated[str, Meta(min_length=1), about("the claim, as one sentence")]
    source: Annotated[str, Meta(min_length=1), about("who says so")]
    contrasts: Annotated[tuple[Contrast, ...], about("all of them must hold")] = ()
    order: Annotated[Names | None, about("ROIs along which the increment over the own shuffle grows")] = None
    given: Annotated[Contrast | None, about("what must be supported first, without which there is nothing to say")] = (
        None
    )
    direction: Annotated[
        Literal["more", "less", "no-more"],
        about("the condition is above its baseline, below it, or not above it by as much as the margin"),
    ] = "more"
    margin: Annotated[Positive, about("the smallest difference that would matter: of accuracy, or of the size")] = 0.03
    needs: Annotated[str, about("what a study needs beyond what the names say, for readers")] = ""

    def __post_init__(self) -> None:
        if bool(self.contrasts) == bool(self.order):
            raise ValueError("give either `contrasts` or `order`")
        if self.order and len(self.order) < 3:
            raise ValueError("`order` needs at least three ROIs")
        if self.order and self.direction != "more":
            raise ValueError("`order` goes from the least to the most helpful ROI; it has no other `direction`")
        if self.direction == "no-more" and len(self.contrasts) > 1:
            raise ValueError("`direction: no-more` goes with one contrast; make each a claim of its own")
        if len({contrast.measure for contrast in self.contrasts}) > 1:
            raise ValueError("all `contrasts` of a claim have one `measure`, that of its margin")


class Ledger(Settings, frozen=True, kw_only=True):
    """The claims that a report tests, by name."""

    claims: dict[ClaimName, Claim]


def claims_of(given: Mapping[str, Given], section: str = "") -> dict[str, Claim]:
    """The claims of a mapping, in its order; InputError, with the path of the key below `section`, for what is none."""
    return read(Ledger, {PREFIX: given}, section).claims


def given_claims(path: Path) -> dict[str, Given]:
    """A ledger's file as it was written, checked; InputError with file, line and key for what is wrong in it."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: missing: the file of claims that `claims` names; correct the path or leave it out")
    found = read_yaml(path, "a mapping of names to claims")
    if "study" in found and "conditions" in found:
        raise InputError(f"{path}: a study's configuration and no file of claims; name one, or leave `claims` out")
    try:
        claims_of(found)
    except InputError as error:
        raise located(error, [path], PREFIX) from None
    return found


def read_claims(path: Path) -> dict[str, Claim]:
    """The claims of a ledger's file, by name; InputError with file, line and key for what is wrong in it."""
    return claims_of(given_claims(path))


def with_claims(config: Mapping[str, Any], *folders: Path) -> dict[str, Any]:
    """A configuration with the claims themselves where it names their file, looked for in these folders.

    Jobs are given what a file says and not where it lies: what they make depends on the claims alone. Raises InputError
    for a file that is in none of them, and for what is wrong in it.
    """
    named = config.get("claims")
    if not isinstance(named, str):
        return dict(config)
    if problem := next(no_path(named, "config.claims"), None):
        raise InputError(problem)
    places = (Path(folder) / named for folder in folders or (Path(),))
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        text = named if named.isprintable() and named else repr(named)
        raise InputError(f"config.claims: {text}: missing: the file of claims; correct the path or leave it out")
    return {**config, "claims": given_claims(path)}

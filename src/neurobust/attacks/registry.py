"""The attacks by the name that a configuration calls them; a new attack is one function and one line here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from neurobust.attacks.colour import brightness, contrast, hue, saturation
from neurobust.attacks.foolbox_attacks import ddn, deepfool, fmn
from neurobust.attacks.gradient import apgd, fgsm, pgd
from neurobust.attacks.noise import gaussian, sign, uniform
from neurobust.attacks.search import AttackResult, check_budgets, frozen
from neurobust.attacks.spatial import rotation_translation
from neurobust.errors import InputError

# attack(model, images (N, 3, H, W), labels (N,), budgets, *, seed, ids, **settings) -> AttackResult
ATTACKS: dict[str, Callable[..., AttackResult]] = {
    "uniform": uniform,
    "sign": sign,
    "gaussian": gaussian,
    "fgsm": fgsm,
    "pgd": pgd,
    "apgd": apgd,
    "deepfool": deepfool,
    "ddn": ddn,
    "fmn": fmn,
    "hue": hue,
    "saturation": saturation,
    "brightness": brightness,
    "contrast": contrast,
    "rotation-translation": rotation_translation,
}

GRADIENT_METHODS = ("pgd", "apgd")
NOISE_METHODS = ("uniform", "sign", "gaussian")

# what one unit of a configured budget is, in the attack's own unit (pixels in [0,1], turns of hue, change of factor)
UNITS = {"1/255": 1 / 255, "1": 1.0}

RESERVED = ("method", "budgets", "unit")


def resolve(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The configured `settings` of attack `name` with every default filled in; a bad one is an InputError.

    Returns method, norm, unit, budgets (as configured, floats) and every parameter of the attack function.
    """
    method = settings.get("method")
    if method not in ATTACKS:
        raise InputError(f"attack '{name}': method '{method}' is unknown; use one of {sorted(ATTACKS)}")
    if "budgets" not in settings:
        raise InputError(f"attack '{name}': no budgets; give a list that ascends from 0")
    signature = inspect.signature(ATTACKS[method]).parameters
    options = {key: value.default for key, value in signature.items() if value.default is not inspect.Parameter.empty}
    given = {key: value for key, value in settings.items() if key not in RESERVED}
    unknown = sorted(set(given) - set(options))
    if unknown:
        raise InputError(f"attack '{name}': setting '{unknown[0]}' is unknown to {method}; it takes {sorted(options)}")
    options |= given
    unit = str(settings.get("unit", "1/255" if options["norm"] == "linf" else "1"))
    if unit not in UNITS:
        raise InputError(f"attack '{name}': unit '{unit}' is unknown; use one of {sorted(UNITS)}")
    return {"method": method, "unit": unit, "budgets": check_budgets(settings["budgets"]), **options}


def run_attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: dict[str, Any],
    *,
    seed: int,
    ids: Sequence[int],
    name: str = "attack",
) -> AttackResult:
    """Run one attack on one batch: images (N, 3, H, W) in [0,1], labels int64 (N,), `ids` the images' dataset rows.

    The model is attacked in eval mode with frozen parameters and given back as it was. The result's budgets and
    distances are in the attack's own unit (`settings` budgets times their unit).
    """
    settings = resolve(name, settings)
    if images.ndim != 4 or len(images) != len(labels) or len(images) != len(ids) or not len(images):
        raise InputError(
            f"attack '{name}': images {tuple(images.shape)}, {len(labels)} labels and {len(ids)} ids do not match"
        )
    if not (images.min() >= 0 and images.max() <= 1):  # also refuses NaN
        raise InputError(f"attack '{name}': pixels outside [0,1]; normalisation belongs inside the model")
    options = {key: value for key, value in settings.items() if key not in RESERVED}
    budgets = [budget * UNITS[settings["unit"]] for budget in settings["budgets"]]
    with frozen(model):
        return ATTACKS[settings["method"]](model, images, labels.long(), budgets, seed=seed, ids=list(ids), **options)

"""Settings of an attack with every default filled in, and one attack on one batch."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from neurobust.attacks.registry import ATTACKS
from neurobust.attacks.search import AttackResult, check_budgets, frozen, seeded
from neurobust.core.errors import InputError

# what one unit of a configured budget is, in the attack's own unit (pixels in [0,1], turns of hue, change of factor)
UNITS = {"1/255": 1 / 255, "1": 1.0}

RESERVED = ("method", "budgets", "unit")
# what an attack is given beside its settings
GIVEN = ("seed", "ids", "pool")


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
    defaults = {key: value.default for key, value in signature.items() if key not in GIVEN}
    options = {key: value for key, value in defaults.items() if value is not inspect.Parameter.empty}
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
    pool: Tensor | None = None,
) -> AttackResult:
    """Run one attack on one batch: images (N, 3, H, W) in [0,1], labels int64 (N,), `ids` the images' dataset rows.

    `pool`: other images of the task (M, 3, H, W), for attacks that start from one. The model is attacked in eval mode
    with frozen parameters and given back as it was; if it draws random numbers itself, they follow the seed. The
    result's budgets and distances are in the attack's own unit (`settings` budgets times their unit).
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
    if needs_pool(settings["method"]):
        options["pool"] = pool
    attack = ATTACKS[settings["method"]]
    with frozen(model), seeded(images.device, seed, "model", name, ids[0]):
        return attack(model, images, labels.long(), budgets, seed=seed, ids=list(ids), **options)


def needs_pool(method: str) -> bool:
    """Whether the attack starts from other images of the task."""
    return "pool" in inspect.signature(ATTACKS[method]).parameters

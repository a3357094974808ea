"""The attacks by the name that a configuration calls them; a new attack is one function and one line here.

Nothing heavy is imported: the workflow reads from here which modules a study's attacks live in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from neurobust.core.places import Places

# attack(model, images (N, 3, H, W), labels (N,), budgets, *, seed, ids, **settings) -> search.AttackResult; one that
# starts from other images of the task also takes them as `pool` (M, 3, H, W) or None
ATTACKS: Places[Callable[..., Any]] = Places(
    {
        "uniform": "neurobust.attacks.noise:uniform",
        "sign": "neurobust.attacks.noise:sign",
        "gaussian": "neurobust.attacks.noise:gaussian",
        "salt-pepper": "neurobust.attacks.noise:salt_pepper",
        "fgsm": "neurobust.attacks.gradient:fgsm",
        "pgd": "neurobust.attacks.gradient:pgd",
        "apgd": "neurobust.attacks.gradient:apgd",
        "apgd-targeted": "neurobust.attacks.gradient:apgd_targeted",
        "autoattack": "neurobust.attacks.ensemble:autoattack",
        "square": "neurobust.attacks.square:square",
        "hopskipjump": "neurobust.attacks.decision:hopskipjump",
        "blended": "neurobust.attacks.decision:blended",
        "fmn": "neurobust.attacks.fmn:fmn",
        "deepfool": "neurobust.attacks.foolbox_attacks:deepfool",
        "ddn": "neurobust.attacks.foolbox_attacks:ddn",
        "carlini-wagner": "neurobust.attacks.foolbox_attacks:carlini_wagner",
        "ead": "neurobust.attacks.foolbox_attacks:ead",
        "brendel-bethge": "neurobust.attacks.foolbox_attacks:brendel_bethge",
        "boundary": "neurobust.attacks.foolbox_attacks:boundary",
        "hue": "neurobust.attacks.colour:hue",
        "saturation": "neurobust.attacks.colour:saturation",
        "brightness": "neurobust.attacks.colour:brightness",
        "contrast": "neurobust.attacks.colour:contrast",
        "rotation-translation": "neurobust.attacks.spatial:rotation_translation",
        "adaptive-joint": "neurobust.attacks.adaptive:adaptive_joint",
        "adaptive-collision": "neurobust.attacks.adaptive:adaptive_collision",
    }
)

GRADIENT_METHODS = ("pgd", "apgd", "autoattack")
NOISE_METHODS = ("uniform", "sign", "gaussian")
ADAPTIVE_METHODS = ("adaptive-joint", "adaptive-collision")  # they read the head that the neural loss has trained
CANARY_METHOD = "pgd"  # what canaries meet in a study without an iterative attack


def attack_modules(attacks: Mapping[str, Mapping[str, Any]], *more: str) -> list[str]:
    """The modules that a study's attacks (name -> settings with `method`) and `more` methods live in, sorted."""
    methods: Iterable[str] = {settings["method"] for settings in attacks.values()} | set(more)
    return sorted({ATTACKS.module_name(method) for method in methods if method in ATTACKS})

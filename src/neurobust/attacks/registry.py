"""The attacks by the name that a configuration calls them; a new one is a function, its description and a line here.

Nothing heavy is imported: the workflow reads from here which modules a study's attacks live in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from neurobust.attacks.description import Attack
from neurobust.core.places import Places, modules_of

ATTACKS: Places[type[Attack]] = Places(
    {
        "uniform": "neurobust.attacks.noise_settings:Uniform",
        "sign": "neurobust.attacks.noise_settings:Sign",
        "gaussian": "neurobust.attacks.noise_settings:Gaussian",
        "salt-pepper": "neurobust.attacks.noise_settings:SaltPepper",
        "fgsm": "neurobust.attacks.gradient_settings:FGSM",
        "pgd": "neurobust.attacks.gradient_settings:PGD",
        "apgd": "neurobust.attacks.gradient_settings:APGD",
        "apgd-targeted": "neurobust.attacks.gradient_settings:TargetedAPGD",
        "autoattack": "neurobust.attacks.ensemble_settings:AutoAttack",
        "square": "neurobust.attacks.square_settings:Square",
        "hopskipjump": "neurobust.attacks.decision_settings:HopSkipJump",
        "blended": "neurobust.attacks.decision_settings:Blended",
        "fmn": "neurobust.attacks.fmn_settings:FMN",
        "fab": "neurobust.attacks.fab_settings:FAB",
        "deepfool": "neurobust.attacks.foolbox_settings:DeepFool",
        "ddn": "neurobust.attacks.foolbox_settings:DDN",
        "carlini-wagner": "neurobust.attacks.foolbox_settings:CarliniWagner",
        "ead": "neurobust.attacks.foolbox_settings:EAD",
        "brendel-bethge": "neurobust.attacks.foolbox_settings:BrendelBethge",
        "boundary": "neurobust.attacks.foolbox_settings:Boundary",
        "hue": "neurobust.attacks.colour_settings:Hue",
        "saturation": "neurobust.attacks.colour_settings:Saturation",
        "brightness": "neurobust.attacks.colour_settings:Brightness",
        "contrast": "neurobust.attacks.colour_settings:Contrast",
        "cue-conflict": "neurobust.attacks.cue_settings:CueConflict",
        "rotation-translation": "neurobust.attacks.spatial_settings:RotationTranslation",
        "stadv": "neurobust.attacks.functional_settings:StAdv",
        "random-flow": "neurobust.attacks.functional_settings:RandomFlow",
        "recoloradv": "neurobust.attacks.functional_settings:ReColorAdv",
        "random-colour": "neurobust.attacks.functional_settings:RandomColour",
        "perceptual": "neurobust.attacks.perceptual_settings:Perceptual",
        "random-perceptual": "neurobust.attacks.perceptual_settings:RandomPerceptual",
        "patch": "neurobust.attacks.patch_settings:Patch",
        "random-patch": "neurobust.attacks.patch_settings:RandomPatch",
        "adaptive-joint": "neurobust.attacks.adaptive_settings:AdaptiveJoint",
        "adaptive-collision": "neurobust.attacks.adaptive_settings:AdaptiveCollision",
    },
    "neurobust.attacks",
    Attack,
)

CANARY_METHOD = "pgd"  # what canaries meet in a study without an iterative attack


class Planned(Protocol):
    """Whatever names its method: a `plan.AttackPlan`."""

    @property
    def method(self) -> str:
        """A name of ATTACKS."""


def attack_modules(plans: Mapping[str, Planned], *more: str) -> list[str]:
    """The modules of a study's attacks (name -> plan) and of `more` methods, sorted: descriptions and code.

    Only descriptions are imported, so no torch.
    """
    methods = {plan.method for plan in plans.values()} | set(more)
    described = {ATTACKS.module_name(method) for method in methods}
    kinds = [ATTACKS[method] for method in methods]
    return sorted(described | modules_of(*(place for kind in kinds for place in (kind.run, kind.bring) if place)))

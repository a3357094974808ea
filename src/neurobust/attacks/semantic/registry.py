"""Semantic attacks and auxiliary networks by name: a new one is a module, a description and one line here.

Nothing heavy is imported: the workflow reads from here which modules a study's attacks live in.
"""

from __future__ import annotations

from typing import Any, cast

from neurobust.attacks.semantic.description import Helper, SemanticAttack
from neurobust.core.places import Places, load, modules_of

PACKAGE = "neurobust.attacks.semantic"
VERIFICATION = f"{PACKAGE}.verification_settings:Verification"  # not imported: who does not verify runs none of it
SEMANTIC: Places[type[SemanticAttack]] = Places(
    {
        "cadv": f"{PACKAGE}.cadv_settings:CAdv",
        "cadv-confined": f"{PACKAGE}.cadv_confined_settings:CAdvConfined",
        "tadv": f"{PACKAGE}.tadv_settings:TAdv",
        "tadv-jpeg": f"{PACKAGE}.tadv_settings:TAdvJPEG",
        "semanticadv": f"{PACKAGE}.semanticadv_settings:SemanticAdv",
    },
    "neurobust.semantic",
    SemanticAttack,
)
HELPERS: Places[type[Helper]] = Places(
    {
        "colouriser": f"{PACKAGE}.colouriser_settings:ColouriserHelper",
        "texture": f"{PACKAGE}.texture_settings:TextureHelper",
        "oracle": f"{PACKAGE}.oracle_settings:OracleHelper",
        "identity": f"{PACKAGE}.identity_settings:IdentityHelper",
        "editor": f"{PACKAGE}.editor_settings:EditorHelper",
    },
    "neurobust.helpers",
    Helper,
)


def semantic_modules(name: str) -> list[str]:
    """The modules of an attack, its settings and the auxiliary networks that it reads, sorted."""
    attack = SEMANTIC[name]
    return sorted({SEMANTIC.module_name(name), *modules_of(attack.run), *_networks(attack.helpers)})


def helper_modules(name: str) -> list[str]:
    """The modules of an auxiliary network, its settings, its training, and the networks that these read, sorted."""
    return sorted(modules_of(HELPERS[name].trainer) | _networks((name, *HELPERS[name].reads)))


def verification_modules() -> list[str]:
    """The modules of face verification: its settings, and the auxiliary networks that it reads, sorted."""
    helpers: tuple[str, ...] = cast(Any, load(VERIFICATION)).helpers
    return sorted({VERIFICATION.partition(":")[0], *_networks(helpers)})


def _networks(names: tuple[str, ...]) -> set[str]:
    """The modules of some auxiliary networks and of their settings."""
    return {HELPERS.module_name(name) for name in names} | modules_of(*(HELPERS[name].network for name in names))

"""Semantic attacks and auxiliary networks by name: a new one is a module, a class and one line here.

Nothing heavy is imported: the workflow reads from here which modules a study's attacks live in.
"""

from __future__ import annotations

from typing import Any

from neurobust.core.places import Places

PACKAGE = "neurobust.attacks.semantic"
SEMANTIC: Places[Any] = Places(
    {
        "cadv": f"{PACKAGE}.cadv:CAdv",
        "tadv": f"{PACKAGE}.tadv:TAdv",
        "semanticadv": f"{PACKAGE}.semanticadv:SemanticAdv",
    }
)
# The auxiliary networks that each attack reads; all are judged by the oracle.
HELPERS = {
    "cadv": ("colouriser", "oracle"),
    "tadv": ("texture", "oracle"),
    "semanticadv": ("editor", "identity", "oracle"),
}
# Auxiliary networks that the training or the gates of another read.
HELPER_READS = {"editor": ("oracle",)}
FACE_ATTACKS = ("semanticadv",)  # they turn attributes
NETWORKS: Places[Any] = Places(
    {
        "colouriser": f"{PACKAGE}.colouriser:Colouriser",
        "texture": f"{PACKAGE}.texture:TextureNetwork",
        "oracle": f"{PACKAGE}.oracle:Oracle",
        "identity": f"{PACKAGE}.identity:IdentityNetwork",
        "editor": f"{PACKAGE}.editor:Editor",
    }
)
TRAINERS: Places[Any] = Places(
    {
        "colouriser": f"{PACKAGE}.colouriser:ColouriserTrainer",
        "texture": f"{PACKAGE}.texture:TextureTrainer",
        "oracle": f"{PACKAGE}.oracle:OracleTrainer",
        "identity": f"{PACKAGE}.identity:IdentityTrainer",
        "editor": f"{PACKAGE}.editor:EditorTrainer",
    }
)


def semantic_modules(attack: str) -> list[str]:
    """The modules of an attack and of the auxiliary networks that it reads, sorted."""
    return sorted({SEMANTIC.module_name(attack), *(NETWORKS.module_name(name) for name in HELPERS[attack])})


def helper_modules(name: str) -> list[str]:
    """The modules of an auxiliary network, of its training, and of the networks that these read, sorted."""
    read = (NETWORKS.module_name(other) for other in HELPER_READS.get(name, ()))
    return sorted({NETWORKS.module_name(name), TRAINERS.module_name(name), *read})

"""The auxiliary networks by name: a new one is a module, a class and one line here."""

from __future__ import annotations

from torch import nn

from neurobust.attacks.semantic.colouriser import Colouriser, ColouriserTrainer
from neurobust.attacks.semantic.editor import Editor, EditorTrainer
from neurobust.attacks.semantic.identity import IdentityNetwork, IdentityTrainer
from neurobust.attacks.semantic.oracle import Oracle, OracleTrainer
from neurobust.attacks.semantic.texture import TextureNetwork, TextureTrainer

NETWORKS: dict[str, type[nn.Module]] = {
    "colouriser": Colouriser,
    "texture": TextureNetwork,
    "oracle": Oracle,
    "identity": IdentityNetwork,
    "editor": Editor,
}
TRAINERS = {
    trainer.name: trainer
    for trainer in (ColouriserTrainer, TextureTrainer, OracleTrainer, IdentityTrainer, EditorTrainer)
}

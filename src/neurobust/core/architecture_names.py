"""What is known of each architecture without torch: its name, which images and stems it takes, its layers.

`architectures.json` says it, made by `networks.torchvision_facts` from the networks themselves; a test compares.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from msgspec import Struct

from neurobust.core.errors import InputError
from neurobust.core.names import nearest, one_of

PENULTIMATE = "penultimate"  # of every architecture: what its classifying head reads
STEMS = ("imagenet", "cifar")  # first layers for large and for small images
FILE = Path(__file__).with_name("architectures.json")


class Facts(Struct, frozen=True):
    """One classifier of torchvision, or one of ours.

    network: whether a study can train it. cifar: it has a stem for small images. pretrained: there are weights that
    it can start from. least, multiple: the smallest side of its images, in pixels, and of what it must be a multiple.
    modules: its layers by name, a number in `trees`; nodes: those of its graph, None where predictors cannot read it.
    """

    network: bool
    cifar: bool = False
    pretrained: bool = False
    least: int = 1
    multiple: int = 1
    modules: int | None = None
    nodes: int | None = None


class Known(Struct, frozen=True):
    """`architectures.json`: facts by name, and trees of names: name -> the number of the tree below it."""

    architectures: dict[str, Facts]
    trees: list[dict[str, int]]


@cache
def known() -> Known:
    """What there is, read once."""
    import msgspec

    return msgspec.json.decode(FILE.read_bytes(), type=Known)


def trainable() -> list[str]:
    """The architectures that a study can train, sorted."""
    return [name for name, facts in known().architectures.items() if facts.network]


def readable() -> list[str]:
    """The networks whose layers a predictor can read, sorted."""
    return [name for name, facts in known().architectures.items() if facts.nodes is not None]


def check_name(name: str, names: list[str], where: str) -> None:
    """Raise InputError, beginning with `where`, for the name of an architecture that is not among these."""
    if name not in names:
        raise InputError(f"{where}: architecture '{name}' is not known; choose one of {one_of(name, names)}")


def check_architecture(name: str, stem: str, pretrained: bool, where: str, names: list[str] | None = None) -> None:
    """Raise InputError, beginning with `where`, for a network that there is not, or not with this stem or weights.

    names: of the networks that there are; default: those that are known here. Of others nothing more is known.
    """
    check_name(name, names or trainable(), where)
    if stem not in STEMS:
        raise InputError(f"{where}.stem: {stem!r} is not known; choose one of {', '.join(STEMS)}")
    facts = known().architectures.get(name)
    if facts is None:
        return
    if stem == "cifar" and not facts.cifar:
        able = [other for other in trainable() if known().architectures[other].cifar]
        raise InputError(f"{where}.stem: 'cifar': {name} has no such stem; use imagenet, or one of {', '.join(able)}")
    if pretrained and not facts.pretrained:
        raise InputError(f"{where}.pretrained: True: {name} is only offered from scratch; set it to false")
    if pretrained and stem != "imagenet":
        raise InputError(f"{where}.stem: {stem!r}: pretrained weights need the stem imagenet; or set pretrained: false")


def check_side(name: str, side: int, where: str) -> None:
    """Raise InputError, beginning with `where`, where an architecture cannot take images of `side` pixels."""
    facts = known().architectures[name]
    if side < facts.least or side % facts.multiple:
        needs = f"a multiple of {facts.multiple}" if facts.multiple > 1 else f"at least {facts.least}"
        raise InputError(
            f"{where}: {name} cannot take images of {side} px; their side must be {needs}; "
            "take another architecture or another size"
        )


def check_layer(name: str, layer: str, where: str) -> None:
    """Raise InputError, beginning with `where`, for a layer that an architecture has not."""
    facts = known().architectures[name]
    assert facts.modules is not None
    if layer != PENULTIMATE:
        _check_path(facts.modules, layer, f"{where}: {layer!r} is not a layer of {name}", [PENULTIMATE])


def check_node(name: str, node: str, where: str) -> None:
    """Raise InputError, beginning with `where`, for a node that the graph of a network has not."""
    facts = known().architectures[name]
    assert facts.nodes is not None
    _check_path(facts.nodes, node, f"{where}: {node!r} is not a layer of {name}", [])


def _check_path(tree: int, path: str, problem: str, others: list[str]) -> None:
    """Raise InputError unless a tree has the path, with the names that there are where it leaves the tree."""
    trees, above = known().trees, ""
    for part in path.split("."):
        below = trees[tree]
        if part not in below:
            there = [f"{above}{name}" for name in below] + ([] if above else others)
            found = f"there are {', '.join(there)}{nearest(path, there)}" if there else f"{above[:-1]} has no parts"
            raise InputError(f"{problem}; {found}")
        tree, above = below[part], f"{above}{part}."

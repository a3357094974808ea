"""What a study says of a network that it did not train. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from neurobust.core.settings import UNIQUE, Count, FilePath, Settings, Whole, about

Three = tuple[float, float, float]
# What `network` names, by kind: for messages and for the reference.
NAMES = {
    "function": "package.module:function",
    "architecture": "the name of an architecture of the registry",
    "timm": "the name of a model of timm",
    "robustbench": "dataset/threat/model, as in cifar10/Linf/Standard",
}


class OutsideNetwork(Settings, frozen=True, kw_only=True):
    """A network that this pipeline did not train: it meets the attacks of a task, and enters no comparison. `network`
    names, by kind: `function`, a `package.module:function` without arguments that gives a torch module;
    `architecture`, one of those that a study can train; `timm`, a model of that package; `robustbench`, a file of its
    model zoo as dataset/threat/model, below the folder `weights`. Weights are a state dict, as safetensors or a file
    of torch; what needs code to be read is refused, and nothing is downloaded.
    """

    kind: Annotated[Literal["function", "architecture", "timm", "robustbench"], about("where its code comes from")]
    network: Annotated[str, about("which network, as its kind names them")]
    task: Annotated[str, about("whose attacks it meets")]
    weights: Annotated[
        FilePath | None, about("file of its state dict; of robustbench the folder of the zoo; of a function optional")
    ] = None
    stem: Annotated[Literal["imagenet", "cifar"], about("first layers of an `architecture`")] = "imagenet"
    mean: Annotated[Three | None, about("of its RGB input in [0, 1]; default: its file's, its package's, or 0")] = None
    std: Annotated[Three | None, about("of its input; default: its file's, its package's, or 1")] = None
    side: Annotated[Count | None, about("to which it scales images first; default: it takes the task's", "pixels")] = (
        None
    )
    outputs: Annotated[
        Annotated[tuple[Whole, ...], UNIQUE] | FilePath | None,
        about(
            "which of its logits are the task's classes, in their order; or a text file with a class folder (of "
            "ImageNet a wnid) a line, in the order of its logits; default: they are the classes"
        ),
    ] = None
    label: Annotated[str, about("for readers; default: its name")] = ""

    def __post_init__(self) -> None:
        module, colon, function = self.network.partition(":")
        if self.kind == "function" and not (module and colon and function.isidentifier()):
            raise ValueError(f"network: {self.network!r}: give {NAMES['function']}")
        if self.kind == "robustbench" and len([part for part in self.network.split("/") if part.strip(".")]) != 3:
            raise ValueError(f"network: {self.network!r}: give {NAMES['robustbench']}")
        if self.kind != "function" and self.weights is None:
            raise ValueError(f"weights: missing: a network of kind {self.kind} needs them; nothing is downloaded")
        if self.kind != "architecture" and self.stem != "imagenet":
            raise ValueError(f"stem: '{self.stem}': only an architecture has one; leave it out")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std: one without the other; give both or neither")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std: {list(self.std)}: give numbers above 0")

    @property
    def file(self) -> str | None:
        """The file of its weights; None where its function has them."""
        return f"{self.weights}/{self.network}.pt" if self.kind == "robustbench" else self.weights

    def modules(self) -> list[str]:
        """The modules that rebuild it, which no import of a script names."""
        own = [self.network.partition(":")[0]] if self.kind == "function" else []
        return ["neurobust.networks.outside", *own]

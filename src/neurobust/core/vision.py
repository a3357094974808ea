"""torchvision's models, imported without torch.compile: `from neurobust.core.vision import feature_extraction, models`.

torchvision asks in one place (ops.roi_align, of detection, not used here) whether the device can compile, and asking
imports the whole compiler: 4 CPU seconds, in every job. While torchvision is imported here, a stand-in answers no.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

ASKED = "torch._dynamo.utils"


def _import_models() -> ModuleType:
    import torch  # noqa: F401  whoever imports the compiler itself has done so now

    if ASKED not in sys.modules:
        stand_in: Any = ModuleType(ASKED)
        stand_in.is_compile_supported = lambda device_type: False
        sys.modules[ASKED] = stand_in
        try:
            import torchvision.models
        except ImportError:
            pass  # a version that asks for more: imported again below, with the compiler
        finally:
            del sys.modules[ASKED]
    import torchvision.models

    found: ModuleType = torchvision.models
    return found


models = _import_models()
feature_extraction = importlib.import_module("torchvision.models.feature_extraction")


def size_arguments(architecture: str, side: int) -> dict[str, Any]:
    """What a builder of torchvision must be told of the side of its images in pixels: ViT and MaxViT have a fixed
    grid, all others nothing."""
    if architecture.startswith("vit_"):
        return {"image_size": side}
    return {"input_size": (side, side)} if architecture.startswith("maxvit") else {}


def without_numbers(build: Callable[[], nn.Module]) -> nn.Module:
    """What a function builds on the device `meta`, where it has parts, names and shapes alone.

    RegNet reads numbers while it is built, which that device has not: such a network is built with them and loses them.
    """
    import torch

    try:
        with torch.device("meta"):
            return build()
    except NotImplementedError:
        return build().to("meta")

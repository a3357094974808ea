"""The names of timm's models, read off its source: without importing it, which takes seconds and torch."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from neurobust.core.errors import InputError
from neurobust.core.names import one_of

REGISTERED = re.compile(r"^@register_model\s*\n(?:@.*\n)*def (\w+)\(", re.M)
RENAMED = re.compile(r"^register_model_deprecations\(__name__, \{([^}]*)\}", re.M)
OLD_NAME = re.compile(r"['\"](\w+)['\"]\s*:")


def timm_installed() -> bool:
    """Whether timm is there."""
    return find_spec("timm") is not None


@cache
def timm_names() -> tuple[str, ...]:
    """Its models, sorted, those under an older name too; none where its source cannot be read so."""
    found: set[str] = set()
    spec = find_spec("timm")
    for folder in (spec and spec.submodule_search_locations) or ():
        for file in (Path(folder) / "models").glob("*.py"):
            text = file.read_text(encoding="utf-8")
            found.update(REGISTERED.findall(text))
            found.update(name for part in RENAMED.findall(text) for name in OLD_NAME.findall(part))
    return tuple(sorted(found))


def check_timm(name: str, where: str) -> None:
    """Raise InputError, beginning with `where`, for a model that timm has not.

    What follows a point is a tag of its published weights. A model that was registered with timm in this process is let
    pass, and so is every name where timm's source says nothing.
    """
    known, model = timm_names(), name.partition(".")[0]
    timm = sys.modules.get("timm")
    if known and model not in known and not (timm is not None and timm.is_model(model)):
        raise InputError(f"{where}: timm has no model '{model}'; choose one of {one_of(model, known)}")

"""The auxiliary networks of a task as attacks with a budget are given them: by name, read where they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from neurobust.attacks.semantic.fit import load_auxiliary
from neurobust.core.errors import InputError
from neurobust.core.io import sha256_file
from neurobust.files.auxiliary import all_passed, read_auxiliary_record


@dataclass(frozen=True)
class Helpers:
    """Files of auxiliary networks by name: weights, and records of their gates."""

    weights: Mapping[str, Path]
    records: Mapping[str, Path]

    def networks(self, names: Collection[str], device: torch.device) -> dict[str, nn.Module]:
        """Auxiliary networks in evaluation mode, frozen; InputError where there is none or its file is damaged."""
        if missing := sorted(set(names) - set(self.weights)):
            raise InputError(f"the auxiliary network '{missing[0]}' is missing; give its weights")
        return {name: load_auxiliary(self.weights[name], name).to(device) for name in names}

    def digests(self, names: Collection[str]) -> dict[str, str]:
        """Of the weights, by name."""
        return {name: sha256_file(path) for name, path in self.weights.items() if name in names}

    def failed(self, names: Collection[str]) -> list[str]:
        """Names of those that failed a gate."""
        gates = {name: read_auxiliary_record(path).gates for name, path in self.records.items() if name in names}
        return sorted(name for name, found in gates.items() if not all_passed(found))

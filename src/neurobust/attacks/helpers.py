"""The auxiliary networks of a task as attacks are given them: by name, read where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from neurobust.attacks.description import Attack
from neurobust.attacks.semantic.fit import load_auxiliary
from neurobust.core.errors import InputError
from neurobust.core.io import sha256_file
from neurobust.core.places import load
from neurobust.files.auxiliary import NetworkGate, all_passed, read_auxiliary_record


def own_networks(attack: Attack, device: torch.device) -> dict[str, nn.Module]:
    """The networks that an attack brings from files of the user's, by name; none for most. Raises InputError for files
    that are not theirs."""
    if not attack.files:
        return {}
    bring = cast(Callable[[Attack], dict[str, nn.Module]], load(attack.bring))
    return {name: network.to(device) for name, network in bring(attack).items()}


@dataclass(frozen=True)
class Helpers:
    """Files of auxiliary networks by name: weights, and records of their gates."""

    weights: Mapping[str, Path]
    records: Mapping[str, Path]

    def networks(self, names: Collection[str], device: torch.device) -> dict[str, nn.Module]:
        """Auxiliary networks in evaluation mode, frozen; InputError where there is none or its file is damaged."""
        return {name: load_auxiliary(path, name).to(device) for name, path in self.files(names).items()}

    def digests(self, names: Collection[str]) -> dict[str, str]:
        """Of the weights, by name."""
        return {name: sha256_file(path) for name, path in self.weights.items() if name in names}

    def files(self, names: Collection[str]) -> dict[str, Path]:
        """Their weights, in the order of the names; InputError where there is none."""
        if missing := sorted(set(names) - set(self.weights)):
            raise InputError(f"the auxiliary network '{missing[0]}' is missing; give its weights")
        return {name: self.weights[name] for name in names}

    def gates(self) -> list[NetworkGate]:
        """The gates of all of them, each with its network's name."""
        found = [read_auxiliary_record(path) for path in self.records.values()]
        return [gate.of(record.network) for record in found for gate in record.gates]

    def failed(self, names: Collection[str]) -> list[str]:
        """Names of those that failed a gate."""
        gates = {name: read_auxiliary_record(path).gates for name, path in self.records.items() if name in names}
        return sorted(name for name, found in gates.items() if not all_passed(found))

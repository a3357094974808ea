"""Settings of the oracle."""

from __future__ import annotations

from typing import Annotated, ClassVar

from neurobust.attacks.semantic.description import Helper
from neurobust.core.settings import Count, Seed, about


class OracleHelper(Helper, frozen=True):
    """Another network's opinion on whether an altered image still shows what its label and attributes say."""

    network: ClassVar[str] = "neurobust.attacks.semantic.oracle:Oracle"
    trainer: ClassVar[str] = "neurobust.attacks.semantic.oracle:OracleTrainer"

    width: Annotated[Count, about("channels of the first stage")] = 24
    seed: Annotated[Seed, about("of the network and of its training")] = 1000

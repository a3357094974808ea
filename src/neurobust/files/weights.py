"""Where the weights of networks and predictors lie; `core.io` writes and reads them, each stage rebuilds its own."""

from __future__ import annotations

from pathlib import Path

from neurobust.files.predictor_tables import predictor_folder


def network_weights_path(results: Path | str, network: str) -> Path:
    """Where a network's weights lie; network: its names as a path (`NetworkName.path`)."""
    return Path(results) / "networks" / network / "model.safetensors"


def predictor_weights_path(results: Path | str, predictor: str, roi: str, seed: int | str) -> Path:
    """Where a predictor's weights lie."""
    return predictor_folder(results, predictor, roi, seed) / "model.safetensors"

"""Fetching torchvision's AlexNet: `python -m neurobust.predictors.alexnet PATH`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from neurobust.core.errors import InputError
from neurobust.core.io import replacing, sha256_file


def fetch_alexnet(path: Path) -> None:
    """Write the weights from torchvision's own address to `path`, checked by the hash that their name carries."""
    import torch

    from neurobust.core.vision import models

    url = models.AlexNet_Weights.IMAGENET1K_V1.url
    named = re.search(r"-([0-9a-f]{8,})\.pth$", url)
    assert named, f"{url} does not carry its hash"
    digest = named[1]
    with replacing(path) as temporary:
        try:
            torch.hub.download_url_to_file(url, str(temporary), progress=False)
        except OSError as error:
            raise InputError(f"{path}: {url} could not be fetched ({error}); put the file there by hand") from error
        if not sha256_file(temporary).startswith(digest):
            raise InputError(f"{path}: what {url} sent is not the file of SHA-256 {digest}...; run again")


if __name__ == "__main__":
    try:
        fetch_alexnet(Path(sys.argv[1]))
    except (InputError, OSError) as error:
        sys.exit(f"neurobust: error: {error}")

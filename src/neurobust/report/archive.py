"""All pages of a report in one file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

from neurobust.core.io import replacing

EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of every entry: the same files give the same bytes


def pack_report(files: Iterable[Path], output: Path) -> None:
    """Put files of a report into one zip, each where it lies below the folder of `output`, in a folder of its name."""
    folder = output.parent
    with replacing(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(set(files)):
            name = Path(os.path.relpath(path, folder)).as_posix()
            entry = zipfile.ZipInfo(f"{folder.name}/{name}", EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())

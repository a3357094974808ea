"""What a config may say about an ROI. No arrays here: the workflow reads it in every job.

A region is {atlas, labels, hemisphere?}. An ROI is a region and, if wanted, `plus` (regions that are added), `within`
(an atlas, or regions: only what lies in one of them) and `ncsnr_min`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError
from neurobust.nsd import layout

REGION_KEYS = ("atlas", "labels", "hemisphere")
SPEC_KEYS = (*REGION_KEYS, "plus", "within", "ncsnr_min")


def check_spec(roi: str, spec: Mapping[str, Any]) -> None:
    """Raise InputError unless `spec` is an ROI's."""
    check_region(f"rois.{roi}", spec, SPEC_KEYS)
    for key in ("plus", "within"):
        value = spec.get(key)
        if value is None or (key == "within" and value in layout.ATLASES):
            continue
        if isinstance(value, str) and key == "within":
            raise InputError(f"rois.{roi}.within: '{value}' is not one of {', '.join(layout.ATLASES)}")
        if (
            not isinstance(value, (list, tuple))
            or not all(isinstance(region, Mapping) for region in value)
            or not value
        ):
            raise InputError(f"rois.{roi}.{key}: {value!r} must be a list of {{atlas, labels}}")
        for number, region in enumerate(value):
            check_region(f"rois.{roi}.{key}.{number}", region, REGION_KEYS)
    least = spec.get("ncsnr_min")
    if least is not None and (isinstance(least, bool) or not isinstance(least, (int, float)) or not least >= 0):
        raise InputError(f"rois.{roi}.ncsnr_min: {least!r} must be a number of at least 0")


def check_region(where: str, region: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Raise InputError unless `region` has an atlas, labels and no key but `keys`."""
    for key in region:
        if key not in keys:
            raise InputError(f"{where}.{key}: unknown key; known are {', '.join(keys)}")
    if region.get("atlas") not in layout.ATLASES:
        raise InputError(f"{where}.atlas: '{region.get('atlas')}' is not one of {', '.join(layout.ATLASES)}")
    if not isinstance(region.get("labels"), (list, tuple)) or not region["labels"]:
        raise InputError(f"{where}.labels: {region.get('labels')!r} must be a list of label names")
    if region.get("hemisphere") not in (None, *layout.HEMISPHERES):
        raise InputError(f"{where}.hemisphere: '{region['hemisphere']}' is not lh or rh")


def added(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The regions whose union an ROI is, before anything is taken away."""
    return [spec, *(spec.get("plus") or ())]


def limits(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The regions that an ROI must lie within, in any of them; an atlas by its name is {atlas}: all of its labels."""
    within = spec.get("within") or ()
    return [{"atlas": within}] if isinstance(within, str) else list(within)


def region_files(root: Path, subject: str, region: Mapping[str, Any]) -> dict[str, Path]:
    """The label volume of a region, and the colour table if it names labels."""
    files = {"labels": layout.roi(root, subject, region["atlas"], region.get("hemisphere"))}
    if "labels" in region:
        files["ctab"] = layout.ctab(root, subject, region["atlas"])
    return files


def roi_files(root: Path, subject: str, spec: Mapping[str, Any]) -> dict[str, Path]:
    """The small files that decide an ROI's voxels, by name."""
    files = {"brainmask": layout.brainmask(root, subject)} | region_files(root, subject, spec)
    files |= numbered("plus", (region_files(root, subject, region) for region in spec.get("plus") or ()))
    return files | numbered("within", (region_files(root, subject, region) for region in limits(spec)))


def numbered(name: str, groups: Iterator[dict[str, Path]]) -> dict[str, Path]:
    """Files of several regions under names that tell them apart."""
    return {f"{name}{i}/{kind}": path for i, group in enumerate(groups) for kind, path in group.items()}

"""The pages: one self-contained HTML file each, that opens offline, prints, and reads in light and dark."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurobust import __version__
from neurobust.core.io import write_text
from neurobust.report import attack_sections, sections
from neurobust.report.blocks import MANY, Tables
from neurobust.report.corruption_section import corruption_tables
from neurobust.report.examples import example_grids
from neurobust.report.figures import FIGURES, WHOLE_STUDY
from neurobust.report.semantic_section import semantic_section
from neurobust.report.study import Study, check_study, networks, roi_study
from neurobust.report.style import inline_svg
from neurobust.report.tables import COLUMNS, collect_results, read_tables
from neurobust.report.transfer import transfer_note

TEMPLATES = Path(__file__).parent / "templates"


def write_index(
    study: Study,
    tables: Path,
    figures: dict[str, Path],
    examples: list[Path],
    output: Path,
    semantic: Sequence[Path] = (),
) -> None:
    """Write the study's page from its CSV tables, its SVG figures by name and its networks' examples.npz files.

    `semantic`: tables and examples of semantic attacks, none where the study has none.
    """
    check_study(study)
    frames = read_tables(tables)
    drawn = {name: Path(path).read_text(encoding="utf-8") for name, path in figures.items()}
    folder = Path(output).parent
    links = {
        "rois": [{"name": roi, "href": f"roi/{roi}.html"} for roi in study["rois"]],
        "tables": [{"name": name, "href": relative(Path(tables) / f"{name}.csv", folder)} for name in COLUMNS
                   if (Path(tables) / f"{name}.csv").exists()],
    }  # fmt: skip
    title = "Does brain guidance make the networks more robust?"
    for path in semantic:
        if Path(path).suffix == ".csv":
            links["tables"].append({"name": Path(path).stem, "href": relative(Path(path), folder)})
    page = render(study, frames, drawn, examples, title=title, roi=None, links=links, semantic=semantic)
    write_text(output, page)


def write_roi_page(study: Study, roi: str, output: Path) -> None:
    """Write one ROI's page (its predictors, its conditions beside `none`, its examples) straight from the results."""
    check_study(study)
    part = roi_study(study, roi) | {"all_rois": list(study.get("all_rois", study["rois"]))}
    # Its rule declares that ROI's chain alone, so the page must not look at what else happens to lie there.
    frames = collect_results(part, extras=False)
    drawn = {name: draw(part, frames) for name, draw in FIGURES.items() if name not in WHOLE_STUDY}
    examples = [network.folder(part, "attacks") / "examples.npz" for network in networks(part)]
    links: dict[str, Any] = {"rois": [], "tables": [], "index": "../index.html"}
    title = f"Does guidance by {roi} make the networks more robust?"
    write_text(output, render(part, frames, drawn, examples, title=title, roi=roi, links=links))


def render(
    study: Study, frames: Tables, drawn: dict[str, str], examples: list[Path], *, title: str, roi: str | None,
    links: dict[str, Any], semantic: Sequence[Path] = (),
) -> str:  # fmt: skip
    """Fill the template."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    checks = sections.check_table(frames)
    context = {
        "title": title,
        "study": study,
        "roi": roi,
        "links": links,
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "crowded": len(study["conditions"]) > MANY,
        "figures": {name: Markup(inline_svg(svg, name.replace("_", "-"))) for name, svg in drawn.items()},
        "lede": sections.lede(study),
        "primary": sections.primary_note(study, frames),
        "answers": sections.answers(study, frames),
        "tables": sections.main_tables(study, frames),
        "predictors": sections.predictor_table(frames),
        "rois": sections.roi_table(frames),
        "examples": example_grids(study, examples),
        "checks": checks,
        "meanings": attack_sections.MEANINGS,
        "canaries": attack_sections.canary_note(frames),
        "minimal": attack_sections.minimal_tables(study, frames),
        "breaks": attack_sections.break_tables(study, frames),
        "matched": attack_sections.matched_table(study, frames),
        "transfer": transfer_note(study) if len(frames["transfer"]) else "",
        "corruptions": corruption_tables(study, frames),
        "semantic": semantic_section(study, frames, list(semantic)),
        "attacks": sections.attack_table(study, frames),
        "compute": sections.compute_table(frames),
        "versions": sections.versions(frames),
        "neurobust_version": __version__,
        "configuration": configuration(study),
        "n_networks": sum(1 for _ in networks(study)),
    }
    return environment.get_template("page.html").render(context)


def configuration(study: Study) -> str:
    """The study as readable JSON, without the folders of the machine that it ran on."""
    shown = {key: value for key, value in study.items() if key not in {"root", "benchmarks", "all_rois"}}
    return json.dumps(shown, indent=2, ensure_ascii=False, sort_keys=True)


def relative(path: Path, folder: Path) -> str:
    """`path` as a link from a page in `folder`."""
    return Path(os.path.relpath(path, folder)).as_posix()

"""The pages: one self-contained HTML file each, that opens offline, prints, and reads in light and dark."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurobust import __version__
from neurobust.core.io import write_text
from neurobust.core.memory import seldom_collected
from neurobust.report import attack_sections, sections
from neurobust.report.blocks import MANY
from neurobust.report.collect import collect_results
from neurobust.report.contents import COLUMNS, FIGURES, NUMBERS, WHOLE_STUDY
from neurobust.report.corruption_section import corruption_tables, shifted_tables
from neurobust.report.examples import example_grids
from neurobust.report.factor_section import factor_tables
from neurobust.report.front import front_section
from neurobust.report.guided import recipe_of, roi_part
from neurobust.report.methods import excluded_rows, methods_section
from neurobust.report.network_figures import pictures
from neurobust.report.outside import outside_tables
from neurobust.report.permalinks import with_permalinks
from neurobust.report.quality_section import quality_section
from neurobust.report.seen_section import seen_parts
from neurobust.report.semantic_section import semantic_section
from neurobust.report.site import ROI_SECTIONS, SECTION_NAMES, every_section, link_to, pages_of, roi_file
from neurobust.report.style import inline_svg
from neurobust.report.tables import read_tables
from neurobust.report.transfer_matrix import transfer_note
from neurobust.report.verdict_section import verdict_section
from neurobust.report.verification_section import verification_section
from neurobust.report.view import View
from neurobust.report.why_section import why_sections
from neurobust.study.model import Study

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Link:
    """A name that leads to another file of the report, from the page's own folder; here: it is this page."""

    name: str
    href: str
    here: bool = False


@dataclass(frozen=True)
class Frame:
    """What a page shows: title, its name in the navigation, the ROI that it is about, its sections, links to the rest.

    up: leads from the page's folder to the report's.
    """

    title: str
    roi: str | None = None
    name: str = ""
    sections: tuple[str, ...] = every_section()
    pages: tuple[Link, ...] = ()
    rois: tuple[Link, ...] = ()
    tables: tuple[Link, ...] = ()
    up: str = ""


@seldom_collected()
def write_index(
    study: Study,
    tables: Path,
    figures: Mapping[str, Path],
    output: Path,
    semantic: Iterable[Path] = (),
    verification: Iterable[Path] = (),
) -> None:
    """Write the pages of the whole study, `output` the first of them and the others beside it, from its CSV tables, its
    SVG figures by name and its networks' examples.npz files.

    `semantic`, `verification`: tables and examples of semantic attacks and of face verification, none where the study
    has none.
    """
    semantic, verification = list(semantic), list(verification)
    drawn = {name: path.read_text(encoding="utf-8") for name, path in figures.items()}
    paths = [path for name in COLUMNS if (path := tables / f"{name}.csv").exists()]
    paths += [path for path in (*semantic, *verification) if path.suffix == ".csv"]
    links = tuple(Link(path.stem, relative(path, output.parent)) for path in paths)
    view = View(study, read_tables(tables))
    content = contents_of(view, drawn, semantic, verification) | contents_of_whole(view)
    for name, page in pages_of(study).items():
        pages, rois = navigation(study, name)
        frame = Frame(page.title, None, page.name, page.sections, pages, rois, links)
        write_text(output if name == "answer" else output.parent / page.file, fill(view, content, frame))


@seldom_collected()
def write_roi_page(study: Study, roi: str, output: Path) -> None:
    """Write one ROI's page (its predictors, its conditions beside `none`, its examples) straight from the results."""
    part = roi_part(study, roi)
    # Its rule declares that ROI's chain alone, so the page must not look at what else happens to lie there.
    view = View(part, collect_results(part, extras=False, whole=study), palette=tuple(study.rois))
    drawn = {name: draw(view) for name, draw in FIGURES.items() if name not in WHOLE_STUDY}
    pages, rois = navigation(study, roi_file(roi), up="../")
    title = f"Does guidance by {roi} make the networks more robust?"
    write_text(output, render(view, drawn, Frame(title, roi, roi, ROI_SECTIONS, pages, rois, up="../")))


def navigation(study: Study, here: str, up: str = "") -> tuple[tuple[Link, ...], tuple[Link, ...]]:
    """Links to the pages of a study and to those of its ROIs; here: the name of the page, or the file of an ROI's."""
    pages = tuple(Link(page.name, f"{up}{page.file}", name == here) for name, page in pages_of(study).items())
    rois = tuple(Link(roi, f"{up}{roi_file(roi)}", roi_file(roi) == here) for roi in study.rois)
    return pages, rois


def render(
    view: View,
    drawn: Mapping[str, str],
    frame: Frame,
    semantic: Iterable[Path] = (),
    verification: Iterable[Path] = (),
) -> str:
    """One page as HTML."""
    whole = contents_of_whole(view) if frame.roi is None else {}
    return fill(view, contents_of(view, drawn, semantic, verification) | whole, frame)


def fill(view: View, content: Mapping[str, Any], frame: Frame) -> str:
    """Fill the template with the sections of a page that have something to show."""
    lacking = {name for name, shown in optional(content).items() if not shown}
    sections = tuple(name for name in frame.sections if name not in lacking)

    def link(anchor: str) -> str:
        return link_to(view.study, anchor, sections, frame.up)

    given = {"frame": frame, "sections": sections, "names": SECTION_NAMES, "link": link, "drawn_from": NUMBERS}
    return with_permalinks(environment().get_template("page.html").render({**content, **given}))


@cache
def environment() -> Environment:
    """Where templates are read from, and how they are filled."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(TEMPLATES)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def optional(content: Mapping[str, Any]) -> dict[str, bool]:
    """The sections that not every study has -> whether this one does."""
    figures, quality = content["figures"], content["quality"]
    shown = {name: bool(content[name]) for name in ("corruptions", "shifted", "semantic", "verification", "outside")}
    shown |= {name: bool(content[name]) for name in ("why", "seen", "factors")}
    shown |= {"brains": bool(content["brains"]), "sessions": bool(quality["sessions"]), "reached": "reached" in figures}
    shown["coverage"] = bool(quality["coverage"] or quality["pictures"])
    return shown | {"transfer": bool(content["transfer"]) and "transfer" in figures, "inside": "inside" in figures}


def contents_of(
    view: View, drawn: Mapping[str, str], semantic: Iterable[Path] = (), verification: Iterable[Path] = ()
) -> dict[str, Any]:
    """What the sections of all pages show, by the names that their templates use."""
    from markupsafe import Markup

    study, tables = view.study, view.tables
    return {
        "study": study,
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "script": Markup((TEMPLATES / "tables.js").read_text(encoding="utf-8")),
        "crowded": len(study.conditions) > MANY,
        "figures": {name: Markup(inline_svg(svg, name.replace("_", "-"))) for name, svg in drawn.items()},
        "lede": sections.lede(study),
        "primary": view.primary,
        "alone": view.label(study.primary_attack) if view.primary and view.primary.members else "",
        "verdict": verdict_section(view),
        "answers": sections.answers(view),
        "tables": sections.main_tables(view),
        "predictors": sections.predictor_table(tables),
        "teachers": sections.teacher_table(tables),
        "rois": sections.roi_table(tables),
        "brains": sections.brain_table(tables),
        "quality": quality_section(view),
        "examples": example_grids(study, view.attacks),
        "checks": sections.check_table(tables),
        "meanings": attack_sections.MEANINGS,
        "canaries": attack_sections.canary_note(tables),
        "minimal": attack_sections.minimal_tables(view),
        "breaks": attack_sections.break_tables(view),
        "matched": attack_sections.matched_table(view),
        "transfer": transfer_note(study) if len(tables["transfer"]) else "",
        "corruptions": corruption_tables(view),
        "shifted": shifted_tables(view),
        "semantic": semantic_section(view, semantic),
        "verification": verification_section(view, verification),
        "outside": outside_tables(view),
        "factors": factor_tables(view),
        "why": why_sections(view),
        "how_to_read": {name: settings.meaning for name, settings in study.explain.items()},
        "seen": seen_parts(view),
        "pictures": pictures(view),
        "attacks": sections.attack_table(view),
        "compute": sections.compute_table(tables),
        "provenance": sections.provenance_table(tables),
        "versions": sections.versions(tables),
        "seeds": sections.seeds_text(study),
        "neurobust_version": __version__,
        "configuration": json.dumps(configuration(study), indent=2, ensure_ascii=False, sort_keys=True),
        "n_networks": sum(1 for _ in study.networks()),
    }


def contents_of_whole(view: View) -> dict[str, Any]:
    """What only pages of the whole study show besides."""
    methods = methods_section(view, sections.versions(view.tables))
    return {"front": front_section(view), "methods": methods, "excluded": excluded_rows(view)}


def configuration(study: Study) -> dict[str, Any]:
    """A study as its page shows it, as JSON types, without the folders of the machine that it ran on."""
    given = study.config
    plans = study.attacks.items()
    return {
        "name": study.name, "phantom": study.phantom, "tasks": list(study.tasks), "trained": study.trained,
        "architectures": list(study.architectures), "seeds": study.seeds, "rois": list(study.rois),
        "subjects": study.subjects,
        "conditions": {name: recipe_of(condition) for name, condition in study.conditions.items()},
        "predictor": study.predictor, "predictor_seeds": study.predictor_seeds,
        "attacks": {name: given["attacks"][name] | {"norm": p.norm, "unit": p.attack.unit} for name, p in plans},
        "primary_attack": study.primary_attack,
        "reference_strengths": {n: given["semantic"][n].get("reference_strength") for n in study.reference_strengths},
        "transfer": given.get("transfer"), "corruptions": given.get("corruptions"),
    }  # fmt: skip


def relative(path: Path, folder: Path) -> str:
    """`path` as a link from a page in `folder`."""
    return Path(os.path.relpath(path, folder)).as_posix()

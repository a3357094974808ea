"""The pages: one self-contained HTML file each, that opens offline, prints, and reads in light and dark."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurobust import __version__
from neurobust.core.io import write_text
from neurobust.report import attack_sections, sections
from neurobust.report.blocks import MANY
from neurobust.report.collect import collect_results
from neurobust.report.contents import COLUMNS, FIGURES, WHOLE_STUDY
from neurobust.report.corruption_section import corruption_tables, shifted_tables
from neurobust.report.examples import example_grids
from neurobust.report.factor_section import factor_tables
from neurobust.report.guided import recipe_of, roi_part
from neurobust.report.network_figures import pictures
from neurobust.report.outside import outside_tables
from neurobust.report.seen_section import seen_parts
from neurobust.report.semantic_section import semantic_section
from neurobust.report.style import inline_svg
from neurobust.report.tables import read_tables
from neurobust.report.transfer_matrix import transfer_note
from neurobust.report.verdict_section import verdict_section
from neurobust.report.verification_section import verification_section
from neurobust.report.view import View
from neurobust.report.why_section import why_sections
from neurobust.study.model import Study

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Link:
    """A name that leads to another file of the report, from the page's own folder."""

    name: str
    href: str


@dataclass(frozen=True)
class Frame:
    """What stands around a page's sections: its title, the ROI that it is about, and links to the rest."""

    title: str
    roi: str | None = None
    index: str = ""
    rois: tuple[Link, ...] = ()
    tables: tuple[Link, ...] = ()


def write_index(
    study: Study,
    tables: Path,
    figures: Mapping[str, Path],
    output: Path,
    semantic: Iterable[Path] = (),
    verification: Iterable[Path] = (),
) -> None:
    """Write the study's page from its CSV tables, its SVG figures by name and its networks' examples.npz files.

    `semantic`, `verification`: tables and examples of semantic attacks and of face verification, none where the study
    has none.
    """
    semantic, verification = list(semantic), list(verification)
    drawn = {name: path.read_text(encoding="utf-8") for name, path in figures.items()}
    paths = [path for name in COLUMNS if (path := tables / f"{name}.csv").exists()]
    paths += [path for path in (*semantic, *verification) if path.suffix == ".csv"]
    frame = Frame(
        "Does brain guidance make the networks more robust?",
        rois=tuple(Link(roi, f"roi/{roi}.html") for roi in study.rois),
        tables=tuple(Link(path.stem, relative(path, output.parent)) for path in paths),
    )
    write_text(output, render(View(study, read_tables(tables)), drawn, frame, semantic, verification))


def write_roi_page(study: Study, roi: str, output: Path) -> None:
    """Write one ROI's page (its predictors, its conditions beside `none`, its examples) straight from the results."""
    part = roi_part(study, roi)
    # Its rule declares that ROI's chain alone, so the page must not look at what else happens to lie there.
    view = View(part, collect_results(part, extras=False, whole=study), palette=tuple(study.rois))
    drawn = {name: draw(view) for name, draw in FIGURES.items() if name not in WHOLE_STUDY}
    frame = Frame(f"Does guidance by {roi} make the networks more robust?", roi, index="../index.html")
    write_text(output, render(view, drawn, frame))


def render(
    view: View,
    drawn: Mapping[str, str],
    frame: Frame,
    semantic: Iterable[Path] = (),
    verification: Iterable[Path] = (),
) -> str:
    """Fill the template."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    study, tables = view.study, view.tables
    context = {
        "study": study,
        "frame": frame,
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "crowded": len(study.conditions) > MANY,
        "figures": {name: Markup(inline_svg(svg, name.replace("_", "-"))) for name, svg in drawn.items()},
        "lede": sections.lede(study),
        "primary": view.primary,
        "alone": view.label(study.primary_attack) if view.primary and view.primary.members else "",
        "verdict": verdict_section(view),
        "answers": sections.answers(view),
        "tables": sections.main_tables(view),
        "predictors": sections.predictor_table(tables),
        "rois": sections.roi_table(tables),
        "brains": sections.brain_table(tables),
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
        "versions": sections.versions(tables),
        "seeds": sections.seeds_text(study),
        "neurobust_version": __version__,
        "configuration": json.dumps(configuration(study), indent=2, ensure_ascii=False, sort_keys=True),
        "n_networks": sum(1 for _ in study.networks()),
    }
    return environment.get_template("page.html").render(context)


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

"""Which section lies on which page of a report: one table. Imports nothing heavy: rules read it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from neurobust.study.model import Study

ARCHIVE = "report.zip"  # all of it in one file
STATUS_FILE = "status.html"  # in the results, not in the report: what `neurobust status --html` writes


class Page(NamedTuple):
    """A page of the whole study: its file below the report's folder, its name in the navigation, its title, and its
    sections in order, each the stem of a template."""

    file: str
    name: str
    title: str
    sections: tuple[str, ...]


PAGES = {
    "answer": Page("index.html", "Answer", "Does brain guidance make the networks more robust?", ("front",)),
    "verdicts": Page(
        "verdicts.html", "Verdicts", "Every verdict, and the numbers that it rests on", ("verdict", "comparisons")
    ),
    "attacks": Page(
        "attacks.html", "Attacks", "Bounded attacks: curves, smallest budgets, transfer, examples",
        ("budgets", "plane", "transfer", "examples"),
    ),
    "semantic": Page(
        "semantic.html", "Semantic attacks", "Attacks without a norm: colour, texture, faces",
        ("semantic", "verification"),
    ),
    "corruptions": Page(
        "corruptions.html", "Corruptions", "Images that nobody attacked: corruptions and published sets",
        ("corruptions", "shifted"),
    ),
    "why": Page("why.html", "Why", "What guidance changed, and what a gain goes with", ("why", "inside", "factors")),
    "predictors": Page(
        "predictors.html", "Brains and predictors",
        "The responses, how much of them is predicted, and what predictors see", ("predictors", "seen"),
    ),
    "quality": Page(
        "quality.html", "Data quality", "Are the responses and their predictors good enough?",
        ("brains", "sessions", "coverage", "reached"),
    ),
    "checks": Page(
        "checks.html", "Checks", "Can the robust accuracies be trusted?", ("checks", "outside")
    ),
    "methods": Page(
        "methods.html", "Methods", "Methods of this study, as it was run", ("methods", "excluded", "reading")
    ),
    "compute": Page("compute.html", "Compute", "Compute and provenance", ("compute",)),
}  # fmt: skip

# Names of sections where a page lists what is on it.
SECTION_NAMES = {
    "front": "Answer", "verdict": "What may be said", "comparisons": "Comparisons", "budgets": "Budgets",
    "plane": "Clean and robust", "transfer": "Transfer", "examples": "Examples", "semantic": "Semantic attacks",
    "verification": "Verification", "corruptions": "Corruptions", "shifted": "Published sets", "why": "Why",
    "inside": "Inside", "factors": "Factors", "predictors": "Predictors", "seen": "What predictors see",
    "brains": "The gate", "sessions": "Sessions", "coverage": "Coverage", "reached": "Ceilings",
    "checks": "Checks", "outside": "Calibration", "methods": "Methods", "excluded": "What was left out",
    "reading": "How to read",
    "compute": "Compute and provenance",
}  # fmt: skip

# A page of one ROI, which is built from the ROI's own chain alone, has all of its sections on itself.
ROI_SECTIONS = (
    "verdict", "comparisons", "budgets", "plane", "predictors", "brains", "coverage", "reached", "seen", "examples",
    "checks", "compute", "reading",
)  # fmt: skip

# Sections whose anchors are not their own names: what an anchor begins with -> its section.
ANCHORS = {"accuracy": "comparisons", "trend": "verdict", "claims": "verdict", "verdicts": "verdict"}


def pages_of(study: Study) -> dict[str, Page]:
    """The pages of a study by name: those that have something to show whatever comes out."""
    lacking = set()
    if not study.rois:
        lacking.add("quality")
    if not study.semantic.asked:
        lacking.add("semantic")
    if not (study.corruptions or study.shifted):
        lacking.add("corruptions")
    return {name: page for name, page in PAGES.items() if name not in lacking}


def front_page(results: Path) -> Path:
    """Where the front page of a study's report lies."""
    return results / "report" / PAGES["answer"].file


def roi_file(roi: str) -> str:
    """An ROI's page, below the report's folder."""
    return f"roi/{roi}.html"


def every_section() -> tuple[str, ...]:
    """All sections that a page of the whole study has, in the order of the pages."""
    return tuple(section for page in PAGES.values() for section in page.sections)


def section_of(anchor: str) -> str:
    """The section that an anchor such as `accuracy-digits-resnet18` lies in."""
    stem = anchor.removeprefix("#").partition("-")[0]
    return ANCHORS.get(stem, stem)


def link_to(study: Study, anchor: str, sections: tuple[str, ...], up: str = "") -> str:
    """A link to an anchor from a page with these sections; `up` leads from the page to the report's folder."""
    section = section_of(anchor)
    if section in sections:
        return anchor
    found = next((page.file for page in pages_of(study).values() if section in page.sections), PAGES["answer"].file)
    return f"{up}{PurePosixPath(found)}{anchor}"

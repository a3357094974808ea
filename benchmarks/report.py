"""What the report of a study of real size costs: CPU seconds and memory of each step, bytes of what readers open.

    python benchmarks/report.py [--folder results/report-bench] [--pages TO ...] [--rois V1 TO ...] [--seeds 5]

The study is made up: eight subjects, eleven ROIs each with three controls, two tasks, fifteen attacks, five seeds, so
460 networks; its files have the stages' formats. Each step runs as its job does, in a fork of a process that has its
imports: the tables, the figures, the pages, and the page of each ROI. The imports are counted once, as a run has them.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from msgspec.structs import replace

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "tests/report/fake"))
import fake_study as fake  # noqa: E402
from fake_files import write_study  # noqa: E402

from neurobust.networks.conditions import Condition  # noqa: E402
from neurobust.networks.references_settings import Adversarial  # noqa: E402
from neurobust.report.collect import tabulate_results  # noqa: E402
from neurobust.report.contents import COLUMNS, FIGURES  # noqa: E402
from neurobust.report.draw import draw_figures  # noqa: E402
from neurobust.report.page import write_index, write_roi_page  # noqa: E402
from neurobust.study.claims import read_claims  # noqa: E402
from neurobust.study.model import Study  # noqa: E402

ROIS = ("V1", "V2", "V3", "hV4", "VO", "PHC", "LO", "TO", "FFA", "PPA", "EBA")
CONTROLS = ("shuffled", "random", "pixels")
SUBJECTS = tuple(f"subj0{number}" for number in range(1, 9))
MORE = {  # beside the fake study's own attacks: norm, budgets, strength
    "autoattack": ("linf", fake.LINF, 1.3), "square-linf": ("linf", fake.LINF, 0.9), "fmn-l2": ("l2", fake.L2, 1.25),
    "brightness": ("brightness", (0, 0.2, 0.4), 0.3), "contrast": ("contrast", (0, 0.5, 1), 0.3),
    "rotation-translation": ("rotation", (0, 0.5, 1), 0.4), "adaptive-joint": ("linf", fake.LINF, 1.1),
    "adaptive-collision": ("linf", fake.LINF, 1.1),
}  # fmt: skip


def study_of(root: Path, rois: Sequence[str] = ROIS, seeds: int = 5) -> Study:
    """The study, and what its networks and subjects are made to be."""
    conditions = {"none": Condition(weight=0.9)}
    for index, roi in enumerate(rois):
        conditions[roi] = fake.guided(roi)
        fake.TOUGHNESS[roi] = 1.9 if roi == "TO" else 1 + 0.08 * index  # TO is what the eye has to find
        for control in CONTROLS:
            conditions[f"{roi}-{control}"] = fake.guided(roi, control=control)
            fake.TOUGHNESS[f"{roi}-{control}"] = 1.02 + 0.03 * index
        fake.VOXELS.update({(roi, subject): 300 for subject in SUBJECTS})
        fake.CENTRES[roi] = (3 + index % 4, 2 + 2 * index, 4 + index % 3)
    conditions["adversarial"] = Condition(weight=0.9, reference=Adversarial(kind="adversarial"))
    fake.TOUGHNESS["adversarial"] = 2.6
    fake.QUALITY.update({subject: replace(fake.FOUND, subject=subject) for subject in SUBJECTS})
    more = {name: fake.make_plan(name, fake.Search(norm=norm), budgets) for name, (norm, budgets, _) in MORE.items()}
    fake.STRENGTH.update({name: strength for name, (*_, strength) in MORE.items()})
    study = fake.make_study(
        root, rois=tuple(rois), subjects=SUBJECTS, conditions=conditions, attacks=fake.ATTACKS | more,
        seeds=tuple(range(seeds)), tasks=("imagenet50", "cifar10"), predictor_seeds=(0, 1),
    )  # fmt: skip
    return replace(study, claims=read_claims(PROJECT / "config/claims.yaml"), name="made-up")


def steps_of(study: Study, pages: Sequence[str]) -> dict[str, Callable[[], object]]:
    """The steps of the report by name, in their order."""
    report = study.root / "report"
    tables = {name: report / "tables" / f"{name}.csv" for name in COLUMNS}
    figures = {name: report / "figures" / f"{name}.svg" for name in FIGURES}
    steps: dict[str, Callable[[], object]] = {
        "tables": lambda: tabulate_results(study, tables),
        "figures": lambda: draw_figures(study, report / "tables", figures),
        "pages": lambda: write_index(study, report / "tables", figures, report / "index.html"),
    }
    return steps | {
        f"page of {roi}": lambda roi=roi: write_roi_page(study, roi, report / f"roi/{roi}.html") for roi in pages
    }


def cost(step: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds and peak MiB of a step in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def work() -> None:
        start = time.process_time()
        step()
        sender.send((time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit("the step failed, see above")
    found: tuple[float, float] = receiver.recv()
    return found


def imports() -> tuple[float, float]:
    """CPU seconds and peak MiB of this process when it has what all steps import."""
    import_module("neurobust.report.ready")
    found = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    gc.collect()
    gc.freeze()  # as the process does that jobs fork from
    return found


def measure(study: Study, pages: Sequence[str]) -> dict[str, tuple[float, float]]:
    """CPU seconds and peak MiB of each step, with the study's files written by another process."""
    found = {"imports": imports()}
    cost(lambda: write_study(study))
    return found | {name: cost(step) for name, step in steps_of(study, pages).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=PROJECT / "results/report-bench")
    parser.add_argument("--pages", nargs="*", help="ROIs whose pages are made; all unless given")
    parser.add_argument("--rois", nargs="+", default=ROIS)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    study = study_of(options.folder, options.rois, options.seeds)
    found = measure(study, options.rois if options.pages is None else options.pages)
    for name, (seconds, memory) in found.items():
        print(f"{name:12} {seconds:6.1f} CPU s {memory:6.0f} MiB")
    every, peaks = zip(*found.values(), strict=True)
    print(f"{'all':12} {sum(every):6.1f} CPU s {max(peaks):6.0f} MiB")
    for page in sorted((study.root / "report").glob("*.html")):
        print(f"{page.name:20} {page.stat().st_size / 1e6:6.2f} MB")


if __name__ == "__main__":
    main()

"""G-net's published schedule beside the fast one, to convergence, on the responses of a finished demo.

    python benchmarks/schedules.py RESULTS [--root resources/phantom] [--roi V1] [--seeds 0 1 2] [--schedules fast]

RESULTS is the demo's folder (results/demo) and root the phantom that it was made of, out of whose betas the ROI is cut
once more with all single trials, which the published schedule learns from. One line of JSON a fit, as soon as it is
there: median test r, median r / sqrt(NC), epochs that were run and CPU seconds of one thread, fit alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import asdict

from neurobust.core.settings import read
from neurobust.files.roi import roi_path
from neurobust.files.stimuli import stimuli_path
from neurobust.nsd.responses import extract_roi
from neurobust.nsd.settings import StudySplits
from neurobust.predictors.data import load_subject
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.registry import read_predictor
from neurobust.predictors.train import accuracy_table, fit_kind, summarise_table
from neurobust.study.model import Study
from neurobust.study.read import read_study
from neurobust.study.yaml_file import load_yaml

DEMO = Path(__file__).parents[1] / "config/demo.yaml"
SCHEDULES: dict[str, dict[str, Any]] = {  # beside the demo's G-net
    "published": {"schedule": "published", "batch_size": 100, "epochs": 50, "dropout": 0.5, "learning_rate": 1e-3},
    "fast": {"epochs": 20},
}


def cut(study: Study, results: Path, root: Path, roi: str, folder: Path) -> list[tuple[Path, Path]]:
    """The files of an ROI with all single trials, and of stimuli, of each subject."""
    splits = read(StudySplits, {**asdict(study.splits), "trials": "all"}, "splits")
    side, found = study.predictors["gnet"].input_size, []
    for subject in study.data.subjects:
        file = roi_path(folder, subject, roi)
        file.parent.mkdir(parents=True, exist_ok=True)
        betas = roi_path(results, subject, roi).with_name("betas.h5")
        extract_roi(str(root), betas, subject, roi, study.rois[roi], splits, file)
        found.append((file, stimuli_path(results, subject, side)))
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--root", type=Path, default=Path("resources/phantom"))
    parser.add_argument("--roi", default="V1")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--schedules", nargs="+", choices=SCHEDULES, default=list(SCHEDULES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    gnet = load_yaml(DEMO)["predictors"]["gnet"]
    with tempfile.TemporaryDirectory() as folder:
        files = cut(read_study(load_yaml(DEMO)), given.results, given.root, given.roi, Path(folder))
        subjects = [load_subject(*pair) for pair in files]
        for seed in given.seeds:
            for name in given.schedules:
                keys = {**gnet, **SCHEDULES[name]}
                if name == "published":
                    del keys["patience"]
                settings = read_predictor(name, keys)
                context = FitContext(subjects, seed, device=torch.device("cpu"))
                start = time.process_time()
                fitted = fit_kind(settings, context)
                seconds = time.process_time() - start
                summary = summarise_table(accuracy_table(settings, fitted.model, context))
                r, normalised = summary["median_r"], summary["median_r_normalised"]
                found = {"schedule": name, "seed": seed, "r": r, "r / sqrt(NC)": normalised,
                         "epochs": len(fitted.history), "CPU s": round(seconds, 1)}  # fmt: skip
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

"""The two tables that tell the design a second time, and whether they agree with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from neurobust.core.errors import InputError
from neurobust.nsd import layout
from neurobust.nsd.design import REPEATS, Design
from neurobust.nsd.header import ABSENT

BEHAVIOUR = ("SUBJECT", "SESSION", "RUN", "TRIAL", "73KID", "10KID", "ISOLD", "MISSINGDATA")


def read_behaviour(path: Path) -> pd.DataFrame:
    """responses.tsv: a row per run trial; ids are 1-based."""
    return read_columns(path, "\t", BEHAVIOUR)


def read_stim_info(path: Path) -> pd.DataFrame:
    """nsd_stim_info_merged.csv: a row per image; nsdId is 0-based, subjectX_repN are 1-based planned trials."""
    subjects = [name for s in range(1, 9) for name in (f"subject{s}", *(f"subject{s}_rep{r}" for r in range(REPEATS)))]
    return read_columns(path, ",", ("nsdId", "shared1000", *subjects))


def read_columns(path: Path, separator: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Some columns of a table, which must have whole numbers or booleans in every row."""
    try:
        missing = [name for name in columns if name not in pd.read_csv(path, sep=separator, nrows=0).columns]
        if missing:
            raise ValueError(f"no column '{missing[0]}'")
        table = pd.read_csv(path, sep=separator, usecols=list(columns))
        return table.astype({name: bool if table[name].dtype == bool else np.int64 for name in columns})
    except FileNotFoundError as error:
        raise InputError(f"{path}: {ABSENT}") from error
    except (ValueError, TypeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not the table that it should be ({reason}); fetch it again") from error


def behaviour_problem(table: pd.DataFrame, design: Design, subject: str, n_sessions: int) -> str | None:
    """Where responses.tsv of a subject disagrees with the design, or None."""
    images = design.trial_images(n_sessions)
    if len(table) != len(images):
        return f"{len(table)} rows, but {len(images)} trials in {n_sessions} sessions"
    ids, (_, first) = design.nsd_ids(subject, n_sessions), np.unique(images, return_index=True)
    old = np.ones(len(images), bool)
    old[first] = False
    runs = design.run_lengths[:n_sessions]
    checks = {
        "SUBJECT is another": (table["SUBJECT"] == layout.subject_number(subject)).all(),
        "SESSION is not one after the other": np.array_equal(table["SESSION"], design.sessions(n_sessions)),
        "10KID is not the design's image (from 1)": np.array_equal(table["10KID"] - 1, images),
        "73KID is not the design's id (from 1)": np.array_equal(table["73KID"] - 1, ids),
        "RUN does not have the design's trials": np.array_equal(
            table["RUN"], np.concatenate([np.repeat(np.arange(1, len(run) + 1), run) for run in runs])
        ),
        "ISOLD is not whether the image was seen before": np.array_equal(table["ISOLD"] == 1, old),
    }
    return next((problem for problem, holds in checks.items() if not holds), None)


def stim_info_problem(table: pd.DataFrame, design: Design) -> str | None:
    """Where the table of stimuli disagrees with the design, or None. It lists the planned trials, run or not."""
    if len(table) != design.pool:
        return f"{len(table)} rows, but {design.pool} images"
    if not np.array_equal(table["nsdId"], np.arange(design.pool)):
        return "nsdId is not the row, from 0"
    if not np.array_equal(np.flatnonzero(table["shared1000"]), design.shared):
        return "shared1000 marks other images than sharedix"
    for number in range(1, 9):
        planned = table[[f"subject{number}_rep{repeat}" for repeat in range(REPEATS)]].to_numpy()
        shown = planned[:, 0] > 0
        if not np.array_equal(table[f"subject{number}"] == 1, shown):
            return f"subject{number} is not whether it has a first trial"
        if (np.diff(planned[shown], axis=1) <= 0).any() or planned.max() > len(design.ordering):
            return f"subject{number}_rep0 to _rep2 are not three planned trials in their order"
        ids = design.images[number - 1, design.ordering[planned[shown] - 1]]
        if (ids != np.flatnonzero(shown)[:, None]).any():
            return f"subject{number}_rep0 to _rep2 are not the trials (from 1) of the row's image"
    return None

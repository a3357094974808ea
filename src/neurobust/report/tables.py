"""Everything that the report prints, as tidy tables: read back from the CSV files that `collect` wrote."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from neurobust.core.errors import InputError
from neurobust.report.blocks import Tables
from neurobust.report.contents import COLUMNS


def read_csv(path: Path) -> pd.DataFrame:
    """A table as the report writes it: only an empty field is a missing one, since a condition is called `none`."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def read_tables(folder: Path) -> Tables:
    """Read back the tables that `tabulate_results` wrote to `folder` as `<name>.csv`; an absent one has no rows."""
    tables = {}
    for name, columns in COLUMNS.items():
        path = Path(folder) / f"{name}.csv"
        if path.exists():
            tables[name] = read_csv(path)
            if list(tables[name].columns) != columns:
                raise InputError(
                    f"{path}: columns are {list(tables[name].columns)}, not {columns}; delete it, run again"
                )
        else:
            tables[name] = pd.DataFrame(columns=columns)
    return tables

"""Everything that the report prints, as tidy tables: read back from the CSV files that `collect` wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from neurobust.core.errors import InputError
from neurobust.core.io import write_text
from neurobust.report.blocks import Tables
from neurobust.report.contents import COLUMNS


def read_csv(path: Path) -> pd.DataFrame:
    """A table as the report writes it: only an empty field is a missing one, since a condition is called `none`."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def read_section(paths: Iterable[Path], names: Mapping[str, str], what: str) -> Tables:
    """The tables of a section by name; names: name -> file. None where no CSV file is among `paths`; InputError, with
    `what` the section is of, where some are missing or of another."""
    files = {path.stem: path for path in paths if path.suffix == ".csv"}
    if files and set(files) != set(names.values()):
        raise InputError(f"{what}: tables {sorted(files)}; give {', '.join(sorted(names.values()))}")
    return {name: read_csv(files[file]) for name, file in names.items()} if files else {}


def write_tables(tables: Tables, outputs: Mapping[str, Path]) -> None:
    """Write tables as CSV files, each atomically; outputs: where those by name go."""
    for name, path in outputs.items():
        write_text(path, tables[name].to_csv(index=False, lineterminator="\n"))


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

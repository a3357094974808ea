"""Everything that the report prints, as tidy tables: read back from the CSV files that `collect` wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from neurobust.core.errors import InputError, flat
from neurobust.core.io import write_text
from neurobust.report.blocks import Tables, plain_texts
from neurobust.report.contents import COLUMNS


def read_csv(path: Path) -> pd.DataFrame:
    """A table as the report writes it: only an empty field is a missing one, since a condition is called `none`."""
    try:
        with plain_texts():
            return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable table ({flat(error)}); delete it and run again") from error


@contextmanager
def as_written(*results: object) -> Iterator[None]:
    """Of folders of results whose tables are printed: what fails because somebody changed one, such as a word in the
    place of a number, is an InputError."""
    try:
        yield
    except (InputError, UnicodeEncodeError):  # the latter is the terminal's
        raise
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        where = " or ".join(f"{folder}/report/tables" for folder in results if folder)
        raise InputError(
            f"{where}: a table is not as the report wrote it ({flat(error)}); delete the tables and run again"
        ) from error


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


def unlike(table: pd.DataFrame, columns: Sequence[str]) -> str:
    """How the columns of a table differ from those that it should have, in words."""
    names = list(map(str, table.columns))
    more, lacking = [name for name in names if name not in columns], [name for name in columns if name not in names]
    said = [f"lacks {', '.join(lacking)}"] * bool(lacking) + [f"has {', '.join(more)}"] * bool(more)
    return " and ".join(said) or "its columns are in another order"


def read_tables(folder: Path) -> Tables:
    """Read back the tables that `tabulate_results` wrote to `folder` as `<name>.csv`; an absent one has no rows."""
    tables = {}
    for name, columns in COLUMNS.items():
        path = Path(folder) / f"{name}.csv"
        if path.exists():
            tables[name] = read_csv(path)
            if list(tables[name].columns) != columns:
                raise InputError(
                    f"{path}: of another version of neurobust or of somebody's: {unlike(tables[name], columns)}; "
                    "delete it and run again, or read it with its own version"
                )
        else:
            tables[name] = pd.DataFrame(columns=columns)
    return tables

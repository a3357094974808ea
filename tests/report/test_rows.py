"""What is done to many rows at once gives what the slow way gives."""

import itertools

import numpy as np
import pandas as pd

from neurobust.core.seeding import numpy_rng
from neurobust.files.attack_table import COLUMNS, AttackRecord, grid_of, write_attack_table
from neurobust.report.blocks import records
from neurobust.report.cells import Cell, common_images, read_cell, rows_of, shared_images, worst_case
from neurobust.report.collect import as_csv

TABLE = pd.DataFrame(
    {
        "number": [0.1 + 0.2, 1e-12, 123456789.0, -0.0, np.nan, np.inf, 1 / 3],
        "count": [1, 2, 3, 4, 5, 6, 7],
        "passed": [True, False, True, True, False, True, False],
        "mixed": [1, "two", None, 4.5, np.nan, "", True],
        "text": ["plain", "a, b", 'a "quote"', "two\nlines", "", "ü", "9"],
        "nothing": [np.nan] * 7,
    }
)


def test_numbers_are_written_as_pandas_writes_them():
    expected = TABLE.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    assert as_csv(TABLE) == expected
    assert as_csv(TABLE.iloc[:0]) == TABLE.iloc[:0].to_csv(index=False, lineterminator="\n")


def test_rows_of_a_table_are_its_records():
    found, expected = records(TABLE), TABLE.to_dict("records")
    assert len(found) == len(expected) and records(TABLE.iloc[:0]) == []
    for one, other in zip(found, expected, strict=True):
        assert list(one) == list(other)
        for name, value in other.items():
            assert value != value or (one[name] == value and type(one[name]) is type(value)), name


def rows(images, budgets):
    return pd.DataFrame(
        [(image, budget, True, image < budget, 1.0, 2.0) for image, budget in itertools.product(images, budgets)],
        columns=COLUMNS,
    )


def test_a_table_is_a_grid_only_in_its_order_and_read_in_any(tmp_path):
    whole = rows([2, 3, 5, 9], [0.0, 2.5, 4.0])
    columns = {name: whole[name].to_numpy() for name in whole}
    images, budgets = grid_of(columns)
    assert images.tolist() == [2, 3, 5, 9] and budgets.tolist() == [0, 2.5, 4]
    mixed = whole.sample(frac=1, random_state=1)
    for broken in (mixed, whole.iloc[:-1], whole.iloc[[0, 0, *range(2, 12)]], rows([2, 2], [0.0, 1.0])):
        assert grid_of({name: broken[name].to_numpy() for name in broken}) is None
    assert [len(part) for part in grid_of({name: values[:0] for name, values in columns.items()})] == [0, 0]
    for name, table in (("whole", whole), ("mixed", mixed)):
        write_attack_table(tmp_path / name, table, AttackRecord())
    one, other = read_cell(tmp_path / "whole"), read_cell(tmp_path / "mixed")
    assert (one.robust == other.robust).all() and (one.images == other.images).all() and one.cost == other.cost
    assert one.robust.tolist() == [[image >= budget for budget in (0, 2.5, 4)] for image in (2, 3, 5, 9)]


def test_images_of_several_cells_are_those_that_all_hold():
    rng, budgets = numpy_rng("images of cells"), np.array([0.0, 1.0])
    for same in (True, False):
        chosen = [np.arange(30) if same else np.sort(rng.choice(30, 20, replace=False)) for _ in range(4)]
        cells = [Cell(images, budgets, rng.random((len(images), 2)) < 0.5, {}) for images in chosen]
        held = sorted(set.intersection(*(set(images.tolist()) for images in chosen)))
        assert shared_images(cells).tolist() == held and 0 < len(held) <= 30
        table = [dict(zip(cell.images.tolist(), cell.robust.tolist(), strict=True)) for cell in cells]
        worst = worst_case(cells)
        for place, image in enumerate(held):
            assert [cell.robust[place].tolist() for cell in common_images(cells)] == [each[image] for each in table]
            assert worst.robust[place].tolist() == [all(each[image][k] for each in table) for k in (0, 1)]
        for cell in cells:
            assert cell.images[rows_of(cell, np.array(held))].tolist() == held

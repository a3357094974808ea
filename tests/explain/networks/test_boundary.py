"""The linear distance to the boundary beside the true one, on a network whose boundary is a plane."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.explain.bench import findings_of
from neurobust.explain.network_bench import Compared, NetworkBench
from neurobust.explain.networks.settings import Boundary
from neurobust.files.adversarials import Adversarials, write_adversarials
from neurobust.files.attack_table import AttackRecord, write_attack_table, write_failed_table
from neurobust.files.dataset import Source, read_dataset, write_dataset

SIDE, COUNT = 8, 40


@pytest.fixture(scope="module")
def planes(tmp_path_factory):
    """A bench of two classes that a plane parts, and the distance of each image to it."""
    path, rng = tmp_path_factory.mktemp("planes"), np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    normal = torch.from_numpy(rng.normal(size=(3, SIDE, SIDE))).float()
    linear = nn.Sequential(nn.Flatten(), nn.Linear(normal.numel(), 2, bias=False))
    linear[1].weight = nn.Parameter(torch.stack([normal.flatten(), -normal.flatten()]), requires_grad=False)
    side = np.tensordot(images.astype(float) / 255, normal.permute(1, 2, 0).numpy(), 3)
    labels = (side < 0).astype(int)
    split = np.repeat([0, 1, 2], [1, 1, COUNT - 2]).astype(np.uint8)
    source = Source(labels, split, ["over", "under"], (SIDE, SIDE), iter([images]), dict)
    write_dataset(path / "dataset.h5", "toy", source, {})
    data = read_dataset(path / "dataset.h5")
    rows = np.sort(data.examined(COUNT - 2))
    return path, linear, data, rows, abs(side[rows]) / float(normal.norm())


def bench_of(planes, *tables):
    _, network, data, rows, _ = planes
    return NetworkBench(network, data, rows, Compared(minimal=tables), 0, torch.device("cpu"), 16)


def table(path, images, distances, correct=True):
    columns = {"image": images, "budget": 1.0, "clean_correct": correct, "success": True, "n_forward": 1.0}
    write_attack_table(path, pd.DataFrame({**columns, "n_backward": 1.0, "distance": distances}), AttackRecord())
    return path


def found_in(bench):
    return {row.measure: row for row in findings_of(bench, Boundary()).rows}


def test_of_a_plane_the_linear_distance_is_the_true_one(planes):
    path, _, _, rows, exact = planes
    found = found_in(bench_of(planes, table(path / "exact.parquet", rows, exact)))
    order, ratio = found["order of linear and true distance"], found["true over linear distance"]
    assert order.value == pytest.approx(1) and ratio.value == pytest.approx(1, rel=1e-4)
    assert order.n_images == len(rows)


def test_the_least_of_several_attacks_counts_and_what_was_never_broken_does_not(planes):
    path, _, _, rows, exact = planes
    far = table(path / "far.parquet", rows, 3 * exact)
    near = np.where(np.arange(len(rows)) < 10, np.nan, 2 * exact)
    bench = bench_of(planes, far, table(path / "near.parquet", rows, near))
    assert bench.minimal == pytest.approx(np.where(np.arange(len(rows)) < 10, 3 * exact, 2 * exact))
    assert found_in(bench)["true over linear distance"].value == pytest.approx(2, rel=1e-4)
    wrong = table(path / "wrong.parquet", rows, exact, correct=np.arange(len(rows)) >= 5)
    bench = bench_of(planes, wrong)
    assert np.isnan(bench.minimal[:5]).all() and found_in(bench)["true over linear distance"].n_images == len(rows) - 5


def test_other_distances_have_no_order_with_it(planes):
    path, _, _, rows, exact = planes
    found = found_in(bench_of(planes, table(path / "other.parquet", rows, np.random.default_rng(1).permutation(exact))))
    assert abs(found["order of linear and true distance"].value) < 5 / np.sqrt(len(rows)), "five standard errors"


def test_without_such_an_attack_or_where_it_failed_the_table_says_so(planes):
    path = planes[0]
    write_failed_table(path / "failed.parquet", AttackRecord(failed="out of memory"))
    for tables in ((), (path / "failed.parquet",)):
        assert bench_of(planes, *tables).lacks("minimal") == "no minimum-norm attack in L2 met this network"


def test_a_table_without_distances_is_one_line(planes):
    path, _, _, rows, _ = planes
    columns = {"image": rows, "budget": 1.0, "clean_correct": True, "success": True, "n_forward": 1.0}
    write_attack_table(path / "none.parquet", pd.DataFrame({**columns, "n_backward": 1.0}), AttackRecord())
    with pytest.raises(InputError, match=r"none\.parquet: no column 'distance'; delete it"):
        _ = bench_of(planes, path / "none.parquet").minimal


def test_adversarials_of_other_images_are_one_line(planes):
    path, network, data, rows, _ = planes
    pixels = np.zeros((1, SIDE, SIDE, 3), np.float32)
    zero = np.zeros(1, np.int64)
    write_adversarials(path / "transfer.npz", Adversarials(pixels, np.array([True]), zero + COUNT, zero))
    bench = NetworkBench(network, data, rows, Compared(transfer=path / "transfer.npz"), 0, torch.device("cpu"), 16)
    with pytest.raises(InputError, match=r"transfer\.npz: of images that the task has not"):
        _ = bench.adversarials

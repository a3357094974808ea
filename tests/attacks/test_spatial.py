"""Rotation and translation: exact moves, the grid against brute force."""

import pytest
import torch

from neurobust.attacks.plan import read_plan
from neurobust.attacks.spatial import grid_points, mirror, move
from neurobust.core.errors import InputError


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(3, 3, 8, 8)


def test_nothing_moves_at_zero(images):
    for padding in ("zero", "reflect"):
        assert torch.equal(move(images, 0, 0, 0, padding), images)


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("quarter", [-1, 1, 2, 3])
def test_quarter_turns_are_exact(side, quarter):
    images = torch.rand(2, 3, side, side)
    for padding in ("zero", "reflect"):
        assert torch.equal(move(images, 90 * quarter, 0, 0, padding), torch.rot90(images, quarter, (2, 3)))


def test_whole_pixel_shifts_are_exact(images):
    moved = move(images, 0, 2, -3, "zero")  # 2 right, 3 up
    assert torch.equal(moved[:, :, :5, 2:], images[:, :, 3:, :6])
    assert (moved[:, :, 5:] == 0).all() and (moved[:, :, :, :2] == 0).all()
    padded = torch.nn.functional.pad(images, (3, 3, 3, 3), mode="reflect")
    assert torch.equal(move(images, 0, 2, -3, "reflect"), padded[:, :, 6:14, 1:9])


def test_half_a_pixel_is_the_mean_of_two(images):
    moved = move(images, 0, 0.5, 0)
    assert torch.allclose(moved[..., 1:], (images[..., 1:] + images[..., :-1]) / 2)
    assert torch.allclose(moved[..., 0], images[..., 0] / 2)


def test_any_move_is_the_library_s(images):
    """`grid_sample` with the same matrix, to float32."""
    turn = torch.deg2rad(torch.tensor(23.0))
    matrix = torch.tensor([[turn.cos(), -turn.sin()], [turn.sin(), turn.cos()]])
    offset = -matrix @ torch.tensor([1.3, -0.7]) * 2 / 8
    grid = torch.nn.functional.affine_grid(torch.cat([matrix, offset[:, None]], 1).expand(3, 2, 3), images.shape,
                                           align_corners=False)  # fmt: skip
    expected = torch.nn.functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    assert torch.allclose(move(images, 23, 1.3, -0.7), expected, atol=1e-5)


def test_mirror_does_not_repeat_the_edge():
    assert mirror(torch.arange(-4, 9), 4).tolist() == [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_values_stay_in_the_box_and_an_interior_turns_back():
    images = torch.ones(1, 3, 16, 16)
    assert move(images, 17, 0.3, 0.4).max() <= 1
    assert torch.allclose(move(images, 17, 0.3, 0.4, "reflect"), images)


def test_grid_is_engstrom_s():
    points = grid_points(30, 3, 31, 5)
    assert len(points) == 31 * 5 * 5 - 1
    sizes = [size for size, _ in points]
    assert sizes == sorted(sizes) and sizes[0] > 0 and sizes[-1] == 1
    assert {round(degrees, 6) for _, (degrees, _, _) in points} == set(range(-30, 31, 2))
    assert {right for _, (_, right, _) in points} == {-3, -1.5, 0, 1.5, 3}
    assert next(size for size, point in points if point == (0, 1.5, 0)) == 0.5


@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_worst_case_is_brute_force(run_attack, toys, padding):
    model = toys.linear(4, (3, 8, 8))
    torch.manual_seed(3)
    images = torch.rand(20, 3, 8, 8)
    labels = model(images).argmax(1)
    budgets = [0, 0.3, 0.5, 1]
    settings = {"method": "rotation-translation", "budgets": budgets, "angles": 5, "shifts": 3, "padding": padding,
                "angle": 20, "translation": 0.125}  # fmt: skip
    result = run_attack(model, images, labels, settings, seed=0, ids=range(20))
    points = grid_points(20, 1.0, 5, 3)
    broken = torch.stack([model(move(images, *point, padding)).argmax(1) != labels for _, point in points], dim=1)
    sizes = torch.tensor([size for size, _ in points], dtype=torch.float64)
    nearest = torch.where(broken, sizes, torch.inf).amin(1)
    assert torch.equal(result.distance.nan_to_num(torch.inf), nearest)
    expected = nearest[:, None] <= torch.tensor(budgets) + 1e-9
    assert torch.equal(result.success, expected)  # nested: every smaller range is a prefix
    assert expected[:, -1].sum() > 0 and expected[:, 2].sum() < expected[:, -1].sum()


def test_smaller_ranges_are_free(run_attack, toys):
    """What one run over the whole range says of half the range is what a run over half the range says."""
    model = toys.tiny_net(classes=10).eval()
    torch.manual_seed(1)
    images = torch.rand(12, 3, 16, 16)
    labels = model(images).argmax(1)
    whole = {"method": "rotation-translation", "budgets": [0, 0.5, 1], "angles": 5, "shifts": 5, "angle": 60}
    half = whole | {"budgets": [0, 1], "angle": 30, "translation": 3 / 64, "angles": 3, "shifts": 3}
    one = run_attack(model, images, labels, whole, seed=0, ids=range(12))
    two = run_attack(model, images, labels, half, seed=0, ids=range(12))
    assert torch.equal(one.success[:, 1], two.success[:, 1])


def test_bad_settings_are_one_clear_error():
    for change, message in (
        ({"budgets": [0, 1.5]}, "over 1"), ({"padding": "wrap"}, "padding: 'wrap'"), ({"angles": 0}, "angles: 0"),
        ({"shifts": 0}, "shifts: 0"), ({"angle": 181}, "angle: 181"), ({"translation": -0.1}, "translation: -0.1"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            read_plan("a", {"method": "rotation-translation", "budgets": [0, 1], **change})

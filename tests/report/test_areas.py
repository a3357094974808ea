"""Areas under curves of accuracy over budgets: by hand, against drawn images, and what clean accuracy makes of them."""

import numpy as np
import pytest

from neurobust.core.seeding import numpy_rng
from neurobust.report.areas import curve_area, relative_area
from neurobust.statistics import crossed_interval


def test_area_of_uneven_budgets_is_not_their_plain_mean():
    budgets, line = np.array([0, 1, 2, 8.0]), np.array([1.0, 0.875, 0.75, 0.0])
    assert curve_area(line, budgets) == pytest.approx(0.5)
    assert line.mean() != pytest.approx(0.5)
    assert np.isnan(curve_area(np.ones((3, 1)), np.array([0.0]))).all()


def curves(images, read, lasts, *names):
    """robust (images, 4) at budgets 0, 1, 2, 4: `read` of the images are read, a share `lasts` survives each step."""
    rng = numpy_rng("curves", images, read, *names)
    steps = rng.random((images, 4)) < [read, lasts, lasts, lasts]
    return np.logical_and.accumulate(steps, axis=1)


BUDGETS = np.array([0.0, 1, 2, 4])


def test_the_relative_area_is_the_ratio_and_has_its_spread():
    """Mean: area over the budgets above 0, by clean accuracy. Spread: that of the ratio over drawn images."""
    robust = curves(400, 0.7, 0.6)
    found = relative_area(robust, BUDGETS)
    clean, area = robust[:, 0].mean(), curve_area(robust[:, 1:], BUDGETS[1:]).mean()
    assert found.mean() == pytest.approx(area / clean)
    rng = numpy_rng("draws")
    drawn = []
    for _ in range(2000):
        rows = robust[rng.integers(0, 400, 400)]
        drawn.append(curve_area(rows[:, 1:], BUDGETS[1:]).mean() / rows[:, 0].mean())
    assert found.std() / 20 == pytest.approx(np.std(drawn), rel=0.1)


def test_the_relative_area_does_not_see_clean_accuracy():
    """75 against 70 % read, equal robustness of what is read: 40 studies of 5 seeds and 400 images."""
    areas, relative = [], []
    for study in range(40):
        pairs = [[curves(400, share, 0.6, study, seed, share) for share in (0.75, 0.7)] for seed in range(5)]
        for found, area in ((areas, curve_area), (relative, relative_area)):
            table = np.array([area(a, BUDGETS) - area(b, BUDGETS) for a, b in pairs])
            found.append(crossed_interval(table).low > 0)
    assert sum(areas) >= 8, "the area from budget 0 says that the better reader is more robust"
    assert sum(relative) <= 4  # 1 expected; 5 or more of 40 at rate .025 in 0.3 % of draws


def test_the_relative_area_of_nothing():
    assert np.isnan(relative_area(np.zeros((4, 3)), [0, 1, 2])).all(), "nothing is read"
    assert np.isnan(relative_area(np.ones((4, 2)), [1, 2])).all(), "clean accuracy is not known"
    assert np.isnan(relative_area(np.ones((4, 1)), [0])).all(), "nothing but clean accuracy"
    assert relative_area([[1, 1], [1, 0], [0, 0]], [0, 4]).mean() == pytest.approx(0.5)

"""Clean-accuracy matching against hand-computed curves."""

import numpy as np
import pytest

from neurobust.report.matching import curve, matched_difference, seed_differences, shared_range


def test_interpolation_along_a_sweep():
    """A sweep of one weight is a point: the difference is read at its clean accuracy alone."""
    clean, robust = [0.9, 0.8, 0.6], [0.1, 0.3, 0.4]  # in any order

    def at_clean(values, wanted):
        return matched_difference(clean, values, [wanted], [0.0])

    assert at_clean(robust, 0.85) == pytest.approx(0.2)
    assert at_clean(robust, 0.7) == pytest.approx(0.35)
    assert at_clean([0.1, 0.5, 0.9], 0.85) == pytest.approx(0.3)
    assert at_clean(robust, 0.9) == pytest.approx(0.1)
    assert at_clean(robust, 0.91) is None and at_clean(robust, 0.59) is None


def test_equal_clean_accuracies_are_averaged():
    levels, values = curve([0.8, 0.7, 0.8], [0.2, 0.5, 0.4])
    np.testing.assert_allclose(levels, [0.7, 0.8])
    np.testing.assert_allclose(values, [0.5, 0.3])


def test_difference_is_the_area_between_the_curves_where_both_are():
    """a is 0.5 everywhere; b falls from 0.5 at 0.6 to 0.3 at 0.8: on [0.6, 0.8] they are 0.1 apart."""
    assert matched_difference([0.5, 0.9], [0.5, 0.5], [0.6, 0.8], [0.5, 0.3]) == pytest.approx(0.1)
    assert matched_difference([0.6, 0.8], [0.5, 0.3], [0.5, 0.9], [0.5, 0.5]) == pytest.approx(-0.1)


def test_a_condition_that_only_trades_accuracy_gains_nothing():
    """Lower clean and higher robust accuracy on the same curve: unmatched it looks like a gain of 0.2."""
    clean, robust = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.1, 0.2, 0.3, 0.4])
    assert robust[2:].mean() - robust[:2].mean() == pytest.approx(0.2)
    assert matched_difference(clean[1:], robust[1:], clean[:3], robust[:3]) == pytest.approx(0, abs=1e-12)


def test_nothing_is_extrapolated():
    assert shared_range([0.5, 0.6], [0.7, 0.8]) is None
    assert matched_difference([0.5, 0.6], [0.5, 0.5], [0.7, 0.8], [0.1, 0.1]) is None
    assert matched_difference([0.5, 0.7], [0.4, 0.6], [0.7, 0.8], [0.1, 0.2]) == pytest.approx(0.5)  # one point shared


def test_each_seed_has_its_own_curves():
    """The second seed's a lies .3 above b where both are; those of the third do not meet."""
    clean_a, robust_a = np.array([[0.6, 0.8], [0.5, 0.7], [0.5, 0.6]]), np.array([[0.5, 0.3], [0.6, 0.6], [0.9, 0.9]])
    clean_b, robust_b = np.full((3, 2), 0.7), np.array([[0.3, 0.3], [0.3, 0.3], [0.1, 0.1]])
    np.testing.assert_allclose(seed_differences(clean_a, robust_a, clean_b, robust_b), [0.1, 0.3, np.nan])


def test_a_broken_sweep_is_refused():
    with pytest.raises(ValueError, match="as many clean as robust"):
        curve([0.1, 0.2], [0.1])

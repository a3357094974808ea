"""How small a difference so many seeds and images can see, and what would settle a contrast."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from neurobust.core.seeding import numpy_rng
from neurobust.statistics import (
    TYPICAL,
    components,
    detectable,
    power_of,
    seeds_for,
    settled,
)

sys.path.insert(0, str(Path(__file__).parent / "made"))
from planted_outcomes import outcomes


def test_power_is_that_of_statsmodels_where_images_have_no_spread():
    for seeds, images in ((2, 1000), (3, 48), (5, 1000), (12, 256)):
        sigma = math.sqrt(0.01**2 + 0.3**2 / images)
        expected = sigma * TTestPower().solve_power(nobs=seeds, alpha=0.05, power=0.8)
        assert detectable(seeds, images, 0.01, 0, 0.3) == pytest.approx(expected, rel=1e-5)
    strict = 0.02 * TTestPower().solve_power(nobs=8, alpha=0.01, power=0.9)
    assert detectable(8, 100, 0.02, 0, 0, power=0.9, level=0.99) == pytest.approx(strict, rel=1e-5)
    assert power_of(0, 4) == pytest.approx(0.05), "of no effect: the level"


def test_more_seeds_and_more_images_see_less_down_to_what_images_differ_by():
    seen = np.array([[detectable(seeds, images, *TYPICAL) for images in (32, 256, 1000)] for seeds in (2, 3, 5, 20)])
    assert (np.diff(seen, axis=0) < 0).all() and (np.diff(seen, axis=1) < 0).all()
    limit = 2.8 * TYPICAL.image / math.sqrt(1000)
    assert detectable(1000, 1000, *TYPICAL) == pytest.approx(limit, rel=0.1)
    assert seeds_for(0.9 * limit, 1000, *TYPICAL) is None
    assert math.isnan(detectable(1, 1000, *TYPICAL)) and math.isnan(detectable(5, 0, *TYPICAL))


def test_the_fewest_seeds_are_the_fewest():
    for effect in (0.01, 0.03, 0.2):
        seeds = seeds_for(effect, 256, 0.02, 0.02, 0.4)
        assert detectable(seeds, 256, 0.02, 0.02, 0.4) <= effect
        assert seeds == 2 or detectable(seeds - 1, 256, 0.02, 0.02, 0.4) > effect


def test_the_documented_defaults_give_the_documented_sentence():
    """5 seeds x 1,000 images see 2.4 pp; 1 pp needs about 20 seeds."""
    assert round(100 * detectable(5, 1000, *TYPICAL), 1) == 2.4
    assert seeds_for(0.01, 1000, *TYPICAL) == 20


def test_components_are_found_again():
    true, found = (0.03, 0.1, 0.4), []
    for index in range(60):
        rng = numpy_rng("components", index)
        parts = [rng.normal(0, sigma, shape) for sigma, shape in zip(true, [(6, 1), (1, 300), (6, 300)], strict=True)]
        found.append(components(sum(parts)))
    assert np.sqrt(np.mean(np.square(found), axis=0)) == pytest.approx(true, rel=0.12)
    assert components(np.zeros((1, 9)))[:2] == TYPICAL[:2]
    assert components(outcomes(2, 9, 0)).seed >= TYPICAL.seed and components(outcomes(2, 9, 0)).image == TYPICAL.image


def test_what_would_settle_it_is_more_than_there_is():
    for seeds, images in ((1, 640), (2, 640), (3, 4800), (5, 1000)):
        text = settled(outcomes(seeds, images, 0.01))
        needed = int(text.split()[1])
        assert needed > seeds and needed >= 3 and f"x {images:,} images would settle it" in text
    odd = np.tile([1.0, -1.0], (8, 8)) + numpy_rng("odd").normal(0, 0.01, (8, 16))
    assert settled(odd) == "no number of seeds sees 3.0 pp on 16 images; it takes more images"
    assert settled(np.zeros((3, 0))) == "there are no images"

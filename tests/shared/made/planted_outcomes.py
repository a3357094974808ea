"""Outcomes of networks under attack with a planted difference, for tests of statistics."""

from neurobust.core.seeding import numpy_rng


def outcomes(seeds, images, effect, *names, share=0.4):
    """Differences of two conditions' answers, right or wrong, with shares `share` + effect and `share`."""
    rng = numpy_rng("outcomes", seeds, images, effect, *names)
    return (rng.random((seeds, images)) < share + effect) * 1.0 - (rng.random((seeds, images)) < share)

"""The controls that a condition can name, described; the functions are in `controls`."""

from __future__ import annotations

from neurobust.networks.description import Control

SHUFFLED = Control(
    partners="neurobust.networks.controls:shuffled_partners",
    pairs=True,
    help="takes away which image evokes which response: a fixed permutation of the images",
)
RANDOM = Control(
    run="neurobust.networks.controls:untrained",
    moments=True,
    help="takes away what the predictor has learnt: the same architecture with new weights",
)
GAUSSIAN = Control(
    run="neurobust.networks.controls:gaussian",
    moments=True,
    help="takes away the image: random responses, fixed per image",
)
PIXELS = Control(
    run="neurobust.networks.controls:pixels_of",
    moments=True,
    help="takes away the cortex: the images' own pixels",
)
FEATURES = Control(
    run="neurobust.networks.controls:oracle_features",
    moments=True,
    oracle=True,
    help="takes away the cortex: the features of an image classifier, an oracle of vision without a brain",
)
LABELS = Control(
    run="neurobust.networks.labels:labelled",
    moments=True,
    categories=True,
    help="takes away all of the responses but the images' categories, with as much noise within a category",
)
PHASE_SCRAMBLED = Control(
    run="neurobust.networks.controls:phase_scrambled",
    help="takes away all of the image but its amplitude spectrum",
)
SUBSAMPLED = Control(
    subsample=True,
    help="takes away what sets the ROIs' data apart: as many voxels, with equal noise ceilings, in every ROI",
)
PREDICTOR_SHUFFLED = Control(
    shuffled_predictor=True,
    help="takes away the pairing of stimulus and response in the predictor's own training",
)

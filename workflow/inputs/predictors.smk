# What the rules of predictors take: names, paths and parameters, no rules.
import sys

MAPS = ["r", "r_normalised", "fev", "noise_ceiling", "p_fdr", "field_x", "field_y", "field_size"]


def predictor_weights(wildcards):
    """The weights files that a predictor's settings name: AlexNet's for G-net, any network's for its features."""
    settings = config["predictors"][wildcards.predictor]
    named = [settings.get("prefilter", "gabor"), settings.get("weights", "random")]
    return [path for path in named if path not in ("gabor", "random")]

"""Predictors: from images to ROI responses. Fitting is in `train`; this is what other stages read."""

from neurobust.predictors.target import Target, load_predictor, load_target

__all__ = ["Target", "load_predictor", "load_target"]

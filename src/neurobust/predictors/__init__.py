"""Predictors: from images to ROI responses."""

from neurobust.predictors.train import PREDICTORS, Target, load_predictor, load_target, train_predictor

__all__ = ["PREDICTORS", "Target", "load_predictor", "load_target", "train_predictor"]

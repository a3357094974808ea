"""Predictors: from images to ROI responses. Fitting is in `train`; this is what other stages read."""

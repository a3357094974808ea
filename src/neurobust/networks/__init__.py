"""Networks: classifiers whose features are drawn towards a frozen predictor's responses."""

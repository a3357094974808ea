"""Networks: classifiers whose features are drawn towards a frozen predictor's responses.

Only the reader that later stages use is imported here; `train`, `tasks`, `targets` and `losses` are imported by name,
so that a change to the training of a network is not a change to the code that attacks it.
"""

from neurobust.networks.architectures import Classifier, build_network, load_network

__all__ = ["Classifier", "build_network", "load_network"]

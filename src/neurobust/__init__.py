"""neurobust: brain-regularised vision networks, and what they survive."""

__version__ = "0.1.0"

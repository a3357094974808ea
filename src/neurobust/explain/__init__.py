"""Explain: what regularisation changed inside a network."""

from neurobust.explain.network import explain_network

__all__ = ["explain_network"]

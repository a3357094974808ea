"""Explain: what regularisation changed inside a network."""

"""Likelihoods: L(x, g(h))."""

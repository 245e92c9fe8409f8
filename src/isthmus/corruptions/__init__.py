"""Corruptions: x~ = corruption(x)."""

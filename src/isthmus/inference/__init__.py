"""A fitted model over many rows, in data units."""

from isthmus.inference.rows import Inference

__all__ = ["Inference"]

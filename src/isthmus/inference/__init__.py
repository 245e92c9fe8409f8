"""A fitted model over many rows, in data units."""

from isthmus.inference.dense import OfPass, Pass
from isthmus.inference.rows import Inference

__all__ = ["Inference", "OfPass", "Pass"]

"""A fitted model as one safetensors file, and back."""

from isthmus.artifact.baseline import Baseline
from isthmus.artifact.fitted import FittedModel, open_model, save_model

__all__ = ["Baseline", "FittedModel", "open_model", "save_model"]

"""Torch-free descriptions of data, model and training."""

from isthmus.config.config import Config
from isthmus.config.data import Data
from isthmus.config.description import Description
from isthmus.config.model import Model
from isthmus.config.training import Training

__all__ = ["Config", "Data", "Description", "Model", "Training"]

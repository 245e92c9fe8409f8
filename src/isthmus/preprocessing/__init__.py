"""Data units to model units and back, fitted in one pass over the training rows."""

from isthmus.preprocessing.base import Preprocessing
from isthmus.preprocessing.likelihood import LikelihoodChoice, infer_likelihood, is_black_and_white
from isthmus.preprocessing.scaling import Scaling

__all__ = ["LikelihoodChoice", "Preprocessing", "Scaling", "infer_likelihood", "is_black_and_white"]

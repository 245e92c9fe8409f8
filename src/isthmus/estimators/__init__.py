"""scikit-learn's face of isthmus."""

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.classifier import AutoencoderClassifier

__all__ = ["Autoencoder", "AutoencoderClassifier"]

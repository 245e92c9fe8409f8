"""scikit-learn's face of isthmus."""

from isthmus.estimators.autoencoder import Autoencoder

__all__ = ["Autoencoder"]

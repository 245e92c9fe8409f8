"""scikit-learn's face of isthmus."""

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.classifier import AutoencoderClassifier
from isthmus.estimators.clusterer import AutoencoderClusterer
from isthmus.estimators.detector import AnomalyDetector
from isthmus.estimators.imputer import AutoencoderImputer
from isthmus.estimators.parallel import parallel_fits
from isthmus.estimators.recipes import (
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)

__all__ = [
    "AnomalyDetector",
    "Autoencoder",
    "AutoencoderClassifier",
    "AutoencoderClusterer",
    "AutoencoderImputer",
    "ContractiveAutoencoder",
    "ConvolutionalAutoencoder",
    "DenoisingAutoencoder",
    "SparseAutoencoder",
    "VariationalAutoencoder",
    "parallel_fits",
]

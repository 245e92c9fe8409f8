"""isthmus: autoencoders that are composed, trained, kept and explained.

Names are loaded when they are first used, so that importing isthmus imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isthmus.version import __version__ as __version__

_PUBLIC = {
    "AnomalyDetector": "isthmus.estimators",
    "Autoencoder": "isthmus.estimators",
    "AutoencoderClassifier": "isthmus.estimators",
    "AutoencoderClusterer": "isthmus.estimators",
    "AutoencoderImputer": "isthmus.estimators",
    "ContractiveAutoencoder": "isthmus.estimators",
    "ConvolutionalAutoencoder": "isthmus.estimators",
    "DenoisingAutoencoder": "isthmus.estimators",
    "SparseAutoencoder": "isthmus.estimators",
    "VariationalAutoencoder": "isthmus.estimators",
    "BatchTopKCode": "isthmus.config.parts.codes",
    "Bernoulli": "isthmus.config.parts.likelihoods",
    "Block": "isthmus.config.parts.corruptions",
    "Config": "isthmus.config",
    "Contractive": "isthmus.config.parts.penalties",
    "ContractiveHessian": "isthmus.config.parts.penalties",
    "Conv1d": "isthmus.config.parts.networks",
    "Conv2d": "isthmus.config.parts.networks",
    "Data": "isthmus.config",
    "Decorrelation": "isthmus.config.parts.penalties",
    "Dense": "isthmus.config.parts.networks",
    "DiscretisedLogistic": "isthmus.config.parts.likelihoods",
    "DeterministicCode": "isthmus.config.parts.codes",
    "Gaussian": "isthmus.config.parts.likelihoods",
    "GaussianCode": "isthmus.config.parts.codes",
    "GaussianNoise": "isthmus.config.parts.corruptions",
    "IsthmusError": "isthmus.errors",
    "KLSparsity": "isthmus.config.parts.penalties",
    "L1": "isthmus.config.parts.penalties",
    "L2": "isthmus.config.parts.penalties",
    "LaplacePrior": "isthmus.config.parts.penalties",
    "Masking": "isthmus.config.parts.corruptions",
    "Mixed": "isthmus.config.parts.likelihoods",
    "Model": "isthmus.config",
    "NormalPrior": "isthmus.config.parts.penalties",
    "QuantisedCode": "isthmus.config.parts.codes",
    "SaltAndPepper": "isthmus.config.parts.corruptions",
    "SquaredError": "isthmus.config.parts.likelihoods",
    "StudentT": "isthmus.config.parts.penalties",
    "StudentTPrior": "isthmus.config.parts.penalties",
    "TopKCode": "isthmus.config.parts.codes",
    "Training": "isthmus.config",
    "Transformer": "isthmus.config.parts.networks",
    "WeightDecay": "isthmus.config.parts.penalties",
    "WinnerTakeAllCode": "isthmus.config.parts.codes",
    "compress": "isthmus.workflows.compress",
    "decompress": "isthmus.workflows.compress",
    "open": "isthmus.artifact.modules:open_module",
    "open_archive": "isthmus.workflows.compress",
    "parallel_fits": "isthmus.estimators",
}

__all__ = [
    "L1",
    "L2",
    "AnomalyDetector",
    "Autoencoder",
    "AutoencoderClassifier",
    "AutoencoderClusterer",
    "AutoencoderImputer",
    "BatchTopKCode",
    "Bernoulli",
    "Block",
    "Config",
    "Contractive",
    "ContractiveAutoencoder",
    "ContractiveHessian",
    "Conv1d",
    "Conv2d",
    "ConvolutionalAutoencoder",
    "Data",
    "Decorrelation",
    "DenoisingAutoencoder",
    "Dense",
    "DeterministicCode",
    "DiscretisedLogistic",
    "Gaussian",
    "GaussianCode",
    "GaussianNoise",
    "IsthmusError",
    "KLSparsity",
    "LaplacePrior",
    "Masking",
    "Mixed",
    "Model",
    "NormalPrior",
    "QuantisedCode",
    "SaltAndPepper",
    "SparseAutoencoder",
    "SquaredError",
    "StudentT",
    "StudentTPrior",
    "TopKCode",
    "Training",
    "Transformer",
    "VariationalAutoencoder",
    "WeightDecay",
    "WinnerTakeAllCode",
    "compress",
    "decompress",
    "open",
    "open_archive",
    "parallel_fits",
]

if TYPE_CHECKING:
    from isthmus.artifact.modules import open_module as open
    from isthmus.config import Config, Data, Model, Training
    from isthmus.config.parts.codes import (
        BatchTopKCode,
        DeterministicCode,
        GaussianCode,
        QuantisedCode,
        TopKCode,
        WinnerTakeAllCode,
    )
    from isthmus.config.parts.corruptions import Block, GaussianNoise, Masking, SaltAndPepper
    from isthmus.config.parts.likelihoods import (
        Bernoulli,
        DiscretisedLogistic,
        Gaussian,
        Mixed,
        SquaredError,
    )
    from isthmus.config.parts.networks import Conv1d, Conv2d, Dense, Transformer
    from isthmus.config.parts.penalties import (
        L1,
        L2,
        Contractive,
        ContractiveHessian,
        Decorrelation,
        KLSparsity,
        LaplacePrior,
        NormalPrior,
        StudentT,
        StudentTPrior,
        WeightDecay,
    )
    from isthmus.errors import IsthmusError
    from isthmus.estimators import (
        AnomalyDetector,
        Autoencoder,
        AutoencoderClassifier,
        AutoencoderClusterer,
        AutoencoderImputer,
        ContractiveAutoencoder,
        ConvolutionalAutoencoder,
        DenoisingAutoencoder,
        SparseAutoencoder,
        VariationalAutoencoder,
        parallel_fits,
    )
    from isthmus.workflows.compress import compress, decompress, open_archive


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'isthmus' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

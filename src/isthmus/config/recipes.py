"""The kinds: each a few lines that choose parts."""

from __future__ import annotations

from collections.abc import Callable

from isthmus.config.model import Model
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.corruptions import Corruption, Masking
from isthmus.config.parts.networks import Conv2d, Transformer
from isthmus.config.parts.penalties import L1, Contractive


def basic() -> Model:
    """The plain autoencoder: no corruption, no penalty."""
    return Model(kind="basic")


def sparse(weight: float = 1e-2) -> Model:
    """Rectified code under a Laplace prior: ``L + weight * sum |h|`` (Olshausen and Field 1997)."""
    return Model(kind="sparse", code=DeterministicCode("relu"), penalties=(L1(weight),))


def denoising(corruption: Corruption | None = None) -> Model:
    """Corrupted input, clean target (Vincent et al. 2008)."""
    return Model(kind="denoising", corruption=Masking() if corruption is None else corruption)


def contractive(weight: float = 0.1) -> Model:
    """A sigmoid code whose Jacobian is kept small (Rifai et al. 2011)."""
    return Model(kind="contractive", code=DeterministicCode("sigmoid"), penalties=(Contractive(weight),))


def variational(beta: float = 1.0) -> Model:
    """A normal distribution for each code unit (Kingma and Welling 2014)."""
    return Model(kind="variational", code=GaussianCode(beta))


def convolutional() -> Model:
    """Strided convolutions down, transposed convolutions up."""
    return Model(kind="convolutional", network=Conv2d())


def transformer() -> Model:
    """Attention between patches, stretches or columns (Vaswani et al. 2017)."""
    return Model(kind="transformer", network=Transformer())


RECIPES: dict[str, Callable[[], Model]] = {
    "basic": basic,
    "sparse": sparse,
    "denoising": denoising,
    "contractive": contractive,
    "variational": variational,
    "convolutional": convolutional,
    "transformer": transformer,
}

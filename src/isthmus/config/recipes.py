"""The kinds: each a few lines that choose parts."""

from __future__ import annotations

from collections.abc import Callable

from isthmus.config.model import Model
from isthmus.config.parts.codes import (
    BatchTopKCode,
    Code,
    DeterministicCode,
    GaussianCode,
    QuantisedCode,
    TopKCode,
    WinnerTakeAllCode,
)
from isthmus.config.parts.corruptions import Corruption, Masking
from isthmus.config.parts.networks import Conv2d, Dense, Transformer
from isthmus.config.parts.penalties import L1, Contractive, KLSparsity, Penalty, StudentT
from isthmus.errors import unknown_name


def basic() -> Model:
    """The plain autoencoder: no corruption, no penalty."""
    return Model(kind="basic")


def sparse(weight: float = 1e-2, by: str = "l1") -> Model:
    """Few units at a time: by a prior on the code, a target for it, or by keeping the largest alone.

    ``by="l1"``: rectified units under a Laplace prior, ``L + weight * sum |h|`` (Olshausen and Field
    1997); ``"student_t"``, ``"kl"``: the penalties of that name; ``"top_k"``, ``"batch_top_k"``,
    ``"winner_take_all"``: the codes of that name, which have no weight.
    """
    ways: dict[str, tuple[Code, tuple[Penalty, ...]]] = {
        "l1": (DeterministicCode("relu"), (L1(weight),)),
        "student_t": (DeterministicCode(), (StudentT(weight),)),
        "kl": (DeterministicCode("sigmoid"), (KLSparsity(weight),)),
        "top_k": (TopKCode(), ()),
        "batch_top_k": (BatchTopKCode(), ()),
        "winner_take_all": (WinnerTakeAllCode(), ()),
    }
    if by not in ways:
        raise unknown_name("sparse", "way", by, ways)
    code, penalties = ways[by]
    return Model(kind="sparse", code=code, penalties=penalties)


def denoising(corruption: Corruption | None = None) -> Model:
    """Corrupted input, clean target (Vincent et al. 2008)."""
    return Model(kind="denoising", corruption=Masking() if corruption is None else corruption)


def imputing(hidden_share: float = 0.25) -> Model:
    """Hidden values told from the others, and nothing else: for tables with gaps (Vincent et al. 2010, 5.2).

    Noise of half its spread on each unit of the code, and hidden layers that level off, keep few rows from
    being learned by heart.
    """
    return Model(
        kind="imputing",
        network=Dense(activation="tanh"),
        code=DeterministicCode(noise=0.5),
        corruption=Masking(hidden_share, emphasis=1.0),
    )


def contractive(weight: float = 0.1) -> Model:
    """A sigmoid code whose Jacobian is kept small (Rifai et al. 2011)."""
    return Model(kind="contractive", code=DeterministicCode("sigmoid"), penalties=(Contractive(weight),))


def variational(beta: float = 1.0) -> Model:
    """A normal distribution for each code unit (Kingma and Welling 2014)."""
    return Model(kind="variational", code=GaussianCode(beta))


def quantised(beta: float = 0.1) -> Model:
    """Whole steps whose bits count as the error does, to be stored small (Balle et al. 2017; Theis et al. 2017)."""
    return Model(kind="quantised", code=QuantisedCode(beta))


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
    "imputing": imputing,
    "contractive": contractive,
    "variational": variational,
    "quantised": quantised,
    "convolutional": convolutional,
    "transformer": transformer,
}

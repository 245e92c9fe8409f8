"""Where new codes come from: the prior a model was trained with, or a mixture fitted to its codes."""

from __future__ import annotations

import itertools
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from isthmus.codes.base import Code
from isthmus.errors import DataError, ParameterError
from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.sources import Source
from isthmus.sources.subset import Subset

CANDIDATES = (1, 2, 4, 8, 16, 32)
"""Numbers of components among which BIC chooses."""
MOST_ROWS = 20_000
"""Rows whose codes a mixture is fitted to: evenly spaced ones of more."""
QUANTILE_DRAWS = 10_000
N_QUANTILES = 1_000
"""Evenly spaced ones, of which the mean of a learned prior is taken."""
SMALLEST_CHANCE = 2.0**-25
"""What stands for a draw of 0, below which a distribution has no value."""

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]
PriorName = Literal["auto", "normal", "learned", "mixture"]


class Prior(ABC):
    """A distribution of codes."""

    words: str
    """What it is, in a few words."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Units of a code."""

    @abstractmethod
    def sample(self, n: int, randomness: Randomness) -> Array:
        """Codes, ``(n, size)``."""

    @abstractmethod
    def mean(self) -> Numbers:
        """The mean code, ``(size,)``."""

    @abstractmethod
    def quantiles(self, shares: Sequence[float]) -> Numbers:
        """Below which value each unit lies in which share of codes, ``(shares, size)``."""


@dataclass(frozen=True, slots=True)
class StandardNormal(Prior):
    """``N(0, I)``: what the rate of a Gaussian code holds it to.

    >>> StandardNormal(3).sample(2, Randomness(0)).shape
    (2, 3)
    """

    n_units: int
    words = "standard normal"

    @property
    def size(self) -> int:
        """Units of a code."""
        return self.n_units

    def sample(self, n: int, randomness: Randomness) -> Array:
        """Codes, ``(n, size)``."""
        return randomness.normal((n, self.n_units)).numpy()

    def mean(self) -> Numbers:
        """Zero."""
        return np.zeros(self.n_units)

    def quantiles(self, shares: Sequence[float]) -> Numbers:
        """Those of N(0, 1), the same for every unit."""
        return np.repeat(np.asarray(ndtri(np.asarray(shares)))[:, None], self.n_units, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Learned(Prior):
    """Independent units, each of the distribution that a quantised code has learned with the weights."""

    code: Code
    """One whose :meth:`isthmus.codes.base.Code.prior_quantiles` are not None."""
    words = "learned distribution of each unit"

    @property
    def size(self) -> int:
        """Units of a code."""
        return self.code.size

    def sample(self, n: int, randomness: Randomness) -> Array:
        """Codes, ``(n, size)``."""
        uniform = randomness.uniform((n, self.size)).double()
        return self._at(uniform.clamp(SMALLEST_CHANCE, 1 - SMALLEST_CHANCE)).astype(np.float32)

    def mean(self) -> Numbers:
        """Over evenly spaced quantiles."""
        return self.quantiles((np.arange(N_QUANTILES) + 0.5) / N_QUANTILES).mean(axis=0)

    def quantiles(self, shares: Sequence[float] | Numbers) -> Numbers:
        """Below which value each unit lies in which share of codes, ``(shares, size)``."""
        return self._at(torch.tensor(np.asarray(shares, np.float64)).unsqueeze(1))

    def _at(self, shares: Tensor) -> Numbers:
        with torch.no_grad():
            found = self.code.prior_quantiles(shares)
        if found is None:
            raise TypeError(f"{type(self.code).__name__} has learned no prior")
        return found.double().numpy()


@dataclass(frozen=True, slots=True, eq=False)
class Mixture(Prior):
    """``sum_c weights_c N(means_c, covariances_c)``, every draw kept between ``low`` and ``high``."""

    weights: Numbers
    """``(components,)``, of sum 1."""
    means: Numbers
    """``(components, size)``."""
    covariances: Numbers
    """``(components, size, size)``."""
    low: Numbers | float = -math.inf
    """Lowest value of each unit that a code can have, ``(size,)``: 0 of a rectified one."""
    high: Numbers | float = math.inf

    @property
    def words(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What it is, in a few words."""
        n = len(self.weights)
        return f"mixture of {n} normal {'component' if n == 1 else 'components'}"

    @property
    def size(self) -> int:
        """Units of a code."""
        return self.means.shape[1]

    def sample(self, n: int, randomness: Randomness) -> Array:
        """Codes, ``(n, size)``."""
        uniform = randomness.at("component").uniform((n,)).double().numpy()
        chosen = np.searchsorted(np.cumsum(self.weights), uniform, side="right")
        chosen = np.minimum(chosen, len(self.weights) - 1)
        roots = np.linalg.cholesky(self.covariances)
        noise = randomness.at("code").normal((n, self.size)).double().numpy()
        codes = self.means[chosen] + np.einsum("nij,nj->ni", roots[chosen], noise)
        return np.clip(codes, self.low, self.high).astype(np.float32)

    def mean(self) -> Numbers:
        """Mean over the components."""
        return np.clip(self.weights @ self.means, self.low, self.high)

    def quantiles(self, shares: Sequence[float]) -> Numbers:
        """Those of 10,000 draws."""
        draws = self.sample(QUANTILE_DRAWS, Randomness(0, "quantiles")).astype(np.float64)
        return np.quantile(draws, np.asarray(shares), axis=0)


def fit_mixture(codes: NDArray[Any], n_components: int | Sequence[int] = CANDIDATES, *, seed: int) -> Mixture:
    """A mixture of normal distributions with full covariances, by maximum likelihood.

    Parameters
    ----------
    codes
        ``(rows, size)``, of at least 2 rows.
    n_components
        How many components, at least 1; of several candidates the one of lowest BIC (Schwarz 1978),
        those left out that have more means than there are rows.
    seed
        Of the start of expectation maximisation.

    Examples
    --------
    >>> codes = Randomness(0).normal((200, 2)).numpy()
    >>> codes[::2] += 8
    >>> fit_mixture(codes, seed=0).words
    'mixture of 2 normal components'
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    several = [n_components] if isinstance(n_components, int) else list(n_components)
    if not several or min(several) < 1:
        raise ParameterError(
            f"prior: the number of components must be at least 1, got {n_components}. Try 8."
        )
    if len(codes) < 2 or (isinstance(n_components, int) and n_components > len(codes)):
        raise DataError(
            f"prior: a mixture of {min(several)} needs at least {max(2, min(several))} rows, got {len(codes)}. "
            "Give more rows."
        )
    values = codes.astype(np.float64)
    several = [n for n in several if n * (values.shape[1] + 1) <= len(values)] or [min(several)]
    floor = 1e-6 * float(values.var(axis=0).mean()) or 1e-12
    fitted: list[GaussianMixture] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for n in several:
            mixture = GaussianMixture(n, covariance_type="full", reg_covar=floor, random_state=seed)
            fitted.append(mixture.fit(values))
    best = min(fitted, key=lambda mixture: mixture.bic(values)) if len(fitted) > 1 else fitted[0]
    found = (best.weights_, best.means_, best.covariances_)
    weights, means, covariances = (np.asarray(each, np.float64) for each in found)
    return Mixture(weights, means, covariances)


def choose_prior(
    inference: Inference,
    kind: PriorName | int | Prior = "auto",
    source: Source | None = None,
    *,
    seed: int,
) -> Prior:
    """The prior that a name stands for.

    Parameters
    ----------
    kind
        ``"normal"``: N(0, I), of a Gaussian code; ``"learned"``: what a quantised code has learned of each
        unit; ``"mixture"``: a mixture fitted to the codes of ``source``, its size chosen by BIC; a number:
        a mixture of so many; ``"auto"``: the code's own prior unless there is a source, else a mixture. Or
        a prior of your own.
    source
        Rows like those that the model was fitted on, for a mixture. A Gaussian code's are drawn, one
        a row; those of others keep to the range that they have over these rows.

    Raises
    ------
    ParameterError
        If the model's code has no such prior, or a mixture no rows to be fitted to.
    """
    if isinstance(kind, Prior):
        if kind.size != inference.code_size:
            raise ParameterError(
                f"prior: expected codes of {inference.code_size} units, got a prior of {kind.size}. "
                "Fit one to codes of this model."
            )
        return kind
    own = own_prior(inference.module)
    if kind == "auto" and source is None and own is not None:
        return own
    for name, prior, code in (("normal", StandardNormal, "Gaussian"), ("learned", Learned, "quantised")):
        if kind == name:
            if not isinstance(own, prior):
                raise ParameterError(
                    f"prior: {name!r} is the prior of a {code} code, got a code without one. "
                    "Take 'mixture', and rows to fit it to."
                )
            return own
    if isinstance(kind, str) and kind not in ("auto", "mixture"):
        raise ParameterError(
            "prior: expected 'auto', 'normal', 'learned', 'mixture' or a number of components, got "
            f"{kind!r}. Try 'auto'."
        )
    kind = "mixture" if kind == "auto" else kind
    if source is None:
        raise ParameterError(
            "prior: a mixture is fitted to the codes of rows, got none. Give rows like those of the fit: --like SOURCE "
            "at the command line, X= in Python."
        )
    some = _spread(source)
    codes = drawn_codes(inference, some, seed=seed)
    if codes is not None:
        return fit_mixture(codes, CANDIDATES if kind == "mixture" else kind, seed=seed % 2**32)
    codes = inference.encode(some)
    mixture = fit_mixture(codes, CANDIDATES if kind == "mixture" else kind, seed=seed % 2**32)
    low, high = codes.min(axis=0).astype(np.float64), codes.max(axis=0).astype(np.float64)
    return Mixture(mixture.weights, mixture.means, mixture.covariances, low, high)


def own_prior(module: AutoencoderModule) -> Prior | None:
    """The prior that the code was trained with: standard normal, or learned; None without one."""
    if has_density(module):
        return StandardNormal(module.code.size)
    is_learned = module.code.prior_quantiles(torch.full((1, 1), 0.5)) is not None
    return Learned(module.code) if is_learned else None


def _spread(source: Source) -> Source:
    if len(source) <= MOST_ROWS:
        return source
    return Subset(source, np.linspace(0, len(source) - 1, MOST_ROWS).astype(np.int64))


def drawn_codes(inference: Inference, source: Source, *, seed: int) -> Array | None:
    """One draw of each row's code, ``(rows, size)``, of seed and position; None without a density."""
    if not has_density(inference.module):
        return None
    root = Randomness(seed, "aggregate")
    block = itertools.count()

    def draw(module: AutoencoderModule, x: Tensor) -> Tensor:
        randomness = root.at(next(block))
        pre_code, _ = module.encoder(module.target(x, randomness.at("target")))
        drawn = module.code.draw(pre_code, randomness.normal((len(x), module.code.size), like=x))
        return pre_code if drawn is None else drawn[0]

    return inference.over(source, draw, (inference.code_size,))


def has_density(module: AutoencoderModule) -> bool:
    """Whether draws of the code have a density of their own, with a standard normal prior."""
    one = torch.zeros(1, module.code.n_inputs(module.code.size))
    return module.code.draw(one, one[:, : module.code.size]) is not None

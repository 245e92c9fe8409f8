"""What an estimator that was fitted on corrupted rows knows of the data's density."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from isthmus.artifact import FittedModel
from isthmus.estimators.parameters import seed_from
from isthmus.exploration.chain import chain_rows
from isthmus.exploration.score import score_rows
from isthmus.inference import Inference
from isthmus.sources import Source


class Denoising(ABC):
    """Slopes of the log density and a chain of samples, for an estimator with a fitted model."""

    _model: FittedModel

    @abstractmethod
    def _source(self, X: Any, *, reset: bool, labels: ArrayLike | None = None) -> Source: ...

    @abstractmethod
    def _to_data_blocks(self, model_units: NDArray[np.float32]) -> Any: ...

    def log_density_gradient(self, X: ArrayLike, labels: ArrayLike | None = None) -> NDArray[np.float32]:
        """Slope of the data's log density at rows: ``(r(x) - x) / scale^2``, ``(rows, features)``.

        In nats per model unit (pixels in [0, 1], standardised columns), features as in ``X``. The
        density is that of the data with the model's Gaussian noise added; see
        :func:`isthmus.exploration.score.score`. With ``labels`` it is that of rows given their label.

        Raises
        ------
        ParameterError
            If the estimator was not fitted with ``corruption=GaussianNoise(...)``.

        Examples
        --------
        >>> from isthmus import Autoencoder, GaussianNoise
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> model = Autoencoder(2, corruption=GaussianNoise(0.2), max_epochs=5, random_state=0).fit(X)
        >>> model.log_density_gradient(X).shape
        (150, 4)
        """
        check_is_fitted(self)
        found = score_rows(Inference(self._model), self._source(X, reset=False, labels=labels))
        return (np.moveaxis(found, 1, -1) if found.ndim > 2 else found).reshape(len(found), -1)

    def sample_chain(
        self, X: ArrayLike, n_steps: int = 10, random_state: Any = None, *, labels: ArrayLike | None = None
    ) -> Any:
        """Samples by corrupting, denoising and drawing, again and again (Bengio et al. 2013).

        Parameters
        ----------
        X
            Rows at which the chains begin, one each.
        n_steps
            How many samples a chain gives, at least 1; early ones depend on where it began.
        random_state
            Seed; the same seed gives the same samples. None draws one from the system.
        labels
            Of the rows and so of their chains, where the model is conditional on one.

        Returns
        -------
        array
            ``(n_steps, rows, features)`` in data units; of a model of frames a list of frames.

        Raises
        ------
        ParameterError
            If the estimator was fitted without a corruption, or with a loss that is no density
            (squared error): fit with ``likelihood=Gaussian("learned")`` or log loss.

        Examples
        --------
        >>> from isthmus import Autoencoder, Gaussian
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> model = Autoencoder(
        ...     2, corruption="gaussian_noise", likelihood=Gaussian("learned"), max_epochs=5, random_state=0
        ... )
        >>> model.fit(X).sample_chain(X[:2], n_steps=3, random_state=0).shape
        (3, 2, 4)
        """
        check_is_fitted(self)
        seed = seed_from(random_state)
        seed = secrets.randbits(31) if seed is None else seed
        source = self._source(X, reset=False, labels=labels)
        found = chain_rows(Inference(self._model), source, int(n_steps), seed=seed)
        return self._to_data_blocks(found)

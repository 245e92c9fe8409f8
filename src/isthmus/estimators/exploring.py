"""What an estimator makes of its codes: new rows, rows between two, one unit at a time."""

from __future__ import annotations

import secrets
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from isthmus.artifact import FittedModel
from isthmus.errors import DataError
from isthmus.estimators.parameters import seed_from
from isthmus.estimators.reading import rows_by_names
from isthmus.exploration.interpolation import PathName, path_between
from isthmus.exploration.priors import Prior, PriorName, choose_prior
from isthmus.exploration.sampling import sample
from isthmus.exploration.traversals import traversal
from isthmus.inference import Inference
from isthmus.sources import Source


class Exploring(ABC):
    """Sampling, interpolation and traversals, for an estimator with a fitted model."""

    _model: FittedModel

    @abstractmethod
    def _source(self, X: Any, *, reset: bool, labels: ArrayLike | None = None) -> Source: ...

    @abstractmethod
    def _labels(self, labels: ArrayLike | None, n_rows: int) -> NDArray[Any] | None: ...

    @abstractmethod
    def _to_data(self, model_units: NDArray[np.float32], like: Any = None) -> Any: ...

    @abstractmethod
    def _to_data_blocks(self, model_units: NDArray[np.float32]) -> Any: ...

    def sample(
        self,
        n_samples: int = 1,
        random_state: Any = None,
        prior: PriorName | int | Prior = "auto",
        *,
        X: ArrayLike | None = None,
        noise: bool = False,
        label: Any = None,
        labels: ArrayLike | None = None,
    ) -> Any:
        """New rows, ``(n_samples, features)`` in data units: decoded draws from a prior of codes.

        Of a model of frames they are a frame.

        Parameters
        ----------
        n_samples
            How many, at least 1.
        random_state
            Seed of the draws; the same seed gives the same rows. None draws one from the system.
        prior
            ``"normal"``, N(0, I), of a Gaussian code; ``"learned"``, what a quantised code has learned;
            ``"mixture"`` or a number: normal components fitted to the codes of ``X``, their number by
            BIC or as given; ``"auto"``: the code's own unless there is ``X``, else a mixture; or a fitted
            :class:`isthmus.exploration.priors.Prior`.
        X
            Rows like those of the fit, for a mixture.
        noise
            Whether to draw each row from the likelihood (Bernoulli: zeros and ones; Gaussian: with
            its scale), as the model states the data. Without it rows are the likelihood's means,
            which are smoother than data and vary less.
        label
            Of a model with a condition: what to make, one label for all or ``(n_samples,)``.
        labels
            Of the rows of ``X``, where the model has a condition.

        Examples
        --------
        >>> from isthmus import Autoencoder
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> model = Autoencoder(n_components=2, code="gaussian", max_epochs=5, random_state=0).fit(X)
        >>> model.sample(3, random_state=0).shape
        (3, 4)
        """
        check_is_fitted(self)
        seed = seed_from(random_state)
        seed = secrets.randbits(31) if seed is None else seed
        inference = Inference(self._model)
        source = None if X is None else self._source(X, reset=False, labels=labels)
        chosen, told = choose_prior(inference, prior, source, seed=seed), self._labels(label, int(n_samples))
        return self._to_data(sample(inference, int(n_samples), chosen, seed=seed, noise=noise, labels=told))

    def interpolate(
        self,
        a: ArrayLike,
        b: ArrayLike,
        n_steps: int = 9,
        path: PathName = "linear",
        *,
        label: Any = None,
    ) -> Any:
        """Rows between two, ``(n_steps, features)`` in data units: decoded codes between theirs.

        Of a model of frames they are a frame.

        Parameters
        ----------
        a, b
            One row each, as given to ``fit``; of a table a frame of one row, or values by names. The
            first and the last of the result are their reconstructions, bit for bit.
        n_steps
            How many rows, both ends included, at least 2.
        path
            ``"linear"``, or ``"spherical"``: equal angles, the norm changing linearly.
        label
            Of both rows and of all between, where the model has a condition.

        Examples
        --------
        >>> from isthmus import Autoencoder
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> model = Autoencoder(n_components=2, max_epochs=5, random_state=0).fit(X)
        >>> model.interpolate(X[0], X[100], n_steps=5).shape
        (5, 4)
        """
        check_is_fitted(self)
        inference = Inference(self._model)
        first, last = inference.encode(self._some_rows(a, b, label=label))
        codes = path_between(first, last, int(n_steps), path)
        return self._to_data(inference.decode_model_units(codes, labels=self._labels(label, len(codes))))

    def traverse(
        self,
        x: ArrayLike | None = None,
        units: Sequence[int] | None = None,
        n_steps: int = 7,
        prior: PriorName | int | Prior = "auto",
        *,
        X: ArrayLike | None = None,
        label: Any = None,
        labels: ArrayLike | None = None,
    ) -> Any:
        """What each unit of the code does, ``(units, n_steps, features)`` in data units.

        Of a model of frames it is a list of frames, one a unit.

        Parameters
        ----------
        x
            The row whose code is varied; None begins at the mean of the prior.
        units
            Units to vary, counted from 0; None all.
        n_steps
            How many values a unit takes, evenly spaced quantiles from 2.5 to 97.5 % of the prior.
        prior, X, labels
            As in :meth:`sample`.
        label
            Of ``x`` and of what is made, where the model has a condition.

        Examples
        --------
        >>> from isthmus import Autoencoder
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> model = Autoencoder(n_components=2, max_epochs=5, random_state=0).fit(X)
        >>> model.traverse(X[0], units=[1], X=X).shape
        (1, 7, 4)
        """
        check_is_fitted(self)
        inference = Inference(self._model)
        source = None if X is None else self._source(X, reset=False, labels=labels)
        chosen = choose_prior(inference, prior, source, seed=self._model.config.training.seed or 0)
        base = None if x is None else inference.encode(self._some_rows(x, label=label))[0]
        codes = traversal(chosen, base, range(chosen.size) if units is None else units, int(n_steps))
        flat = codes.reshape(-1, chosen.size)
        found = inference.decode_model_units(flat, labels=self._labels(label, len(flat)))
        return self._to_data_blocks(found.reshape(*codes.shape[:2], *found.shape[1:]))

    def _some_rows(self, *rows: Any, label: Any = None) -> Source:
        """Single rows, flat or in their shape, as a source like that of the fit."""
        schema = self._model.scaling.schema
        if schema.kind == "tables":
            return self._source(rows_by_names(rows), reset=False, labels=label)
        flat = [np.asarray(row).reshape(-1) for row in rows]
        wrong = [row.size for row in flat if row.size != schema.n_values]
        if wrong:
            raise DataError(
                f"Autoencoder: expected one row of {schema.n_values} features, got {wrong[0]} values. "
                "Give one row, as X[0] is."
            )
        with warnings.catch_warnings():
            # A row has no column names, even where the rows of the fit had some.
            warnings.filterwarnings("ignore", message="X does not have valid feature names")
            return self._source(np.stack(flat), reset=False, labels=label)

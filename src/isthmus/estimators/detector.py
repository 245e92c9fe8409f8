"""The autoencoder as a detector of anomalies: what it was not trained on, it rebuilds badly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from isthmus.artifact import FittedModel
from isthmus.artifact.anomaly import Measure, check_contamination, quantile
from isthmus.config import Model
from isthmus.config.parts.corruptions import GaussianNoise
from isthmus.errors import ParameterError, unknown_name
from isthmus.estimators.recipes import Recipe
from isthmus.exploration.anomaly import AnomalyScore, check_measure
from isthmus.inference import Inference
from isthmus.model.build import Factory
from isthmus.sources import Source
from isthmus.training.loop import History
from isthmus.workflows.fit import usual_rows

NOISE = 0.5
"""Standard deviation of the noise that a detector's rows are learned through, in model units."""
N_CAUSES = 3


class AnomalyDetector(OutlierMixin, Recipe):
    r"""Find rows unlike those of the fit, and say which of their values make them so.

    The anomaly of a row x with reconstruction r is, as ``measure`` says, the mean over its values of
    ``log(1 + (x_j - r_j)^2 / t_j)``, with t_j the mean squared error of that value over the training rows:
    larger is odder. Rows are learned through noise, so that the network does not merely copy.
    The noise was tried on synthetic tables and on diabetes, where less did as well.

    Parameters
    ----------
    n_components
        Units of the code, as in :class:`Autoencoder`: where it can tell everything, nothing is odd.
    contamination
        Share of the rows of the fit that count as anomalies, in (0, 0.5]; ``"auto"``: a row is one where its
        anomaly is above the 0.99-quantile of the held-out rows' (of the training rows' under
        ``validation_share=0``). Of fewer than 100 rows that is the largest.
    measure
        ``"relative_error"``, as above; ``"squared_error"``, the mean of ``(x_j - r_j)^2`` in model units, which
        of a linear model is PCA's residual; or ``"evidence"``, of a Gaussian code: minus the evidence lower
        bound at the mean of the code, in nats.
    activation
        Of a dense network's hidden layers; ``"auto"``: tanh, for a bounded unit goes nowhere new with an
        extreme value.
    corruption
        As in :class:`Autoencoder`; ``"auto"``: Gaussian noise of scale 0.5, in model units.
    **shared
        Every other parameter of :class:`Autoencoder`.

    Attributes
    ----------
    threshold_
        A row is an anomaly where its anomaly is above.
    offset_
        ``-threshold_``: ``decision_function = score_samples - offset_``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, species = load_iris(return_X_y=True)
    >>> detector = AnomalyDetector(max_epochs=30, random_state=0).fit(X[species == 0])
    >>> bool((detector.predict(X[species == 2]) == -1).all())
    True
    >>> detector.explain(X[:2]).shape
    (2, 4)
    """

    KIND, CHOSEN = "basic", ()

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        contamination: float | str = "auto",
        measure: str = "relative_error",
        activation: str = "auto",
        corruption: Any = "auto",
        **shared: Any,
    ) -> None:
        self._keep_params(n_components, shared)
        self.contamination = contamination
        self.measure = measure
        self.activation = activation
        self.corruption = corruption

    # How odd

    def anomaly_score(self, X: ArrayLike, labels: ArrayLike | None = None) -> NDArray[np.float64]:
        """The anomaly of each row, ``(rows,)``: larger is odder, and no row's depends on the others.

        ``labels``, ``(rows,)``, are what a model with a condition asks for.
        """
        check_is_fitted(self)
        return self._anomaly().score(self._source(X, reset=False, labels=labels))

    def score_samples(self, X: ArrayLike, labels: ArrayLike | None = None) -> NDArray[np.float64]:
        """Minus the anomaly of each row, ``(rows,)``: larger is more usual, as scikit-learn has it."""
        return -self.anomaly_score(X, labels)

    def decision_function(self, X: ArrayLike, labels: ArrayLike | None = None) -> NDArray[np.float64]:
        """``threshold_`` minus the anomaly of each row, ``(rows,)``: negative for anomalies."""
        return self.score_samples(X, labels) - self.offset_

    def predict(self, X: ArrayLike, labels: ArrayLike | None = None) -> NDArray[np.int64]:
        """-1 for anomalies and 1 for others, ``(rows,)``."""
        return np.where(self.decision_function(X, labels) < 0, -1, 1)

    # Why

    def explain(self, X: ArrayLike, labels: ArrayLike | None = None) -> NDArray[np.float64]:
        """What each value adds to a row's error, in the shape of X; of a table a column for each that it knows.

        Each column (patch of a picture, stretch of steps) is hidden in turn and filled in from the rest
        of the row; how far the size of the row's residual falls then is its part, at least 0. Of up to 256
        values a row, residuals that usually go together count as one. A value that is wrong only beside the
        others is found too. The parts of a patch or a stretch are shared out among
        its values by their errors. Of more than 64 columns, or 16 patches or stretches, those of largest error
        are looked at. Costs four reconstructions a region, and one.
        """
        check_is_fitted(self)
        found = self._anomaly().contributions(self._source(X, reset=False, labels=labels))
        if self._schema.kind == "tables":
            starts = np.cumsum([0, *(block.size for block in self._model.scaling.layout or ())])[:-1]
            found = np.add.reduceat(found, starts, axis=1)
        shape = X.shape if isinstance(X, np.ndarray) and X.ndim > 2 else (len(found), -1)
        return found.reshape(shape).astype(np.float64)

    def causes(
        self, X: ArrayLike, n_causes: int = N_CAUSES, labels: ArrayLike | None = None
    ) -> list[list[str]]:
        """The columns, patches or steps that make each row odd, the first one most: at most ``n_causes``.

        Columns go by their names where the rows of the fit had some, else by number, counted from 0.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris(as_frame=True).data
        >>> detector = AnomalyDetector(max_epochs=30, random_state=0).fit(X)
        >>> odd = X[:1].assign(**{"petal width (cm)": 2.5})
        >>> detector.causes(odd, n_causes=1)
        [['petal width (cm)']]
        """
        check_is_fitted(self)
        return self._anomaly().names_of_causes(self._source(X, reset=False, labels=labels), n_causes)

    # What the estimator is made of

    def _parts(self) -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        if self.activation == "auto" and isinstance(self.network, str) and self.network == "dense":
            chosen["activation"] = "tanh"
        if isinstance(self.corruption, str) and self.corruption == "auto":
            chosen["corruption"] = GaussianNoise(NOISE)
        return chosen

    @classmethod
    def _own_params(cls, model: Model) -> dict[str, Any]:
        return {"corruption": model.corruption}

    @classmethod
    def _of(cls, model: FittedModel, parts: Mapping[str, Factory]) -> Self:
        estimator = super()._of(model, parts)
        if model.usual is not None:
            estimator.measure = model.usual.measure
            estimator.contamination = (
                "auto" if model.usual.contamination is None else model.usual.contamination
            )
        return estimator

    def _fit(self, X: ArrayLike, y: Any, sample_weight: ArrayLike | None) -> History:
        self._check()
        history = super()._fit(X, y, sample_weight)
        self._keep_usual(X, y, sample_weight, float(self.validation_share))
        return history

    def _partial_fit(self, X: ArrayLike, y: Any, sample_weight: ArrayLike | None) -> None:
        """One pass; what is usual is that of the rows of this call, none of which was held out."""
        self._check()
        super()._partial_fit(X, y, sample_weight)
        self._keep_usual(X, y, sample_weight, 0.0)

    def _check(self) -> None:
        if self.measure not in get_args(Measure):
            raise unknown_name("AnomalyDetector", "measure", str(self.measure), get_args(Measure))
        if self.contamination != "auto":
            if isinstance(self.contamination, str):
                raise ParameterError(
                    f"AnomalyDetector: contamination must be 'auto' or a share in (0, 0.5], got "
                    f"{self.contamination!r}. Try 0.01."
                )
            check_contamination(self.contamination)

    def _keep_usual(self, X: ArrayLike, y: Any, sample_weight: ArrayLike | None, share: float) -> None:
        model, measure = self._model, cast(Measure, self.measure)
        source = self._source(X, reset=False, labels=None if model.classes is None else y)
        weights = self._weights(sample_weight, source)
        check_measure(Inference(model), measure)
        if model.usual is None or model.usual.measure != measure:
            model.usual = usual_rows(model, source, weights, validation_share=share, measure=measure)
        if not isinstance(self.contamination, str):
            self._set_contamination(source, weights, self.contamination)
        self._keep()

    def _set_contamination(
        self, source: Source, weights: NDArray[np.float64] | None, contamination: float
    ) -> None:
        anomaly = self._anomaly()
        threshold = quantile(anomaly.score(source), 1 - contamination, weights)
        said = f"{contamination:g} of the rows of the fit lie above"
        self._model.usual = anomaly.usual.with_threshold(threshold, said, contamination)

    def _anomaly(self) -> AnomalyScore:
        return AnomalyScore(Inference(self._model))

    def _keep(self) -> None:
        super()._keep()
        if self._model.usual is not None:
            self.threshold_ = self._model.usual.threshold
            self.offset_ = -self.threshold_

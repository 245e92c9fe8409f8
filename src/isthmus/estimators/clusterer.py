"""Groups of rows, found in an autoencoder's codes without labels, as a scikit-learn estimator."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_is_fitted

from isthmus.errors import OutputError, ParameterError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.parameters import seed_from
from isthmus.exploration.groups import FLOOR, N_STARTS, Groups, find_groups
from isthmus.exploration.groups_file import GroupedModel, open_groups, save_groups
from isthmus.model.build import Factory


class AutoencoderClusterer(ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseEstimator):
    """Group rows by their codes: ``argmax_c ln weight_c + ln N(f(x); mean_c, covariance_c)``.

    The autoencoder is fitted first; then a mixture of normal distributions, or k-means, to the codes
    of the same rows. The largest group is 0. Source: McLachlan and Peel (2000); on codes of an
    autoencoder: McConville et al. (2021).

    Parameters
    ----------
    n_clusters
        How many groups, at least 1; ``"auto"``: that of lowest criterion among 1 to 10, 12, 15, 20, 25
        and 30; or numbers of your own to choose among.
    autoencoder
        An :class:`Autoencoder` or a recipe, None for one with its defaults; its parameters are
        ``autoencoder__...`` of a search. One that is fitted already is used as it is, and never changed;
        :func:`sklearn.base.clone` would undo its fit unless it is wrapped in
        :class:`sklearn.frozen.FrozenEstimator`.
    method
        ``"mixture"``, with full covariances, or ``"k_means"``.
    criterion
        ``"bic"``, or ``"icl"``, which asks for groups that lie apart and takes fewer.
    n_starts
        Starts of which the likeliest is kept, at least 1.
    least_variance
        Added to every group's variances, above 0, as a share of the codes' mean variance a unit.
    random_state
        Seed of the starts, and of the autoencoder where it has none of its own.

    Attributes
    ----------
    labels_
        The group of each row of the fit, ``(rows,)``, from 0.
    cluster_centers_
        Decoded means of the groups, ``(n_clusters_, features)`` in data units; a frame where the fit was on one.
    n_clusters_
        How many groups there are.
    criterion_
        The criterion at each number of groups that was tried; the lowest is taken.
    groups_
        Weights, means and covariances in the code: :class:`isthmus.exploration.groups.Groups`.
    autoencoder_
        The fitted autoencoder.
    n_features_in_, feature_names_in_, seed_
        As their names say.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> model = AutoencoderClusterer(3, Autoencoder(2, max_epochs=20), random_state=0).fit(X)
    >>> model.labels_.shape, model.predict_proba(X).shape, model.cluster_centers_.shape
    ((150,), (150, 3), (3, 4))
    """

    def __init__(
        self,
        n_clusters: int | str | Sequence[int] = "auto",
        autoencoder: Any = None,
        *,
        method: str = "mixture",
        criterion: str = "bic",
        n_starts: int = N_STARTS,
        least_variance: float = FLOOR,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.autoencoder = autoencoder
        self.method = method
        self.criterion = criterion
        self.n_starts = n_starts
        self.least_variance = least_variance
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Fit the autoencoder, then the groups.

        Parameters
        ----------
        X
            ``(rows, features)``, pictures or a frame as for :class:`Autoencoder`.
        y
            Ignored: groups are found without labels.
        """
        drawn = seed_from(self.random_state)
        seed = secrets.randbits(32) if drawn is None else drawn
        autoencoder = self._fitted(X, seed)
        codes = autoencoder.transform(X)
        groups = find_groups(
            codes,
            self.n_clusters,  # pyright: ignore[reportArgumentType]
            seed=seed,
            method=self.method,  # pyright: ignore[reportArgumentType]
            criterion=self.criterion,  # pyright: ignore[reportArgumentType]
            n_starts=self.n_starts,
            least_variance=self.least_variance,
        )
        self._keep(autoencoder, groups, groups.members(codes), seed)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """The likeliest group of each row, ``(rows,)``."""
        check_is_fitted(self)
        return self.groups_.members(self.transform(X))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """How likely each group is for each row, ``(rows, n_clusters_)``.

        Of k-means the probabilities under the one variance that fits its groups best.
        """
        check_is_fitted(self)
        return self.groups_.probabilities(self.transform(X))

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Codes of rows, ``(rows, n_components)``."""
        check_is_fitted(self)
        return self.autoencoder_.transform(X)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write autoencoder and groups to one ``.safetensors`` file, whole or not at all."""
        check_is_fitted(self)
        if Path(path).exists() and not force:
            raise OutputError(f"save: {path} is there already. Choose another name, or pass force=True.")
        model = self.autoencoder_._model  # pyright: ignore[reportPrivateUsage]
        save_groups(GroupedModel(model, self.groups_, self.labels_), path)

    @classmethod
    def open(cls, path: str | Path, parts: Mapping[str, Factory] | None = None) -> Self:
        """The clusterer of a file that :meth:`save` wrote; nothing in the file is executed."""
        opened = open_groups(path, parts)
        autoencoder = Autoencoder._of(opened.model, parts or {})  # pyright: ignore[reportPrivateUsage]
        groups, seed = opened.groups, opened.model.config.training.seed
        estimator = cls(
            groups.n_groups, autoencoder, method=groups.method, criterion=groups.criterion, random_state=seed
        )
        estimator._keep(autoencoder, groups, opened.members, int(seed or 0))
        return estimator

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn asks: what the autoencoder takes."""
        tags = super().__sklearn_tags__()
        given = self._given()
        taken = get_tags(given if isinstance(given, Autoencoder) else Autoencoder()).input_tags
        tags.input_tags.allow_nan, tags.input_tags.sparse = taken.allow_nan, taken.sparse
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.groups_.size

    def _given(self) -> Any:
        frozen = isinstance(self.autoencoder, FrozenEstimator)
        return self.autoencoder.estimator if frozen else self.autoencoder

    def _fitted(self, X: ArrayLike, seed: int) -> Autoencoder:
        """The autoencoder, fitted here unless it was before."""
        given = self._given()
        if given is not None and not isinstance(given, Autoencoder):
            raise ParameterError(
                f"AutoencoderClusterer: autoencoder must be an Autoencoder or None, got {given!r}. "
                "Try Autoencoder(n_components=8)."
            )
        if given is not None and given.condition != "none":
            raise ParameterError(
                "AutoencoderClusterer: expected an autoencoder that knows no labels, got one of "
                f"condition={given.condition!r}, whose codes leave out what its labels say. Set condition='none'."
            )
        if given is not None and hasattr(given, "_model"):
            return given
        autoencoder: Autoencoder = Autoencoder() if given is None else cast(Autoencoder, clone(given))
        if autoencoder.random_state is None:
            autoencoder.set_params(random_state=seed)
        return autoencoder.fit(X)

    def _keep(self, autoencoder: Autoencoder, groups: Groups, members: NDArray[np.int64], seed: int) -> None:
        """Set the attributes that a fit leaves."""
        self.autoencoder_, self.groups_, self.labels_, self.seed_ = autoencoder, groups, members, seed
        self.n_clusters_, self.criterion_ = groups.n_groups, groups.curve
        self.cluster_centers_ = autoencoder.inverse_transform(groups.means)
        self.n_features_in_: int = autoencoder.n_features_in_  # pyright: ignore[reportAttributeAccessIssue]
        names = getattr(autoencoder, "feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

"""Gaps filled by an autoencoder that has learned to rebuild what is hidden, as a scikit-learn estimator."""

from __future__ import annotations

import numbers
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from isthmus.config.parts.likelihoods import Mixed
from isthmus.config.parts.networks import Dense
from isthmus.config.recipes import imputing
from isthmus.errors import DataError, DataWarning, OutputError, ParameterError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.parameters import seed_from
from isthmus.model.build import Factory
from isthmus.sources.arrow import is_number, is_text, pc, plain
from isthmus.sources.frames import is_frame, table_from, with_columns
from isthmus.sources.table_out import gaps_of, with_gaps_filled
from isthmus.workflows.impute import impute


class AutoencoderImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fill the gaps of rows from what is there: the mean of ``p(hidden values given the others)``.

    The autoencoder is shown rows of which some values are hidden, and its loss counts the hidden ones alone,
    ``sum_j hidden_j L_j(x_j, g(f(x~))_j)`` (Vincent et al. 2010, section 5.2): so it learns to fill. Observed
    values leave as they came, bit for bit. Rows are arrays of numbers with NaN, or frames of pandas,
    polars or pyarrow with columns of any types; frames come back as frames.

    Parameters
    ----------
    autoencoder
        An :class:`Autoencoder` or a recipe, None for ``Autoencoder()``; its parameters are
        ``autoencoder__...`` of a search. What it leaves at its default is as in
        :func:`isthmus.config.recipes.imputing` and the rules for that kind, so that ``isthmus fit --kind imputing``
        fits the same model to a table: a quarter of the values hidden, one hidden layer that levels off, as
        many units as columns, noise on the code; a normal density for each number and quantile maps, of
        arrays too. One that is fitted already is used as it is, and never changed;
        :func:`sklearn.base.clone` would undo its fit unless it is wrapped in
        :class:`sklearn.frozen.FrozenEstimator`.
    missing_values
        A number or a word that stands for a gap, as in :class:`sklearn.impute.SimpleImputer`; NaN, None and
        null are gaps in any case.
    random_state
        Seed of the autoencoder where it has none of its own.

    Attributes
    ----------
    autoencoder_
        The fitted autoencoder.
    notes_
        What was found or decided that people should know of: columns that are left out, a sentence each.
    n_features_in_, feature_names_in_, seed_
        As their names say.

    Notes
    -----
    Columns that no model can learn from (identifiers, free text, without any value) come back with their
    gaps, and a :class:`isthmus.errors.DataWarning` says so. A category that the fit has not seen stays where
    it is. New frames are put in order by their columns' names. A row's result does not depend on the rows
    beside it.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris(as_frame=True).data.assign(wild=True)
    >>> X.loc[::5, "petal length (cm)"] = None
    >>> imputer = AutoencoderImputer(Autoencoder(max_epochs=20), random_state=0)
    >>> filled = imputer.fit_transform(X)
    >>> list(filled.columns) == list(X.columns), int(filled.isna().sum().sum())
    (True, 0)
    >>> len(imputer.sample(X, n_draws=3, random_state=0))
    3
    """

    def __init__(
        self, autoencoder: Any = None, *, missing_values: Any = np.nan, random_state: Any = None
    ) -> None:
        self.autoencoder = autoencoder
        self.missing_values = missing_values
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn from rows with gaps.

        Parameters
        ----------
        X
            ``(rows, features)``, an array or a frame.
        y
            Ignored.
        """
        self._check()
        drawn = seed_from(self.random_state)
        seed = secrets.randbits(32) if drawn is None else drawn
        self._keep(self._fitted(_marked(X, self.missing_values), seed))
        return self

    def transform(self, X: ArrayLike) -> Any:
        """The rows with their gaps filled by the best guess, ``(rows, features)``.

        A number's is its mean in model units, of quantile maps about its median; a category's the most
        probable one. Arrays keep their type, frames their library, index and types, with the columns of the
        fit in their order. An imputer of arrays makes arrays of frames too.
        """
        check_is_fitted(self)
        return self._filled(X, None, 0)[0]

    def sample(self, X: ArrayLike, n_draws: int = 1, random_state: Any = None) -> Any:
        """Several fillings, drawn from the model: how they differ says how sure it is of them.

        Values are drawn from the likelihood at the row's code, the code from its distribution where it has
        one. What is computed from each filling can be pooled by Rubin's rules (1987): the mean of the
        results, and their variance within plus ``(1 + 1 / n_draws)`` times that between. The draws know of
        no doubt in the weights themselves; and a number's spread is one for its column, as found where a quarter
        of the other values was hidden too: too wide for rows of which nearly all is known.

        Parameters
        ----------
        X
            Rows as in :meth:`transform`.
        n_draws
            How many, at least 1.
        random_state
            Seed of the draws; the same seed gives the same. None draws one from the system.

        Returns
        -------
        array or list of frames
            ``(n_draws, rows, features)``, or a list of ``n_draws`` frames.

        Raises
        ------
        ParameterError
            If the autoencoder's likelihood is no density, as squared error is none.
        """
        check_is_fitted(self)
        seed = seed_from(random_state)
        found = self._filled(X, int(n_draws), secrets.randbits(31) if seed is None else seed)
        return np.stack(found) if isinstance(found[0], np.ndarray) else found

    # Keeping

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the autoencoder to one ``.safetensors`` file, as ``isthmus fit`` does, whole or not at all.

        ``missing_values`` is a parameter of reading and stands in no model.
        """
        check_is_fitted(self)
        if Path(path).exists() and not force:
            raise OutputError(f"save: {path} is there already. Choose another name, or pass force=True.")
        self.autoencoder_.save(path, force=force)

    @classmethod
    def open(cls, path: str | Path, parts: Mapping[str, Factory] | None = None) -> Self:
        """The imputer of a model file that :meth:`save` or ``isthmus fit`` wrote; nothing in it is executed."""
        autoencoder = Autoencoder.open(path, parts)
        _check_knows_gaps(autoencoder)
        estimator = cls(autoencoder, random_state=autoencoder.seed_)
        estimator._keep(autoencoder)
        return estimator

    # scikit-learn's contract

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn asks: NaN is what it is for."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check(self) -> None:
        marker = self.missing_values
        if not (_is_gap(marker) or isinstance(marker, (numbers.Real, str))):
            raise ParameterError(
                f"AutoencoderImputer: missing_values must be a number, a word, NaN or None, got {marker!r}. "
                "Leave it out where gaps are NaN or None."
            )

    def _fitted(self, X: Any, seed: int) -> Autoencoder:
        """The autoencoder, fitted here unless it was before."""
        frozen = isinstance(self.autoencoder, FrozenEstimator)
        given: Any = self.autoencoder.estimator if frozen else self.autoencoder
        if given is not None and not isinstance(given, Autoencoder):
            raise ParameterError(
                f"AutoencoderImputer: autoencoder must be an Autoencoder or None, got {given!r}. "
                "Try Autoencoder(n_components=16)."
            )
        if given is not None and given.condition != "none":
            raise ParameterError(
                "AutoencoderImputer: expected an autoencoder that knows no labels, got one of "
                f"condition={given.condition!r}, which would ask for them at every row. Set condition='none'."
            )
        if given is not None and hasattr(given, "_model"):
            _check_knows_gaps(given)
            return given
        autoencoder: Autoencoder = Autoencoder() if given is None else cast(Autoencoder, clone(given))
        if autoencoder.missing == "refuse":
            raise ParameterError(
                "AutoencoderImputer: expected an autoencoder that knows gaps, got one of missing='refuse'. "
                "Leave missing at 'auto'."
            )
        autoencoder.set_params(**_chosen(autoencoder))
        if autoencoder.random_state is None:
            autoencoder.set_params(random_state=seed)
        return autoencoder.fit(X)

    def _keep(self, autoencoder: Autoencoder) -> None:
        """Set the attributes that a fit leaves."""
        self.autoencoder_, self.seed_, self.notes_ = autoencoder, autoencoder.seed_, autoencoder.notes_
        self.n_features_in_: int = autoencoder.n_features_in_  # pyright: ignore[reportAttributeAccessIssue]
        names = getattr(autoencoder, "feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _filled(self, X: Any, n_draws: int | None, seed: int) -> list[Any]:
        """One filling, or as many as are drawn."""
        autoencoder, rows = self.autoencoder_, X
        columns = autoencoder._table_schema if is_frame(X) else None  # pyright: ignore[reportPrivateUsage]
        if columns is not None:
            rows = autoencoder._in_order(X, table_from(X, "AutoencoderImputer"))  # pyright: ignore[reportPrivateUsage]
        marked = _marked(rows, self.missing_values)
        source = autoencoder._source(marked, reset=False)  # pyright: ignore[reportPrivateUsage]
        found = impute(autoencoder._model, source, n_draws=n_draws, seed=seed)  # pyright: ignore[reportPrivateUsage]
        fillings = [found] if n_draws is None else list(found)
        if columns is None:
            return [_typed_as(X, filling) for filling in fillings]
        table, holes = table_from(rows, "AutoencoderImputer"), table_from(marked, "AutoencoderImputer")
        gaps = gaps_of(holes, columns)
        _warn_of_gaps_that_stay(holes, set(gaps))
        changed = [with_gaps_filled(table, filling, columns, gaps).select(list(gaps)) for filling in fillings]
        return [with_columns(rows, new) for new in changed]


def _chosen(autoencoder: Autoencoder) -> dict[str, Any]:
    """What an autoencoder leaves open, as the recipe has it; sizes and the rate follow from that by the rules."""
    recipe = imputing()
    # Arrays are filled as tables are.
    chosen: dict[str, Any] = {"likelihood": Mixed("gaussian"), "scaling": "quantile"}
    if isinstance(recipe.network, Dense) and _is(getattr(autoencoder, "network", None), "dense"):
        chosen["activation"] = recipe.network.activation
    chosen = {name: value for name, value in chosen.items() if _is(getattr(autoencoder, name, None), "auto")}
    if _is(getattr(autoencoder, "code", None), "deterministic"):
        chosen["code"] = recipe.code
    if getattr(autoencoder, "corruption", None) is None:
        chosen["corruption"] = recipe.corruption
    return {**chosen, "missing": "mask"}


def _is(value: Any, word: str) -> bool:
    """Whether a parameter, which may be an array or modules, is a word."""
    return isinstance(value, str) and value == word


def _check_knows_gaps(autoencoder: Autoencoder) -> None:
    if not autoencoder._model.scaling.allows_gaps:  # pyright: ignore[reportPrivateUsage]
        raise ParameterError(
            "AutoencoderImputer: expected an autoencoder that knows gaps, got one fitted with missing='refuse'. "
            "Fit it with missing='mask'."
        )


def _is_gap(marker: Any) -> bool:
    """Whether a value is a gap without being called one."""
    if marker is None or type(marker).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(marker, numbers.Real) and bool(np.isnan(float(marker)))


def _marked(X: Any, missing_values: Any) -> Any:
    """Rows in which what stands for a gap is one."""
    if sparse.issparse(X):
        raise DataError(
            f"AutoencoderImputer: a sparse matrix has a value in every cell, so none to fill, got {type(X).__name__}. "
            "Give an array or a frame in which gaps are NaN; a sparse matrix made dense has them where it stores NaN."
        )
    if _is_gap(missing_values):
        return X
    if not is_frame(X):
        rows: NDArray[Any] = np.asarray(X)
        if rows.dtype.kind not in "biuf" or isinstance(missing_values, str):
            return X
        there = rows == missing_values
        return np.where(there, np.nan, rows) if there.any() else X
    table = table_from(X, "AutoencoderImputer")
    fits = is_text if isinstance(missing_values, str) else is_number
    changed: dict[str, Any] = {}
    for name in table.column_names:
        column = plain(table.column(name))
        if fits(column.type):
            there = pc.equal(column, missing_values)
            if pc.any(there).as_py():
                changed[name] = pc.if_else(there, pa.scalar(None, column.type), column)
    return with_columns(X, pa.table(changed)) if changed else X


def _typed_as(X: Any, rows: NDArray[Any]) -> NDArray[Any]:
    """Filled rows of the type of the array that came; whole numbers stay whole."""
    wanted = np.asarray(X).dtype
    if wanted.kind not in "iu" or wanted == rows.dtype:
        return rows
    ends = np.iinfo(wanted)
    return np.clip(np.rint(rows), ends.min, ends.max).astype(wanted)


def _warn_of_gaps_that_stay(table: Any, filled: set[str]) -> None:
    stay = [name for name in table.column_names if name not in filled and table.column(name).null_count]
    if stay:
        names = ", ".join(map(repr, stay))
        said = f"Gaps stay in {names}, from which nothing was learned: see notes_."
        warnings.warn(said, DataWarning, stacklevel=4)

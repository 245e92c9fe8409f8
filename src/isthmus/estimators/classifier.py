"""A classifier on an autoencoder's encoder, as a scikit-learn estimator."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from isthmus.artifact.classifier import FittedClassifier, open_classifier, save_classifier
from isthmus.config import Training
from isthmus.errors import DataError, OutputError, ParameterError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.parameters import seed_from
from isthmus.model.build import Factory
from isthmus.model.classifier import ClassifierModule
from isthmus.shapes import n_values
from isthmus.sources import Source
from isthmus.sources.frames import is_frame, stacked
from isthmus.training.callbacks import Callback
from isthmus.workflows.classify import class_logits, fit_classifier


class AutoencoderClassifier(ClassifierMixin, BaseEstimator):
    """Learn structure from all rows, then classes from the labelled ones.

    The autoencoder is fitted first, without labels; then a linear head is put on its codes and both
    are trained by cross-entropy, ``-ln softmax(V h + c)[label]`` (Hinton and Salakhutdinov 2006;
    Bengio et al. 2007). It pays where rows are many and labels few.

    Parameters
    ----------
    autoencoder
        An :class:`Autoencoder`, None for one with its defaults. One that is fitted already is used as
        it is, and never changed; :func:`sklearn.base.clone`, and with it every search, would undo its
        fit unless it is wrapped in :class:`sklearn.frozen.FrozenEstimator`.
    max_epochs, batch_size, validation_share, patience
        Of the training with labels, as in :class:`isthmus.Training`; of every class the same share
        is held out.
    encoder_learning_rate
        Highest rate of the encoder, above 0: lower than the head's, for it knows something already.
    head_learning_rate
        Highest rate of the head, above 0.
    frozen
        Whether the encoder stays as the autoencoder left it, and only the head is trained.
    random_state
        Seed of both trainings where the autoencoder has none of its own.
    device
        Where to train.
    callbacks
        What watches the training with labels.

    Attributes
    ----------
    autoencoder_
        The fitted autoencoder, as it was before the training with labels.
    module_
        Encoder and head as a torch module, from model units to logits.
    classes_
        Labels in the order of ``predict_proba``'s columns.
    history_
        One record an epoch of the training with labels.
    n_features_in_, feature_names_in_, seed_
        As their names say.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = AutoencoderClassifier(random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape, bool(model.score(X, y) > 0.9)
    ((2, 3), True)
    """

    def __init__(
        self,
        autoencoder: Any = None,
        *,
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        encoder_learning_rate: float = 1e-3,
        head_learning_rate: float = 1e-2,
        frozen: bool = False,
        validation_share: float = 0.1,
        patience: float | str | None = "auto",
        random_state: Any = None,
        device: str = "auto",
        callbacks: Sequence[Callback] | None = None,
    ) -> None:
        self.autoencoder = autoencoder
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.encoder_learning_rate = encoder_learning_rate
        self.head_learning_rate = head_learning_rate
        self.frozen = frozen
        self.validation_share = validation_share
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.callbacks = callbacks

    def fit(self, X: ArrayLike, y: ArrayLike, *, unlabelled: ArrayLike | None = None) -> Self:
        """Fit the autoencoder on all rows, then head and encoder on the labelled ones.

        Parameters
        ----------
        X
            Labelled rows, ``(rows, features)``, pictures or a frame as for :class:`Autoencoder`.
        y
            ``(rows,)``, one label a row: numbers, booleans or words.
        unlabelled
            More rows like X, for the autoencoder alone. It is an argument of its own, so that -1 may
            be a class.

        Returns
        -------
        AutoencoderClassifier
            Itself. After Ctrl-C the weights of lowest validation loss are kept before KeyboardInterrupt
            goes on.
        """
        rows, labels = self._rows_and_labels(X, y)
        check_classification_targets(labels)
        classes, numbers = np.unique(labels, return_inverse=True)
        _check_labels(classes)
        drawn = seed_from(self.random_state)
        seed = secrets.randbits(32) if drawn is None else drawn
        plan = self._plan(seed)
        autoencoder = self._fitted(self._given(), _shaped(rows, X), X, unlabelled, seed)
        classifier, history = fit_classifier(
            autoencoder._model,  # pyright: ignore[reportPrivateUsage]
            self._source(autoencoder, X, rows),
            numbers.astype(np.int64),
            classes,
            plan,
            encoder_learning_rate=self.encoder_learning_rate,
            frozen=self.frozen,
            callbacks=tuple(self.callbacks or ()),
        )
        names = getattr(self, "feature_names_in_", None)
        classifier.columns = None if names is None else tuple(map(str, names))
        self._classifier, self.autoencoder_, self.seed_ = classifier, autoencoder, seed
        self._keep()
        if history.reason == "interrupted":
            raise KeyboardInterrupt
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most likely class of each row, ``(rows,)``."""
        return self._classifier_classes()[self._logits(X).argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """How likely each class is for each row, ``(rows, n_classes)``, in the order of ``classes_``."""
        return softmax(self._logits(X), axis=1)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write autoencoder, encoder and head to one ``.safetensors`` file, whole or not at all."""
        check_is_fitted(self)
        if Path(path).exists() and not force:
            raise OutputError(f"save: {path} is there already. Choose another name, or pass force=True.")
        save_classifier(self._classifier, path)

    @classmethod
    def open(cls, path: str | Path, parts: Mapping[str, Factory] | None = None) -> Self:
        """The classifier of a file that :meth:`save` wrote; nothing in the file is executed."""
        opened = open_classifier(path, parts)
        module = opened.module
        autoencoder = Autoencoder._of(opened.model, parts or {})  # pyright: ignore[reportPrivateUsage]
        estimator = cls(autoencoder, frozen=module.frozen, random_state=module.seed)
        estimator._classifier, estimator.autoencoder_, estimator.seed_ = opened, autoencoder, module.seed
        estimator.n_features_in_ = autoencoder.n_features_in_  # pyright: ignore[reportAttributeAccessIssue]
        if opened.columns is not None:
            estimator.n_features_in_ = len(opened.columns)  # pyright: ignore[reportAttributeAccessIssue]
            names = np.array(opened.columns, dtype=object)
            estimator.feature_names_in_ = names  # pyright: ignore[reportAttributeAccessIssue]
        estimator._keep()
        return estimator

    def __getstate__(self) -> dict[str, Any]:
        """Parameters and attributes; the classifier as its file's bytes."""
        state: dict[str, Any] = {**super().__getstate__()}  # pyright: ignore[reportGeneralTypeIssues]
        state.pop("module_", None)
        if "_classifier" in state:
            state["_classifier"] = self._classifier.to_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Undo :meth:`__getstate__`."""
        data = state.pop("_classifier", None)
        super().__setstate__(state)
        if data is not None:
            own = self.autoencoder_._own  # pyright: ignore[reportPrivateUsage]
            self._classifier = FittedClassifier.from_bytes(data, "pickle", own)
            self.module_ = self._classifier.module

    def _plan(self, seed: int) -> Training:
        if not self.encoder_learning_rate > 0:
            raise ParameterError(
                "AutoencoderClassifier: encoder_learning_rate must be above 0, got "
                f"{self.encoder_learning_rate!r}. To keep the encoder as it is, set frozen=True."
            )
        try:
            return Training(
                epochs=self.max_epochs,  # pyright: ignore[reportArgumentType]
                batch_size=self.batch_size,  # pyright: ignore[reportArgumentType]
                learning_rate=self.head_learning_rate,
                validation_share=self.validation_share,
                patience=self.patience,  # pyright: ignore[reportArgumentType]
                seed=seed,
                device=self.device,
            )
        except ParameterError as error:
            renamed = (
                ("Training: epochs", "max_epochs"),
                ("Training: learning_rate", "head_learning_rate"),
                ("Training: ", ""),
            )
            message = str(error)
            for there, here in renamed:
                message = message.replace(there, f"AutoencoderClassifier: {here}", 1)
            raise ParameterError(message) from None

    def _fitted(
        self, given: Any, rows: NDArray[Any], X: ArrayLike, unlabelled: ArrayLike | None, seed: int
    ) -> Autoencoder:
        """The autoencoder, fitted here unless it was before."""
        if given is not None and not isinstance(given, Autoencoder):
            raise ParameterError(
                f"AutoencoderClassifier: autoencoder must be an Autoencoder or None, got {given!r}. "
                "Try Autoencoder(n_components=16)."
            )
        if given is not None and hasattr(given, "_model"):
            if unlabelled is not None:
                raise ParameterError(
                    "AutoencoderClassifier: unlabelled rows are for an autoencoder that is not fitted yet, got "
                    "a fitted one. Fit it on those rows too, or leave them out."
                )
            return given
        autoencoder = Autoencoder() if given is None else cast(Autoencoder, clone(given))
        if autoencoder.random_state is None:
            autoencoder.set_params(random_state=seed)
        if unlabelled is None:
            return autoencoder.fit(rows)
        if is_frame(X) or is_frame(unlabelled):
            return autoencoder.fit(stacked(X, unlabelled, "AutoencoderClassifier"))
        return autoencoder.fit(np.concatenate([rows, _shaped(self._checked(unlabelled), X)]))

    def _source(self, autoencoder: Autoencoder, X: Any, rows: Any) -> Source:
        """Validated rows as the autoencoder takes them: frames where it was fitted on frames."""
        named = hasattr(autoencoder, "feature_names_in_") and is_frame(X)
        return autoencoder._source(X if named else _shaped(rows, X), reset=False)  # pyright: ignore[reportPrivateUsage]

    def _logits(self, X: ArrayLike) -> NDArray[np.float64]:
        check_is_fitted(self)
        source = self._source(self.autoencoder_, X, self._checked(X))
        return class_logits(self._classifier, source).astype(np.float64)

    def _rows_and_labels(self, X: Any, y: Any) -> tuple[Any, NDArray[Any]]:
        """Rows and labels of a fit, checked; what a frame holds is the autoencoder's to check."""
        if is_frame(X):
            validate_data(self, X, y, skip_check_array=True)
            labels = column_or_1d(y, warn=True)
            check_consistent_length(X, labels)
            return X, labels
        finite = "allow-nan" if self._allows_gaps() else True
        return cast(Any, validate_data(self, _flat(X), y, dtype="numeric", ensure_all_finite=finite))  # pyright: ignore[reportArgumentType]

    def _checked(self, X: Any) -> Any:
        """Rows like those of the fit: arrays flat, frames as they are."""
        if is_frame(X) and hasattr(self.autoencoder_, "feature_names_in_"):
            return X
        finite = "allow-nan" if self._allows_gaps() else True
        return validate_data(self, _flat(X), reset=False, dtype="numeric", ensure_all_finite=finite)  # pyright: ignore[reportArgumentType]

    def _given(self) -> Any:
        frozen = isinstance(self.autoencoder, FrozenEstimator)
        return self.autoencoder.estimator if frozen else self.autoencoder

    def _allows_gaps(self) -> bool:
        return getattr(self._given(), "missing", "auto") == "mask"

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn asks: NaN is allowed where the autoencoder takes it for a gap."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._allows_gaps()
        return tags

    def _classifier_classes(self) -> NDArray[Any]:
        check_is_fitted(self)
        return self.classes_

    def _keep(self) -> None:
        """Set the attributes that a fit leaves."""
        self.classes_ = self._classifier.classes
        self.history_ = self._classifier.epochs
        self.module_: ClassifierModule = self._classifier.module


def _flat(X: Any) -> Any:
    """Rows of one axis, as scikit-learn checks them."""
    if getattr(X, "ndim", 2) > 2:
        return np.reshape(X, (len(X), n_values(tuple(X.shape[1:]))))
    return X


def _shaped(rows: NDArray[Any], X: Any) -> NDArray[Any]:
    """Validated flat rows with the axes that X came with."""
    return rows.reshape(len(rows), *X.shape[1:]) if getattr(X, "ndim", 2) > 2 else rows


def _check_labels(classes: NDArray[Any]) -> None:
    """Labels must be able to stand in a file."""
    if classes.dtype.kind not in "biufU" and not all(isinstance(label, str) for label in classes):
        raise DataError(
            f"AutoencoderClassifier: expected labels that are numbers, booleans or words, got {classes[:3]!r}. "
            "Convert them to words first."
        )

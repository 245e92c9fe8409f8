"""The autoencoder as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted

from isthmus.artifact import FittedModel, open_model, save_model
from isthmus.artifact.fitted import Factory
from isthmus.config import Config
from isthmus.config.catalogue import part_from
from isthmus.config.overcomplete import overcomplete_note
from isthmus.errors import OutputError, OvercompleteWarning, ParameterError
from isthmus.estimators.denoising import Denoising
from isthmus.estimators.exploring import Exploring
from isthmus.estimators.parameters import FAMILIES, Copies, from_config, penalty_names, seed_from, to_config
from isthmus.estimators.reading import Reading, columns_known, names_known
from isthmus.evaluation.metrics import squared_errors, values_seen
from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.sources import Source
from isthmus.training.callbacks import Callback
from isthmus.training.loop import History, Trainer
from isthmus.workflows.fit import fit, further_trainer, one_pass, prepare, train_further


class Autoencoder(
    Reading, Exploring, Denoising, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Squeeze rows through a narrow code and rebuild them.

    Minimises, over encoder f and decoder g, the mean over rows of ``L(x, g(h)) + sum_j weight_j
    Omega_j`` with ``h = code(f(corruption(x)))``. Each part is chosen freely, by name or as a
    description: ``penalties=L1(0.01)``; ``"auto"`` lets the data decide, and ``config_`` says what
    was decided.

    Rows are 2-D, ``(rows, features)``; pictures are flat rows with ``sample_shape``, or arrays
    ``(rows, height, width)`` or ``(rows, height, width, channels)``; sequences are ``(rows, steps)``,
    ``(rows, steps, channels)`` or flat rows with ``sample_shape``, under ``row_kind="sequences"``.

    Frames of pandas, polars and pyarrow come as they are: one of numbers alone is vectors with names; one
    with words, booleans, dates or gaps, and any under ``missing="mask"`` or ``types``, is a table, whose columns are
    found out by the rules of ``docs/tables.md``. New frames are put in order by their columns' names. Rows
    come back as frames of the same library, columns, order and types. What was left out of new rows, and
    categories that the fit has not seen, are told by a :class:`isthmus.errors.DataWarning`.

    Parameters
    ----------
    n_components
        Units of the code h, at least 1; ``"auto"``: square root of the number of features, at most 64.
    hidden_sizes
        Units of each hidden layer of a dense network; ``()`` is a linear autoencoder.
    activation
        Of the hidden layers.
    network
        ``"dense"``, ``"conv1d"``, ``"conv2d"``, ``"transformer"``, a description (``Dense(...)``,
        ``Conv1d(...)``, ``Conv2d(...)``, ``Transformer(...)``), or your own pair of torch modules
        ``(encoder, decoder)``.
    code
        ``"deterministic"``, ``"gaussian"``, ``"quantised"``, ``"top_k"``, ``"batch_top_k"``,
        ``"winner_take_all"``, or a description.
    likelihood
        ``"bernoulli"``, ``"squared_error"``, ``"gaussian"``, ``"discretised_logistic"``, a
        description, or ``"auto"``: log loss for black-and-white pictures and binary columns, else squared error.
    corruption
        None, ``"masking"``, ``"gaussian_noise"``, ``"salt_and_pepper"``, ``"block"``, or a description.
    penalties
        None, one penalty or several: ``L1``, ``L2``, ``StudentT``, ``KLSparsity``, ``Decorrelation``,
        ``Contractive``, ``ContractiveHessian``, ``WeightDecay``, or a prior on the code. A search
        reaches them as ``penalties__weight``, or of several as ``penalties__l1__weight``.
    condition
        ``"none"``, or ``"label"``: encoder and decoder are told the label of each row, ``y`` of ``fit``,
        so that the code need not say it (Sohn et al. 2015). Whatever reads rows or codes then asks for
        their ``labels``; none is ever guessed.
    max_epochs, batch_size, micro_batch, learning_rate, schedule, warm_up_share, weight_decay, gradient_clip
        As in :class:`isthmus.Training`.
    validation_share
        Share of the rows held out to stop by and to measure on, in [0, 1).
    patience
        Share of all epochs after which training stops if so many in a row had a validation loss
        above the lowest by more than two standard errors; None never.
    start
        ``"pca"``, ``"random"`` or ``"auto"``: where the weights begin.
    dead_units
        ``"left"``, or ``"revived"``: code units that carry nothing are given new weights after each
        epoch of the first half. Dense networks, codes of one number a unit.
    scheme, pretraining_share
        ``"end_to_end"``, or ``"layer_by_layer"`` for that share of the epochs and then end to end:
        see :class:`isthmus.Training`. Dense networks; ``partial_fit`` knows only the first.
    scaling
        ``"auto"``, ``"standardise"``, ``"range"``, ``"quantile"`` or ``"raw"``: how columns become model units.
    missing
        What NaN is: ``"mask"``: a gap, of which the encoder is told and no loss knows; ``"refuse"``: an
        error; ``"auto"``: mask for frames that are tables, else refuse.
    sample_shape
        ``(height, width)`` or ``(height, width, channels)`` where flat rows are pictures, ``(steps,)``
        or ``(steps, channels)`` where they are sequences.
    row_kind
        ``"vectors"``, ``"sequences"``, ``"pictures"``, or ``"auto"``: sequences where the network is
        ``conv1d``, else by the number of axes, and ``(rows, height, width)`` are pictures.
    types
        Columns of a frame and what they are, where the rules of ``docs/tables.md`` get them wrong: ``{"ward":
        "category"}``. One of ``"continuous"``, ``"count"``, ``"category"``, ``"boolean"``, ``"date"``, or
        ``"ignore"`` to leave a column out. The frame is a table then, numbers alone too.
    memory
        What rows may take of it beside ``X`` itself, such as ``"2GB"``: those that need more, of a memory map
        for example, are read by block, see :class:`isthmus.Data`. ``"auto"`` is half of what is free.
    random_state
        Seed; the same seed and rows give the same model, whatever the order of the rows, as long as ``memory``
        holds them. None draws one and keeps it as ``seed_``.
    device, threads, precision
        Where, on how many CPU threads, and in how many bits to train: see :class:`isthmus.Training`.
    warm_start
        Whether ``fit`` goes on from the weights of the last one, its parts and its preprocessing
        frozen; parameters of the training may change.
    callbacks
        What watches the training: :class:`isthmus.training.callbacks.Callback` objects.

    Attributes
    ----------
    config_
        Everything that decided the fit, every default explicit.
    history_
        One record an epoch: ``epoch``, ``learning_rate``, ``training`` and ``validation`` terms.
    metrics_
        Errors on the validation rows beside PCA's and the mean's.
    module_
        The torch module, in model units.
    classes_
        Labels that it was fitted on, in order, under ``condition="label"``.
    notes_
        What was found or decided that people should know of, a sentence each.
    n_components_, n_features_in_, feature_names_in_, seed_
        As their names say.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> model = Autoencoder(n_components=2, max_epochs=20, random_state=0).fit(X)
    >>> model.transform(X).shape, model.reconstruct(X).shape
    ((150, 2), (150, 4))
    """

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        hidden_sizes: Sequence[int] | str = "auto",
        activation: str = "auto",
        network: Any = "dense",
        code: Any = "deterministic",
        likelihood: Any = "auto",
        corruption: Any = None,
        penalties: Any = None,
        condition: str = "none",
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        micro_batch: int | str = "auto",
        learning_rate: float | str = "auto",
        schedule: str = "cosine",
        warm_up_share: float = 0.1,
        weight_decay: float = 0.0,
        gradient_clip: float | None = None,
        validation_share: float = 0.1,
        patience: float | str | None = "auto",
        start: str = "auto",
        dead_units: str = "left",
        scheme: str = "end_to_end",
        pretraining_share: float = 0.5,
        scaling: str = "auto",
        missing: str = "auto",
        sample_shape: tuple[int, ...] | None = None,
        row_kind: str = "auto",
        types: Mapping[str, str] | None = None,
        memory: int | str = "auto",
        random_state: Any = None,
        device: str = "auto",
        threads: int | str = "auto",
        precision: str = "float32",
        warm_start: bool = False,
        callbacks: Sequence[Callback] | None = None,
    ) -> None:
        self.n_components = n_components
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.network = network
        self.code = code
        self.likelihood = likelihood
        self.corruption = corruption
        self.penalties = penalties
        self.condition = condition
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.micro_batch = micro_batch
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.warm_up_share = warm_up_share
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip
        self.validation_share = validation_share
        self.patience = patience
        self.start = start
        self.dead_units = dead_units
        self.scheme = scheme
        self.pretraining_share = pretraining_share
        self.scaling = scaling
        self.missing = missing
        self.sample_shape = sample_shape
        self.row_kind = row_kind
        self.types = types
        self.memory = memory
        self.random_state = random_state
        self.device = device
        self.threads = threads
        self.precision = precision
        self.warm_start = warm_start
        self.callbacks = callbacks

    # Fitting

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from rows.

        Parameters
        ----------
        X
            ``(rows, features)``, pictures ``(rows, height, width[, channels])``, or a frame; finite
            numbers, and NaN where ``missing`` allows it.
        y
            ``(rows,)``, integers or strings: the label of each row under ``condition="label"``, else ignored.
        sample_weight
            ``(rows,)``, at least 0; a row of weight 2 counts as two rows.

        Returns
        -------
        Autoencoder
            Itself, with the last weights, or those of the epoch of lowest validation loss where they
            are better by more than two standard errors. After Ctrl-C the weights of lowest validation
            loss are kept before KeyboardInterrupt goes on.
        """
        with self._schema_kept_on_failure():
            history = self._fit(X, y, sample_weight)
        self._warn_if_overcomplete()
        if history.reason == "interrupted":
            raise KeyboardInterrupt
        return self

    def _fit(self, X: ArrayLike, y: Any, sample_weight: ArrayLike | None) -> History:
        config, own = to_config(self._choices(), self._draw_seed())
        labels = y if config.model.condition == "label" else None
        goes_on = self.warm_start and hasattr(self, "_model")
        # The columns of a table are those of the first fit: other rows might make others of them.
        known = goes_on and self._schema.kind == "tables"
        source = self._source(X, reset=not known, row_kind=config.data.row_kind, labels=labels)
        weights = self._weights(sample_weight, source)
        callbacks = tuple(self.callbacks or ())
        if goes_on:
            self._check_same_model(config)
            history = train_further(
                self._model,
                source,
                training=config.training,
                sample_weight=weights,
                callbacks=callbacks,
            )
        else:
            self._model, history = fit(source, config, sample_weight=weights, parts=own, callbacks=callbacks)
            self._own = own
            self._asked = config
        self._trainer = None
        self._keep()
        return history

    def partial_fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Make one pass over more rows: no split, preprocessing frozen at the first call.

        The first call decides everything that ``"auto"`` leaves open, and under ``condition="label"``
        which labels there are. Needs at least two different rows then. ``sample_weight`` compares the
        rows of one call alone: the weights of each call are brought to mean 1. A call that fails leaves
        everything as it was.
        """
        first = not hasattr(self, "_model")
        with self._schema_kept_on_failure():
            self._partial_fit(X, y, sample_weight)
        self._keep()
        if first:
            self._warn_if_overcomplete()
        return self

    def _partial_fit(self, X: ArrayLike, y: Any, sample_weight: ArrayLike | None) -> None:
        first = not hasattr(self, "_model")
        config, own = to_config(self._choices(), self._draw_seed() if first else None)
        if first and config.training.scheme != "end_to_end":
            raise ParameterError(
                f"Autoencoder: partial_fit makes one pass over all layers, got scheme={self.scheme!r}, which "
                "needs several. Call fit first, or set scheme='end_to_end'."
            )
        labels = y if (config.model if first else self._model.config.model).condition == "label" else None
        source = self._source(X, reset=first, row_kind=config.data.row_kind, labels=labels)
        weights = self._weights(sample_weight, source)
        if first:
            alone = config.with_training(validation_share=0.0)
            model = prepare(source, alone, sample_weight=weights, parts=own).model
        else:
            model = self._model
        trainer = getattr(self, "_trainer", None) or further_trainer(model, config.training.device)
        one_pass(model, trainer, source, sample_weight=weights)
        self._trainer: Trainer | None = trainer
        if first:
            self._model, self._own, self._asked = model, own, config

    def _warn_if_overcomplete(self) -> None:
        note = overcomplete_note(self._model.config, self._model.scaling.schema.n_values)
        if note is not None:
            warnings.warn(note, OvercompleteWarning, stacklevel=3)

    # Using

    def fit_transform(self, X: ArrayLike, y: Any = None, **fit_params: Any) -> NDArray[Any]:
        """``fit(X, y)``, then the codes of the same rows; ``y`` are their labels where there is a condition."""
        if self.condition == "none":
            return super().fit_transform(X, y, **fit_params)
        return self.fit(X, y, **fit_params).transform(X, labels=y)

    def transform(self, X: ArrayLike, labels: ArrayLike | None = None) -> NDArray[Any]:
        """Codes of rows, ``(rows, n_components)``; of a distribution its mean.

        A row's code does not depend, bit for bit, on the rows beside it. float64 in gives float64
        out, anything else float32; computed in float32. ``labels``, ``(rows,)``, are what a model with
        a condition asks for.
        """
        if not hasattr(self, "_model"):
            check_is_fitted(self)
        source = self._source(X, reset=False, labels=labels)
        return Inference(self._model).encode(source).astype(_float_type(source), copy=False)

    def code_distribution(
        self, X: ArrayLike, labels: ArrayLike | None = None
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Mean and standard deviation of rows' codes, ``(rows, n_components)`` each; None without one."""
        check_is_fitted(self)
        return Inference(self._model).code_distribution(self._source(X, reset=False, labels=labels))

    def inverse_transform(self, X: ArrayLike, labels: ArrayLike | None = None) -> Any:
        """What codes ``(rows, n_components)`` decode to, ``(rows, features)`` in data units.

        Of a model of frames a frame, each column of its own type. In arrays bytes leave as bytes, floats in
        their own type, other integers as float64. ``labels``, ``(rows,)``, are what a model with a
        condition decodes them as.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=[np.float64, np.float32])  # pyright: ignore[reportArgumentType]
        told = self._labels(labels, len(codes))
        return self._to_data(Inference(self._model).decode_model_units(codes, labels=told), X)

    def reconstruct(self, X: ArrayLike, labels: ArrayLike | None = None) -> Any:
        """``inverse_transform(transform(X))``, ``(rows, features)`` in data units; a frame of a model of frames."""
        check_is_fitted(self)
        source = self._source(X, reset=False, labels=labels)
        return self._to_data(Inference(self._model).reconstruct_model_units(source), X)

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Minus the mean squared error a value, in model units: larger is better, 0 is perfect.

        Gaps are no values. ``y`` are the rows' labels under ``condition="label"``, else ignored.
        """
        check_is_fitted(self)
        source = self._source(X, reset=False, labels=None if self._model.classes is None else y)
        inference = Inference(self._model)
        errors = squared_errors(inference, source).astype(np.float64)
        weights = self._weights(sample_weight, source)
        return -float(np.average(errors, weights=weights)) / values_seen(inference, source, weights)

    # Keeping

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model to one ``.safetensors`` file, whole or not at all.

        Raises
        ------
        OutputError
            If ``path`` cannot be written, or is there already and ``force`` is False.
        """
        check_is_fitted(self)
        if Path(path).exists() and not force:
            raise OutputError(f"save: {path} is there already. Choose another name, or pass force=True.")
        save_model(self._model, path)

    @classmethod
    def open(cls, path: str | Path, parts: Mapping[str, Factory] | None = None) -> Self:
        """The estimator of a model file; nothing in the file is executed.

        ``parts`` holds factories of the author's own parts by name: ``{"network": make_pair}``.
        """
        return cls._of(open_model(path, parts), parts or {})

    @classmethod
    def _of(cls, model: FittedModel, parts: Mapping[str, Factory]) -> Self:
        estimator = cls(**cls._params_of(model.config, parts))
        estimator._model = model
        estimator._own = {name: Copies(factory()) for name, factory in parts.items()}
        estimator._asked, _ = to_config(estimator._choices(), model.config.training.seed)
        schema = model.scaling.schema
        names, estimator._like, estimator._kinds = names_known(schema), None, columns_known(schema)
        estimator.n_features_in_ = schema.n_values if names is None else len(names)  # pyright: ignore[reportAttributeAccessIssue]
        if names is not None:
            estimator.feature_names_in_ = np.array(names, dtype=object)  # pyright: ignore[reportAttributeAccessIssue]
        estimator._keep()
        return estimator

    def __getstate__(self) -> dict[str, Any]:
        """Parameters and attributes; the model as its file's bytes."""
        state: dict[str, Any] = {**super().__getstate__()}  # pyright: ignore[reportGeneralTypeIssues]
        state.pop("_trainer", None)
        state.pop("module_", None)
        if "_model" in state:
            state["_model"] = self._model.to_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Undo :meth:`__getstate__`."""
        model = state.pop("_model", None)
        super().__setstate__(state)
        if model is not None:
            self._model = FittedModel.from_bytes(model, "pickle", self._own)
            self.module_ = self._model.module

    # scikit-learn's contract

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; of several penalties also ``penalties__l1__weight``."""
        params = super().get_params(deep)
        if deep:
            for name, penalty in penalty_names(getattr(self, "penalties", None)).items():
                params.update({f"penalties__{name}__{k}": v for k, v in penalty.get_params().items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, down to the parameters of parts."""
        rest: dict[str, Any] = {}
        if "penalties" in params:
            super().set_params(penalties=params.pop("penalties"))
        for family in FAMILIES:
            below = any(key.startswith(f"{family}__") for key in params)
            value = params.get(family, getattr(self, family, None))
            if below and isinstance(value, str) and value != "auto":
                params = {**params, family: part_from(family, value)}
        named = penalty_names(getattr(self, "penalties", None))
        for key, value in params.items():
            _, _, below = key.partition("penalties__")
            name, _, parameter = below.partition("__")
            if name in named and parameter:
                named[name].set_params(**{parameter: value})
            else:
                rest[key] = value
        for key in rest:
            family, _, parameter = key.partition("__")
            part = rest.get(family, getattr(self, family, None))
            if parameter and family in (*FAMILIES, "penalties") and not hasattr(part, "set_params"):
                raise ParameterError(
                    f"Autoencoder: {key} belongs to a part that is not there, {family} is {part!r}. "
                    f"Set {family} first."
                )
        super().set_params(**rest)
        return self

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn asks: NaN is allowed where it is a gap, and sparse matrices are vectors."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.sample_shape is None and self.row_kind in ("auto", "vectors")
        tags.input_tags.allow_nan = self.missing == "mask"
        return tags

    @property
    def _n_features_out(self) -> int:
        return self._model.module.code.size

    def _choices(self) -> dict[str, Any]:
        """Every parameter that decides a fit."""
        return self.get_params(deep=False)

    @classmethod
    def _params_of(cls, config: Config, parts: Mapping[str, Factory]) -> dict[str, Any]:
        """Parameters that spell out a config."""
        return from_config(config, parts)

    def _draw_seed(self) -> int | None:
        return seed_from(self.random_state)

    def _check_same_model(self, config: Config) -> None:
        """Refuse to go on with other parts than those of the last fit."""
        asked = getattr(self, "_asked", None)
        if asked is None:
            return
        data = [each.data.replace(memory="auto") for each in (asked, config)]
        if (asked.model, data[0]) != (config.model, data[1]):
            raise ParameterError(
                "Autoencoder: warm_start goes on with the model of the last fit, but its parts or its "
                "preprocessing were changed since. Set warm_start=False to begin anew."
            )

    def _keep(self) -> None:
        """Set the attributes that a fit leaves."""
        model = self._model
        self.config_ = model.config
        self.history_ = model.epochs
        self.metrics_ = model.metrics
        self.notes_ = model.notes
        self.n_components_ = model.module.code.size
        self.seed_ = model.config.training.seed
        self.module_: AutoencoderModule = model.module
        if model.classes is not None:
            self.classes_ = model.classes


def _float_type(source: Source) -> np.dtype[Any]:
    return np.dtype(np.float64 if source.schema.dtype == "float64" else np.float32)

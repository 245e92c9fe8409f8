"""Fit: from a source and a config to a fitted model with its baselines and figures."""

from __future__ import annotations

import copy
import math
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.artifact import Baseline, FittedModel
from isthmus.artifact.anomaly import Measure, Usual
from isthmus.config import Config, Training
from isthmus.config.catalogue import part_name
from isthmus.config.defaults import Facts, learning_rate, resolve
from isthmus.config.overcomplete import overcomplete_note
from isthmus.config.parts.likelihoods import WITHIN_0_AND_1
from isthmus.cores import one_blas_thread, usable_threads
from isthmus.errors import DataError, ParameterError
from isthmus.evaluation.advice import advice, without_advice
from isthmus.evaluation.baselines import fit_baseline
from isthmus.evaluation.metrics import Measured, measure
from isthmus.exploration.anomaly import fit_usual
from isthmus.inference import Inference
from isthmus.likelihoods.base import Likelihood
from isthmus.memory import freed_memory_kept
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import Factory, build
from isthmus.model.start import can_start_at_pca, start_at_pca
from isthmus.preprocessing import Preprocessing, Scaling, TableScaling, infer_likelihood
from isthmus.preprocessing.classes import class_numbers, classes_of, labels_of
from isthmus.preprocessing.table_fit import MOST_ROWS as MOST_FOR_QUANTILES
from isthmus.shapes import n_values
from isthmus.sources import Source, TableSource, check_alike, conform
from isthmus.sources.row_groups import RowGroups
from isthmus.training.callbacks import Callback
from isthmus.training.dead_units import check_can_revive
from isthmus.training.interruption import Interruption
from isthmus.training.loop import History, Trainer
from isthmus.training.micro import check_can_split
from isthmus.training.rows import LabelledRows, Rows, SourceRows
from isthmus.training.stacked import check_can_stack, fit_layer_by_layer
from isthmus.training.state import Keeper, State
from isthmus.training.streaming import StreamedRows
from isthmus.training.threads import choose_threads, training_threads
from isthmus.workflows.row_order import Part, Weights, all_rows, split_rows
from isthmus.workflows.sound_data import settled_sound
from isthmus.workflows.streamed_rows import (
    SHARE_HELD_OUT,
    as_many_as_fit,
    budget_if_streamed,
    evenly_spaced,
    held_out_at_most,
    held_out_of,
    row_bytes,
    split_streamed,
    streaming_notes,
)

BLOCK = 4096
MOST_FOR_ADVICE = 4096
"""Training rows among which units that validation rows do not use are looked for."""
SETS_WEIGHTS = (
    ("start", "pca", "auto"),
    ("scheme", "layer_by_layer", "end_to_end"),
    ("dead_units", "revived", "left"),
)
"""What sets weights by formulas of a plain network's inputs, and what to choose instead."""


@dataclass(slots=True)
class Prepared:
    """Everything that stands before the first step."""

    model: FittedModel
    """Untrained; its config has every default explicit."""
    training: Part
    validation: Part | None

    @property
    def measured_on(self) -> Part:
        """The rows that figures are of: validation rows, or else training rows, as many as there is room for."""
        if self.validation is not None:
            return self.validation
        return as_many_as_fit(self.training, 16 * n_values(self.model.scaling.model_shape))


def fit(
    source: Source,
    config: Config,
    *,
    validation: Source | None = None,
    sample_weight: NDArray[np.float64] | None = None,
    parts: Mapping[str, Factory] | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[FittedModel, History]:
    """Train the model that a config describes on the rows of a source.

    Parameters
    ----------
    source
        Training rows; a share of them is held out for validation unless ``validation`` is given.
    config
        ``"auto"`` anywhere is replaced by what the data say.
    validation
        Rows to stop by and to choose the weights by, instead of a share of ``source``.
    sample_weight
        ``(rows,)``, at least 0; a row of weight 2 counts as two rows.
    parts
        Factories of the user's own parts, by the name in ``Custom(name)``.
    callbacks
        What watches the training.

    Returns
    -------
    FittedModel, History
        The model holds the last weights, or those of the lowest validation loss where they are better
        by more than two standard errors; its metrics are of the validation rows (of the training
        rows where there are none).
    """
    prepared = prepare(source, config, validation=validation, sample_weight=sample_weight, parts=parts)
    history = train(prepared, callbacks)
    return prepared.model, history


def prepare(
    source: Source,
    config: Config,
    *,
    validation: Source | None = None,
    sample_weight: NDArray[np.float64] | None = None,
    parts: Mapping[str, Factory] | None = None,
    who: str = "fit",
) -> Prepared:
    """Split, fit the preprocessing, replace every ``"auto"``, build and set the weights to begin with."""
    seed = secrets.randbits(32) if config.training.seed is None else config.training.seed
    config, training, held_out = _parts(source, config, sample_weight, validation, seed, who)
    config = _within_support(config)
    with one_blas_thread():
        scaling = fit_scaling(training, config)
    config = config.with_data(scaling="raw" if scaling.method == "none" else scaling.method)
    if held_out is not None:
        check_alike(held_out.source.schema, scaling.schema, "validation")
    suggested = infer_likelihood(training.source, scaling)
    value_range = _value_range(config, scaling, suggested.name)
    facts = Facts(source.schema.sample_shape, len(training.source), suggested.name, value_range)
    config = resolve(config, facts).with_training(seed=seed, device=choose_device(config.training.device))
    classes = classes_of(labels_of(training.source, who)) if config.model.condition == "label" else None
    if classes is not None and held_out is not None:
        class_numbers(classes, labels_of(held_out.source, "validation"), "validation")
    module = build(
        config.model,
        scaling.model_shape,
        seed=seed,
        parts=parts,
        n_classes=0 if classes is None else len(classes),
        layout=scaling.layout,
        gaps=scaling.allows_gaps,
    )
    _check_support(module, scaling, training, held_out)
    looked_at = as_many_as_fit(training, 16 * n_values(scaling.model_shape))
    baseline = fit_baseline(
        _reader(looked_at, scaling), len(looked_at.source), module.code.size, looked_at.weights
    )
    with training_threads(1):
        if config.training.scheme == "layer_by_layer":
            check_can_stack(module, config.training)
        if config.training.dead_units == "revived":
            check_can_revive(module)
        start = _start(module, baseline, config.training)
    config = _settled(config.with_training(start=start), module, facts)
    as_suggested = part_name(config.model.likelihood) == suggested.name
    overcomplete = overcomplete_note(config, n_values(scaling.model_shape))
    notes = (
        *source.notes,
        *_streaming_notes(config, training, held_out, validation, looked_at),
        *scaling.notes,
        *([f"Likelihood: {suggested.reason}"] if as_suggested else []),
        *([] if overcomplete is None else [overcomplete]),
    )
    model = FittedModel(config, scaling, module, baseline, notes=notes, classes=classes)
    return Prepared(model, training, held_out)


def prepare_again(
    model: FittedModel, source: Source, config: Config, *, validation: Source | None = None, who: str = "fit"
) -> Prepared:
    """What :func:`prepare` made of the same source and config: ``model``, which was kept, and its rows."""
    seed = model.config.training.seed or 0
    _, training, held_out = _parts(source, config, None, validation, seed, who)
    return Prepared(model, training, held_out)


def _parts(
    source: Source,
    config: Config,
    sample_weight: NDArray[np.float64] | None,
    validation: Source | None,
    seed: int,
    who: str,
) -> tuple[Config, Part, Part | None]:
    """The config with what the source decides, training rows and validation rows."""
    config = config.with_data(missing="mask" if masks_gaps(config, source) else "refuse")
    _check_condition(config)
    config = settled_sound(config, source.schema)
    _check_gaps(config)
    return _split(source, config, sample_weight, validation, seed, who)


def train(
    prepared: Prepared,
    callbacks: Sequence[Callback] = (),
    *,
    keeper: Keeper | None = None,
    state: State | None = None,
) -> History:
    """Train what was prepared, and measure it on held-out rows.

    Ctrl-C ends the training after its step, and what was trained is measured; once more, and it ends at once.

    Parameters
    ----------
    keeper
        Offered the training's state, and asked whether to stop; without one Ctrl-C is asked for here.
    state
        One that was kept, to go on from.
    """
    with Interruption() as interruption, freed_memory_kept():
        history = _train(prepared, callbacks, keeper or Keeper(lambda: interruption.asked), state)
    if interruption.asked:
        history.reason = "interrupted"  # while it was measured: whoever called is to know
    return history


def _train(prepared: Prepared, callbacks: Sequence[Callback], keeper: Keeper, state: State | None) -> History:
    model, training, validation = prepared.model, prepared.training, prepared.validation
    plan = model.config.training
    if plan.scheme == "layer_by_layer" and not model.epochs:
        run = partial(fit_layer_by_layer, model.module, plan)
    else:
        run = Trainer(model.module, plan, n_epochs_done=len(model.epochs)).fit
    history = run(
        _rows(model, training),
        None if validation is None else _rows(model, validation),
        sample_weight=_tensor(training.weights),
        validation_weight=None if validation is None else _tensor(validation.weights),
        callbacks=callbacks,
        keeper=keeper,
        state=state,
    )
    model.module.to("cpu")
    before = len(model.epochs)
    records = [{**epoch.to_dict(), "epoch": before + epoch.epoch} for epoch in history.epochs]
    model.epochs = [*model.epochs, *records]
    model.best_epoch = before + history.best_epoch
    measured = _measured(model, prepared.measured_on)
    model.metrics = _metrics(measured, "training" if validation is None else "validation")
    if history.reason != "interrupted":
        history.notes += _advice(model, measured, None if validation is None else training)
    model.notes = (*without_advice(model.notes), *history.notes)
    model.usual = _usual(model, training, validation)
    return history


def _rows(model: FittedModel, part: Part) -> Rows[Any]:
    """What the loop reads: rows in model units, with their labels where the model is conditional on them."""
    rows: Rows[Any]
    if part.room is None:
        rows = SourceRows(part.source, model.scaling)
    else:
        rows = StreamedRows(part.source, model.scaling, part.room)
        rows.room = part.room // SHARE_HELD_OUT
    numbers = Inference(model).class_numbers(part.source)
    return rows if numbers is None else LabelledRows(rows, torch.from_numpy(numbers))


def _measured(model: FittedModel, part: Part) -> Measured:
    threads = model.config.training.threads
    with training_threads(threads if isinstance(threads, int) else 1):
        return measure(Inference(model), part.source, part.weights, n_given=part.n_given)


def _metrics(measured: Measured, rows_are: str) -> dict[str, Any]:
    return {"rows_are": rows_are, **measured.to_dict()}


def _advice(model: FittedModel, measured: Measured, training: Part | None) -> list[str]:
    """What to try, if anything: units that validation rows have no use for are looked for among others."""
    more = None
    if training is not None:
        some = as_many_as_fit(training, 16 * n_values(model.scaling.model_shape), MOST_FOR_ADVICE)
        more = evenly_spaced(some, MOST_FOR_ADVICE).source
    threads = model.config.training.threads
    with training_threads(threads if isinstance(threads, int) else 1):
        return advice(Inference(model), measured, more)


def usual_rows(
    model: FittedModel,
    source: Source,
    sample_weight: NDArray[np.float64] | None = None,
    *,
    validation_share: float = 0.0,
    measure: Measure = "relative_error",
) -> Usual:
    """What is usual among rows, of which a fit of that share and the model's seed holds some out."""
    _check_fits(model, source)
    seed = model.config.training.seed or 0
    _, training, held_out = _own_split(source, model.config, sample_weight, validation_share, seed)
    return _usual(model, training, held_out, measure)


def _usual(
    model: FittedModel, training: Part, validation: Part | None, measure: Measure = "relative_error"
) -> Usual:
    threads = model.config.training.threads
    with training_threads(threads if isinstance(threads, int) else 1):
        return fit_usual(
            Inference(model),
            training.source,
            training.weights,
            held_out=None if validation is None else validation.source,
            held_out_weights=None if validation is None else validation.weights,
            measure=measure,
        )


def train_further(
    model: FittedModel,
    source: Source,
    *,
    training: Training | None = None,
    sample_weight: NDArray[np.float64] | None = None,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train a fitted model again from where it stands, its parts and its preprocessing frozen.

    ``training`` describes how, where it is to be other than the last time. A training that fails
    leaves the model as it was.
    """
    _check_fits(model, source)
    wanted = model.config.training if training is None else training
    seed = wanted.seed if wanted.seed is not None else model.config.training.seed or 0
    asked, part, validation = _own_split(source, model.config, sample_weight, wanted.validation_share, seed)
    facts = Facts(source.schema.sample_shape, len(part.source), part_name(model.config.model.likelihood))
    start = model.config.training.start
    _check_condition(replace(model.config, training=wanted.replace(start="auto")))
    _check_gaps(replace(model.config, training=wanted.replace(start="auto")))
    config = resolve(replace(asked, training=wanted), facts)
    config = config.with_training(seed=seed, start=start, device=choose_device(wanted.device))
    _check_support(model.module, model.scaling, None, part, validation)
    if config.training.dead_units == "revived":
        check_can_revive(model.module)
    with _restored_on_failure(model):
        model.config = _settled(config, model.module, facts)
        return train(Prepared(model, part, validation), callbacks)


def further_trainer(model: FittedModel, device: str) -> Trainer:
    """A trainer for passes over more rows, on ``device``, which is kept in the model's config."""
    model.config = model.config.with_training(device=choose_device(device))
    return Trainer(model.module, model.config.training, n_epochs_done=len(model.epochs))


def one_pass(
    model: FittedModel,
    trainer: Trainer,
    source: Source,
    *,
    sample_weight: NDArray[np.float64] | None = None,
) -> None:
    """One pass of a trainer over rows, without a split: for data that come in parts.

    A pass that fails leaves the model and the trainer as they were.
    """
    _check_fits(model, source)
    _, part, _ = _own_split(source, model.config, sample_weight, 0.0, 0, few=True)
    _check_support(model.module, model.scaling, None, part)
    with _restored_on_failure(model, trainer):
        epoch = trainer.one_pass(_rows(model, part), _tensor(part.weights))
        model.module.to("cpu")
        model.epochs = [*model.epochs, {**epoch.to_dict(), "epoch": len(model.epochs) + 1}]
        model.best_epoch = len(model.epochs)
        model.metrics = _metrics(_measured(model, Prepared(model, part, None).measured_on), "training")
        model.usual = None  # of other rows and other weights; a pass over a stream is not to cost three


@contextmanager
def _restored_on_failure(model: FittedModel, trainer: Trainer | None = None) -> Generator[None]:
    """Give a model, and its trainer, their state back whatever ends the training early."""
    records = model.config, model.epochs, model.best_epoch, model.metrics, model.usual
    moments = None if trainer is None else copy.deepcopy(trainer.optimiser.state_dict())
    n_steps_done = 0 if trainer is None else trainer.n_steps_done
    weights = {name: value.clone() for name, value in model.module.state_dict().items()}
    try:
        yield
    except BaseException:
        model.config, model.epochs, model.best_epoch, model.metrics, model.usual = records
        model.module.to("cpu").load_state_dict(weights)
        model.module.eval()
        if trainer is not None and moments is not None:
            trainer.optimiser.load_state_dict(moments)
            trainer.n_steps_done = n_steps_done
        raise


def _settled(config: Config, module: AutoencoderModule, facts: Facts) -> Config:
    """The config with what depends on the built module and its start replaced too."""
    plan = config.training
    check_can_split(module, plan.micro_batch, int(plan.batch_size))
    if plan.learning_rate == "auto":
        plan = plan.replace(learning_rate=learning_rate(facts.sample_shape, plan.start))
    if plan.threads == "auto":
        plan = plan.replace(threads=choose_threads(module, int(plan.batch_size)))
    return replace(config, training=plan.replace(threads=usable_threads(int(plan.threads))))


def _check_fits(model: FittedModel, source: Source) -> None:
    Inference(model).check_source(source)


def _within_support(config: Config) -> Config:
    """Some likelihoods want values in [0, 1]: where the scaling is free, it brings them there."""
    if config.data.scaling == "auto" and isinstance(config.model.likelihood, WITHIN_0_AND_1):
        return replace(config, data=config.data.replace(scaling="range"))
    return config


def _value_range(config: Config, scaling: Preprocessing, suggested: str) -> tuple[float, float] | None:
    """Ends of the values in model units: a range becomes [0, 1], and some likelihoods want no others."""
    chosen = config.model.likelihood
    is_within = isinstance(chosen, WITHIN_0_AND_1) or (chosen == "auto" and suggested == "bernoulli")
    return (0.0, 1.0) if scaling.method == "range" or is_within else None


def _check_support(
    module: AutoencoderModule, scaling: Preprocessing, training: Part | None, *others: Part | None
) -> None:
    """Refuse rows that the likelihood is not meant for.

    Where the range was found from training rows, others may leave it, by its width at most.
    """
    likelihood = module.likelihood
    if likelihood.support == (-math.inf, math.inf):
        return
    width = likelihood.support[1] - likelihood.support[0] if scaling.method == "range" else 0.0
    for part, beyond in [(training, 0.0), *((other, width) for other in others)]:
        if part is None or _is_always_within(scaling, part.source, likelihood.support):
            continue
        for start in range(0, len(part.source), BLOCK):
            block = part.source.read(slice(start, min(start + BLOCK, len(part.source))))
            _check_block(likelihood, scaling.to_model(block), beyond)


def _is_always_within(scaling: Preprocessing, source: Source, support: tuple[float, float]) -> bool:
    """Whether any bytes lie there, so that no row need be looked at."""
    if source.schema.dtype != "uint8" or not isinstance(scaling, Scaling):
        return False
    low, high = ((end - scaling.shift) / scaling.scale for end in (0.0, 255.0))
    return bool((low >= support[0]).all() and (high <= support[1]).all())


def _check_block(likelihood: Likelihood, values: NDArray[np.float32], beyond: float) -> None:
    low, high = likelihood.support
    seen = values[~np.isnan(values)]
    lowest, highest = float(seen.min(initial=low)), float(seen.max(initial=low))
    if lowest < low - beyond or highest > high + beyond:
        worst = lowest if lowest < low - beyond else highest
        raise DataError(
            f"{type(likelihood).__name__}: expected values in [{low:g}, {high:g}] in model units, "
            f"got {worst:.4g}. Set scaling='range', or take squared_error."
        )


def fit_scaling(training: Part, config: Config) -> Preprocessing:
    """The map to model units, fitted on training rows only."""
    method = "none" if config.data.scaling == "raw" else config.data.scaling
    gaps, source = config.data.missing == "mask", training.source
    if method == "quantile" or gaps or source.schema.kind == "tables":
        looked_at = as_many_as_fit(training, 32 * source.schema.n_values, MOST_FOR_QUANTILES)
        return TableScaling.fit(looked_at.source, None, looked_at.weights, method=method, allows_gaps=gaps)
    block = BLOCK if training.room is None else held_out_at_most(training.room, 8 * source.schema.n_values)
    return Scaling.fit(source, None, training.weights, method=method, block=min(BLOCK, block))


def _split(
    source: Source,
    config: Config,
    sample_weight: NDArray[np.float64] | None,
    validation: Source | None,
    seed: int,
    who: str,
) -> tuple[Config, Part, Part | None]:
    if config.model.condition == "label":
        labels_of(source, who)
    if validation is None:
        return _own_split(source, config, sample_weight, config.training.validation_share, seed, who)
    if isinstance(validation, TableSource):
        validation = conform(validation, source.schema)
    elif isinstance(validation, RowGroups):
        validation = validation.conformed(source.schema)
    check_alike(validation.schema, source.schema, "validation")
    config, training, _ = _own_split(source, config, sample_weight, 0.0, seed, who)
    room = training.room or budget_if_streamed(validation, config.data)
    if room is None:
        _, held_out, _ = _own_split(validation, config, None, 0.0, seed, "validation", few=True)
    else:
        bytes_a_row, gaps = row_bytes(source, config.data), config.data.missing == "mask"
        held_out = held_out_of(validation, room, bytes_a_row, allows_gaps=gaps)
    return config, training, held_out


def _own_split(
    source: Source,
    config: Config,
    sample_weight: NDArray[np.float64] | None,
    share: float,
    seed: int,
    who: str = "fit",
    *,
    few: bool = False,
) -> tuple[Config, Part, Part | None]:
    """Training and validation rows; the config says the budget of rows that do not fit into it.

    ``few`` rows, fewer than two different ones, may be meant too.
    """
    labelled, gaps = config.model.condition == "label", config.data.missing == "mask"
    room = budget_if_streamed(source, config.data)
    if room is None:
        if few and share == 0.0:
            return config, all_rows(source, sample_weight, who, labelled=labelled, allows_gaps=gaps), None
        split = split_rows(source, sample_weight, share, seed, who, labelled=labelled, allows_gaps=gaps)
        return config, *split
    split = split_streamed(
        source,
        sample_weight,
        share,
        seed,
        room,
        row_bytes(source, config.data),
        who,
        labelled=labelled,
        allows_gaps=gaps,
    )
    return config.with_data(memory=room), *split


def _streaming_notes(
    config: Config, training: Part, held_out: Part | None, validation: Source | None, looked_at: Part
) -> list[str]:
    n_held_out = 0 if held_out is None else held_out.n_given
    share, n_rows = config.training.validation_share, len(training.source) + n_held_out
    n_asked = int(share * n_rows) if validation is None else len(validation)
    notes = [] if training.room is None else streaming_notes(training, training.room, config.data)
    if n_held_out < n_asked and (training.room is not None or validation is not None):
        notes.append(
            f"Validation: {n_held_out:,} of {n_asked:,} rows, for which there is room, evenly spread."
        )
    if looked_at is not training:
        notes.append(f"PCA and the mean row are of {len(looked_at.source):,} training rows, evenly spaced.")
    return notes


def masks_gaps(config: Config, source: Source) -> bool:
    """Whether NaN is a gap to a fit: of tables, unless something else is asked for."""
    missing = config.data.missing
    return source.schema.kind == "tables" if missing == "auto" else missing == "mask"


def _check_condition(config: Config) -> None:
    """Refuse what sets a network's weights without knowing that labels enter it."""
    if config.model.condition == "none":
        return
    for name, wanted, instead in SETS_WEIGHTS:
        if getattr(config.training, name) == wanted:
            raise ParameterError(
                f"training: {name} = {wanted!r} cannot go with a model of condition = 'label', whose network is told "
                f"labels that it knows nothing of. Set {name} = {instead!r}, or condition = 'none'."
            )


def _check_gaps(config: Config) -> None:
    """Refuse what sets a network's weights without knowing that flags of gaps enter it."""
    if config.data.missing != "mask":
        return
    for name, wanted, instead in SETS_WEIGHTS:
        if getattr(config.training, name) == wanted:
            raise ParameterError(
                f"training: {name} = {wanted!r} cannot go with missing = 'mask', whose network is shown a flag for "
                f"each column that may be missing. Set {name} = {instead!r}, or missing = 'refuse'."
            )


def _reader(training: Part, scaling: Preprocessing) -> Callable[[slice], NDArray[np.float32]]:
    def read(rows: slice) -> NDArray[np.float32]:
        x = scaling.to_model(training.source.read(rows))
        # The mean of what is there is the mean with its gaps filled so: PCA then knows of no gaps.
        return x if scaling.centre is None else np.where(np.isnan(x), scaling.centre.astype(np.float32), x)

    return read


def _start(module: AutoencoderModule, baseline: Baseline, plan: Training) -> Literal["pca", "random"]:
    """Set the weights to begin with, and say how."""
    wanted = plan.start
    if plan.scheme == "layer_by_layer":
        if wanted == "pca":
            raise ParameterError(
                "training: scheme = 'layer_by_layer' trains the layers one by one from random weights, got "
                "start = 'pca', which sets them all. Set start = 'auto', or scheme = 'end_to_end'."
            )
        wanted = "random"
    mean = torch.from_numpy(baseline.mean).unflatten(0, module.sample_shape)
    possible = can_start_at_pca(module)
    if wanted == "pca" and not possible:
        raise ParameterError(
            "training: start = 'pca' needs a dense network with two units a code unit, a linear code and "
            "linear outputs, got another choice of parts. Try start = 'auto'."
        )
    if wanted == "random" or not possible:
        module.start_at(mean)
        return "random"
    start_at_pca(module, mean, torch.from_numpy(baseline.components))
    return "pca"


def choose_device(wanted: str) -> str:
    """The device that ``wanted`` means here."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ParameterError(
            f"training: device {wanted!r} cannot be used here: {reason}. Try 'cpu'."
        ) from None
    return wanted


def _tensor(weights: Weights | None) -> torch.Tensor | None:
    return None if weights is None else torch.from_numpy(weights)

"""From a fitted autoencoder and labels to a classifier on its encoder."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.artifact.classifier import FittedClassifier
from isthmus.config import Training
from isthmus.config.catalogue import part_name
from isthmus.config.defaults import Facts, resolve
from isthmus.errors import ParameterError
from isthmus.inference import Inference
from isthmus.model.classifier import ClassifierModule
from isthmus.model.halves import EncoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.sources import Source
from isthmus.sources.subset import Subset
from isthmus.training.callbacks import Callback
from isthmus.training.loop import History, Trainer
from isthmus.training.rows import LabelledRows, SourceRows
from isthmus.workflows.fit import choose_device

Indices = NDArray[np.int64]


def fit_classifier(
    model: FittedModel,
    source: Source,
    labels: Indices,
    classes: NDArray[np.generic],
    training: Training,
    *,
    encoder_learning_rate: float,
    frozen: bool = False,
    callbacks: Sequence[Callback] = (),
) -> tuple[FittedClassifier, History]:
    """Train a head on a fitted model's codes, and its encoder with it unless that is frozen.

    The model itself stays as it is: a copy of its encoder is trained.

    Parameters
    ----------
    source
        Labelled rows; of each class the same share is held out to stop by.
    labels
        Number of each row's class, ``(rows,)``.
    classes
        What the numbers stand for.
    training
        ``learning_rate`` is the head's and ``seed`` a number; ``"auto"`` elsewhere depends on sizes alone.
    """
    if model.classes is not None:
        raise ParameterError(
            "classifier: expected an autoencoder that needs no label, got one that is conditional on a label, "
            "which is what a classifier is to find. Fit it with condition='none'."
        )
    Inference(model).check_source(source)
    seed = int(training.seed or 0)
    kept, held_out = split_labelled(labels, training.validation_share, seed)
    facts = Facts(source.schema.sample_shape, len(kept), part_name(model.config.model.likelihood))
    plan = resolve(replace(model.config, training=training), facts).training
    if plan.threads == "auto":
        plan = plan.replace(threads=model.config.training.threads)
    plan = plan.replace(device=choose_device(plan.device))
    module = ClassifierModule(
        EncoderModule(copy.deepcopy(model.module)),
        len(classes),
        frozen=frozen,
        encoder_share=encoder_learning_rate / float(plan.learning_rate),
        seed=seed,
    )
    codes = torch.from_numpy(Inference(model).encode(Subset(source, kept)))
    module.standardise(codes.mean(dim=0), codes.std(dim=0, correction=0))
    rows, validation = (_rows(model, source, labels, chosen) for chosen in (kept, held_out))
    history = Trainer(module, plan).fit(rows, validation if len(held_out) else None, callbacks=callbacks)
    module.to("cpu").eval()
    records = [epoch.to_dict() for epoch in history.epochs]
    return FittedClassifier(model, module, classes, records, history.best_epoch), history


def split_labelled(labels: Indices, validation_share: float, seed: int) -> tuple[Indices, Indices]:
    """Training and validation rows, the same share of every class, rounded down; a function of the seed.

    >>> [len(part) for part in split_labelled(np.repeat([0, 1], [20, 5]), 0.2, 0)]
    [20, 5]
    """
    order = Randomness(seed, "validation split").permutation(len(labels)).numpy()
    held_out: list[Indices] = []
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        held_out.append(mine[: int(validation_share * len(mine))])
    chosen = np.concatenate(held_out)
    return np.setdiff1d(np.arange(len(labels)), chosen), np.sort(chosen)


def class_logits(classifier: FittedClassifier, source: Source) -> NDArray[np.float32]:
    """Logits of all rows, ``(rows, n_classes)``; a row's do not depend on the rows beside it."""
    module = classifier.module.eval()
    return Inference(classifier.model).over(source, lambda _, x: module(x), (len(classifier.classes),))


def _rows(model: FittedModel, source: Source, labels: Indices, chosen: Indices) -> LabelledRows:
    rows = SourceRows(Subset(source, chosen), model.scaling)
    return LabelledRows(rows, torch.from_numpy(labels[chosen]))

"""Kinds of autoencoders on the same rows: what each costs, what each reaches, and which one to take."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.config import Config
from isthmus.errors import DataError, ParameterError
from isthmus.evaluation.metrics import Measured, measure
from isthmus.inference import Inference
from isthmus.sources import Source
from isthmus.sources.subset import Subset
from isthmus.training.callbacks import Callback
from isthmus.training.loop import Trainer
from isthmus.training.rows import SourceRows, TensorRows
from isthmus.workflows.fit import Prepared, masks_gaps, prepare, train
from isthmus.workflows.row_order import Weights, split_rows

TEST_SHARE = 0.2
"""Of the rows, held out of every fit."""
FEWEST = 5
"""Different rows that are needed."""
PROBED_STEPS = 8
"""Steps that are timed before a training is begun."""
MOST_NEIGHBOURS_FROM = 5_000
"""Training rows among which neighbours are looked for."""
N_NEIGHBOURS = 5
GENERAL = ("basic", "sparse", "denoising", "contractive", "variational")
KINDS: dict[str, tuple[str, ...]] = {
    "vectors": GENERAL,
    "tables": ("basic", "sparse", "denoising", "variational"),
    "sequences": (*GENERAL, "convolutional", "transformer"),
    "pictures": (*GENERAL, "convolutional", "transformer"),
}
"""What is compared where nobody chose, the simplest first."""
PCA, MEAN = "PCA", "mean"

Array = NDArray[np.float32]
CodesOf = Callable[[Source], NDArray[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind that is about to be trained."""

    kind: str
    prepared: Prepared
    seconds: float
    """What its training is expected to take at most: timed steps, times all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What one kind, or a baseline, reaches on the test rows."""

    name: str
    errors: Array
    """Squared error of each row, model units, ``(rows,)``."""
    model: FittedModel | None = None
    measured: Measured | None = None
    seconds: float | None = None
    """Of training."""
    label_accuracy: float | None = None
    """Share of test rows whose five nearest training codes vote for their label; None without labels."""

    @property
    def sse(self) -> float:
        """Mean over rows."""
        return float(self.errors.mean(dtype=np.float64))

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what a baseline does not have is None."""
        values: dict[str, Any] = {"kind": self.name, "sse": self.sse, "seconds": self.seconds}
        values["label_accuracy"] = self.label_accuracy
        values |= dict.fromkeys(("active_units", "zero_share", "rate_nats", "weights"))
        if self.measured is not None and self.model is not None:
            found, codes = self.measured.to_dict(), self.measured.codes
            values["active_units"] = found["code"]["active"]
            values["zero_share"] = float((codes == 0).mean())
            values["rate_nats"] = found.get("rate_nats")
            values["weights"] = sum(parameter.numel() for parameter in self.model.module.parameters())
        return values


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of them, on the same rows."""

    results: Sequence[Compared]
    """The mean, PCA, then the kinds in the order asked."""
    recommended: str
    words: str
    """The recommendation and its reason, in sentences."""
    n_training: int
    n_test: int
    code_size: int


def candidates(
    source: Source, configs: Mapping[str, Config], who: str = "compare"
) -> tuple[list[Candidate], Source]:
    """Everything that stands before the first step of each kind, its expected cost, and the test rows.

    Parameters
    ----------
    source
        All rows; a fifth of the different ones is held out for the test, the same for all.
    configs
        One of each kind, with one seed and without ``condition``.

    Raises
    ------
    DataError
        Fewer than 5 different rows.
    ParameterError
        A model that is told labels: the baselines are not.
    """
    for config in configs.values():
        if config.model.condition != "none":
            raise ParameterError(
                "compare: models that are told labels cannot stand beside PCA, which is not, got "
                f"model.condition={config.model.condition!r}. Leave it out."
            )
    seed = next(iter(configs.values())).training.seed or 0
    training, test = None, None
    if len(source) >= FEWEST:
        allows_gaps = all(masks_gaps(config, source) for config in configs.values())
        training, test = split_rows(source, None, TEST_SHARE, seed, who, allows_gaps=allows_gaps)
    if training is None or test is None or len(test.source) == 0 or len(training.source) < FEWEST - 1:
        raise DataError(
            f"{who}: expected {FEWEST} different rows at least, to learn from and to test on, got fewer among "
            f"{len(source)} in all. Give more rows."
        )
    found = []
    code_size: Any = None
    for kind, config in configs.items():
        if code_size is not None:
            config = replace(config, model=config.model.replace(code_size=code_size))  # noqa: PLW2901
        prepared = prepare(training.source, config, sample_weight=_doubles(training.weights), who=who)
        code_size = prepared.model.config.model.code_size
        found.append(Candidate(kind, prepared, _expected_seconds(prepared)))
    return found, test.source


def compare(
    chosen: Sequence[Candidate],
    test: Source,
    *,
    watch: Callable[[str], AbstractContextManager[Callback]],
    done: Callable[[Compared], None],
) -> Comparison:
    """Train each candidate and measure it, PCA and the mean on the test rows.

    Parameters
    ----------
    chosen
        As :func:`candidates` gave them.
    test
        Rows that no candidate sees.
    watch
        Gives, for a kind's name, what watches its training.
    done
        Told of each as soon as it is measured.
    """
    training = chosen[0].prepared.training.source
    results: list[Compared] = []
    for one in chosen:
        start = time.perf_counter()
        with watch(one.kind) as watcher:
            history = train(one.prepared, [watcher])
        if history.reason == "interrupted":
            raise KeyboardInterrupt
        seconds = time.perf_counter() - start
        inference = Inference(one.prepared.model)
        measured = measure(inference, test)
        if not results:
            results = _baselines(inference, measured, training, test)
            for baseline in results:
                done(baseline)
        accuracy = _label_accuracy(inference.encode, training, test)
        results.append(Compared(one.kind, measured.errors, one.prepared.model, measured, seconds, accuracy))
        done(results[-1])
    recommended, words = recommendation(results)
    size = results[-1].measured.codes.shape[1] if results[-1].measured is not None else 0
    return Comparison(results, recommended, words, len(training), len(test), size)


def recommendation(results: Sequence[Compared]) -> tuple[str, str]:
    """The first, and so the simplest, whose error is not beyond chance above the lowest; and why.

    Chance is two standard errors of the mean difference, row by row, as all are measured on the same rows.

    Examples
    --------
    >>> pca = Compared("PCA", np.array([4.0, 5.0, 6.0], np.float32))
    >>> clear, unclear = (
    ...     Compared("basic", np.array(errors, np.float32)) for errors in ([2.0, 2.9, 4.1], [4.5, 4.2, 5.9])
    ... )
    >>> recommendation([pca, clear])[0], recommendation([pca, unclear])[0]
    ('basic', 'PCA')
    """
    usable = [one for one in results if one.name != MEAN]
    best = min(usable, key=lambda one: one.sse)
    taken = next(one for one in usable if _within_chance(one.errors, best.errors))
    pca = next((one for one in usable if one.name == PCA), None)
    if taken.name == PCA:
        if best is taken:
            why = f"no network has a lower squared error than its {taken.sse:.4g} a row"
        else:
            why = (
                f"its squared error of {taken.sse:.4g} a row is not beyond chance above that of the best network "
                f"({best.name}, {best.sse:.4g})"
            )
        return PCA, f"Take PCA: {why}. A larger code may leave the networks more to gain."
    beside = "" if pca is None or pca.sse == 0 else f", {taken.sse / pca.sse:.3f} of PCA's"
    words = f"Take {taken.name}: its squared error is {taken.sse:.4g} a row{beside}"
    if taken is best:
        words += ", the lowest of all."
    else:
        words += f"; {best.name} has the lowest, {best.sse:.4g}, which is no more than chance below it."
    for one in usable:
        if one is not taken and one.name in _OFFERS:
            words += f" {one.name.capitalize()} ({one.sse:.4g}) {_OFFERS[one.name]}."
    return taken.name, words


_OFFERS = {
    "variational": "can also make new rows",
    "sparse": "has a code of which few units speak at a time",
    "denoising": "can also clean rows and fill in what is hidden",
    "contractive": "has a code that stands small changes of the row",
}
"""What a kind is for, beside a low error."""


def _within_chance(errors: Array, lowest: Array) -> bool:
    difference = errors.astype(np.float64) - lowest
    if len(difference) < 2:
        return bool(difference.mean() <= 0)
    return bool(difference.mean() <= 2 * difference.std(ddof=1) / np.sqrt(len(difference)))


def _doubles(weights: Weights | None) -> NDArray[np.float64] | None:
    return None if weights is None else weights.astype(np.float64)


def _expected_seconds(prepared: Prepared) -> float:
    """Times some steps of a copy of the module."""
    model = prepared.model
    plan = model.config.training
    n_rows, batch = len(prepared.training.source), int(plan.batch_size)
    steps = min(PROBED_STEPS, max(1, n_rows // batch))
    taken = Subset(prepared.training.source, np.arange(min(n_rows, steps * batch)))
    probe = Trainer(copy.deepcopy(model.module), plan)
    rows = SourceRows(taken, model.scaling)
    x = TensorRows(rows.gather(torch.arange(len(taken))))
    probe.one_pass(x)  # the first one is slower
    start = time.perf_counter()
    probe.one_pass(x)
    a_step = (time.perf_counter() - start) / steps
    return a_step * int(plan.epochs) * max(1, n_rows // batch)


def _baselines(inference: Inference, measured: Measured, training: Source, test: Source) -> list[Compared]:
    found = []
    if measured.mean_errors is not None:
        found.append(Compared(MEAN, measured.mean_errors))
    if measured.pca_errors is not None:
        model = inference.model
        baseline, scaling = model.baseline, model.scaling
        assert baseline is not None  # it gave the errors

        def scores(source: Source) -> NDArray[np.floating[Any]]:
            return baseline.scores(scaling.to_model(source.read(slice(0, len(source)))))

        accuracy = _label_accuracy(scores, training, test)
        found.append(Compared(PCA, measured.pca_errors, label_accuracy=accuracy))
    return found


def _label_accuracy(codes: CodesOf, training: Source, test: Source) -> float | None:
    if training.labels is None or test.labels is None or len(training) < N_NEIGHBOURS:
        return None
    from sklearn.neighbors import KNeighborsClassifier

    near = Subset(
        training, np.linspace(0, len(training) - 1, min(len(training), MOST_NEIGHBOURS_FROM)).astype(np.int64)
    )
    voters = KNeighborsClassifier(N_NEIGHBOURS).fit(codes(near), near.labels)
    return float(np.mean(voters.predict(codes(test)) == test.labels))

"""The whole job: PCA as an oracle, no leak from held-out rows, and the same bytes for the same description."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from isthmus.artifact import FittedModel
from isthmus.config import Config, Data, Model, Training
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.errors import DataError, ParameterError, TrainingError
from isthmus.evaluation.metrics import measure
from isthmus.inference import Inference
from isthmus.likelihoods.squared_error import SquaredError
from isthmus.sources import ArraySource
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.loop import Trainer
from isthmus.training.threads import training_threads
from isthmus.workflows.fit import fit, one_pass, prepare, train_further
from isthmus.workflows.row_order import split_rows

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 6)) @ RANDOM.normal(size=(6, 6)) + RANDOM.normal(size=6)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def config(
    *, model: dict[str, Any] | None = None, data: dict[str, Any] | None = None, **training: Any
) -> Config:
    return Config(
        data=Data(**(data or {})),
        model=Model(**{"code_size": 2, "network": Dense((8,)), **(model or {})}),
        training=Training(**{"epochs": 3, "seed": 1, "device": "cpu", "threads": 1, **training}),
    )


# Against PCA


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_a_linear_autoencoder_from_random_weights_meets_pca(weighted: bool) -> None:
    """Baldi and Hornik 1989: the decoder spans the principal subspace, the error is the discarded variance."""
    weights = RANDOM.integers(1, 6, 60).astype(float) if weighted else np.ones(60)
    settings = config(
        model={"network": Dense(()), "likelihood": "squared_error"}, data={"scaling": "raw"}, start="random",
        epochs=400, batch_size=60, learning_rate=0.05, validation_share=0.0, gradient_clip=None,
    )  # fmt: skip
    model, history = fit(ArraySource(X), settings, sample_weight=weights if weighted else None)
    mean = np.average(X, axis=0, weights=weights)
    covariance = np.cov(X.T, aweights=weights, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, -2:]
    decoder = model.module.decoder.layers[-1].weight.detach().double().numpy()
    basis, _ = np.linalg.qr(decoder)
    assert np.linalg.norm(basis @ basis.T - axes @ axes.T) < 1e-2
    assert history.epochs[-1].training["distortion"] == pytest.approx(values[:-2].sum(), rel=1e-3)
    assert model.baseline is not None
    np.testing.assert_allclose(model.baseline.mean, mean, rtol=1e-5, atol=1e-5)
    projector = model.baseline.components.T @ model.baseline.components
    np.testing.assert_allclose(projector, axes @ axes.T, atol=1e-4)


def test_started_at_pca_the_first_epoch_is_there_already() -> None:
    settings = config(model={"network": Dense(())}, start="pca", learning_rate=1e-9, epochs=1)
    model, _ = fit(ArraySource(X), settings)
    assert model.metrics["error"]["sse"] == pytest.approx(model.metrics["baselines"]["pca"]["sse"], rel=1e-4)
    assert model.config.training.start == "pca"


# What is held out stays out


def with_an_outlier_held_out() -> np.ndarray:
    """The rows with one moved far away, one that then is held out."""
    for row in range(len(X)):
        moved = X.copy()
        moved[row] += 1e4
        _, held_out = split_rows(ArraySource(moved), None, 0.1, 1)
        assert held_out is not None
        if (held_out.source.read(slice(0, 6)).astype(float) > 5e3).any():
            return moved
    raise LookupError("no row is held out")


def test_preprocessing_and_pca_see_training_rows_only() -> None:
    """Held-out rows that are far away move neither scaling nor PCA; in training they would."""
    prepared = prepare(ArraySource(with_an_outlier_held_out()), config())
    assert prepared.validation is not None
    training = prepared.training.source.read(slice(0, 54)).astype(float)
    assert training.max() < 1e3
    np.testing.assert_allclose(prepared.model.scaling.shift, training.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(prepared.model.scaling.scale, training.std(axis=0), rtol=1e-9)
    assert prepared.model.baseline is not None
    scaled = (training - training.mean(axis=0)) / training.std(axis=0)
    _, vectors = np.linalg.eigh(np.cov(scaled.T))
    components = prepared.model.baseline.components
    np.testing.assert_allclose(components.T @ components, vectors[:, -2:] @ vectors[:, -2:].T, atol=1e-4)


def test_a_given_validation_set_stands_instead_of_a_share() -> None:
    far = X[:7] + 1e4
    prepared = prepare(ArraySource(X), config(), validation=ArraySource(far))
    assert (len(prepared.training.source), prepared.validation is not None) == (60, True)
    assert len(prepared.validation.source) == 7  # pyright: ignore[reportOptionalMemberAccess]
    np.testing.assert_allclose(prepared.model.scaling.shift, X.mean(axis=0), rtol=1e-9)
    model, history = fit(ArraySource(X), config(), validation=ArraySource(X[:7]))
    assert model.metrics["rows_are"] == "validation"
    assert model.metrics["rows"] == 7
    assert history.epochs[0].validation is not None
    without, _ = fit(ArraySource(X), config(validation_share=0.0))
    assert without.metrics["rows_are"] == "training"
    assert without.metrics["rows"] == 60


def test_validation_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"validation: expected vectors 6.*got vectors 5"):
        fit(ArraySource(X), config(), validation=ArraySource(X[:, :5]))


# The description


def test_no_auto_is_left_in_the_config() -> None:
    for rows in (X, RANDOM.integers(0, 256, (40, 8, 8), np.uint8)):
        network = Conv2d() if rows.ndim == 3 else Dense()
        found = prepare(ArraySource(rows), Config(model=Model(network=network))).model.config
        plain = found.to_dict()
        # How these were decided stands in the preprocessing and its schema, or they are for sounds alone.
        for key in ("scaling", "row_kind", "memory", "channels", "representation"):
            del plain["data"][key]
        del plain["training"]["micro_batch"]  # decided where memory runs out
        assert "auto" not in str(plain)
        assert isinstance(found.training.seed, int)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"code": "gaussian", "corruption": "masking", "penalties": ["l1", "contractive"]},
        {
            "likelihood": {"type": "gaussian", "scale": "learned"},
            "network": {"type": "dense", "hidden_sizes": []},
        },
    ],
    ids=["basic", "denoising variational", "learned scale"],
)
def test_the_recorded_config_refits_to_the_same_bytes(parts: dict[str, Any]) -> None:
    """An undecided config, seed included, and the TOML of what it became."""
    undecided = Config(model=Model(code_size=2, **parts), training=Training(epochs=2))
    model, _ = fit(ArraySource(X), undecided)
    again, _ = fit(ArraySource(X), Config.from_toml(model.config.to_toml()))
    assert again.config == model.config
    assert [name for name in again.module.state_dict()] == [name for name in model.module.state_dict()]
    for name, value in again.module.state_dict().items():
        assert torch.equal(value, model.module.state_dict()[name]), name
    assert again.metrics == model.metrics
    third, _ = fit(ArraySource(X), model.config)
    assert third.to_bytes() == again.to_bytes()


def test_a_seed_of_none_is_drawn_and_recorded() -> None:
    seeds = {prepare(ArraySource(X), config(seed=None)).model.config.training.seed for _ in range(3)}
    assert len(seeds) == 3
    assert all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in seeds)


def test_two_fits_give_the_same_bytes_and_another_seed_others() -> None:
    found = [fit(ArraySource(X), config(seed=seed))[0].to_bytes() for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_the_reason_for_the_likelihood_is_a_note() -> None:
    binary = (X > 0.5).astype(float)
    automatic = prepare(ArraySource(binary), config()).model
    assert automatic.config.model.likelihood.__class__.__name__ == "Bernoulli"
    assert any("Likelihood: all values are exactly 0 or 1" in note for note in automatic.notes)
    chosen = prepare(ArraySource(binary), config(model={"likelihood": "squared_error"})).model
    assert not any("Likelihood" in note for note in chosen.notes)


@pytest.mark.parametrize(
    "parts",
    [
        {"network": Dense((3,))},
        {"code": "gaussian"},
        {"code": {"type": "deterministic", "activation": "relu"}},
        {"likelihood": "bernoulli"},
    ],
    ids=str,
)
def test_pca_as_a_start_is_refused_where_it_cannot_be(parts: dict[str, Any]) -> None:
    rows = (X > 0.5).astype(float)
    with pytest.raises(ParameterError, match=r"start = 'pca' needs .* Try start = 'auto'"):
        prepare(ArraySource(rows), config(model={"likelihood": "squared_error", **parts}, start="pca"))
    automatic = prepare(ArraySource(rows), config(model={"likelihood": "squared_error", **parts}))
    assert automatic.model.config.training.start == "random"


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"device 'abacus' cannot be used here.*Try 'cpu'"):
        prepare(ArraySource(X), config(device="abacus"))


def test_without_validation_share_all_rows_train() -> None:
    assert prepare(ArraySource(X), config(validation_share=0.0)).validation is None
    assert prepare(ArraySource(X), config(validation_share=0.25)).validation.weights is None  # pyright: ignore[reportOptionalMemberAccess]


# After the fit


def test_the_model_holds_the_epochs_and_the_weights_of_its_best() -> None:
    model, history = fit(ArraySource(X), config(epochs=5))
    assert [record["epoch"] for record in model.epochs] == [1, 2, 3, 4, 5]
    assert model.best_epoch == history.best_epoch
    assert not model.module.training
    opened = FittedModel.from_bytes(model.to_bytes())
    assert opened.to_bytes() == model.to_bytes()


def test_training_further_goes_on_with_everything_frozen() -> None:
    model, _ = fit(ArraySource(X), config(epochs=2))
    scaling, before = model.scaling.shift.copy(), model.config
    start = {name: value.clone() for name, value in model.module.state_dict().items()}
    train_further(model, ArraySource(X + 5))
    assert [record["epoch"] for record in model.epochs] == [1, 2, 3, 4]
    assert model.best_epoch > 2
    np.testing.assert_array_equal(model.scaling.shift, scaling)
    assert model.config == before
    assert any(not torch.equal(value, start[name]) for name, value in model.module.state_dict().items())
    with pytest.raises(DataError, match="expected vectors 6"):
        train_further(model, ArraySource(X[:, :4]))


def test_one_pass_uses_every_row_and_no_split() -> None:
    model = prepare(ArraySource(X), config(validation_share=0.0)).model
    trainer = Trainer(model.module, model.config.training)
    one_pass(model, trainer, ArraySource(X[:1]))
    one_pass(model, trainer, ArraySource(X))
    assert [record["epoch"] for record in model.epochs] == [1, 2]
    assert model.metrics["rows_are"] == "training"
    assert model.metrics["rows"] == 60
    assert model.best_epoch == 2


# A likelihood and the values that it is meant for


def test_log_loss_brings_free_columns_to_its_support_and_refuses_others() -> None:
    free = prepare(ArraySource(X), config(model={"likelihood": "bernoulli"}))
    assert free.model.config.data.scaling == free.model.scaling.method == "range"
    units = free.model.scaling.to_model(free.training.source.read(slice(0, 60)))
    assert (units.min(), units.max()) == (0.0, 1.0)
    for scaling in ("standardise", "raw"):
        settings = config(model={"likelihood": "bernoulli"}, data={"scaling": scaling})
        with pytest.raises(
            DataError, match=r"^Bernoulli: expected values in \[0, 1\].*got -?\d.*Set scaling"
        ):
            prepare(ArraySource(X), settings)
    for likelihood in ("squared_error", "gaussian"):
        other = prepare(ArraySource(X), config(model={"likelihood": likelihood}))
        assert other.model.scaling.method == "standardise"


@pytest.mark.parametrize("row", [0, 4999])
def test_every_block_of_rows_is_looked_at(row: int) -> None:
    rows = RANDOM.random((5000, 2))
    rows[row, 1] = 1.5
    settings = config(model={"likelihood": "bernoulli"}, data={"scaling": "raw"}, validation_share=0.0)
    with pytest.raises(DataError, match=r"got 1\.5\."):
        prepare(ArraySource(rows), settings)


def test_held_out_rows_may_leave_a_range_that_was_found_but_not_by_far() -> None:
    settings = config(model={"likelihood": "bernoulli"})
    rows = np.linspace(0.0, 10.0, 40).reshape(20, 2)
    prepare(ArraySource(rows), settings, validation=ArraySource(rows + 1.0))
    with pytest.raises(DataError, match="Bernoulli: expected values"):
        prepare(ArraySource(rows), settings, validation=ArraySource(rows * 255))
    model = prepare(ArraySource(rows), settings).model
    with pytest.raises(DataError, match="Bernoulli: expected values"):
        train_further(model, ArraySource(rows * 255))
    with pytest.raises(DataError, match="Bernoulli: expected values"):
        one_pass(model, Trainer(model.module, model.config.training), ArraySource(rows * 255))


# Metrics count rows as the loss does


@pytest.mark.parametrize("parts", [{}, {"code": "gaussian", "likelihood": "gaussian"}], ids=["plain", "vae"])
def test_metrics_weigh_rows_and_count_copies(parts: dict[str, Any]) -> None:
    """On training rows alone: a weighted mean by hand, for every mean there is."""
    counts = RANDOM.integers(1, 5, 60)
    settings = config(model=parts, validation_share=0.0)
    model, _ = fit(ArraySource(np.repeat(X, counts, axis=0)), settings)
    assert model.metrics["rows"] == counts.sum()
    known = measure(Inference(model), ArraySource(X))
    found = model.metrics
    pairs = [
        (found["error"]["sse"], known.errors),
        (found["loss"], known.losses),
        (found["baselines"]["pca"]["sse"], known.pca_errors),
        (found["baselines"]["mean"]["sse"], known.mean_errors),
    ]
    if known.rates is not None:
        pairs.append((found["rate_nats"], known.rates.sum(axis=1)))
    for value, rows in pairs:
        assert value == pytest.approx(np.average(rows, weights=counts), rel=1e-4)  # pyright: ignore[reportArgumentType, reportCallIssue]
        assert value != pytest.approx(rows.mean(), rel=1e-3)  # pyright: ignore[reportOptionalMemberAccess]


def test_rows_of_weight_are_counted_as_given() -> None:
    weights = RANDOM.uniform(0.5, 3.0, 60)
    weights[:5] = 0.0
    model, _ = fit(ArraySource(X), config(), sample_weight=weights)
    whole, _ = fit(ArraySource(X), config(validation_share=0.0), sample_weight=weights)
    assert (model.metrics["rows"], whole.metrics["rows"]) == (5, 55)


# A training that ends early


class Raising(Callback):
    def epoch(self, epoch: Epoch) -> None:
        raise LookupError("mine")


def test_whatever_a_callback_raises_leaves_the_model_as_it_was() -> None:
    model, _ = fit(ArraySource(X), config())
    before = model.to_bytes()
    with pytest.raises(LookupError, match="mine"):
        train_further(model, ArraySource(X + 1), callbacks=[Raising()])
    assert model.to_bytes() == before
    assert not model.module.training


def test_a_failed_pass_leaves_the_trainer_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poisoned in the middle: then the next pass is the one that it would have been."""
    results = list[bytes]()
    for poisoned in (False, True):
        model = prepare(ArraySource(X), config(validation_share=0.0, batch_size=10)).model
        trainer = Trainer(model.module, model.config.training)
        one_pass(model, trainer, ArraySource(X))
        if poisoned:
            with monkeypatch.context() as patch:
                patch.setattr(
                    SquaredError,
                    "forward",
                    lambda self, outputs, x, weight=None, trainer=trainer: (
                        outputs.sum(1) * (np.nan if trainer.n_steps_done > 8 else 1.0)
                    ),
                )
                with pytest.raises(TrainingError, match="no longer finite"):
                    one_pass(model, trainer, ArraySource(X))
            assert trainer.n_steps_done == 6
        one_pass(model, trainer, ArraySource(X))
        results.append(model.to_bytes())
    assert results[0] == results[1]


def test_training_further_draws_other_orders_and_noise() -> None:
    steps = list[list[int]]()

    class Steps(Trainer):
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            steps.append([])
            return super().fit(*args, **kwargs)

        def _step(self, *args: Any) -> Any:
            steps[-1].append(self.n_steps_done)
            return super()._step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isthmus.workflows.fit.Trainer", Steps)
        model, _ = fit(ArraySource(X), config(patience=None))
        train_further(model, ArraySource(X))
    n = len(steps[0])
    assert [*steps[0], *steps[1]] == list(range(2 * n))


def test_the_weights_to_begin_with_do_not_depend_on_threads() -> None:
    rows = RANDOM.normal(size=(500, 90)).astype(np.float32)
    found = set[bytes]()
    for threads in (1, 2):
        with threadpool_limits(threads), training_threads(threads):
            found.add(prepare(ArraySource(rows), config()).model.to_bytes())
    assert len(found) == 1

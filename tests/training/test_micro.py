"""A batch in parts is the batch: loss, terms and gradient; and where memory runs out the parts become smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from isthmus.config import Config, Model, Training
from isthmus.config.parts.codes import (
    BatchTopKCode,
    DeterministicCode,
    GaussianCode,
    TopKCode,
    WinnerTakeAllCode,
)
from isthmus.config.parts.corruptions import Block, GaussianNoise, Masking, SaltAndPepper
from isthmus.config.parts.likelihoods import Bernoulli, Gaussian, Mixed
from isthmus.config.parts.networks import Conv2d, Dense, Transformer
from isthmus.config.parts.penalties import (
    L1,
    Contractive,
    ContractiveHessian,
    Decorrelation,
    KLSparsity,
    WeightDecay,
)
from isthmus.errors import ParameterError, TrainingError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.model.classifier import ClassifierModule
from isthmus.model.halves import EncoderModule
from isthmus.model.objective import Cost, Trainable
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Block as Column
from isthmus.sources import ArraySource
from isthmus.training.callbacks import Callback
from isthmus.training.loop import Trainer
from isthmus.training.micro import MicroBatches, is_out_of_memory
from isthmus.training.rows import Labelled, LabelledRows, TensorRows
from isthmus.workflows.fit import prepare

torch.set_num_threads(1)

N, D = 11, 6
X = Randomness(0).uniform((N, D)).double()
PICTURES = Randomness(1).uniform((N, 1, 8, 8)).double()
LABELS = torch.arange(N) % 3
WEIGHT = 2 * Randomness(2).uniform((N,)).double()
TABLE = torch.cat([Randomness(3).normal((N, 2)).double(), torch.eye(3).double()[LABELS], X[:, :1].round()], 1)
LAYOUT = (Column("number", 1), Column("number", 1), Column("category", 3), Column("boolean", 1))


def with_gaps(x: Tensor) -> Tensor:
    holes = x.clone()
    holes[::3, 1], holes[1::4, 2:5] = torch.nan, torch.nan
    return holes


def made(
    shape: tuple[int, ...] = (D,), *, extra: dict[str, Any] | None = None, **params: Any
) -> AutoencoderModule:
    chosen = {"code_size": 3, "network": Dense((5,), "tanh"), "likelihood": "squared_error", **params}
    return build(Model(**chosen), shape, seed=3, **(extra or {})).double()


def classifier(*, frozen: bool) -> ClassifierModule:
    module = ClassifierModule(EncoderModule(made(code=BatchTopKCode(2))), 3, frozen=frozen).double()
    with torch.no_grad():
        module.head.weight.copy_(Randomness(9).normal((3, 3)))
    return module


CASES: dict[str, tuple[Callable[[], Trainable], Any]] = {
    "plain": (made, X),
    "corrupted": (lambda: made(corruption=Masking(0.4, emphasis=0.7)), X),
    "noise": (lambda: made(corruption=GaussianNoise(0.3), code=GaussianCode()), X),
    "several draws": (lambda: made(code=GaussianCode(n_draws=4)), X),
    "sampled": (lambda: made(likelihood=Bernoulli(sampled=True), code=GaussianCode(beta=0.3)), X),
    "learned scale": (lambda: made(likelihood=Gaussian("learned"), penalties=(WeightDecay(0.1), L1(0.2))), X),
    "top k": (lambda: made(code=TopKCode(2)), X),
    "contractive": (lambda: made(penalties=(Contractive(0.3), ContractiveHessian(0.2))), X),
    "estimated": (
        lambda: made(
            likelihood=Mixed(numbers="gaussian"),
            penalties=(Contractive(0.3, "estimate"), ContractiveHessian(0.2)),
            extra={"layout": LAYOUT},
        ),
        TABLE,
    ),
    "pictures": (
        lambda: made(
            (1, 8, 8),
            network=Conv2d((2, 3)),
            corruption=Block(0.2),
            penalties=(Contractive(0.1, "estimate"),),
        ),
        PICTURES,
    ),
    "whole pixels": (
        lambda: made(
            (1, 8, 8),
            network=Transformer(4, width=8, n_heads=2),
            corruption=SaltAndPepper(0.2, low=0, high=1),
        ),
        PICTURES,
    ),
    "labels": (
        lambda: made(condition="label", code=GaussianCode(n_draws=2), extra={"n_classes": 3}),
        Labelled(X, LABELS),
    ),
    "a plain pair": (lambda: made(condition="label", extra={"n_classes": 3}), (X, LABELS)),
    "table with gaps": (
        lambda: made(
            likelihood=Mixed("gaussian"),
            corruption=Masking(0.3),
            code=GaussianCode(),
            extra={"layout": LAYOUT, "gaps": True},
        ),
        with_gaps(TABLE),
    ),
    "classifier": (lambda: classifier(frozen=False), Labelled(X, LABELS)),
    "frozen classifier": (lambda: classifier(frozen=True), Labelled(X, LABELS)),
}  # fmt: skip


def differentiated(
    module: Trainable, batch: Any, weight: Tensor | None, most: Any, tell: Callable[[str], None] = print
) -> tuple[Cost, dict[str, Tensor]]:
    module.train()
    parameters = [parameter for group, _ in module.parameter_groups() for parameter in group]
    micro = MicroBatches(module, parameters, most, batch_size=N)
    result = micro.differentiate(batch, 5, weight, 0.4, tell=tell)
    return result, {
        name: parameter.grad.clone()
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }


def assert_alike(
    found: tuple[Cost, dict[str, Tensor]],
    expected: tuple[Cost, dict[str, Tensor]],
    **tolerance: float,
) -> None:
    torch.testing.assert_close(found[0].loss, expected[0].loss.detach(), **tolerance)
    torch.testing.assert_close(
        found[0].terms, {n: t.detach() for n, t in expected[0].terms.items()}, **tolerance
    )
    assert found[1].keys() == expected[1].keys()
    torch.testing.assert_close(found[1], expected[1], **tolerance)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_parts_are_the_whole(case: str, weighted: bool) -> None:
    make, batch = CASES[case]
    weight = WEIGHT if weighted else None
    expected = differentiated(make(), batch, weight, "auto")
    assert expected[1]
    for most in (1, 4, 10):
        assert_alike(differentiated(make(), batch, weight, most), expected, rtol=1e-9, atol=1e-11)


def test_the_test_can_fail() -> None:
    """With chance of its own for each part the noise is another, and the gradient with it."""
    module = made(corruption=GaussianNoise(0.3))
    expected = differentiated(module, X, None, "auto")
    parameters = list(module.parameters())
    for parameter in parameters:
        parameter.grad = None
    for rows in X.split((6, 5)):
        (len(rows) / N * module.objective(rows, 5, progress=0.4).loss).backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    with pytest.raises(AssertionError):
        torch.testing.assert_close(gradients, expected[1], rtol=1e-3, atol=1e-3)


class Limited(nn.Module):
    """Has no memory for more rows than ``most``; fails in the backward pass if asked to."""

    def __init__(self, layer: nn.Module, most: int, *, backward: bool, error: Exception) -> None:
        super().__init__()
        self.layer, self.most, self.backward, self.error = layer, most, backward, error

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        if len(x) > self.most and not self.backward:
            raise self.error
        if self.backward:
            out.register_hook(self._limit)
        return out

    def _limit(self, gradient: Tensor) -> None:
        if len(gradient) > self.most:
            raise self.error


ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: can't allocate memory: you tried ..."
    ),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 2147483648 bytes."),
    RuntimeError("std::bad_alloc"),
]


@pytest.mark.parametrize(("error", "backward"), [*((error, False) for error in ERRORS), (ERRORS[0], True)])
def test_memory_that_runs_out_halves_the_parts(error: Exception, backward: bool) -> None:
    def limited(most: int) -> AutoencoderModule:
        module = made(corruption=GaussianNoise(0.3), code=GaussianCode())
        decoder: Any = module.network.decoder
        decoder.layers[-1] = Limited(decoder.layers[-1], most, backward=backward, error=error)
        return module

    said = list[str]()
    expected = differentiated(limited(N), X, WEIGHT, "auto", said.append)
    assert not said
    assert_alike(differentiated(limited(2), X, WEIGHT, "auto", said.append), expected, rtol=1e-9, atol=1e-11)
    assert [text.split("; ")[0] for text in said] == [
        "Memory ran out in step 6 with 11 rows at a time",
        "Memory ran out in step 6 with 6 rows at a time",
        "Memory ran out in step 6 with 3 rows at a time",
    ]
    with pytest.raises(
        TrainingError, match=r"memory ran out in step 6 with one row at a time .*Take a smaller"
    ):
        differentiated(limited(0), X, WEIGHT, "auto", said.append)


def test_other_errors_pass() -> None:
    module = made()
    decoder: Any = module.network.decoder
    decoder.layers[-1] = Limited(decoder.layers[-1], 0, backward=False, error=RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        differentiated(module, X, None, "auto")
    assert not is_out_of_memory(ValueError("out of memory"))


WHOLE: dict[str, tuple[Callable[[], AutoencoderModule], str]] = {
    "free bits": (lambda: made(code=GaussianCode(free_bits=0.1)), "free_bits of the code Gaussian needs"),
    "capacity": (lambda: made(code=GaussianCode(capacity=2.0)), "capacity of the code Gaussian needs"),
    "batch top k": (lambda: made(code=BatchTopKCode(2)), "the code BatchTopK needs"),
    "winner take all": (lambda: made(code=WinnerTakeAllCode(0.2)), "the code WinnerTakeAll needs"),
    "relative noise": (lambda: made(code=DeterministicCode(noise=0.1)), "noise of the code Deterministic needs"),
    "penalties": (
        lambda: made(code=DeterministicCode("sigmoid"), penalties=(KLSparsity(0.1), Decorrelation(0.1))),
        "the penalty kl_sparsity and the penalty decorrelation need all",
    ),
    "batch norm": (
        lambda: made(
            network="custom:mine",
            extra={"parts": {"mine": lambda: (nn.Sequential(nn.Linear(D, 3), nn.BatchNorm1d(3)), nn.Linear(3, D))}},
        ),
        r"the layer network.encoder.module.1 \(BatchNorm1d\) needs",
    ),
}  # fmt: skip


def plan(**params: Any) -> Training:
    chosen = {
        "epochs": 2, "batch_size": N, "learning_rate": 0.01, "patience": None, "seed": 7, "device": "cpu", "threads": 1,
    }  # fmt: skip
    return Training(**{**chosen, **params})


@pytest.mark.parametrize("case", WHOLE)
def test_terms_of_whole_batches_are_not_split(case: str) -> None:
    make, term = WHOLE[case]
    with pytest.raises(
        ParameterError, match=f"micro_batch = 4 would do batches of 11 rows in parts, and {term}"
    ):
        Trainer(make(), plan(micro_batch=4))
    Trainer(make(), plan(micro_batch=N))
    module = make()
    module.likelihood.forward = no_memory  # type: ignore[method-assign]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(
        TrainingError, match=f"step 1, and its batch of 11 rows cannot be done in parts, for {term}"
    ):
        Trainer(module, plan()).fit(TensorRows(X))
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, before[name])


def no_memory(*_: Any) -> Tensor:
    raise MemoryError


def test_they_are_refused_before_anything_is_written() -> None:
    model = Model(code_size=2, network=Dense((4,)), code=GaussianCode(free_bits=0.1))
    config = Config(model=model, training=plan(micro_batch=2))
    with pytest.raises(ParameterError, match="micro_batch = 2 would do batches of 11 rows in parts"):
        prepare(ArraySource(X.float().numpy()), config)


class Notes(Callback):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_training_in_parts_is_the_training() -> None:
    def trained(micro_batch: Any, most: int = 10**9) -> tuple[dict[str, Tensor], list[str], Notes, list[Any]]:
        module, notes = made(corruption=Masking(0.3), condition="label", extra={"n_classes": 3}), Notes()
        decoder: Any = module.network.decoder
        decoder.layers[-1] = Limited(decoder.layers[-1], most, backward=False, error=MemoryError())
        rows = LabelledRows(TensorRows(X), LABELS)
        history = Trainer(
            module, plan(batch_size=6, epochs=3, micro_batch=micro_batch, gradient_clip=0.1)
        ).fit(rows, sample_weight=WEIGHT / WEIGHT.mean(), callbacks=[notes])
        return module.state_dict(), history.notes, notes, [epoch.training for epoch in history.epochs]

    weights, said, notes, epochs = trained("auto")
    assert not said
    assert not notes.notes
    for micro_batch, most, n_notes in ((2, 10**9, 0), ("auto", 2, 2)):
        found, said, notes, losses = trained(micro_batch, most)
        assert len(said) == n_notes
        assert notes.notes == said
        torch.testing.assert_close(found, weights, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(losses, epochs, rtol=1e-8, atol=1e-10)

"""Every tensor of a training is where its steps are made, shown without an accelerator.

Under torch's fake tensors, which have no values, ``meta`` is a device like any other: what mixes it with the CPU
raises, and so does what looks at a value, for which a step on an accelerator would wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from isthmus.config import Model, Training
from isthmus.config.catalogue import CATALOGUE, part_name
from isthmus.config.description import Description
from isthmus.config.parts.codes import (
    BatchTopKCode,
    DeterministicCode,
    GaussianCode,
    QuantisedCode,
    TopKCode,
    WinnerTakeAllCode,
)
from isthmus.config.parts.corruptions import Block, GaussianNoise, Masking, SaltAndPepper
from isthmus.config.parts.likelihoods import Bernoulli, DiscretisedLogistic, Gaussian, Mixed, SquaredError
from isthmus.config.parts.networks import Conv1d, Conv2d, Dense, Transformer
from isthmus.config.parts.penalties import (
    L1,
    L2,
    Contractive,
    ContractiveHessian,
    Decorrelation,
    KLSparsity,
    LaplacePrior,
    NormalPrior,
    StudentT,
    StudentTPrior,
    WeightDecay,
)
from isthmus.model.build import build
from isthmus.model.classifier import ClassifierModule
from isthmus.model.halves import EncoderModule
from isthmus.model.objective import Trainable
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Scaling
from isthmus.shapes import Block as Column
from isthmus.sources import ArraySource
from isthmus.training.dense_step import DenseStep
from isthmus.training.loop import Trainer
from isthmus.training.rows import ActivationRows, Labelled, LabelledRows, Rows, SourceRows, TensorRows

torch.set_num_threads(1)

N = 11
AWAY = torch.device("meta")
LAYOUT = (Column("number", 1), Column("number", 1), Column("category", 3), Column("boolean", 1))
VECTORS, SERIES, PICTURES = (6,), (2, 16), (1, 8, 8)
BOUNDED = DeterministicCode("sigmoid")
LABELS = torch.arange(N) % 3

MODELS: dict[str, tuple[tuple[int, ...], dict[str, Any], dict[str, Any]]] = {
    "plain": (VECTORS, {}, {}),
    "linear": (VECTORS, {"network": Dense(())}, {}),
    "tied": (VECTORS, {"network": Dense((5,), tied=True)}, {}),
    **{
        f"activation {name}": (VECTORS, {"network": Dense((5,), name), "code": DeterministicCode(name)}, {})
        for name in ("relu", "leaky_relu", "elu", "selu", "gelu", "softplus", "sigmoid", "tanh")
    },
    "series": (SERIES, {"network": Conv1d((2, 3), 4, 2)}, {}),
    "pictures": (PICTURES, {"network": Conv2d((2, 3))}, {}),
    "pooling": (PICTURES, {"network": Conv2d((2, 3), 3, down="max_pool", up="unpool", switches=True)}, {}),
    "pooling without switches": (PICTURES, {"network": Conv2d((2, 3), 3, down="max_pool", up="unpool")}, {}),
    "resizing": (PICTURES, {"network": Conv2d((2, 3), 3, up="resize", residual=1)}, {}),
    "patches": (PICTURES, {"network": Transformer(4, width=8, n_heads=2)}, {}),
    "columns": (
        VECTORS,
        {"network": Transformer(1, width=8, n_heads=2), "likelihood": Mixed("squared_error")},
        {"layout": LAYOUT},
    ),
    "noisy code": (VECTORS, {"code": DeterministicCode("tanh", noise=0.2, final_noise=0.1)}, {}),
    "top k": (VECTORS, {"code": TopKCode(1, first_n_active=3)}, {}),
    "top k by magnitude": (VECTORS, {"code": TopKCode(2, ranked_by="magnitude")}, {}),
    "batch top k": (VECTORS, {"code": BatchTopKCode(2)}, {}),
    "winner take all": (VECTORS, {"code": WinnerTakeAllCode(0.3)}, {}),
    "variational": (VECTORS, {"code": GaussianCode(warm_up_share=0.5, first_beta=0.1)}, {}),
    "several draws": (VECTORS, {"code": GaussianCode(n_draws=3)}, {}),
    "free bits": (VECTORS, {"code": GaussianCode(free_bits=0.1)}, {}),
    "capacity": (VECTORS, {"code": GaussianCode(capacity=2.0)}, {}),
    "quantised": (VECTORS, {"code": QuantisedCode()}, {}),
    "quantised, one component": (VECTORS, {"code": QuantisedCode(n_mixtures=1)}, {}),
    "log loss": (VECTORS, {"likelihood": Bernoulli(sampled=True)}, {}),
    "density": (VECTORS, {"likelihood": Gaussian(0.5)}, {}),
    "learned scale": (VECTORS, {"likelihood": Gaussian("learned")}, {}),
    "levels": (PICTURES, {"likelihood": DiscretisedLogistic(n_mixtures=3), "network": Conv2d((2, 3))}, {}),
    "table": (VECTORS, {"likelihood": Mixed("gaussian")}, {"layout": LAYOUT}),
    "table with gaps": (
        VECTORS,
        {"likelihood": Mixed("gaussian"), "corruption": Masking(0.3), "code": GaussianCode()},
        {"layout": LAYOUT, "gaps": True},
    ),
    "labels": (VECTORS, {"condition": "label", "code": GaussianCode(n_draws=2)}, {"n_classes": 3}),
    "hidden values": (VECTORS, {"corruption": Masking(0.4, final_hidden_share=0.2, emphasis=0.7)}, {}),
    "hidden pixels": (PICTURES, {"corruption": Masking(0.4, whole_pixels=True)}, {}),
    "noise": (VECTORS, {"corruption": GaussianNoise(0.3, 0.1)}, {}),
    "extremes": (PICTURES, {"corruption": SaltAndPepper(0.2, low=0, high=1, emphasis=0.2)}, {}),
    "hidden patch": (PICTURES, {"corruption": Block(0.2, emphasis=0.5)}, {}),
    "hidden stretch": (SERIES, {"corruption": Block(0.2), "network": Conv1d((2, 3), 4, 2)}, {}),
    **{
        f"penalty {part_name(penalty)}": (VECTORS, {"penalties": (penalty,), "code": BOUNDED}, {})
        for penalty in (
            L1(0.1, warm_up_share=0.5), L2(), WeightDecay(), Contractive(), ContractiveHessian(), KLSparsity(),
            StudentT(), Decorrelation(), LaplacePrior(), NormalPrior(), StudentTPrior(),
        )
    },
    "contraction of one layer": (VECTORS, {"network": Dense(()), "penalties": (Contractive(),), "code": BOUNDED}, {}),
    "contraction by a probe": (VECTORS, {"penalties": (Contractive(method="estimate"),)}, {}),
    "correlations": (VECTORS, {"penalties": (Decorrelation(measure="correlation"),)}, {}),
    **{
        f"contraction of convolutions, {method}": (
            PICTURES,
            {"network": Conv2d((2, 3)), "penalties": (Contractive(method=method), ContractiveHessian())},
            {},
        )
        for method in ("exact", "estimate")
    },
}  # fmt: skip


def without_values() -> FakeTensorMode:
    """Tensors made in it have none; what was made before it, as in a fit, is taken for tensors of the CPU."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def made(name: str) -> tuple[Trainable, Any]:
    """A module, and a batch for it."""
    shape, params, extra = MODELS[name]
    chosen = {"code_size": 3, "network": Dense((7,)), "likelihood": SquaredError(), **params}
    module = build(Model(**chosen), shape, seed=3, **extra)
    x = Randomness(0).uniform((N, *shape))
    return module, Labelled(x, LABELS) if chosen.get("condition") == "label" else x


def trained_away(module: Trainable, **params: Any) -> Trainer:
    chosen = {
        "epochs": 2, "batch_size": N, "learning_rate": 0.01, "patience": None, "seed": 0, "threads": 1, **params,
    }  # fmt: skip
    return Trainer(module, Training(device=str(AWAY), **chosen))


def assert_away(tensors: Mapping[str, Tensor]) -> None:
    assert {name: tensor.device for name, tensor in tensors.items() if tensor.device != AWAY} == {}


def test_every_part_of_the_catalogue_is_among_the_models() -> None:
    described = [part for _, params, _ in MODELS.values() for part in params.values()]
    parts = [one for part in described for one in (part if isinstance(part, tuple) else (part,))]
    names = {part_name(part) for part in [*parts, SquaredError()] if isinstance(part, Description)}
    assert names >= {name for family in CATALOGUE.values() for name in family}


@pytest.mark.parametrize("name", MODELS)
def test_a_step_and_a_validation_stay_on_the_device(name: str) -> None:
    module, batch = made(name)
    with without_values():
        trainer = trained_away(module, gradient_clip=1.0, weight_decay=0.1)
        batch, weight = batch.to(AWAY), torch.ones(N).to(AWAY)
        for given in (weight, None):
            result = trainer._step(batch, given, 0.01, 0.3)
            assert_away({**result.terms, "loss": result.loss})
        assert_away({key: value.grad for key, value in module.named_parameters() if value.grad is not None})
        assert_away(dict(module.state_dict()))
        moments = [held for state in trainer.optimiser.state.values() for held in state.values() if held.ndim]
        assert_away({str(number): moment for number, moment in enumerate(moments)})
        module.eval()
        with torch.no_grad():
            whole = module.objective_at(batch, Randomness(0, "validation"), sample_weight=weight)
        assert_away({**whole.terms, "loss": whole.loss, "per_example": whole.per_example})


@pytest.mark.parametrize("name", ["plain", "table with gaps", "labels", "several draws"])
def test_a_step_in_parts_stays_on_the_device(name: str) -> None:
    module, batch = made(name)
    with without_values():
        result = trained_away(module, micro_batch=4)._step(batch.to(AWAY), torch.ones(N).to(AWAY), 0.01, 0.3)
        assert_away({**result.terms, "loss": result.loss})


@pytest.mark.parametrize("frozen", [False, True])
def test_a_classifier_stays_on_the_device(frozen: bool) -> None:
    module = ClassifierModule(EncoderModule(made("batch top k")[0]), 3, frozen=frozen)
    batch = Labelled(Randomness(0).uniform((N, 6)), LABELS)
    with without_values():
        result = trained_away(module)._step(batch.to(AWAY), None, 0.01, 0.3)
        assert_away({**result.terms, "loss": result.loss})


STEPS_WITHOUT_A_GRAPH = [
    "plain", "linear", "contraction of one layer", "variational", "noise",
    *(f"activation {name}" for name in ("relu", "leaky_relu", "gelu", "softplus", "sigmoid", "tanh")),
]  # fmt: skip


@pytest.mark.parametrize("likelihood", ["squared_error", "bernoulli"])
@pytest.mark.parametrize("name", STEPS_WITHOUT_A_GRAPH)
def test_a_step_without_a_graph_stays_on_the_device(name: str, likelihood: str) -> None:
    shape, params, _ = MODELS[name]
    chosen = {"code_size": 3, "network": Dense((7,)), **params, "likelihood": likelihood}
    module = build(Model(**chosen), shape, seed=3)
    with without_values():
        trainer = trained_away(module)
        steps = DenseStep(module, trainer.optimiser)
        for holder in (steps, steps._term):
            held = {} if holder is None else vars(holder)
            assert_away({name: value for name, value in held.items() if isinstance(value, Tensor)})
        x = Randomness(0).uniform((N, *shape)).to(AWAY)
        for n in (N, 4):
            result = steps.differentiate(x[:n], 0.3)
            assert_away({**result.terms, "loss": result.loss})
            # A graph that is replayed reads nothing of the CPU anew.
            read = [one for call in steps._plans[n].calls for one in _tensors_of(call) if one.device != AWAY]
            assert all(one.ndim == 0 for one in read)
            steps.update()
        steps.release()
        assert_away(dict(module.state_dict()))


def _tensors_of(call: Any) -> list[Tensor]:
    """What a call reads and writes: what it was given, what it closes over, the tensor that it is a method of."""
    function = getattr(call, "func", call)
    found = [
        *getattr(call, "args", ()),
        *getattr(call, "keywords", {}).values(),
        getattr(function, "__self__", None),
    ]
    found += [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return [one for one in found if isinstance(one, Tensor)]


BYTES = np.random.default_rng(0).integers(0, 256, (N, 8, 8), dtype=np.uint8)
SOURCE = ArraySource(BYTES)


def source_rows() -> SourceRows:
    return SourceRows(SOURCE, Scaling.fit(SOURCE))


def layer_rows(rows: Rows[Tensor]) -> ActivationRows:
    return ActivationRows(rows, lambda x: x.flatten(1)[:, :3], 3, torch.device("cpu"))


ROWS = {
    "bytes": source_rows,
    "tensor": lambda: TensorRows(torch.rand(N, 6)),
    "labelled": lambda: LabelledRows(source_rows(), LABELS),
    "activations": lambda: layer_rows(source_rows()),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_are_held_on_the_device_are_gathered_there(name: str) -> None:
    rows = ROWS[name]()
    expected = rows.gather(torch.tensor([3, 1]))
    with without_values():
        assert rows.held_on(AWAY, 4) is None
        there = rows.held_on(AWAY, 10_000)
        assert there is not None
        batches = list(there.in_order(Randomness(0), 3))
        assert [len(indices) for indices, _ in batches] == [4, 4, 3]
        assert all(indices.device.type == "cpu" for indices, _ in batches)
        for batch in (*(x for _, x in batches), there.gather(torch.tensor([3, 1]))):
            for member in batch if isinstance(batch, tuple) else (batch,):
                assert member.device == AWAY
    again = rows.gather(torch.tensor([3, 1]))
    for one, other in zip(*((x if isinstance(x, tuple) else (x,)) for x in (expected, again)), strict=True):
        assert torch.equal(one, other)


def test_bytes_are_held_as_bytes() -> None:
    rows = source_rows()
    with without_values():
        assert rows.held_on(AWAY, BYTES.nbytes - 1) is None
        there = rows.held_on(AWAY, BYTES.nbytes)
        assert there is not None
        (_, held), *_ = there.packed_in_order(Randomness(0), 2)
        assert (held.dtype, held.device) == (torch.uint8, AWAY)

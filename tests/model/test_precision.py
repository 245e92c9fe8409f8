"""In bfloat16 the networks' passes are, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from isthmus.config import Model
from isthmus.config.parts.codes import DeterministicCode, GaussianCode, QuantisedCode, TopKCode
from isthmus.config.parts.corruptions import Masking
from isthmus.config.parts.likelihoods import Bernoulli, Gaussian, Mixed
from isthmus.config.parts.networks import Conv1d, Conv2d, Dense, Transformer
from isthmus.config.parts.penalties import L1, Contractive, ContractiveHessian
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.model.classifier import ClassifierModule
from isthmus.model.halves import EncoderModule
from isthmus.model.objective import Objective, Trainable
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Block
from isthmus.testing import check_module

torch.set_num_threads(1)

N = 16
LABELS = torch.arange(N) % 3
VECTORS, SERIES, PICTURES = (6,), (2, 16), (1, 8, 8)
LAYOUT = (Block("number", 1), Block("number", 1), Block("category", 3), Block("boolean", 1))
CASES: dict[str, tuple[tuple[int, ...], dict[str, Any], dict[str, Any]]] = {
    "dense": (VECTORS, {}, {}),
    "tied": (VECTORS, {"network": Dense((5,), tied=True)}, {}),
    "series": (SERIES, {"network": Conv1d((4,), 4, 2)}, {}),
    "pictures": (PICTURES, {"network": Conv2d((4, 4)), "likelihood": Bernoulli()}, {}),
    "pooling": (PICTURES, {"network": Conv2d((4,), 3, down="max_pool", up="unpool", switches=True)}, {}),
    "patches": (PICTURES, {"network": Transformer(4, width=8, n_heads=2)}, {}),
    "variational": (VECTORS, {"code": GaussianCode(), "likelihood": Gaussian("learned")}, {}),
    "several draws": (VECTORS, {"code": GaussianCode(n_draws=3)}, {}),
    "quantised": (VECTORS, {"code": QuantisedCode()}, {}),
    "top k": (VECTORS, {"code": TopKCode(2), "corruption": Masking(0.3), "penalties": (L1(0.1),)}, {}),
    "labels": (VECTORS, {"condition": "label"}, {"n_classes": 3}),
    "table with gaps": (VECTORS, {"likelihood": Mixed("gaussian")}, {"layout": LAYOUT, "gaps": True}),
}


def made(name: str) -> AutoencoderModule:
    shape, params, extra = CASES[name]
    chosen = {"code_size": 3, "network": Dense((9,)), "likelihood": "squared_error", **params}
    return build(Model(**chosen), shape, seed=3, **extra)


def batch_for(module: AutoencoderModule) -> Any:
    x = Randomness(0).uniform((N, *module.sample_shape))
    return (x, LABELS) if module.condition is not None else x


def differentiated(module: Trainable, batch: Any, precision: Any) -> tuple[Objective, dict[str, Tensor]]:
    module.zero_grad()
    module.precision = precision
    found = module.objective(batch, 0)
    found.loss.backward()
    return found, {key: one.grad.clone() for key, one in module.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_are_float32_and_near_those_of_float32(name: str) -> None:
    module = made(name)
    batch = batch_for(module)
    expected, gradients = differentiated(module, batch, "float32")
    found, others = differentiated(module, batch, "bfloat16")
    assert list(found.terms) == list(expected.terms)
    for one in (found.loss, found.per_example, *found.terms.values(), *others.values()):
        assert one.dtype == torch.float32
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    assert not torch.equal(found.per_example, expected.per_example)  # it is another computation
    torch.testing.assert_close(found.per_example, expected.per_example, rtol=0.05, atol=0.05)
    assert others.keys() == gradients.keys()
    both = (torch.cat([one.flatten() for one in many.values()]) for many in (gradients, others))
    assert torch.cosine_similarity(*both, dim=0) > 0.99


@pytest.mark.parametrize("name", ["dense", "pictures", "variational", "several draws", "patches"])
def test_layers_compute_in_bfloat16_and_the_parts_around_them_in_float32(name: str) -> None:
    module = made(name)
    seen: dict[str, set[torch.dtype]] = {}

    def watch(key: str, layer: nn.Module, *, inputs: bool) -> None:
        def hook(_: nn.Module, given: tuple[Any, ...], gives: Any) -> None:
            outputs = gives if isinstance(gives, Tensor) else gives[0]
            looked_at = (outputs, *(given if inputs else ()))
            seen.setdefault(key, set()).update(one.dtype for one in looked_at if isinstance(one, Tensor))

        layer.register_forward_hook(hook)

    for key, layer in module.network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            watch(key, layer, inputs=False)
    watch("code", module.code, inputs=True)
    watch("likelihood", module.likelihood, inputs=True)
    differentiated(module, batch_for(module), "bfloat16")
    assert seen.pop("code") == seen.pop("likelihood") == {torch.float32}
    assert len(seen) > 1
    assert {dtype for dtypes in seen.values() for dtype in dtypes} == {torch.bfloat16}


@pytest.mark.parametrize("network", [Dense((9,)), Conv2d((4, 4))])
@pytest.mark.parametrize("method", ["exact", "estimate"])
def test_penalties_on_derivatives_are_those_of_float32(network: Any, method: Any) -> None:
    module = build(
        Model(
            code_size=3,
            network=network,
            code=DeterministicCode("tanh"),
            likelihood="squared_error",
            penalties=(Contractive(0.3, method), ContractiveHessian(0.2)),
        ),
        PICTURES,
        seed=3,
    )
    batch = batch_for(module)
    expected, _ = differentiated(module, batch, "float32")
    found, _ = differentiated(module, batch, "bfloat16")
    for name in ("contractive", "contractive_hessian"):
        assert torch.equal(found.terms[name], expected.terms[name])
    assert not torch.equal(found.terms["distortion"], expected.terms["distortion"])


def test_whatever_is_no_objective_is_in_float32() -> None:
    module, x = made("pictures"), Randomness(0).uniform((N, *PICTURES))
    expected = module.reconstruct(x), module.encode(x)
    module.precision = "bfloat16"
    for one, other in zip((module.reconstruct(x), module.encode(x)), expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_classifier_has_its_codes_in_bfloat16(frozen: bool) -> None:
    module = ClassifierModule(EncoderModule(made("dense")), 3, frozen=frozen)
    with torch.no_grad():
        module.head.weight.copy_(Randomness(1).normal((3, 3)))
    batch = Randomness(0).uniform((N, 6)), LABELS
    expected, _ = differentiated(module, batch, "float32")
    found, gradients = differentiated(module, batch, "bfloat16")
    assert found.per_example.dtype == torch.float32
    assert not torch.equal(found.per_example, expected.per_example)
    torch.testing.assert_close(found.loss, expected.loss, rtol=0.05, atol=0.05)
    assert set(gradients) == {name for name, _ in module.named_parameters() if not frozen or "head" in name}


def test_a_module_obeys_its_laws_in_bfloat16() -> None:
    module = made("variational")
    module.precision = "bfloat16"
    check_module(module, batch_for(module))

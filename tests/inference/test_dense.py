"""Bare calls of dense layers have the bits of the module's, which is their slow twin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from isthmus.artifact import FittedModel
from isthmus.config import Config, Model
from isthmus.config.catalogue import Custom
from isthmus.config.parts.codes import (
    BatchTopKCode,
    DeterministicCode,
    GaussianCode,
    QuantisedCode,
    TopKCode,
    WinnerTakeAllCode,
)
from isthmus.config.parts.likelihoods import Bernoulli, DiscretisedLogistic, Gaussian, Mixed, SquaredError
from isthmus.config.parts.networks import Conv2d, Dense, Transformer
from isthmus.inference import Inference, OfPass, Pass, rows, ways
from isthmus.inference.aligned import FEW
from isthmus.inference.dense import bare
from isthmus.inference.ways import BATCH, FEW_AT_ONCE, FEWEST_AT_ONCE, MANY_AT_ONCE, VALUES_AT_ONCE
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.threads import torch_threads
from isthmus.preprocessing import Scaling
from isthmus.shapes import Block
from isthmus.sources import ArraySource

torch.set_num_threads(1)

N_ROWS = FEW_AT_ONCE + 2 * BATCH + 9
FUNCTIONS = (AutoencoderModule.encode, AutoencoderModule.decode, AutoencoderModule.reconstruct)
DENSE: dict[str, dict[str, Any]] = {
    "linear": {"network": Dense(())},
    "aligned": {"network": Dense((16, 8)), "code_size": 4},
    "odd": {"network": Dense((17, 5))},
    "wide": {"network": Dense((258, 64), "gelu"), "code_size": 31},
    "tied": {"network": Dense((17, 5), tied=True), "code": DeterministicCode("sigmoid")},
    "gaussian": {"network": Dense((9,), "tanh"), "code": GaussianCode()},
    "quantised": {"network": Dense((9,)), "code": QuantisedCode()},
    "few": {"network": Dense((11, 4)), "code_size": 8},
    "few, tied": {"network": Dense((10,), "sigmoid", tied=True), "code_size": 5},
    "top k": {"network": Dense((9,)), "code": TopKCode(2)},
    "batch top k": {"network": Dense((9,)), "code": BatchTopKCode(2)},
    "winners": {"network": Dense((9,)), "code": WinnerTakeAllCode()},
    "log loss": {"network": Dense((9,)), "likelihood": Bernoulli()},
    "a variance": {"network": Dense((9,)), "likelihood": Gaussian()},
    "levels": {"network": Dense((9,)), "likelihood": DiscretisedLogistic()},
}


@pytest.fixture
def two_threads() -> Iterator[None]:
    with torch_threads(2):
        yield


def model(width: int = 13, parts: Any = None, **chosen: Any) -> Inference:
    """A model of random weights on vectors."""
    described = Model(**{"code_size": 3, "likelihood": SquaredError(), **chosen})
    source = ArraySource(some(width))
    scaling = Scaling.fit(source, np.arange(N_ROWS))
    module = build(described, scaling.model_shape, seed=0, parts=parts)
    return Inference(FittedModel(Config(model=described), scaling, module))


def some(width: int) -> np.ndarray:
    return np.random.default_rng(width).uniform(0, 1, (N_ROWS, width)).astype(np.float32)


def of_pass(module: AutoencoderModule, found: Pass) -> Tensor:
    rebuilt = module.likelihood.mean(found.outputs)
    error = (found.x - rebuilt).square().flatten(1).sum(dim=1)
    rows_of_it = torch.stack([error, module.distortion(found.outputs, found.x)], dim=1)
    return torch.cat([rows_of_it, found.code], dim=1)


def results(found: Inference, width: int) -> list[np.ndarray]:
    source = ArraySource(some(width))
    codes = found.encode(source)
    return [
        codes,
        found.decode_model_units(codes),
        found.reconstruct_model_units(source),
        found.over(source, OfPass(of_pass), (2 + found.code_size,)),
    ]


@pytest.mark.parametrize("width", [3, 12, 13])
@pytest.mark.parametrize("name", DENSE)
def test_bits_are_those_of_the_module(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = model(width, **DENSE[name])
    assert all(bare(found.module, function) is not None for function in (*FUNCTIONS, OfPass(of_pass)))
    fast = results(found, width)
    monkeypatch.setattr(rows, "bare", lambda *_: None)
    for quick, slow in zip(fast, results(found, width), strict=True):
        assert quick.tobytes() == slow.tobytes()


@pytest.mark.parametrize("name", DENSE)
def test_bits_of_many_rows_are_those_of_a_row_alone(name: str, two_threads: None) -> None:
    """Of many rows, which threads of their own multiply side by side."""
    found, many = model(13, **DENSE[name]), np.tile(some(13), (6, 1))
    functions = (AutoencoderModule.encode, (3,)), (OfPass(of_pass), (5,))
    if found.code_size != 3:
        functions = (AutoencoderModule.encode, (found.code_size,)), (OfPass(of_pass), (2 + found.code_size,))
    for function, shape in functions:
        at_once = found.over(ArraySource(many), function, shape)
        for row in (0, 1, FEW_AT_ONCE, len(many) - 1):
            alone = found.over(ArraySource(many[row : row + 1]), function, shape)
            assert alone.tobytes() == at_once[row].tobytes()


def test_very_many_rows_at_once_have_the_bits_of_a_row_alone(two_threads: None) -> None:
    found, many = model(13, **DENSE["few"]), np.tile(some(13), (30, 1))
    straight = bare(found.module, AutoencoderModule.encode, len(many))
    assert straight is not None
    assert straight.n_at_once in (MANY_AT_ONCE, BATCH)  # of a machine whose products of many have other bits
    at_once = found.encode(ArraySource(many))
    for row in (0, MANY_AT_ONCE - 1, MANY_AT_ONCE, len(many) - 1):
        assert found.encode(ArraySource(many[row : row + 1])).tobytes() == at_once[row].tobytes()


@pytest.mark.parametrize("width", [784, 783])
def test_large_layers_side_by_side_have_the_bits_of_a_row_alone(width: int, two_threads: None) -> None:
    """Whose single products would be large enough for all threads."""
    found = model(width, network=Dense((256, 10)), code_size=8)
    straight = bare(found.module, AutoencoderModule.encode, N_ROWS)
    assert straight is not None
    assert straight.n_at_once == BATCH
    source = ArraySource(some(width))
    codes = found.encode(source)
    by_module = found.over(source, lambda module, x: module.encode(x), (8,))
    assert codes.tobytes() == by_module.tobytes()
    for row in (0, BATCH - 1, BATCH, N_ROWS - 1):
        assert found.encode(ArraySource(some(width)[row : row + 1])).tobytes() == codes[row].tobytes()


@pytest.mark.parametrize("n_out", [1, 3, *FEW, 12, 17])
def test_layers_of_few_outputs_have_the_bits_of_the_module(n_out: int) -> None:
    """Which a mode of torch's functions makes wider, and bare calls on their own."""
    found = model(13, network=Dense((n_out,)), code_size=n_out)
    source = ArraySource(some(13))
    by_module = found.over(source, lambda module, x: module.encode(x), (n_out,))
    assert found.encode(source).tobytes() == by_module.tobytes()
    with torch.no_grad():
        own = found.module.encode(torch.from_numpy(found.model.scaling.to_model(some(13))))
    assert np.allclose(by_module, own.numpy(), atol=1e-5)


def test_rows_too_wide_for_a_cache_are_not_taken_many_at_once() -> None:
    width = VALUES_AT_ONCE // FEW_AT_ONCE + 4
    found = model(width, network=Dense(()), code_size=1)
    straight = bare(found.module, AutoencoderModule.encode, N_ROWS)
    assert straight is not None
    assert straight.n_at_once == BATCH


def test_where_more_rows_at_once_give_other_bits_they_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = model(13, **DENSE["odd"])
    expected, own = results(found, 13), ways.linear
    ways._ways.cache_clear()

    def in_another_order(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return own(x, weight, bias) if len(x) == BATCH else own(x, weight, bias) + 1e-6

    with monkeypatch.context() as patch:
        patch.setattr(ways, "linear", in_another_order)
        patch.setattr(ways, "large_product", in_another_order)
        straight = bare(found.module, AutoencoderModule.encode, N_ROWS)
        assert straight is not None
        assert straight.n_at_once == BATCH
        for once, before in zip(results(found, 13), expected, strict=True):
            assert once.tobytes() == before.tobytes()
    ways._ways.cache_clear()


@pytest.mark.skipif(not ways.is_large(FEW_AT_ONCE, 64, 64), reason="PyTorch has but one library for products")
def test_where_onednn_was_switched_off_since_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = model(64, network=Dense((64,)))
    many = ArraySource(np.tile(some(64), (2, 1)))
    expected = found.encode(many)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    monkeypatch.setattr(ways, "large_product", lambda *_: pytest.fail("oneDNN's"))
    assert found.encode(many).tobytes() == expected.tobytes()


@pytest.mark.skipif(not ways.is_large(BATCH, 256, 256), reason="PyTorch has but one library for products")
def test_a_large_layer_leaves_onednn_once_it_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    found, source = model(256, network=Dense((256,))), ArraySource(some(256)[:40])
    before = found.encode(source)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    monkeypatch.setattr(ways, "large_product", lambda *_: pytest.fail("oneDNN's"))
    assert np.allclose(found.encode(source), before, atol=1e-5)


def test_few_rows_ask_nothing_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked, tried = model(13, **DENSE["odd"]), list[int](), ways._tried
    monkeypatch.setattr(ways, "_tried", lambda how, *args: asked.append(how.n_rows) or tried(how, *args))
    ways._ways.cache_clear()
    found.encode(ArraySource(some(13)[:FEWEST_AT_ONCE]))
    assert set(asked) == {FEWEST_AT_ONCE}
    asked.clear()
    found.encode(ArraySource(some(13)[: FEWEST_AT_ONCE + 1]))
    assert not asked
    ways._ways.cache_clear()


@pytest.mark.parametrize("width", [13, 784])
@pytest.mark.parametrize("threads", [1, 2])
def test_few_rows_have_the_bits_of_many(width: int, threads: int) -> None:
    found = model(width, network=Dense((300, 20)), code_size=5)
    rows = some(width)[:40]
    with torch_threads(threads):
        expected = found.encode(ArraySource(rows))
        for n in (1, 2, 3, 15, 16, 17):
            assert found.encode(ArraySource(rows[40 - n :])).tobytes() == expected[40 - n :].tobytes()


def test_bits_of_rows_with_gaps_are_those_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers and a category of three; the gaps are where a row's number says."""
    layout = (*[Block("number", 1)] * 4, Block("category", 3))
    described = Model(code_size=3, network=Dense((9,)), likelihood=Mixed("squared_error"))
    module = build(described, (7,), seed=0, layout=layout, gaps=True)
    values = some(7)
    scaling = Scaling.fit(ArraySource(values), np.arange(N_ROWS))
    found = Inference(FittedModel(Config(model=described), scaling, module))
    values[::3, 1] = values[::5, 4] = np.nan

    def given(function: Any, shape: tuple[int, ...]) -> bytes:
        return found._some(
            slice(0, N_ROWS), values.__getitem__, lambda block, _: block, function, shape
        ).tobytes()

    wanted = [(AutoencoderModule.encode, (3,)), (AutoencoderModule.reconstruct, (7,))]
    assert all(bare(module, function) is not None for function, _ in wanted)
    fast = [given(*each) for each in wanted]
    monkeypatch.setattr(rows, "bare", lambda *_: None)
    assert [given(*each) for each in wanted] == fast


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_not_dense_goes_by_its_module(function: Any) -> None:
    pair = {"pair": lambda: (nn.Linear(13, 3), nn.Linear(3, 13))}
    others = [model(network=Transformer(3, 8, 1, 2)), model(parts=pair, network=Custom("pair"))]
    assert [bare(other.module, function) for other in others] == [None, None]
    told = build(
        Model(code_size=2, network=Dense(()), likelihood="squared_error", condition="label"),
        (5,),
        seed=0,
        n_classes=3,
    )
    assert bare(told, function) is None
    pictures = build(Model(code_size=2, network=Conv2d((4,)), likelihood="squared_error"), (1, 8, 8), seed=0)
    assert bare(pictures, function) is None


def test_a_function_of_ones_own_is_called() -> None:
    assert bare(model(network=Dense(())).module, lambda module, x: module.encode(x)) is None


@pytest.mark.parametrize("before", [False, True])
def test_who_listens_to_a_layer_is_called(before: bool) -> None:
    """torch's own weight reparametrisations, of the older kind, are such listeners."""
    found = model(network=Dense((9,)))
    layer: Any = found.module.network.encoder.layers[0]  # type: ignore[index, union-attr]
    seen: list[int] = []

    def listen(_: nn.Module, given: tuple[Tensor, ...], *rest: Any) -> None:
        seen.append(len(given[0]))

    handle = layer.register_forward_pre_hook(listen) if before else layer.register_forward_hook(listen)
    found.encode(ArraySource(some(13)))
    assert seen == [BATCH] * -(-N_ROWS // BATCH)
    handle.remove()
    assert bare(found.module, AutoencoderModule.encode) is not None


def test_weights_that_move_are_seen() -> None:
    found = model(network=Dense((9,)))
    first = found.encode(ArraySource(some(13)))
    with torch.no_grad():
        for parameter in found.module.parameters():
            parameter.mul_(2)
    source = ArraySource(some(13))
    moved = found.encode(source)
    assert (moved != first).any()
    x = torch.from_numpy(found.model.scaling.to_model(some(13)))
    with torch.no_grad():
        np.testing.assert_allclose(moved, found.module.encode(x).numpy(), rtol=1e-4, atol=1e-5)


def test_a_half_that_somebody_changed_is_looked_at_anew() -> None:
    """What is kept of it is told by what hooks there are and what it holds; weights are read where they lie."""
    found, source = model(13, **DENSE["odd"]), ArraySource(some(13)[:5])
    before, encoder = found.encode(source), found.module.network.get_submodule("encoder")
    layers = encoder.get_submodule("layers")
    assert isinstance(layers, nn.ModuleList)
    layers[0].get_parameter("weight").data.mul_(2.0)  # which no version counts
    moved = found.encode(source)
    assert not np.array_equal(moved, before)
    with torch.no_grad():
        own = found.module.encode(torch.from_numpy(found.model.scaling.to_model(some(13)[:5])))
    assert np.allclose(moved, own.numpy(), atol=1e-5)
    seen = list[int]()
    handle = layers[0].register_forward_hook(lambda *_: seen.append(1))
    found.encode(source)
    assert seen
    handle.remove()
    assert bare(found.module, AutoencoderModule.encode) is not None
    layers.append(nn.Linear(3, 3))
    assert bare(found.module, AutoencoderModule.encode) is None
    del layers[-1]
    layers[0] = nn.Linear(13, 17)
    assert bare(found.module, AutoencoderModule.encode) is None
    assert not np.array_equal(found.encode(source), moved)

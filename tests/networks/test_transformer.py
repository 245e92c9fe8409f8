"""Transformers: patches come back exactly, attention is what its sum says, every size obeys the laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from isthmus.artifact import FittedModel
from isthmus.config import Config, Model
from isthmus.config.parts import networks
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.likelihoods import Gaussian
from isthmus.config.parts.penalties import Contractive
from isthmus.errors import ParameterError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.networks.base import Ends
from isthmus.networks.transformer import Attention, Block, Patches, Transformer
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.testing import check_module, check_network

torch.set_num_threads(1)

SHAPES = st.one_of(
    st.tuples(st.integers(1, 12)),
    st.tuples(st.integers(1, 3), st.integers(1, 12)),
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
)
PATCH_SIZES = st.integers(1, 10)
TOKENS = st.sampled_from([(2, 1), (3, 3), (6, 2), (8, 4)])


def described(patch_size: int, width: int = 6, depth: int = 1, n_heads: int = 2) -> networks.Transformer:
    return networks.Transformer(patch_size, width, depth, n_heads, 1.5)


def module(shape: tuple[int, ...], network: networks.Transformer, **chosen: Any) -> AutoencoderModule:
    model = Model(**{"code_size": 3, "likelihood": "squared_error", "network": network, **chosen})
    return build(model, shape, seed=0)


def drawn(part: nn.Module) -> nn.Module:
    """The part in float64, every parameter random."""
    part = part.double()
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            parameter.copy_(Randomness(0, name).normal(parameter.shape) / 2)
    return part


def numbers(*shape: int) -> Tensor:
    return Randomness(1).normal(shape).double()


# ---------------------------------------------------------------- patches


@settings(max_examples=150)
@given(SHAPES, PATCH_SIZES)
def test_patches_come_back_exactly(shape: tuple[int, ...], patch_size: int) -> None:
    patches = Patches.of(shape, patch_size)
    x = numbers(3, *shape)
    cut = patches.cut(x)
    assert cut.shape == (3, patches.n_tokens, patches.n_values)
    assert torch.equal(patches.join(cut).reshape(x.shape), x)
    sides = shape[-1:] if len(shape) < 3 else shape[1:]
    assert patches.n_tokens == math.prod(math.ceil(side / min(side, patch_size)) for side in sides)


@settings(max_examples=50)
@given(SHAPES, PATCH_SIZES, st.randoms(use_true_random=False))
def test_each_value_lies_in_the_patch_of_its_place(shape: tuple[int, ...], patch_size: int, random) -> None:
    patches = Patches.of(shape, patch_size)
    place = tuple(random.randrange(side) for side in shape)
    x = torch.zeros(1, *shape)
    x[(0, *place)] = 1
    channel, sides = (0, place) if len(shape) == 1 else (place[0], place[1:])
    token = inside = 0
    for where, count, step in zip(sides, patches.counts, patches.patch, strict=True):
        token, inside = token * count + where // step, inside * step + where % step
    expected = torch.zeros(patches.n_tokens, patches.n_values)
    expected[token, channel * math.prod(patches.patch) + inside] = 1
    assert torch.equal(patches.cut(x)[0], expected)


def test_patches_of_a_picture_by_hand() -> None:
    x = torch.arange(15.0).reshape(1, 1, 3, 5)
    cut = Patches.of((1, 3, 5), 2).cut(x)[0]
    assert cut.tolist() == [
        [0, 1, 5, 6], [2, 3, 7, 8], [4, 0, 9, 0],
        [10, 11, 0, 0], [12, 13, 0, 0], [14, 0, 0, 0],
    ]  # fmt: skip


# ---------------------------------------------------------------- attention


def slow_attention(attention: Attention, a: Tensor) -> Tensor:
    """Row by row, head by head, token by token."""
    width, n_heads = a.shape[2], attention.n_heads
    d = width // n_heads
    weight = attention.to_queries_keys_values.weight
    result = torch.zeros_like(a)
    for row in range(len(a)):
        for head in range(n_heads):
            mine = slice(head * d, (head + 1) * d)
            maps = [weight[part * width : (part + 1) * width][mine] for part in range(3)]
            q, k, v = ([one @ token for token in a[row]] for one in maps)
            for t in range(a.shape[1]):
                shares = [math.exp(float(q[t] @ key) / math.sqrt(d)) for key in k]
                for share, value in zip(shares, v, strict=True):
                    result[row, t, mine] += share / sum(shares) * value
    return result @ attention.to_tokens.weight.T + attention.to_tokens.bias


@pytest.mark.parametrize(("n_tokens", "width", "n_heads"), [(4, 6, 2), (3, 3, 3), (1, 4, 1), (3, 8, 1)])
def test_attention_is_its_slow_twin(n_tokens: int, width: int, n_heads: int) -> None:
    attention = drawn(Attention(width, n_heads))
    a = numbers(3, n_tokens, width)
    with torch.no_grad():
        torch.testing.assert_close(attention(a), slow_attention(attention, a), rtol=1e-12, atol=1e-12)


def test_a_block_is_its_slow_twin() -> None:
    block, a = drawn(Block(6, 2, 9)), numbers(2, 4, 6)

    def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=2, keepdim=True)
        variance = centred.square().mean(dim=2, keepdim=True)
        return centred / (variance + 1e-5).sqrt() * layer.weight + layer.bias

    with torch.no_grad():
        middle = a + slow_attention(block.attention, norm(block.attention_norm, a))
        hidden = norm(block.mlp_norm, middle) @ block.to_hidden.weight.T + block.to_hidden.bias
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        expected = middle + hidden @ block.to_tokens.weight.T + block.to_tokens.bias
        torch.testing.assert_close(block(a), expected, rtol=1e-10, atol=1e-10)


def test_tokens_that_change_places_change_places_in_the_result() -> None:
    block, a, order = drawn(Block(6, 3, 8)), numbers(2, 7, 6), Randomness(0).permutation(7)
    with torch.no_grad():
        torch.testing.assert_close(block(a[:, order]), block(a)[:, order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 6, 8), (2, 12), (6,)])
def test_patches_that_move_with_all_that_is_their_own_leave_the_code(shape: tuple[int, ...]) -> None:
    """Positions, the code's weights and, of columns, the weights of the embedding go along."""
    encoder = drawn(module(shape, described(2)).encoder)
    patches, x = encoder.patches, numbers(3, *shape)
    order = Randomness(0).permutation(patches.n_tokens)
    moved = patches.join(patches.cut(x)[:, order]).reshape(x.shape)
    with torch.no_grad():
        before, other = encoder(x)[0], encoder(moved)[0]
        bias, weight = encoder.embedding.bias, encoder.to_code.weight
        bias.copy_(bias.reshape(patches.n_tokens, -1)[order].flatten())
        weight.copy_(weight.reshape(len(weight), patches.n_tokens, -1)[:, order].flatten(1))
        if len(shape) == 1:
            encoder.embedding.weight.copy_(encoder.embedding.weight[order])
        after = encoder(moved)[0]
    torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10)
    assert (other - before).abs().max() > 1e-3


# ---------------------------------------------------------------- the chain


@pytest.mark.parametrize("shape", [(2, 5, 7), (3, 8), (7,)])
def test_projections_that_do_nothing_are_the_identity(shape: tuple[int, ...]) -> None:
    patches = Patches.of(shape, 3)
    width = patches.n_values
    network = Transformer(
        Ends(shape, patches.n_tokens * width, patches.n_tokens * width, shape), 3, width, 2, 1, 1.5
    ).double()
    with torch.no_grad():
        for half, first, last in (
            (network.encoder, "embedding", "to_code"),
            (network.decoder, "from_code", "to_values"),
        ):
            for layer in (half.get_submodule(first), half.get_submodule(last)):
                layer.weight.copy_(torch.eye(layer.weight.shape[-1]).expand_as(layer.weight))
                layer.bias.zero_()
            for block in half.blocks:
                for layer in (block.attention.to_tokens, block.to_tokens):
                    layer.weight.zero_()
                    layer.bias.zero_()
        x = numbers(4, *shape)
        code = network.encoder(x)[0]
        assert torch.equal(code, patches.cut(x).flatten(1))
        assert torch.equal(network.decoder(code), x)


@pytest.mark.parametrize("shape", [(2, 5, 7), (3, 8), (7,)])
def test_the_untrained_decoder_begins_at_the_mean(shape: tuple[int, ...]) -> None:
    decoder = module(shape, described(3)).decoder
    outputs = Randomness(0).normal(shape)
    decoder.start_at(outputs)
    with torch.no_grad():
        decoder.to_values.weight.zero_()
        assert torch.equal(decoder(torch.ones(2, 3)), outputs.expand(2, *shape))


def test_each_column_has_weights_of_its_own_and_pictures_share_theirs() -> None:
    layer = drawn(module((7,), described(3)).encoder.embedding)
    a = numbers(2, 3, 3)
    weight, bias = layer.weight, layer.bias.reshape(3, 6)
    with torch.no_grad():
        for t in range(3):
            torch.testing.assert_close(layer(a)[:, t], a[:, t] @ weight[t].T + bias[t])
    assert weight.shape == (3, 6, 3)
    assert module((1, 6, 6), described(3)).encoder.embedding.weight.shape == (6, 9)
    assert module((1, 6, 6), described(3)).decoder.to_values.weight.shape == (9, 6)


# ---------------------------------------------------------------- laws


@settings(max_examples=8)
@given(SHAPES, PATCH_SIZES, TOKENS, st.integers(1, 2))
def test_laws(shape: tuple[int, ...], patch_size: int, tokens: tuple[int, int], depth: int) -> None:
    network = module(shape, described(patch_size, tokens[0], depth, tokens[1])).network
    check_network(network, Ends(shape, 3, 3, shape), Randomness(0).normal((3, *shape)))


@pytest.mark.parametrize(
    ("shape", "patch_size", "chosen"),
    [
        ((3, 5, 7), 2, {"code": GaussianCode()}),
        ((2, 9), 4, {"likelihood": Gaussian("learned")}),
        ((5,), 1, {"penalties": (Contractive(0.1),)}),
        ((1, 4, 3), 3, {"penalties": (Contractive(0.1, "exact"),)}),
    ],
    ids=str,
)
def test_laws_of_the_whole(shape: tuple[int, ...], patch_size: int, chosen: dict[str, Any]) -> None:
    check_module(module(shape, described(patch_size), **chosen), Randomness(0).uniform((4, *shape)))


@pytest.mark.parametrize("shape", [(2, 5, 7), (3, 8), (7,)])
def test_every_parameter_learns_from_the_first_step(shape: tuple[int, ...]) -> None:
    made = module(shape, described(3, depth=2)).double()
    made.objective(numbers(5, *shape), 0).loss.backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad.abs().max() > 1e-6, name


def test_initialisation() -> None:
    networks_of = [module((2, 6, 6), described(2, depth=2), code_size=size).network for size in (3, 3, 4)]
    first, again, other = (network.state_dict() for network in networks_of)
    for name, value in first.items():
        assert torch.equal(value, again[name])
        if "norm" in name:
            assert (value == (1 if name.endswith("weight") else 0)).all()
        else:
            assert 0 < value.abs().max() <= 1
            assert len(value.unique()) == value.numel()
    name = "encoder.embedding.bias"
    assert torch.equal(first[name], other[name])
    assert first[name].abs().max() <= first["encoder.embedding.weight"].shape[-1] ** -0.5


@pytest.mark.parametrize("shape", [(5, 7, 3), (9,)])
def test_a_file_brings_it_back_bit_for_bit(shape: tuple[int, ...]) -> None:
    rows = np.random.default_rng(0).normal(size=(20, *shape)).astype(np.float32)
    source = ArraySource(rows)
    scaling = Scaling.fit(source, np.arange(len(rows)))
    model = Model(code_size=2, likelihood="squared_error", network=described(2, depth=2))
    fitted = FittedModel(Config(model=model), scaling, build(model, scaling.model_shape, seed=0))
    data = fitted.to_bytes()
    again = FittedModel.from_bytes(data)
    assert again.config.model.network == model.network
    assert again.to_bytes() == data
    x = torch.from_numpy(scaling.to_model(rows))
    with torch.no_grad():
        assert torch.equal(again.module.reconstruct(x), fitted.module.reconstruct(x))


def test_it_learns() -> None:
    """Pictures of one bright pixel: the places are a product of attention and MLP, no linear map."""
    made = module((1, 4, 4), described(2, 16, 1, 2), code_size=4)
    x = torch.eye(16).reshape(16, 1, 4, 4)
    made.start_at(x.mean(dim=0))
    optimiser = torch.optim.Adam(made.parameters(), lr=1e-2)
    for step in range(150):
        optimiser.zero_grad()
        made.objective(x, step).loss.backward()
        optimiser.step()
    error = (made.reconstruct(x) - x).square().flatten(1).sum(dim=1).mean()
    pca = (16 - 1 - 4) / 16
    assert error < 0.2 * pca


def test_errors_are_one_sentence() -> None:
    message = r"^Transformer: n_heads must divide width \(64\), got 5\. Every head takes an equal part .*n_heads=4\.$"
    with pytest.raises(ParameterError, match=message):
        networks.Transformer(width=64, n_heads=5)
    with pytest.raises(ParameterError, match=r"width must be in \[2, inf\), got 1"):
        networks.Transformer(width=1)
    with pytest.raises(ParameterError, match=r"depth must be in \[1, 1000\], got 0"):
        networks.Transformer(depth=0)
    with pytest.raises(ParameterError, match=r"mlp_ratio must be in \(0, inf\), got 0"):
        networks.Transformer(mlp_ratio=0)


def test_filters_are_patches_of_pictures_and_weights_of_columns() -> None:
    found = module((3, 6, 6), described(2)).encoder.filters()
    assert found is not None
    assert found[0] == "Patches of the first layer"
    assert found[1].shape == (6, 3, 2, 2)
    assert module((3, 6), described(2)).encoder.filters() is None
    encoder = module((7,), described(2)).encoder
    found = encoder.filters()
    assert found is not None
    assert found[1].shape == (6, 7)
    for column in range(7):
        expected = encoder.embedding.weight[column // 2, :, column % 2]
        assert torch.equal(found[1][:, column], expected)

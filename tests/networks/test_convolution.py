"""What both convolutional networks do, over one and two axes: every way down and up again."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from isthmus.config.parts import networks
from isthmus.errors import ParameterError
from isthmus.networks.base import Ends
from isthmus.networks.conv1d import Conv1d
from isthmus.networks.conv2d import Conv2d
from isthmus.networks.convolution import Convolutional, middles, unpooled
from isthmus.networks.dense import Dense
from isthmus.networks.stages import Stage
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_network

torch.set_num_threads(1)

WAYS = [
    *itertools.product(["stride"], ["transposed", "resize"], [False]),
    *itertools.product(["max_pool"], ["transposed", "resize", "unpool"], [False]),
    ("max_pool", "unpool", True),
    *itertools.product(["average_pool"], ["transposed", "resize"], [False]),
]
SIZES = st.lists(st.integers(1, 19), min_size=1, max_size=2).map(tuple)
KERNELS = st.integers(2, 4).flatmap(lambda stride: st.tuples(st.integers(stride, 6), st.just(stride)))
CONVOLVE = {1: F.conv1d, 2: F.conv2d}


def built(size, n_in=1, channels=(2,), kernel=(3, 2), way=WAYS[0], residual=0, activation="tanh"):
    """A network in float64 with its ends."""
    down, up, switches = way
    ends = Ends((n_in, *size), 3, 3, (n_in, *size))
    network = {1: Conv1d, 2: Conv2d}[len(size)](
        ends, channels, *kernel, activation, down, up, switches, residual
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(normal(parameter.shape, name) / max(1, parameter[0].numel()) ** 0.5)
    return network.double(), ends


def normal(shape, *names) -> Tensor:
    return Randomness(0, "test", *names).normal(tuple(shape)).double()


# Sizes ----------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(SIZES, st.integers(1, 3), KERNELS, st.sampled_from(WAYS), st.integers(1, 3), st.integers(0, 1))
def test_every_size_comes_back_exactly(size, n_in, kernel, way, n_stages, residual) -> None:
    network, _ = built(size, n_in, (2, 3, 2)[:n_stages], kernel, way, residual)
    x = normal((2, n_in, *size))
    code, context = network.encoder(x)
    assert code.shape == (2, 3)
    assert network.decoder(code).shape == x.shape
    assert network.decoder(code, context).shape == x.shape
    assert (context is not None) == way[2]


@settings(max_examples=60)
@given(SIZES, KERNELS, st.sampled_from(WAYS), st.integers(0, 2))
def test_the_stages_that_are_told_are_those_of_the_maps(size, kernel, way, residual) -> None:
    network, _ = built(size, 2, (3, 2), kernel, way, residual)
    seen: list[tuple[int, ...]] = []
    halves = {"encoder": network.encoder, "decoder": network.decoder}
    for half in halves.values():
        for layer in half.convolutions:
            layer.register_forward_hook(lambda layer, _, out: seen.append((layer, tuple(out.shape[1:]))))
    code, _ = network.encoder(normal((1, 2, *size)))
    network.decoder(code)
    facts = network.stages()
    assert [each.half for each in facts] == ["encoder"] * 2 + ["decoder"] * 2
    for each, (layer, output) in zip(facts, seen, strict=True):
        assert layer.kernel_size == each.kernel
        assert output[0] == each.output[0]
        if each.half == "decoder" or way[0] == "stride":
            assert output == each.output
    assert facts[1].output == network.decoder.start_shape
    assert facts[-1].output == (2, *size)
    assert all(("residual" in each.layers) == bool(residual) for each in facts)


@settings(max_examples=120)
@given(st.integers(1, 60), KERNELS)
def test_pooled_windows_hold_every_value_once(n, kernel_window) -> None:
    stage = Stage.pooled((n,), *kernel_window)
    (k,), (w,), (p,), (m,) = stage.kernel, stage.stride, stage.padding, stage.size_out
    windows = [range(i * w, min((i + 1) * w, n)) for i in range(m)]
    assert [value for window in windows for value in window] == list(range(n))
    assert all(window for window in windows)
    drawn = set().union(*(range(i * w - p, i * w - p + k) for i in range(m)))
    assert set(range(n)) <= drawn
    assert (m - 1) * w - 2 * p + k + stage.output_padding[0] == n
    assert 0 <= stage.output_padding[0] < max(2, w)
    assert p < k
    assert F.max_pool1d(torch.zeros(1, 1, n), w, w, ceil_mode=True).shape[-1] == m
    places = middles(stage).tolist()
    assert all(place in window for place, window in zip(places, windows, strict=True))


# Laws -----------------------------------------------------------------------------------------


@settings(max_examples=24)
@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=2).map(tuple),
    st.integers(1, 2),
    KERNELS,
    st.sampled_from(WAYS),
    st.sampled_from([(2,), (3, 2)]),
    st.integers(0, 1),
    st.sampled_from(["identity", "relu", "silu", "tanh"]),
)
def test_laws(size, n_in, kernel, way, channels, residual, activation) -> None:
    network, ends = built(size, n_in, channels, kernel, way, residual, activation)
    check_network(network, ends, normal((3, n_in, *size)))


# Closed forms ---------------------------------------------------------------------------------


@settings(max_examples=60)
@given(SIZES, st.integers(1, 3), KERNELS, st.booleans())
def test_transposed_convolution_is_the_adjoint(size, n_in, kernel, pooled) -> None:
    """``<conv(x), y> = <x, convT(y)>``, and convT(y) is a convolution of zero-stuffed y.

    s - 1 zeros between the values, k - 1 - p around them (and the output padding after), the kernel
    flipped (Dumoulin and Visin 2016, relationship 14).
    """
    way = ("average_pool" if pooled else "stride", "transposed", False)
    network, _ = built(size, n_in, (3,), kernel, way)
    stage, up = network.decoder.stages[0], network.decoder.convolutions[0]
    weight, y = up.weight.detach(), normal((2, 3, *stage.size_out), "y")
    got = up(y).detach() - up.bias.detach().reshape(1, -1, *[1] * len(size))
    stuffed = y.new_zeros(
        (2, 3, *((m - 1) * s + 1 for m, s in zip(stage.size_out, stage.stride, strict=True)))
    )
    stuffed[(..., *(slice(None, None, s) for s in stage.stride))] = y
    around = [
        side
        for k, p, extra in reversed(list(zip(stage.kernel, stage.padding, stage.output_padding, strict=True)))
        for side in (k - 1 - p, k - 1 - p + extra)
    ]
    flipped = weight.transpose(0, 1).flip(list(range(2, weight.ndim)))
    torch.testing.assert_close(got, CONVOLVE[len(size)](F.pad(stuffed, around), flipped))
    assert got.shape[2:] == size
    x = normal((2, n_in, *size), "x")
    before = [
        side
        for n, m, k, s, p in reversed(
            list(zip(size, stage.size_out, stage.kernel, stage.stride, stage.padding, strict=True))
        )
        for side in (p, (m - 1) * s + k - n - p)
    ]
    seen = CONVOLVE[len(size)](F.pad(x, before), weight, stride=stage.stride)
    torch.testing.assert_close((seen * y).sum(), (x * got).sum(), rtol=1e-10, atol=1e-10)


@settings(max_examples=40)
@given(SIZES, KERNELS, st.sampled_from([w for w in WAYS if w[1] != "transposed"]))
def test_the_decoders_convolution_mirrors_the_encoders(size, kernel, way) -> None:
    """The stride-1 convolution after unpooling is the adjoint of the one before pooling."""
    network, _ = built(size, 1, (2,), kernel, ("max_pool", way[1], way[2]))
    seen: dict[str, Tensor] = {}
    down, up = network.encoder.convolutions[0], network.decoder.convolutions[0]
    up.weight.data = down.weight.data.transpose(0, 1).flip(list(range(2, down.weight.ndim)))
    for name, layer in (("down", down), ("up", up)):
        layer.bias.data.zero_()
        layer.register_forward_hook(
            lambda _, given, out, name=name: seen.update({name: out, f"{name}_in": given[0]})
        )
    x = normal((1, 1, *size))
    h, context = network.encoder(x)
    network.decoder(h, context)
    # Strip the padding of what entered the decoder's convolution: y is what was unpooled.
    k = network.decoder.stages[0].keeping
    inner = tuple(slice(side // 2, side // 2 + n) for side, n in zip(k, size, strict=True))
    y = seen["up_in"][(..., *inner)]
    assert y.shape[2:] == size
    torch.testing.assert_close((seen["down"] * y).sum(), (x * seen["up"]).sum(), rtol=1e-9, atol=1e-9)


@given(SIZES, KERNELS)
@settings(max_examples=40)
def test_unpooling_by_switches_gives_each_window_its_maximum_back(size, kernel) -> None:
    network, _ = built(size, 1, (2,), kernel, ("max_pool", "unpool", True))
    a = normal((2, 2, *size))
    stage, switches = network.encoder.stages[0], list[Tensor]()
    pooled = network.encoder._pooled(a, stage, switches)
    back = unpooled(pooled, size, switches[0])
    assert bool(((back == a) | (back == 0)).all())
    torch.testing.assert_close(network.encoder._pooled(back.abs(), stage, []), pooled.abs())
    assert int((back != 0).sum()) == pooled.numel()
    fixed = unpooled(pooled, size, middles(stage))
    assert int((fixed != 0).sum()) == pooled.numel()
    torch.testing.assert_close(fixed.flatten(2)[..., middles(stage).flatten()], pooled.flatten(2))


def test_the_middle_of_two_by_two_is_its_top_left() -> None:
    assert middles(Stage.pooled((5, 4), 2, 2)).tolist() == [[0, 2], [8, 10], [16, 18]]
    assert middles(Stage.pooled((7,), 3, 3)).tolist() == [1, 4, 6]


@pytest.mark.parametrize("size", [(9,), (7, 5)])
def test_resizing_repeats_each_value_over_its_window(size) -> None:
    network, _ = built(size, 1, (1,), (3, 2), ("max_pool", "resize", False))
    stage = network.decoder.stages[0]
    up = network.decoder.convolutions[0]
    up.weight.data.zero_()
    up.weight.data[(..., *[1] * len(size))] = 1.0
    up.bias.data.zero_()
    h = normal((1, 3))
    start = torch.tanh(network.decoder.from_code(h))
    expected = start
    for axis, (w, n) in enumerate(zip(stage.stride, size, strict=True), start=2):
        expected = expected.repeat_interleave(w, dim=axis).narrow(axis, 0, n)
    torch.testing.assert_close(network.decoder(h), expected)


def test_average_pooling_is_the_mean_of_each_window() -> None:
    network, _ = built((5,), 1, (1,), (3, 2), ("average_pool", "resize", False))
    a = torch.tensor([[[1.0, 3.0, 5.0, 9.0, 4.0]]]).double()
    pooled = network.encoder._pooled(a, network.encoder.stages[0], [])
    assert pooled.flatten().tolist() == [2.0, 7.0, 4.0]


@pytest.mark.parametrize("size", [(9,), (6, 5)])
def test_a_residual_block_without_its_last_weights_is_the_identity(size) -> None:
    plain, _ = built(size, 2, (3,))
    network, _ = built(size, 2, (3,), residual=2)
    network.load_state_dict(plain.state_dict(), strict=False)
    x = normal((2, 2, *size))
    assert not torch.allclose(network.encoder(x)[0], plain.encoder(x)[0])
    for half in (network.encoder, network.decoder):
        for block in itertools.chain(*half.blocks):
            block.second.weight.data.zero_()
            block.second.bias.data.zero_()
    torch.testing.assert_close(network.encoder(x)[0], plain.encoder(x)[0])
    h = normal((2, 3))
    torch.testing.assert_close(network.decoder(h), plain.decoder(h))


@pytest.mark.parametrize("size", [(16,), (8, 8)])
def test_circular_convolutions_move_with_their_input(size) -> None:
    """With our kernels around a circle, stride 1: a shifted input gives the shifted maps, exactly."""
    network, _ = built(size, 2, (3,), (3, 2), ("average_pool", "resize", False))
    down, up = network.encoder.convolutions[0].weight, network.decoder.convolutions[0].weight

    def circular(x: Tensor, weight: Tensor) -> Tensor:
        return CONVOLVE[len(size)](F.pad(x, [1, 1] * len(size), mode="circular"), weight)

    def autoencoder(x: Tensor) -> Tensor:
        return circular(torch.tanh(circular(x, down)), up)

    x, axes = normal((1, 2, *size)), list(range(2, 2 + len(size)))
    for shift in (1, 3, -2):
        shifts = [shift] * len(size)
        assert torch.equal(autoencoder(x.roll(shifts, axes)), autoencoder(x).roll(shifts, axes))


@pytest.mark.parametrize("size", [(1,), (1, 1)])
@pytest.mark.parametrize("way", [w for w in WAYS if w[0] != "stride"])
def test_on_single_values_every_way_is_dense_over_channels(size, way) -> None:
    network, _ = built(size, 4, (6,), (2, 2), way)
    dense = Dense(Ends((4,), 3, 3, (4,)), (6,), "tanh").double()
    with torch.no_grad():
        dense.encoder.layers[0].weight.copy_(network.encoder.convolutions[0].weight.flatten(1))
        dense.encoder.layers[0].bias.copy_(network.encoder.convolutions[0].bias)
        dense.encoder.layers[1].load_state_dict(network.encoder.to_code.state_dict())
        dense.decoder.layers[0].load_state_dict(network.decoder.from_code.state_dict())
        last = network.decoder.convolutions[0].weight.flatten(1)
        dense.decoder.layers[1].weight.copy_(last.T if way[1] == "transposed" else last)
        dense.decoder.layers[1].bias.copy_(network.decoder.convolutions[0].bias)
    x = normal((5, 4))
    code, twin = network.encoder(x.reshape(5, 4, *size))[0], dense.encoder(x)[0]
    torch.testing.assert_close(code, twin)
    torch.testing.assert_close(network.decoder(code).flatten(1), dense.decoder(twin))


# Receptive fields -----------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.lists(st.integers(4, 40), min_size=1, max_size=1).map(tuple)
    | st.lists(st.integers(3, 14), min_size=2, max_size=2).map(tuple),
    KERNELS,
    st.sampled_from([w for w in WAYS if w[1] == "resize"]),
    st.integers(1, 3),
    st.integers(0, 1),
    st.data(),
)
def test_a_unit_sees_exactly_its_receptive_field(size, kernel, way, n_stages, residual, data) -> None:
    """``d unit / d x`` is not 0 within the field, and 0 everywhere else."""
    network, _ = built(size, 1, (2, 2, 2)[:n_stages], kernel, way, residual)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.01).mul_(0.1)  # nothing cancels, and no unit saturates
    maps: list[Tensor] = []
    network.encoder.to_code.register_forward_hook(lambda _, given, __: maps.append(given[0]))
    seen = torch.zeros(size, dtype=torch.bool)
    stage, field = network.encoder.stages[-1], network.fields()[-1]
    unit = tuple(data.draw(st.integers(0, m - 1)) for m in stage.size_out)
    draws = 1 if way[0] != "max_pool" else 60
    for draw in range(draws):
        x = (0.1 * normal((1, 1, *size), draw)).abs().requires_grad_()  # and no unit is cut off
        network.encoder(x)
        there = maps[-1][(0, slice(None), *unit)].sum()
        (gradient,) = torch.autograd.grad(there, x)
        seen |= gradient[0, 0] != 0
    expected = torch.zeros(size, dtype=torch.bool)
    ranges = field.of_unit(unit, size)
    expected[tuple(slice(each.start, each.stop) for each in ranges)] = True
    if way[0] == "max_pool":  # only the largest of a window is seen at a time
        assert not bool((seen & ~expected).any())
        assert bool(seen.any())
    else:
        assert torch.equal(seen, expected)
    assert all(len(each) <= span for each, span in zip(ranges, field.size, strict=True))
    assert network.stages()[n_stages - 1].receptive_field == field.size


def test_the_field_of_a_max_pool_is_seen_as_a_whole_over_many_inputs() -> None:
    network, _ = built((21,), 1, (2, 2), (3, 2), ("max_pool", "resize", False))
    x = normal((400, 1, 21)).requires_grad_()
    maps: list[Tensor] = []
    network.encoder.to_code.register_forward_hook(lambda _, given, __: maps.append(given[0]))
    network.encoder(x)
    (gradient,) = torch.autograd.grad(maps[0][:, :, 2].sum(), x)
    seen = torch.nonzero((gradient[:, 0] != 0).any(dim=0)).flatten().tolist()
    (field,) = network.fields()[-1].of_unit((2,), (21,))
    assert seen == list(field)


def test_the_field_of_the_default_stages_by_hand() -> None:
    network, _ = built((28, 28), 1, (2, 2), (4, 2))
    assert [field.size for field in network.fields()] == [(4, 4), (10, 10)]
    assert network.fields()[1].step == (4, 4)


# Descriptions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("described", [networks.Conv1d, networks.Conv2d])
def test_impossible_combinations_name_both_sides(described) -> None:
    who = described.__name__
    with pytest.raises(ParameterError, match=f"{who}: up='unpool' needs down='max_pool'.*down='stride'"):
        described(up="unpool")
    with pytest.raises(ParameterError, match=f"{who}: down='max_pool' needs a stride of at least 2.* got 1"):
        described(down="max_pool", stride=1)
    with pytest.raises(ParameterError, match=f"{who}: residual must be in"):
        described(residual=-1)
    with pytest.raises(ParameterError, match=f"{who}: kernel_size must be at least stride"):
        described(kernel_size=2, stride=3)


def test_conv1d_wants_sequences() -> None:
    with pytest.raises(ParameterError, match=r"Conv1d: expected sequences .* rows of shape 1 x 7 x 7\."):
        Conv1d(Ends((1, 7, 7), 2, 2, (1, 7, 7)), (4,), 4, 2, "relu")
    with pytest.raises(ParameterError, match=r"Conv2d: expected pictures .* rows of shape 3 x 7\."):
        Conv2d(Ends((3, 7), 2, 2, (3, 7)), (4,), 4, 2, "relu")


def test_both_are_one_network() -> None:
    """A picture of one row is a sequence, whatever the way."""
    for way in WAYS:
        flat, _ = built((1, 11), 2, (3, 2), (4, 2), way, residual=1)
        line, _ = built((11,), 2, (3, 2), (4, 2), way, residual=1)
        weights = {
            name: value.squeeze(-2) if value.ndim == 4 else value for name, value in flat.state_dict().items()
        }
        line.load_state_dict(weights)
        x = normal((3, 2, 11))
        h, context = flat.encoder(x.unsqueeze(2))
        twin, other = line.encoder(x)
        torch.testing.assert_close(h, twin)
        torch.testing.assert_close(flat.decoder(h).squeeze(2), line.decoder(twin))
        torch.testing.assert_close(flat.decoder(h, context).squeeze(2), line.decoder(twin, other))
        assert isinstance(flat, Convolutional)

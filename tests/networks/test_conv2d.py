"""Convolutions: exact sizes, the adjoint identity, every pixel seen and drawn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isthmus.errors import ParameterError
from isthmus.networks.base import Ends
from isthmus.networks.conv2d import Conv2d
from isthmus.networks.dense import Dense
from isthmus.networks.stages import Stage
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_network

torch.set_num_threads(1)

SIDES = st.integers(1, 40)
KERNELS = st.integers(1, 5).flatmap(lambda stride: st.tuples(st.integers(stride, 7), st.just(stride)))


def built(shape, channels, kernel, stride, size=3, activation="tanh") -> tuple[Conv2d, Ends]:
    ends = Ends(shape, size, size, shape)
    network = Conv2d(ends, channels, kernel, stride, activation)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(Randomness(0, name).normal(parameter.shape) / max(1, parameter[0].numel()) ** 0.5)
    return network, ends


@settings(max_examples=80)
@given(SIDES, SIDES, st.integers(1, 4), KERNELS, st.integers(1, 3))
def test_every_size_comes_back_exactly(height, width, n_in, kernel_stride, n_stages) -> None:
    kernel, stride = kernel_stride
    network, _ = built((n_in, height, width), (2, 3, 2)[:n_stages], kernel, stride)
    x = Randomness(0).normal((2, n_in, height, width))
    code, _ = network.encoder(x)
    assert code.shape == (2, 3)
    assert network.decoder(code).shape == x.shape


@settings(max_examples=60)
@given(SIDES, SIDES, st.integers(1, 4), KERNELS)
def test_the_decoders_convolution_is_the_encoders_adjoint(height, width, n_in, kernel_stride) -> None:
    """``<conv(x), y> = <x, convT(y)>`` with the same weights."""
    kernel, stride = kernel_stride
    network, _ = built((n_in, height, width), (3,), kernel, stride)
    down, up = network.double().encoder.convolutions[0], network.decoder.convolutions[-1]
    with torch.no_grad():
        up.weight.copy_(down.weight)
        up.bias.zero_()
        down.bias.zero_()
        x = Randomness(0, "x").normal((2, n_in, height, width)).double()
        seen = down(x)
        y = Randomness(0, "y").normal(seen.shape).double()
        assert up(y).shape == x.shape
        torch.testing.assert_close((seen * y).sum(), (x * up(y)).sum(), rtol=1e-10, atol=1e-10)


@settings(max_examples=100)
@given(st.integers(1, 200), KERNELS)
def test_every_pixel_lies_in_a_window(n: int, kernel_stride: tuple[int, int]) -> None:
    kernel, stride = kernel_stride
    stage = Stage.of((n, 1), kernel, stride)
    k, s, p, out = stage.kernel[0], stage.stride[0], stage.padding[0], stage.size_out[0]
    windows = [set(range(i * s - p, i * s - p + k)) for i in range(out)]
    pixels = set(range(n))
    assert pixels <= set().union(*windows)
    assert all(window & pixels for window in windows)
    assert (out - 1) * s - 2 * p + k + stage.output_padding[0] == n
    assert stage.output_padding[0] < max(s, 2)
    assert k == 1 or -(-n // s) >= out - 1 >= n // s - 1


@pytest.mark.parametrize("n", [1, 2, 3, 28, 32, 33])
def test_the_default_stage_halves(n: int) -> None:
    out = Stage.of((n, n), 4, 2).size_out[0]
    assert out == (n // 2 if n > 1 else 1)


@settings(max_examples=12)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 3),
    KERNELS,
    st.sampled_from([(2,), (3, 2)]),
    st.sampled_from(["identity", "relu", "silu", "tanh"]),
)
def test_laws(height, width, n_in, kernel_stride, channels, activation) -> None:
    network, ends = built((n_in, height, width), channels, *kernel_stride, activation=activation)
    check_network(network, ends, Randomness(0).normal((3, n_in, height, width)))


def test_the_smallest_kernels_lose_no_edge() -> None:
    """Kernel as large as the stride, and a size that it does not divide."""
    network, ends = built((1, 5, 7), (2,), 2, 2)
    check_network(network, ends, Randomness(0).normal((3, 1, 5, 7)))


def test_a_1x1_convolution_is_dense_over_channels() -> None:
    network, _ = built((4, 1, 1), (6,), 1, 1, size=3)
    dense = Dense(Ends((4,), 3, 3, (4,)), (6,), "tanh")
    with torch.no_grad():
        dense.encoder.layers[0].weight.copy_(network.encoder.convolutions[0].weight.flatten(1))
        dense.encoder.layers[0].bias.copy_(network.encoder.convolutions[0].bias)
        dense.encoder.layers[1].load_state_dict(network.encoder.to_code.state_dict())
        dense.decoder.layers[0].load_state_dict(network.decoder.from_code.state_dict())
        dense.decoder.layers[1].weight.copy_(network.decoder.convolutions[0].weight.flatten(1).T)
        dense.decoder.layers[1].bias.copy_(network.decoder.convolutions[0].bias)
    x = Randomness(0).normal((5, 4))
    code, twin = network.encoder(x[..., None, None])[0], dense.encoder(x)[0]
    torch.testing.assert_close(code, twin)
    torch.testing.assert_close(network.decoder(code).flatten(1), dense.decoder(twin))


def test_a_kernel_as_large_as_the_picture_is_dense() -> None:
    network, _ = built((2, 3, 3), (5,), 3, 3, size=4)
    convolution = network.encoder.convolutions[0]
    x = Randomness(0).normal((4, 2, 3, 3))
    expected = x.flatten(1) @ convolution.weight.flatten(1).T + convolution.bias
    torch.testing.assert_close(convolution(x).flatten(1), expected)


def test_nothing_is_squashed_at_the_outputs() -> None:
    network, _ = built((1, 4, 4), (2,), 2, 2)
    with torch.no_grad():
        network.decoder.convolutions[-1].bias.fill_(-100.0)
    assert network.decoder(torch.zeros(1, 3)).max() < -50


def test_start_at_is_each_channels_mean() -> None:
    network, _ = built((3, 4, 5), (2,), 4, 2)
    network.decoder.start_at(torch.arange(60.0).reshape(3, 4, 5))
    assert network.decoder.convolutions[-1].bias.tolist() == [9.5, 29.5, 49.5]


def test_errors_are_one_sentence() -> None:
    with pytest.raises(
        ParameterError, match=r"Conv2d: expected pictures .* got rows of shape 7\. Give sample_shape"
    ):
        Conv2d(Ends((7,), 2, 2, (7,)), (4,), 4, 2, "relu")
    with pytest.raises(ParameterError, match=r"channels must name at least one stage, got \(\)"):
        Conv2d(Ends((1, 7, 7), 2, 2, (1, 7, 7)), (), 4, 2, "relu")


def test_layers_count() -> None:
    network, _ = built((1, 28, 28), (4, 8), 4, 2)
    assert [c.weight.shape[0] for c in network.encoder.convolutions] == [4, 8]
    assert sum(isinstance(m, nn.ConvTranspose2d) for m in network.decoder.modules()) == 2
    assert network.decoder.start_shape == (8, 7, 7)


def test_a_side_of_one_pixel_is_left_as_it_is() -> None:
    stage = Stage.of((1, 8), 3, 2)
    assert stage.kernel == (1, 3)
    assert stage.size_out == (1, 4)

"""Convolutional networks in whole numbers: every way down and up, exact and near the real ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from isthmus.codec.frozen import maps as frozen_maps
from isthmus.codec.frozen.maps import Convolution, Pool, Spread, Swap, Windows
from isthmus.codec.frozen.modules import freeze
from isthmus.codec.frozen.network import FrozenNetwork
from isthmus.config.parts.activations import Activation
from isthmus.config.parts.networks import Down, Up
from isthmus.errors import ParameterError
from isthmus.networks.base import Ends, Network
from isthmus.networks.conv1d import Conv1d
from isthmus.networks.conv2d import Conv2d

torch.set_num_threads(1)

# Loaded by its path: tests are no package.
_spec = importlib.util.spec_from_file_location("slow_networks", Path(__file__).with_name("slow_networks.py"))
assert _spec is not None
assert _spec.loader is not None
slow_networks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(slow_networks)

CHANCE = np.random.default_rng


def convolutional(size, channels_in: int, seed: int = 0, **more) -> Network:
    """A network of maps between ``(channels_in, *size)`` and a code of 5."""
    kind = Conv1d if len(size) == 1 else Conv2d
    options = {"channels": (4, 6), "kernel_size": 3, "stride": 2, "activation": "relu", **more}
    shape = (channels_in, *size)
    network = kind(Ends(shape, 7, 5, shape), **options).double()
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            fan = max(1, parameter[0].numel()) if parameter.ndim > 1 else 10
            draws = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
            parameter.copy_(draws * 1.4 / fan**0.5)
    return network


def pictures(n: int, shape, seed: int = 0) -> np.ndarray:
    return CHANCE(seed).integers(0, 256, size=(n, *shape)).astype(np.float64)


def codes(n: int, seed: int = 0) -> np.ndarray:
    return np.rint(CHANCE(seed).normal(size=(n, 5)) * 16)


def real(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        outputs = module(torch.from_numpy(x))
    return (outputs[0] if isinstance(outputs, tuple) else outputs).numpy()


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())


def check_near(network: Network, shape, most: float, n: int = 60) -> tuple[FrozenNetwork, FrozenNetwork]:
    encoder = freeze(network.encoder, pictures(n, shape) / 255, 255, weight_bits=14)
    x = pictures(20, shape, seed=1)
    assert relative(encoder(x) / encoder.output_scale, real(network.encoder, x / 255)) < most
    decoder = freeze(network.decoder, codes(n) / 16, 16, weight_bits=14)
    h = codes(20, seed=1)
    found = decoder(h) / decoder.output_scale
    assert found.shape == (20, *shape)
    assert relative(found, real(network.decoder, h / 16)) < most
    return encoder, decoder


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (13,), (1, 6)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("up", get_args(Up))
@pytest.mark.parametrize("down", get_args(Down))
def test_every_way_down_and_up_is_that_of_the_real_network(size, channels, down, up) -> None:
    network = convolutional(size, channels, down=down, up=up, residual=len(size) - 1)
    check_near(network, (channels, *size), 1e-3)


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation(activation: Activation) -> None:
    check_near(convolutional((6, 6), 2, activation=activation, residual=1), (2, 6, 6), 1e-3)


@example(
    (3,), 1, 1, 3, "max_pool", "transposed", "relu", 0, 0
)  # a kernel that its stride leaves gaps between
@example((6,), 1, 1, 4, "stride", "transposed", "relu", 0, 0)  # and that begins more than a kernel outside
@settings(max_examples=20, deadline=None)
@given(
    size=st.lists(st.integers(1, 6), min_size=1, max_size=2).map(tuple),
    channels=st.integers(1, 2),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    down=st.sampled_from(get_args(Down)),
    up=st.sampled_from(get_args(Up)),
    activation=st.sampled_from(("relu", "selu", "identity", "sigmoid")),
    residual=st.integers(0, 2),
    seed=st.integers(0, 50),
)
def test_a_slow_reader_in_pythons_integers_finds_the_same_numbers(
    size, channels, kernel, stride, down, up, activation, residual, seed
) -> None:
    network = convolutional(
        size,
        channels,
        seed,
        channels=(2, 3),
        kernel_size=kernel,
        stride=stride,
        down=down,
        up=up,
        activation=activation,
        residual=residual,
    )
    shape = (channels, *size)
    encoder = freeze(network.encoder, pictures(8, shape, seed) / 255, 255)
    decoder = freeze(network.decoder, codes(8, seed) / 16, 16)
    for frozen, inputs in ((encoder, shape), (decoder, (5,))):
        rows = CHANCE(seed).integers(-(2**21), 2**21, size=(2, *inputs))
        rows[0] = CHANCE(seed).integers(0, 256, size=inputs)
        data = frozen.to_bytes()
        expected = slow_networks.SlowNetwork(data)(rows.reshape(2, -1).tolist())
        again = FrozenNetwork.from_bytes(data)
        again.check()
        assert again.to_bytes() == data
        assert again(rows).reshape(2, -1).astype(np.int64).tolist() == expected
        assert frozen(rows).tobytes() == again(rows).tobytes()


@pytest.mark.parametrize("values_at_once", [1, 500, 2**30])
def test_blocks_of_rows_and_lines_change_nothing(monkeypatch, values_at_once: int) -> None:
    network = convolutional((9, 8), 2, residual=1, activation="tanh")
    encoder, decoder = check_near(network, (2, 9, 8), 1e-3)
    x, h = pictures(30, (2, 9, 8)), codes(30)
    expected = encoder(x), decoder(h)
    monkeypatch.setattr(frozen_maps, "VALUES_AT_ONCE", values_at_once)
    assert np.concatenate([encoder(row[None]) for row in x]).tobytes() == expected[0].tobytes()
    for n_rows in (1, 7, 30):
        encoder._n_rows = decoder._n_rows = n_rows
        assert encoder(x).tobytes() == expected[0].tobytes()
        assert decoder(h).tobytes() == expected[1].tobytes()
    assert not np.signbit(expected[1][expected[1] == 0]).any()


def test_maps_of_any_layout_in_memory() -> None:
    network = convolutional((6, 5), 3)
    encoder = freeze(network.encoder, pictures(20, (3, 6, 5)) / 255, 255)
    rows = pictures(4, (3, 6, 5))
    inside_out = np.ascontiguousarray(np.moveaxis(rows, 1, -1))
    np.testing.assert_array_equal(encoder(np.moveaxis(inside_out, -1, 1)), encoder(rows))


def test_wide_kernels_are_rounded_one_weight_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network = convolutional((8, 8), 2)
    monkeypatch.setattr("isthmus.codec.frozen.rounding.MOST_INPUTS", 10)
    check_near(network, (2, 8, 8), 2e-3)


def test_maps_have_one_input_scale() -> None:
    network = convolutional((4, 4), 1)
    with pytest.raises(ParameterError, match="one input_scale for all"):
        freeze(network.encoder, pictures(5, (1, 4, 4)) / 255, np.full((1, 4, 4), 255.0))


def test_sums_over_a_window_count_all_of_its_values() -> None:
    windows = Windows((4, 4), (4, 4), (3, 3), (1, 1), (1, 1), transposed=False)
    one = np.ones(1, np.int64)
    within = (2**53 - 2) // 18
    Convolution(windows, np.ones((1, 9, 2), np.int64), one, one, 5, within)
    with pytest.raises(ParameterError, match="2\\^53"):
        Convolution(windows, np.ones((1, 9, 2), np.int64), one, one, 5, within + 1)
    with pytest.raises(ParameterError, match="2\\^53"):
        Pool((4, 4), 1, (2, 2), 2**38, mean=True)


@pytest.mark.parametrize(
    ("size_in", "size_out", "stride", "before", "transposed"),
    [((4, 4), (40, 4), 1, 1, False), ((4, 4), (4, 4), 1, 9, False), ((4, 4), (400, 4), 2, 1, True)],
)
def test_windows_far_from_their_map_are_refused(size_in, size_out, stride, before, transposed) -> None:
    with pytest.raises(ParameterError, match="within a kernel"):
        Windows(size_in, size_out, (3, 3), (stride, stride), (before, before), transposed=transposed)


def test_positions_beyond_the_map_are_refused() -> None:
    zero = np.zeros(1, np.int64)
    for lines in ([-2], [4]):
        with pytest.raises(ParameterError, match="positions must be"):
            Spread((4, 4), 1, np.array(lines), zero, 5)


def test_layers_of_other_sizes_are_refused() -> None:
    windows = Windows((4, 4), (4, 4), (3, 3), (1, 1), (1, 1), transposed=False)
    one = np.ones(1, np.int64)
    for layer in (
        Convolution(windows, np.ones((1, 9, 2), np.int64), one, one, 5, 5),
        Pool((4, 4), 2, (2, 2), 5, mean=False),
        Spread((4, 4), 2, np.zeros(8, np.int64), np.zeros(8, np.int64), 5),
        Swap((16, 2), 5),
    ):
        layer.size(32)
        with pytest.raises(ParameterError, match="takes 32 values, got 31"):
            layer.size(31)


def test_an_average_is_rounded_to_the_nearest() -> None:
    values = CHANCE(0).integers(-(2**20), 2**20, size=(50, 9 * 7)).astype(np.float64)
    pool = Pool((9, 7), 1, (3, 2), 2**20, mean=True)
    np.testing.assert_allclose(pool(values), pool.real(values), atol=0.5 + 2**20 * 6 / 2**17)
    flat = np.full((1, 63), 2.0**16)  # 2^16 / 6 is nearer to the whole number above it
    np.testing.assert_array_equal(pool(flat)[0, :3], 2**16 + 2)

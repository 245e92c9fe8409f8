"""Dense layers, mirrored."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isthmus.config.parts.activations import Activation
from isthmus.networks.base import Ends
from isthmus.networks.dense import Dense
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_network

torch.set_num_threads(1)


def widths(module: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]


def test_the_decoder_is_the_encoder_in_reverse() -> None:
    network = Dense(Ends((2, 3), 8, 4, (2, 3)), (10, 7, 5), "relu")
    assert widths(network.encoder) == [(6, 10), (10, 7), (7, 5), (5, 8)]
    assert widths(network.decoder) == [(4, 5), (5, 7), (7, 10), (10, 6)]


def test_no_hidden_layer_is_linear() -> None:
    network = Dense(Ends((6,), 2, 2, (6,)), (), "relu").double()
    assert widths(network) == [(6, 2), (2, 6)]
    x, y = Randomness(0).normal((2, 5, 6)).double()
    f = lambda x: network.encoder(x)[0]  # noqa: E731
    torch.testing.assert_close(f(2 * x - y), 2 * f(x) - f(y))


@settings(max_examples=15)
@given(
    shape=st.sampled_from([(1,), (5,), (2, 3, 4)]),
    hidden=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    size=st.integers(1, 5),
    inputs=st.integers(1, 2),
    activation=st.sampled_from(get_args(Activation)),
)
def test_laws(shape, hidden, size, inputs, activation) -> None:
    ends = Ends(shape, inputs * size, size, shape)
    network = Dense(ends, hidden, activation)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(Randomness(0, name).normal(parameter.shape))
    check_network(network, ends, Randomness(0).normal((4, *shape)))


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_start_at_is_the_untrained_output(hidden: tuple[int, ...]) -> None:
    network = Dense(Ends((2, 3), 4, 4, (2, 3)), hidden, "tanh")
    target = Randomness(0).normal((2, 3))
    network.decoder.start_at(target)
    with torch.no_grad():
        network.decoder.layers[-1].weight.zero_()
    torch.testing.assert_close(network.decoder(torch.randn(1, 4, generator=torch.Generator()))[0], target)

"""A user's own pair of modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from isthmus.errors import ParameterError
from isthmus.networks.base import Ends
from isthmus.networks.custom import Custom
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_network

torch.set_num_threads(1)
ENDS = Ends((2, 3), 4, 2, (2, 3))


def encoder(n_out: int = 4) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, n_out))


def decoder(shape: tuple[int, ...] = (2, 3)) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 6), nn.Unflatten(1, shape))


def test_laws() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pair = encoder(), decoder()
    check_network(Custom(ENDS, *pair), ENDS, Randomness(0).normal((4, 2, 3)))


def test_the_wrong_number_of_code_inputs_is_one_sentence() -> None:
    network = Custom(ENDS, encoder(3), decoder())
    sentence = r"^network: your encoder must give \(rows, 4\), got \(5, 3\)\. The code and the likelihood ask"
    with pytest.raises(ParameterError, match=sentence):
        network.encoder(torch.zeros(5, 2, 3))


def test_the_wrong_output_shape_is_one_sentence() -> None:
    network = Custom(ENDS, encoder(), decoder((3, 2)))
    with pytest.raises(ParameterError, match=r"your decoder must give \(rows, 2, 3\), got \(5, 3, 2\)"):
        network.decoder(torch.zeros(5, 2))


def test_a_context_reaches_the_decoder_and_is_never_needed() -> None:
    class WithContext(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, str]:
            return x.flatten(1)[:, :4], "positions"

    class Helped(nn.Module):
        def forward(self, h: torch.Tensor, context: str | None = None) -> torch.Tensor:
            return torch.full((len(h), 2, 3), float(context == "positions"))

    network = Custom(ENDS, WithContext(), Helped())
    _, context = network.encoder(torch.zeros(5, 2, 3))
    assert context == "positions"
    assert network.decoder(torch.zeros(5, 2), context).unique().item() == 1
    assert network.decoder(torch.zeros(5, 2)).unique().item() == 0

"""Plain sum of squares: no half, no mean."""

from __future__ import annotations

import pytest
import torch

from isthmus.likelihoods.squared_error import SquaredError
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_likelihood

torch.set_num_threads(1)


@pytest.mark.parametrize("shape", [(1,), (7,), (2, 4, 3)])
def test_laws(shape: tuple[int, ...]) -> None:
    check_likelihood(SquaredError(), shape)


def test_it_is_the_sum_of_squares() -> None:
    loss = SquaredError()(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[3.0, 5.0], [0.0, 1.0]]))
    assert loss.tolist() == [13.0, 1.0]
    assert SquaredError.unit == "squared error"


def test_the_reconstruction_is_the_outputs() -> None:
    outputs = Randomness(0).normal((3, 4))
    assert torch.equal(SquaredError().mean(outputs), outputs)
    assert torch.equal(SquaredError().outputs_at(outputs), outputs)

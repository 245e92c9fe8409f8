"""A code that is a plain function."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from isthmus.codes.deterministic import Deterministic
from isthmus.config.parts.activations import Activation
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_code

torch.set_num_threads(1)


@pytest.mark.parametrize("name", get_args(Activation))
@pytest.mark.parametrize("size", [1, 4])
def test_laws(name: Activation, size: int) -> None:
    check_code(Deterministic(size, name))


def test_h_is_the_activation_without_chance_or_rate() -> None:
    code, pre_code = Deterministic(3, "sigmoid"), Randomness(0).normal((4, 3))
    output = code(pre_code, Randomness(0))
    assert output.rates is None
    assert code.rate_per_unit(pre_code) is None
    assert code.scale(pre_code) is None
    assert torch.equal(output.value, ACTIVATIONS["sigmoid"].function(pre_code))
    assert torch.equal(output.value, code(pre_code, Randomness(1)).value)
    assert torch.equal(output.value, code.mean(pre_code))

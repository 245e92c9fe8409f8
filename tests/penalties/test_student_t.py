"""Logarithms of the squares of h: the value, and Olshausen and Field's."""

from __future__ import annotations

import pytest
import torch

from isthmus.config.parts import penalties
from isthmus.errors import ParameterError
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import View
from isthmus.penalties.student_t import StudentT

torch.set_num_threads(1)
H = Randomness(0).normal((5, 4)).double()


def omega(penalty: StudentT) -> torch.Tensor:
    return penalty(View(H, H, lambda x: x, lambda x: None, list, Randomness(0)))


def test_with_one_degree_of_freedom_it_is_the_published_one() -> None:
    torch.testing.assert_close(omega(StudentT(1.0, 0.5)), torch.log(1 + (H / 0.5) ** 2).sum(dim=1))


def test_the_density_of_any_degrees_of_freedom() -> None:
    density = torch.distributions.StudentT(3.5, 0.0, 0.5)
    expected = (density.log_prob(torch.zeros(1)) - density.log_prob(H)).sum(dim=1)
    torch.testing.assert_close(omega(StudentT(1.0, 0.5, 3.5)), expected)


def test_many_degrees_of_freedom_are_a_normal_prior() -> None:
    torch.testing.assert_close(
        omega(StudentT(1.0, 0.5, 1e9)), (H / 0.5).square().sum(dim=1) / 2, rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("name", ["scale", "dof"])
def test_no_width_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match=rf"{name} must be in \(0, inf\), got 0"):
        penalties.StudentT(**{name: 0.0})

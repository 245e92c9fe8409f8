"""What warms up, what is emphasised and what draws several codes: the objective by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from isthmus.config import Model
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import L2
from isthmus.corruptions.masking import Masking
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)
X = Randomness(0).normal((5, 6)).double() + 2


def small(**params: object) -> AutoencoderModule:
    chosen = {"code_size": 2, "network": Dense((4,), "tanh"), "likelihood": "squared_error", **params}
    return build(Model(**chosen), (6,), seed=0).double()  # type: ignore[arg-type]


def test_the_weight_of_a_penalty_rises_over_its_warm_up() -> None:
    module = small(penalties=L2(0.5, warm_up_share=0.4))
    for progress, weight in ((0.0, 0.0), (0.1, 0.125), (0.4, 0.5), (1.0, 0.5)):
        cost = module.objective(X, 0, progress=progress)
        torch.testing.assert_close(cost.loss, cost.terms["distortion"] + weight * cost.terms["l2"])


class Emphasised(Masking):
    def __init__(self, hidden_share: float, emphasis: float) -> None:
        super().__init__(hidden_share)
        self.emphasis = emphasis

    def touched(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        return randomness.uniform(x.shape, like=x) < self.hidden_share


@pytest.mark.parametrize("emphasis", [0.0, 0.5, 1.0])
def test_untouched_values_count_less(emphasis: float) -> None:
    module = small()
    module.corruption = Emphasised(0.5, emphasis)
    touched = module.corruption.touched(X, Randomness(0, "training", 3, "corruption"))
    shown = X * ~touched
    error = (module.decode(module.encode(shown)) - X).square()
    expected = (error * torch.where(touched, 1.0, 1.0 - emphasis)).sum(dim=1).mean()
    torch.testing.assert_close(module.objective(X, 3).loss, expected)


def test_several_draws_make_the_importance_weighted_bound() -> None:
    module = small(code=GaussianCode(n_draws=3))
    draws = module.code(module.encoder(X)[0], Randomness(0, "training", 0, "code"))
    assert draws.log_ratio is not None
    mean, scale = (
        each.repeat_interleave(3, dim=0) for each in module.code_distribution(X) if each is not None
    )
    ratio = Normal(mean, scale).log_prob(draws.value) - Normal(0.0, 1.0).log_prob(draws.value)
    torch.testing.assert_close(draws.log_ratio, ratio.sum(dim=1))
    losses = (module.decode(draws.value) - X.repeat_interleave(3, dim=0)).square().sum(dim=1)
    weights = torch.exp(-losses - draws.log_ratio).reshape(5, 3)
    cost = module.objective(X, 0)
    torch.testing.assert_close(cost.per_example, -torch.log(weights.mean(dim=1)))
    torch.testing.assert_close(cost.loss, cost.per_example.mean())
    torch.testing.assert_close(cost.terms["distortion"], losses.mean())
    assert math.isfinite(cost.terms["rate"].item())

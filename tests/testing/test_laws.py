"""Each law catches a part that breaks it, and says which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from isthmus.codes.base import CodeOutput
from isthmus.codes.deterministic import Deterministic
from isthmus.codes.gaussian import Gaussian
from isthmus.config import Model
from isthmus.config.parts.networks import Dense as DenseDescription
from isthmus.corruptions.base import Corruption
from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.likelihoods.gaussian import Gaussian as GaussianLikelihood
from isthmus.likelihoods.squared_error import SquaredError as Squares
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.networks.base import Ends
from isthmus.networks.custom import Custom
from isthmus.networks.dense import Dense
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.l1 import L1
from isthmus.testing import (
    LawBroken,
    check_code,
    check_corruption,
    check_likelihood,
    check_module,
    check_network,
    check_penalty,
)

torch.set_num_threads(1)
X = Randomness(0).uniform((4, 6)) + 0.1
ENDS = Ends((6,), 2, 2, (6,))


class Broken(Corruption):
    def __init__(self, rule: Callable[[Tensor, Randomness], Tensor]) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        return self.rule(x, randomness)


@pytest.mark.parametrize(
    ("rule", "law"),
    [
        (
            lambda x, r: x + torch.randn(x.shape),
            "torch's global generator was used|bit for bit, at every call",
        ),
        (lambda x, r: x + torch.rand(1) * 0, "torch's global generator was used"),
        (lambda x, r: x + r.normal(x.shape[:1]).mean() + x.mean(), "must not depend on the rows beside it"),
        (lambda x, r: x + r.normal(x.shape[1:]), "each row must have damage of its own"),
        (lambda x, r: x + Randomness(0).normal(x.shape), "another randomness must give another"),
        (lambda x, r: x[:, :-1], "must have shape"),
        (lambda x, r: x.double(), "must be of x's type"),
        (lambda x, r: x.clone() / 0, "must be finite"),
        (lambda x, r: x.clamp_(max=0.5), "x itself must stay clean"),
    ],
)
def test_corruptions(rule: Any, law: str) -> None:
    with pytest.raises(LawBroken, match=law) as caught:
        check_corruption(Broken(rule), X.clone())
    assert str(caught.value).startswith("Broken: ")


class HalfRate(Gaussian):
    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        output = super().forward(pre_code, randomness)
        return CodeOutput(output.value, output.rates / 2)


class Louder(Gaussian):
    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        mean, rates = self.mean(pre_code), super().forward(pre_code, randomness).rates
        return CodeOutput(mean + 1.2 * self.scale(pre_code) * randomness.normal(mean.shape, like=mean), rates)


class Biased(Gaussian):
    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        output = super().forward(pre_code, randomness)
        return CodeOutput(output.value + 0.2 * self.scale(pre_code), output.rates)


class WrongSlope(Deterministic):
    def slope(self, pre_code: Tensor) -> Tensor:
        return self.mean(pre_code)


class Centred(Deterministic):
    def mean(self, pre_code: Tensor) -> Tensor:
        return pre_code - pre_code.mean(dim=0)


class Rateless(Gaussian):
    def rate_per_unit(self, pre_code: Tensor) -> None:
        return None


@pytest.mark.parametrize(
    ("code", "law"),
    [
        (HalfRate(3, 1.0), "in evaluation the rates must be those of rate_per_unit"),
        (Louder(3, 1.0), "the scale that the code states"),
        (Biased(3, 1.0), "the mean that the code states"),
        (WrongSlope(3, "tanh"), "slope must be the mean's derivative"),
        (Centred(3, "identity"), "must not depend on the rows beside it"),
        (Rateless(3, 1.0), "must both be there, or neither"),
    ],
)
def test_codes(code: Any, law: str) -> None:
    with pytest.raises(LawBroken, match=law):
        check_code(code)


class Averaged(Squares):
    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        return super().forward(outputs, x, value_weight) / x[0].numel()


class Unweighted(Squares):
    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        return super().forward(outputs, x)


class Halved(GaussianLikelihood):
    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        return super().forward(outputs, x, value_weight) / 2


class Misplaced(Bernoulli):
    def outputs_at(self, mean: Tensor) -> Tensor:
        return mean


class Detached(Squares):
    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        seen = super().forward(outputs, x, value_weight)
        return (seen + super().forward(outputs.detach(), x, value_weight)) / 2


class Whole(Squares):
    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        return super().forward(outputs, x, value_weight).mean()


@pytest.mark.parametrize(
    ("likelihood", "law"),
    [
        (Averaged(), "summed over values, not averaged"),
        (Unweighted(), "value_weight must scale L"),
        (Halved(1.0), "the density must sum to 1"),
        (Misplaced(), r"the reconstruction of outputs_at\(mean\) must be mean"),
        (Detached(), "the gradient of outputs must be the loss's slope"),
        (Whole(), r"L must have shape \(4,\), got \(\)"),
    ],
)
def test_likelihoods(likelihood: Any, law: str) -> None:
    with pytest.raises(LawBroken, match=law):
        check_likelihood(likelihood, (3,), support="binary" if isinstance(likelihood, Bernoulli) else "real")


class Blind(nn.Module):
    """Never looks at the last value, or draws it."""

    def __init__(self, n_in: int, n_out: int, pad: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_in, n_out)
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(self.layer(x[:, : self.layer.in_features]), (0, self.pad))


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.layer(x)
        return a - a.mean(dim=0)


class Idle(nn.Linear):
    def __init__(self) -> None:
        super().__init__(6, 2)
        self.idle = nn.Parameter(torch.zeros(3))


@pytest.mark.parametrize(
    ("pair", "law"),
    [
        (
            lambda: (Blind(5, 2, 0), nn.Linear(2, 6)),
            "every value of x must matter to the code, but 1 of 6 never do",
        ),
        (
            lambda: (nn.Linear(6, 2), Blind(2, 5, 1)),
            "every output must depend on the code, but 1 of 6 never do",
        ),
        (lambda: (Normalised(), nn.Linear(2, 6)), "pre_code of a row must not depend on the rows beside it"),
        (lambda: (Idle(), nn.Linear(2, 6)), "must receive a gradient, but encoder.module.idle got none"),
        (
            lambda: (nn.Sequential(nn.Linear(6, 2), nn.Dropout(0.5)), nn.Linear(2, 6)),
            "global generator|bit for bit",
        ),
    ],
)
def test_networks(pair: Any, law: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Custom(ENDS, *pair())
        with pytest.raises(LawBroken, match=law):
            check_network(network, ENDS, X)


def test_a_wrong_trace_is_caught() -> None:
    network = Dense(ENDS, (4,), "tanh")
    network.encoder.activation.derivative = torch.ones_like
    with pytest.raises(LawBroken, match="dense_trace must multiply out to the encoder's Jacobian"):
        check_network(network, ENDS, X)


def linear(**params: Any) -> AutoencoderModule:
    model = Model(code_size=2, network=DenseDescription(()), likelihood="squared_error", **params)
    return build(model, (6,), seed=0)


class MeanL1(L1):
    def forward(self, view: Any) -> Tensor:
        return view.h.abs().mean(dim=1)


class BatchL1(L1):
    def forward(self, view: Any) -> Tensor:
        return super().forward(view).mean()


class DetachedL1(L1):
    def forward(self, view: Any) -> Tensor:
        return view.h.detach().abs().sum(dim=1)


@pytest.mark.parametrize(
    ("penalty", "law"),
    [
        (MeanL1(0.1), "summed, not averaged"),
        (BatchL1(0.1), r"Omega must have shape \(4,\), got \(\)"),
        (DetachedL1(0.1), "must be the loss's slope"),
    ],
)
def test_penalties(penalty: Any, law: str) -> None:
    with pytest.raises(LawBroken, match=law):
        check_penalty(penalty, linear(), X)


def test_modules() -> None:
    module = linear(corruption="masking")
    check_module(module, X)
    module.corruption = Broken(lambda x, r: x + torch.randn(x.shape))
    with pytest.raises(LawBroken, match="torch's global generator was used"):
        check_module(module, X)


def test_a_check_leaves_the_part_as_it_was() -> None:
    module = linear()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    check_module(module, X)
    check_network(module.network, ENDS, X)
    check_penalty(L1(0.1), module, X)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.dtype == torch.float32
    assert all(parameter.grad is None for parameter in module.parameters())


def test_it_is_an_assertion() -> None:
    assert issubclass(LawBroken, AssertionError)

"""Penalties as priors: the code of largest posterior density (oracle 17)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributions import Laplace, Normal, StudentT

from isthmus.config import Model
from isthmus.config.catalogue import part_name
from isthmus.config.parts import penalties
from isthmus.config.parts.codes import DeterministicCode
from isthmus.config.parts.likelihoods import Gaussian
from isthmus.config.parts.networks import Dense
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)
X = Randomness(0).normal((8, 6)).double()
DENSITIES = {
    "laplace_prior": (penalties.LaplacePrior(0.7), Laplace(0.0, 0.7)),
    "normal_prior": (penalties.NormalPrior(0.7), Normal(0.0, 0.7)),
    "student_t_prior": (penalties.StudentTPrior(0.7, 2.5), StudentT(2.5, 0.0, 0.7)),
}


def made(penalty: Any = (), *, size: int = 6, scale: float = 0.5, code: Any = None) -> AutoencoderModule:
    model = Model(
        code_size=size,
        network=Dense(()),
        code=code,
        likelihood=Gaussian(scale),
        penalties=penalty,
    )
    return build(model, (6,), seed=0).double()


@pytest.mark.parametrize("name", DENSITIES)
def test_the_loss_is_the_negative_log_of_the_joint_density(name: str) -> None:
    description, density = DENSITIES[name]
    module = made(description)
    h = module.encode(X)
    joint = Normal(module.decode(h), 0.5).log_prob(X).sum(dim=1) + density.log_prob(h).sum(dim=1)
    torch.testing.assert_close(module.objective(X, 0).per_example, -joint)


@pytest.mark.parametrize(
    "penalty",
    [
        penalties.L1(0.3),
        penalties.L2(0.3),
        penalties.StudentT(0.9, 0.4, 1.5),
        penalties.StudentT(1.0, 0.4, 3.0),
    ],
    ids=repr,
)
def test_a_penalty_is_its_prior_up_to_a_constant(penalty: penalties.Penalty) -> None:
    prior = penalty.prior()
    assert prior is not None
    difference = made(penalty).objective(X, 0).per_example - made(prior).objective(X, 0).per_example
    torch.testing.assert_close(difference, difference[:1].expand(8))
    assert prior.prior() == prior
    assert part_name(prior) in DENSITIES


def test_weight_decay_is_the_prior_on_the_weights() -> None:
    """The log posterior of the weights, given all rows, has the gradient of the objective times ``-rows``."""
    decay = penalties.WeightDecay(0.02)
    module, plain = made(decay), made()
    weights = [w.detach() for w in plain.weights()]
    prior = decay.prior_on_weights(len(X))
    assert prior is not None
    given = -plain.objective(X, 0).loss * len(X)
    ours = -module.objective(X, 0).loss * len(X) - given
    theirs = sum(Normal(0.0, prior.scale).log_prob(w).sum() for w in weights)
    constant = sum(Normal(0.0, prior.scale).log_prob(torch.zeros_like(w)).sum() for w in weights)
    torch.testing.assert_close(ours, theirs - constant, check_dtype=False)


@pytest.mark.parametrize(
    "penalty",
    [
        penalties.L1(0.0),
        penalties.L2(0.0),
        penalties.StudentT(0.5),
        penalties.KLSparsity(),
        penalties.Decorrelation(),
        penalties.Contractive(),
        penalties.WeightDecay(0.0),
    ],
    ids=repr,
)
def test_what_is_of_no_prior_on_the_code_says_so(penalty: penalties.Penalty) -> None:
    assert penalty.prior() is None


def codes_of_largest_density(
    module: AutoencoderModule, step: float, n: int, *, positive: bool
) -> torch.Tensor:
    """Proximal steps on the module's own terms: gradient of L, then the penalty's proximal map."""
    h = torch.zeros(len(X), module.code.size, dtype=X.dtype)
    threshold = step * module.penalties["l1"].weight
    for _ in range(n):
        h.requires_grad_()
        (gradient,) = torch.autograd.grad(module.likelihood(module.decoder(h), X).sum(), h)
        moved = (h - step * gradient).detach()
        h = (moved - threshold).relu() if positive else moved.sign() * (moved.abs() - threshold).relu()
    return h


def put(module: AutoencoderModule, encoder: torch.Tensor, bias: float, decoder: torch.Tensor) -> None:
    with torch.no_grad():
        module.encoder.layers[0].weight.copy_(encoder)
        module.encoder.layers[0].bias.fill_(bias)
        module.decoder.layers[0].weight.copy_(decoder)
        module.decoder.layers[0].bias.zero_()


@pytest.mark.parametrize("positive", [False, True])
def test_with_an_orthonormal_decoder_it_is_the_soft_threshold(positive: bool) -> None:
    """Oracle 17: ``l = s^2 / b``, b the Laplace prior's scale; the rectified encoder gives it in one step."""
    basis = torch.linalg.qr(Randomness(1).normal((6, 6)).double()).Q
    penalty = penalties.L1(1.3)
    prior = penalty.prior()
    assert prior is not None
    threshold = 0.5**2 / prior.scale
    code = DeterministicCode("relu" if positive else "identity")
    module = made(penalty, code=code)
    put(module, basis.T, -threshold if positive else 0.0, basis)
    a = X @ basis
    expected = (a - threshold).relu() if positive else a.sign() * (a.abs() - threshold).relu()
    found = codes_of_largest_density(module, 0.2, 300, positive=positive)
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=0)
    assert 0 < (expected == 0).double().mean() < 1

    def objective(h: torch.Tensor) -> torch.Tensor:
        return module.likelihood(module.decoder(h), X) + 1.3 * h.abs().sum(dim=1)

    least = objective(expected)
    for draw in range(50):
        other = expected + 10.0 ** -(draw % 5) * Randomness(draw).normal(expected.shape).double()
        assert (objective(other.relu() if positive else other) >= least).all()
    if positive:
        torch.testing.assert_close(module.encode(X), expected)
        torch.testing.assert_close(module.objective(X, 0).per_example, least)


def test_with_any_decoder_it_is_the_fixed_point() -> None:
    """``|D^T (x - D z)|_j <= l``, with equality and the unit's sign where ``z_j`` is not 0."""
    decoder, threshold = Randomness(2).normal((6, 9)).double() / 2, 0.5**2 * 0.8
    module = made(penalties.L1(0.8), size=9)
    put(module, torch.zeros(9, 6), 0.0, decoder)
    step = 0.5**2 / torch.linalg.matrix_norm(decoder, 2).item() ** 2
    z = codes_of_largest_density(module, step, 4_000, positive=False)
    pull = (X - z @ decoder.T) @ decoder
    assert (pull.abs() <= threshold + 1e-7).all()
    active = z != 0
    torch.testing.assert_close(pull[active], threshold * z[active].sign(), atol=1e-7, rtol=0)
    assert 0 < active.double().mean() < 1

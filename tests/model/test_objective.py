"""The one objective, against what is known in closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from isthmus.config import Model
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.corruptions import GaussianNoise, Masking
from isthmus.config.parts.likelihoods import Gaussian
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import L1, L2, Contractive, WeightDecay
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)
D, K, N = 6, 3, 400


def linear(**params: Any) -> AutoencoderModule:
    chosen = {"code_size": K, "network": Dense(()), "likelihood": "squared_error", **params}
    return build(Model(**chosen), (D,), seed=0).double()


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centred rows, and the eigenvalues (falling) and eigenvectors of their covariance."""
    x = Randomness(0).normal((N, D)).double() @ Randomness(1).normal((D, D)).double()
    x = x - x.mean(dim=0)
    values, vectors = torch.linalg.eigh(x.T @ x / N)
    return x, values.flip(0), vectors.flip(1)


def put(module: AutoencoderModule, encoder: torch.Tensor, decoder: torch.Tensor) -> None:
    with torch.no_grad():
        for layer, weight in ((module.encoder.layers[0], encoder), (module.decoder.layers[0], decoder)):
            layer.weight.copy_(weight)
            layer.bias.zero_()


def largest_gradient(module: AutoencoderModule, loss: torch.Tensor) -> float:
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    return max(gradient.abs().max().item() for gradient in gradients)


def test_pca_is_the_linear_optimum() -> None:
    """Oracle 1 (Baldi and Hornik 1989): no gradient, and the discarded eigenvalues as loss."""
    x, values, vectors = data()
    module = linear()
    mix = Randomness(2).normal((K, K)).double()
    put(module, mix @ vectors[:, :K].T, vectors[:, :K] @ torch.linalg.inv(mix))
    loss = module.objective(x, 0).loss
    torch.testing.assert_close(loss, values[K:].sum())
    assert largest_gradient(module, loss) < 1e-9
    with torch.no_grad():
        module.encoder.layers[0].weight.add_(0.01)
    assert module.objective(x, 0).loss > loss


@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_weight_decay_shrinks_pca_by_a_known_factor(weight: float) -> None:
    """Oracle 2 (Kunin et al. 2019, proposition): squared singular values ``1 - weight / value``."""
    x, values, vectors = data()
    module = linear(penalties=WeightDecay(weight))
    scale = (1 - weight / values[:K]).clamp(min=0).sqrt()
    put(module, scale.unsqueeze(1) * vectors[:, :K].T, vectors[:, :K] * scale)
    loss = module.objective(x, 0).loss
    kept = values[:K] > weight
    assert kept.all()
    known = (2 * weight - weight**2 / values[:K]).sum() + values[K:].sum()
    torch.testing.assert_close(loss, known)
    assert largest_gradient(module, loss) < 1e-9


def mean_loss(module: AutoencoderModule, x: torch.Tensor, steps: int) -> tuple[float, float]:
    with torch.no_grad():
        losses = torch.stack([module.objective(x, step).loss for step in range(steps)])
    return losses.mean().item(), (losses.std() / steps**0.5).item()


def test_noise_makes_the_wiener_filter() -> None:
    """Oracle 4: loss of the rank-K Wiener filter, ``sum values - sum values^2 / (values + s2)``."""
    x, values, vectors = data()
    s2 = 0.7
    module = linear(corruption=GaussianNoise(s2**0.5))
    put(module, (values[:K] / (values[:K] + s2)).unsqueeze(1) * vectors[:, :K].T, vectors[:, :K])
    known = values.sum() - (values[:K].square() / (values[:K] + s2)).sum()
    got, error = mean_loss(module, x, 300)
    assert abs(got - known) < 4 * error
    assert error < 0.01 * known


def test_masking_makes_the_marginalised_denoiser() -> None:
    """Oracle 5 (Chen et al. 2012): ``A = P Q^-1``, loss ``tr(S - P Q^-1 P)``, values not rescaled."""
    x, _, _ = data()
    share, s = 0.3, x.T @ x / N
    p = (1 - share) * s
    q = (1 - share) ** 2 * s + share * (1 - share) * torch.diag(s.diag())
    module = linear(code_size=D, corruption=Masking(share))
    put(module, p @ torch.linalg.inv(q), torch.eye(D, dtype=x.dtype))
    got, error = mean_loss(module, x, 300)
    known = torch.trace(s - p @ torch.linalg.inv(q) @ p).item()
    assert abs(got - known) < 4 * error
    assert error < 0.01 * known


def test_the_linear_evidence_is_probabilistic_pca() -> None:
    """Oracle 6 (Tipping and Bishop 1999): the bound meets the log likelihood; the rate is known."""
    x, values, vectors = data()
    s2 = values[K:].mean()
    module = linear(code=GaussianCode(), likelihood=Gaussian(s2.sqrt().item()))
    lead, u = values[:K], vectors[:, :K]
    w = u * (lead - s2).sqrt()
    put(module, torch.cat([((lead - s2).sqrt() / lead).unsqueeze(1) * u.T, torch.zeros(K, D).double()]), w)
    with torch.no_grad():
        module.encoder.layers[0].bias[K:] = torch.log(s2 / lead)
    terms = module.objective(x, 0).terms
    torch.testing.assert_close(terms["rate"], (lead / s2).log().sum() / 2, rtol=1e-6, atol=0)
    evidence = -(D * torch.log(2 * torch.tensor(torch.pi)) + lead.log().sum() + (D - K) * s2.log() + D) / 2
    got, error = mean_loss(module, x, 300)
    assert abs(got + evidence) < 4 * error + 1e-6
    assert error < 0.01 * abs(evidence)


def everything(**params: Any) -> AutoencoderModule:
    return linear(
        **{
            "network": Dense((4,), "tanh"),
            "code": GaussianCode(0.5),
            "likelihood": Gaussian("learned"),
            "corruption": Masking(0.3),
            "penalties": (L1(0.1), L2(0.2), WeightDecay(0.3), Contractive(0.4, "estimate")),
            **params,
        }
    )


def test_it_is_a_function_of_seed_batch_and_step() -> None:
    x, _, _ = data()
    module = everything()
    before = torch.get_rng_state()
    loss = module.objective(x, 3).loss
    assert torch.equal(loss, module.objective(x, 3).loss)
    assert not torch.equal(loss, module.objective(x, 4).loss)
    assert not torch.equal(loss, module.objective(x + 0.1, 3).loss)
    module.seed = 1
    assert not torch.equal(loss, module.objective(x, 3).loss)
    assert torch.equal(torch.get_rng_state(), before)


def test_terms_add_up_with_their_weights() -> None:
    x, _, _ = data()
    cost = everything().objective(x, 0)
    loss, terms = cost.loss, cost.terms
    assert list(terms) == ["distortion", "rate", "l1", "l2", "weight_decay", "contractive"]
    weights = (1, 0.5, 0.1, 0.2, 0.3, 0.4)
    torch.testing.assert_close(loss, sum(w * t for w, t in zip(weights, terms.values(), strict=True)))


def test_chance_has_a_branch_for_each_purpose() -> None:
    """Corruption leaves the code's noise as it was, and the other way round."""
    x, _, _ = data()
    module = everything(corruption=GaussianNoise(0.0))
    without = everything(corruption=None)
    torch.testing.assert_close(module.objective(x, 3).loss, without.objective(x, 3).loss)


def test_no_two_purposes_share_their_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _, _ = data()
    module = everything(penalties=(Contractive(0.1, "estimate"), Contractive(0.2, "estimate")))
    module.penalties["code"] = module.penalties["contractive"]
    drawn: list[tuple[object, ...]] = []
    generator = Randomness.generator

    def recorded(self: Randomness) -> torch.Generator:
        drawn.append(self.path)
        return generator(self)

    monkeypatch.setattr(Randomness, "generator", recorded)
    module.objective(x, 0)
    assert len(drawn) == len(set(drawn)) == 5


def test_the_gradient_is_the_slope() -> None:
    x, _, _ = data()
    module = everything()
    names, values = zip(*module.named_parameters(), strict=True)

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self) -> torch.Tensor:
            return self.module.objective(x[:3], 0).loss

    holder = Loss()

    def loss(*parameters: torch.Tensor) -> torch.Tensor:
        given = {f"module.{name}": p for name, p in zip(names, parameters, strict=True)}
        return torch.func.functional_call(holder, given, ())

    inputs = tuple(value.detach().clone().requires_grad_() for value in values)
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-6, atol=1e-6)


def test_sample_weight_is_repetition() -> None:
    """No chance here: repeated rows would draw damage of their own."""
    x = data()[0][:5]
    counts = torch.tensor([3, 1, 0, 2, 1])
    module = linear(
        network=Dense((4,), "tanh"),
        code=DeterministicCode("sigmoid"),
        penalties=(L1(0.1), WeightDecay(0.3), Contractive(0.4)),
    )
    weighted = module.objective(x, 0, sample_weight=counts.double() * len(x) / counts.sum())
    repeated = module.objective(x.repeat_interleave(counts, dim=0), 0)
    torch.testing.assert_close(weighted.loss, repeated.loss)
    for name, term in weighted.terms.items():
        torch.testing.assert_close(term, repeated.terms[name])


def test_value_weight_leaves_values_out_of_the_distortion() -> None:
    x = data()[0][:5]
    seen = torch.ones_like(x)
    seen[:, 2] = 0
    module = linear()
    got = module.objective(x, 0, value_weight=seen).terms["distortion"]
    expected = ((module.reconstruct(x) - x).square() * seen).sum(dim=1).mean()
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(module.objective(x, 0, value_weight=seen[:1]).terms["distortion"], expected)

"""Log-likelihoods against closed forms: the linear Gaussian model and quadrature tell the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.distributions import MultivariateNormal

from isthmus.artifact import FittedModel
from isthmus.codes.gaussian import Gaussian as GaussianPart
from isthmus.config import Config, Model
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.likelihoods import Bernoulli, Gaussian
from isthmus.config.parts.networks import Dense
from isthmus.evaluation.advice import collapse_words
from isthmus.evaluation.evidence import (
    aggregate_posterior,
    evidence,
    importance_bound,
    ks_distance,
    log_weights,
)
from isthmus.evaluation.metrics import measure
from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource

torch.set_num_threads(1)


def digits() -> tuple[Tensor, Tensor]:
    images = load_digits(return_X_y=True)[0] / 16
    train, test = train_test_split(images, test_size=0.35, random_state=0)
    return torch.from_numpy(train), torch.from_numpy(test)


def spectrum(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of the covariance, largest first, and their vectors as columns."""
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
    return values.flip(0), vectors.flip(1)


def linear_vae(x: Tensor, k: int, beta: float = 1.0, variance: float | None = None) -> AutoencoderModule:
    """The optimum in closed form: Tipping and Bishop (1999), Lucas et al. (2019).

    ``t = beta * variance``: columns ``sqrt(lam_i - t) u_i``, posterior variance ``t / lam_i``; a
    unit with ``lam_i <= t`` is the prior. Without a variance, the most likely one.
    """
    d = x.shape[1]
    lam, u = spectrum(x)
    s = lam[k:].mean().item() if variance is None else variance
    t = torch.minimum(beta * torch.full((k,), s, dtype=x.dtype), lam[:k])
    model = Model(
        code_size=k, network=Dense(()), code=GaussianCode(beta=beta), likelihood=Gaussian(math.sqrt(s))
    )
    if variance is None:
        model = model.replace(likelihood=Gaussian("learned"))
    module = build(model, (d,), seed=0).double()
    into, out = (next(m for m in half.modules() if isinstance(m, torch.nn.Linear)) for half in (
        module.encoder, module.decoder))  # fmt: skip
    mean = x.mean(dim=0)
    slopes = u[:, :k] * (lam[:k] - t).sqrt() / lam[:k]
    with torch.no_grad():
        into.weight.copy_(torch.cat([slopes.T, torch.zeros(k, d, dtype=x.dtype)]))
        into.bias.copy_(torch.cat([-mean @ slopes, (t / lam[:k]).log()]))
        out.weight.copy_(u[:, :k] * (lam[:k] - t).sqrt())
        out.bias.copy_(mean)
        if variance is None:
            module.likelihood.log_scale.fill_(math.log(s) / 2)  # type: ignore[operator]
        else:
            module.likelihood.log_scale = torch.tensor(math.log(s) / 2, dtype=x.dtype)
    return module


TABLE = {1: (-3.5489, -4.2165), 2: (0.4768, -0.9946), 8: (14.6994, 12.9926), 16: (24.5397, 22.1895)}


@pytest.mark.parametrize("k", TABLE)
def test_a_linear_one_with_a_learned_variance_is_probabilistic_pca(k: int) -> None:
    """Its bound is the log-likelihood itself, to the table's digits, on training and on test rows."""
    train, test = digits()
    module = linear_vae(train, k)
    lam, _ = spectrum(train)
    for x, expected in zip((train, test), TABLE[k], strict=True):
        with torch.no_grad():
            weights = log_weights(module, x, Randomness(0), 2)
        assert weights.mean().item() == pytest.approx(expected, abs=5e-5)
    rates = module.code.rate_per_unit(module.encoder(train)[0])
    assert rates is not None
    s = lam[k:].mean()
    torch.testing.assert_close(rates.mean(dim=0), (lam[:k] / s).log() / 2)


def expected_objective(module: AutoencoderModule, x: Tensor) -> Tensor:
    """The mean bound over all draws: for a linear decoder and squares, two opposite draws a unit say it exactly."""
    (mean, scale), k = module.code_distribution(x), module.code.size
    assert scale is not None
    rates = module.code.rate_per_unit(module.encoder(x)[0])
    at_mean = module.likelihood(module.decoder(mean), x)
    rest = x.new_zeros(len(x))
    for unit in range(k):
        step = torch.eye(k, dtype=x.dtype)[unit] * scale
        sides = [module.likelihood(module.decoder(mean + sign * step), x) for sign in (1, -1)]
        rest = rest + (sides[0] + sides[1]) / 2 - at_mean
    return (at_mean + rest + module.code.rate_weight * rates.sum(dim=1)).mean()  # type: ignore[union-attr]


def test_probabilistic_pca_is_where_the_gradient_vanishes() -> None:
    train, _ = digits()
    module = linear_vae(train, 8)
    loss = expected_objective(module, train)
    loss.backward()
    assert -loss.item() == pytest.approx(TABLE[8][0], abs=5e-5)
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() < 1e-8, name
    with torch.no_grad():
        next(module.decoder.parameters()).mul_(1.01)
    assert expected_objective(module, train) > loss


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0, 20.0])
def test_beta_walks_along_the_gaussian_rate_distortion_curve(beta: float) -> None:
    """Active are the units with ``lam_i > beta s``; rate and distortion are reverse water-filling's."""
    train, _ = digits()
    s, k = 0.02, 10
    lam, _ = spectrum(train)
    module = linear_vae(train, k, beta=beta, variance=s)
    rates = module.code.rate_per_unit(module.encoder(train)[0])
    assert rates is not None
    t, means = beta * s, module.encode(train)
    assert ((rates.mean(dim=0) > 1e-9) == (lam[:k] > t)).all()
    assert ((means.var(dim=0) > 1e-9) == (lam[:k] > t)).all()
    torch.testing.assert_close(rates.mean(dim=0), (lam[:k] / t).log().clamp_min(0) / 2)
    d = train.shape[1]
    constant = d * math.log(2 * math.pi * s) / 2
    loss = expected_objective(module, train).item()
    rate = rates.sum(dim=1).mean().item()
    sse = 2 * s * (loss - beta * rate - constant)
    assert sse == pytest.approx((lam[:k].clamp_max(t).sum() + lam[k:].sum()).item())
    expected_objective(module, train).backward()
    assert all(p.grad is not None and p.grad.abs().max() < 1e-7 for p in module.parameters())


def toy() -> tuple[AutoencoderModule, Tensor]:
    x = Randomness(3).normal((200, 6)).double() @ Randomness(4).normal((6, 6)).double()
    return linear_vae(x, 2), x


def test_the_exact_posterior_leaves_the_weights_no_variance() -> None:
    module, x = toy()
    decoder = next(m for m in module.decoder.modules() if isinstance(m, torch.nn.Linear))
    noise = torch.exp(2 * module.likelihood.log_scale) * torch.eye(6, dtype=x.dtype)  # type: ignore[operator]
    truth = MultivariateNormal(decoder.bias, decoder.weight @ decoder.weight.T + noise).log_prob(x)
    with torch.no_grad():
        weights = log_weights(module, x, Randomness(0), 20)
        for k in (1, 5, 20):
            torch.testing.assert_close(importance_bound(weights, k), truth)
    assert weights.std(dim=1).max() < 1e-9


def test_an_inflated_posterior_loses_what_the_gap_says_and_regains_it() -> None:
    """With each deviation c times too wide: ``log p - ELBO = k_lat ((c^2 - 1) / 2 - ln c)``."""
    module, x = toy()
    with torch.no_grad():
        truth = log_weights(module, x, Randomness(0), 1)[:, 0]
        c = 1.6
        encoder = next(m for m in module.encoder.modules() if isinstance(m, torch.nn.Linear))
        encoder.bias[2:] += 2 * math.log(c)
        weights = log_weights(module, x, Randomness(0), 1000)
    bounds = [importance_bound(weights, k).mean().item() for k in (1, 5, 50, 1000)]
    gap = 2 * ((c * c - 1) / 2 - math.log(c))
    assert bounds[0] == pytest.approx(truth.mean().item() - gap, abs=0.02)
    assert bounds == sorted(bounds)
    assert bounds[-1] < truth.mean().item() + 0.01
    assert bounds[-1] == pytest.approx(truth.mean().item(), abs=0.01)
    assert bounds[1] < truth.mean().item() - 0.02


def curved() -> AutoencoderModule:
    """A nonlinear decoder, and an encoder that is far from its posterior."""
    model = Model(code_size=1, network=Dense((6,), "tanh"), code=GaussianCode(), likelihood=Bernoulli())
    module = build(model, (5,), seed=1).double()
    with torch.no_grad():
        for parameter in module.decoder.parameters():
            parameter.mul_(4)
    return module


def test_a_nonlinear_one_against_quadrature() -> None:
    module, x = curved(), Randomness(0).uniform((40, 5)).double().round()
    grid = torch.linspace(-9, 9, 3001, dtype=torch.float64).unsqueeze(1)
    width = math.log((grid[1] - grid[0]).item())
    with torch.no_grad():
        outputs = module.decoder(grid)
        prior = -grid.square().squeeze(1) / 2 - math.log(2 * math.pi) / 2
        terms = [prior - module.likelihood(outputs, row.expand(len(grid), -1)) for row in x]
        truth = torch.stack([torch.logsumexp(term, dim=0) + width for term in terms])
        weights = log_weights(module, x, Randomness(0), 2000)
    bounds = [importance_bound(weights, k).mean().item() for k in (1, 5, 50, 2000)]
    assert bounds == sorted(bounds)
    assert bounds[0] < bounds[1] - 1e-3
    shares = weights.softmax(dim=1)
    variances = (2000 * shares.square().sum(dim=1) - 1) / 2000
    error = variances.sum().sqrt().item() / len(x)
    assert error < 5e-3
    assert bounds[2] < truth.mean().item() + 4 * error
    assert bounds[3] == pytest.approx(truth.mean().item(), abs=4 * error)


def fitted(module: AutoencoderModule, x: np.ndarray) -> Inference:
    learned = Scaling.fit(ArraySource(x), np.arange(len(x)), method="none")
    return Inference(FittedModel(Config(), learned, module.float().eval()))


def test_over_rows_it_is_what_the_tensors_say() -> None:
    train, _ = digits()
    x = train[:300].numpy().astype(np.float32)
    module = linear_vae(train, 8)
    found = evidence(fitted(module, x), ArraySource(x), n_samples=6, bounds=(2, 50))
    assert found is not None
    assert list(found.bounds) == [2]
    lam, u = spectrum(train)
    s = lam[8:].mean()
    cov = (u[:, :8] * (lam[:8] - s)) @ u[:, :8].T + s * torch.eye(64, dtype=u.dtype)
    truth = MultivariateNormal(train.mean(dim=0), cov).log_prob(train[:300])
    for values in (found.log_likelihood, found.elbo, found.bounds[2]):
        np.testing.assert_allclose(values, truth, atol=2e-3)
    document = found.to_dict()
    assert (document["rows"], document["samples"], list(document["iwae_nats"])) == (300, 6, ["2"])
    assert document["log_likelihood_nats"] == pytest.approx(truth.mean().item(), abs=1e-3)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    rows = Randomness(5).uniform((150, 5)).round().numpy().astype(np.float64)
    inference = fitted(curved(), rows)
    one = evidence(inference, ArraySource(rows), n_samples=11, bounds=(5,))
    again = evidence(inference, ArraySource(rows), n_samples=11, bounds=(5,))
    mixed = rows.copy()
    mixed[1:] = mixed[1:][::-1]
    other = evidence(inference, ArraySource(mixed), n_samples=11, bounds=(5,))
    seeded = evidence(inference, ArraySource(rows), n_samples=11, bounds=(5,), seed=9)
    assert one is not None
    assert again is not None
    assert other is not None
    assert seeded is not None
    np.testing.assert_array_equal(one.log_likelihood, again.log_likelihood)
    assert one.log_likelihood[0] == other.log_likelihood[0]
    assert one.elbo[0] != seeded.elbo[0]


def test_there_is_no_evidence_without_a_density() -> None:
    grey = Randomness(5).uniform((20, 5)).numpy()
    assert evidence(fitted(curved(), grey), ArraySource(grey)) is None
    dense = Model(code_size=1, network=Dense(()), likelihood=Gaussian())
    assert evidence(fitted(build(dense, (5,), seed=0), grey), ArraySource(grey)) is None
    squares = dense.replace(code=GaussianCode(), likelihood="squared_error")
    assert evidence(fitted(build(squares, (5,), seed=0), grey), ArraySource(grey)) is None


def collapsed(mean: Tensor, likelihood: str | Bernoulli) -> AutoencoderModule:
    """The posterior is the prior and the decoder constant."""
    model = Model(code_size=2, network=Dense(()), code=GaussianCode(), likelihood=likelihood)
    module = build(model, (len(mean),), seed=0).double()
    with torch.no_grad():
        for parameter in module.network.parameters():
            parameter.zero_()
    module.start_at(mean)
    return module


def test_a_collapsed_one_reaches_the_independent_pixels_and_no_more() -> None:
    """``ELBO = -sum_j H(mean_j)``; sampled, of grey values too."""
    grey = 0.05 + 0.9 * Randomness(2).uniform((4000, 6)).double() * torch.linspace(0.2, 1, 6)
    mean = grey.mean(dim=0)
    entropy = -(torch.xlogy(mean, mean) + torch.xlogy(1 - mean, 1 - mean)).sum().item()
    module = collapsed(mean, Bernoulli(sampled=True))
    inference = fitted(module, grey.numpy())
    found = evidence(inference, ArraySource(grey.numpy()), n_samples=2, bounds=())
    assert found is not None
    assert found.to_dict()["elbo_nats"] == pytest.approx(-entropy, abs=0.06)
    assert found.to_dict()["log_likelihood_nats"] == pytest.approx(-entropy, abs=0.06)
    measured = measure(inference, ArraySource(grey.numpy()))
    assert measured.elbo == pytest.approx(-entropy, abs=0.06)
    assert measured.to_dict()["loss"] == pytest.approx(entropy, abs=1e-4)
    words = collapse_words(measured.rates.mean(axis=0), 1.0, 1.0, GaussianCode(), Bernoulli())  # type: ignore[union-attr]
    assert words is not None
    assert "2 of 2 code units carry nothing" in words
    assert "no better than the mean" in words
    assert "free_bits" in words


def test_collapse_is_not_cried_where_units_carry_something() -> None:
    rates = np.array([1.0, 0.5, 0.001])
    assert collapse_words(rates, 0.3, 1.0, GaussianCode(), None) is None
    assert collapse_words(rates, 0.3, None, GaussianCode(), None) is None
    found = collapse_words(np.array([1.0, 0.0, 0.001]), 0.3, 1.0, GaussianCode(), None)
    assert found is not None
    assert "2 of 3" in found
    assert "mean" not in found.split(";")[0]


def test_the_aggregate_of_codes_against_scipy() -> None:
    values = Randomness(0).normal((500, 3)).double().numpy() * np.array([1.0, 0.5, 1.0]) + [0.0, 0.0, 1.0]
    expected = [kstest(column, "norm").statistic for column in values.T]
    np.testing.assert_allclose(ks_distance(values), expected, rtol=1e-12)


def test_the_aggregate_of_a_linear_one_on_gaussian_data_is_the_prior() -> None:
    """Its codes' covariance is ``1 - t / lam_i`` of the means and ``t / lam_i`` of the draws: 1."""
    x = Randomness(8).normal((3000, 6)).double() @ Randomness(4).normal((6, 6)).double()
    module = linear_vae(x, 2)
    x32 = x.numpy().astype(np.float32)
    inference = fitted(module, x32)
    found = aggregate_posterior(inference, ArraySource(x32))
    assert found is not None
    document = found.to_dict(np.array([True, True]))
    assert document["ks_largest"] < document["ks_critical"] == pytest.approx(1.358 / math.sqrt(3000))
    codes = inference.encode(ArraySource(x32)).astype(np.float64)
    assert ks_distance(codes).max() > found.distances.max()
    assert found.to_dict(np.array([False, False]))["ks_largest"] is None


@pytest.mark.parametrize("d", [1, 7])
def test_the_best_learned_scale_is_the_root_of_the_mean_squared_error(d: int) -> None:
    """``sigma^2 = MSE``, and then the loss is ``d / 2 (ln 2 pi MSE + 1)`` (Rybkin et al. 2021)."""
    from isthmus.likelihoods.gaussian import Gaussian as Part

    part = Part("learned").double()
    x, outputs = Randomness(0).normal((50, d)).double(), Randomness(1).normal((50, d)).double()
    mse = (x - outputs).square().mean()
    with torch.no_grad():
        part.log_scale.copy_(mse.log() / 2)
    loss = part(outputs, x).mean()
    (gradient,) = torch.autograd.grad(loss, part.log_scale)
    assert gradient.abs() < 1e-12
    assert loss.item() == pytest.approx(d / 2 * (math.log(2 * math.pi * mse.item()) + 1))


def test_the_draws_of_a_code_are_those_of_training() -> None:
    code, pre_code = GaussianPart(3), Randomness(0).normal((4, 6)).double()
    noise = Randomness(1).normal((4, 3), like=pre_code)
    torch.testing.assert_close(code.draw(pre_code, noise)[0], code(pre_code, Randomness(1)).value)

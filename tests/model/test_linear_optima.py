"""What linear models reach when they are optimised from random weights, beside what is known in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from isthmus.config import Model
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import Contractive, WeightDecay
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)
D, N = 6, 400
VALUES = torch.tensor([4.0, 2.5, 1.6, 0.9, 0.5, 0.2], dtype=torch.float64)


def data(n_directions: int = D) -> tuple[torch.Tensor, torch.Tensor]:
    """Centred rows whose covariance has exactly :data:`VALUES` as eigenvalues, and its eigenvectors."""
    scores = Randomness(0).normal((N, D)).double()
    scores, _ = torch.linalg.qr(scores - scores.mean(dim=0))
    vectors, _ = torch.linalg.qr(Randomness(1).normal((D, D)).double())
    values = VALUES * (torch.arange(D) < n_directions)
    return N**0.5 * scores * values.sqrt() @ vectors.T, vectors


def linear(k: int, *, tied: bool = False, **params: Any) -> AutoencoderModule:
    chosen = {"code_size": k, "network": Dense((), tied=tied), "likelihood": "squared_error", **params}
    return build(Model(**chosen), (D,), seed=0).double()


def solve(module: AutoencoderModule, x: torch.Tensor, n_steps: int = 1_500) -> float:
    """The loss after full-batch L-BFGS."""
    optimiser = torch.optim.LBFGS(
        module.parameters(), max_iter=n_steps, max_eval=2 * n_steps, history_size=50,
        tolerance_grad=1e-13, tolerance_change=1e-16, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = module.objective(x, 0).loss
        loss.backward()
        return loss

    optimiser.step(closure)
    return module.objective(x, 0).loss.item()


def product(module: AutoencoderModule) -> torch.Tensor:
    return (module.decoder.layers[0].weight @ module.encoder.layers[0].weight).detach()


def singular_values(module: AutoencoderModule) -> torch.Tensor:
    return torch.linalg.svdvals(module.decoder.layers[0].weight.detach()).square()


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("k", [1, 3, D])
def test_the_optimum_is_pca(k: int, tied: bool) -> None:
    """Oracle 1 (Baldi and Hornik 1989): the discarded eigenvalues as loss, the leading subspace's projector."""
    x, vectors = data()
    module = linear(k, tied=tied)
    assert solve(module, x) == pytest.approx(VALUES[k:].sum().item(), abs=1e-8)
    projector = vectors[:, :k] @ vectors[:, :k].T
    torch.testing.assert_close(product(module), projector, rtol=0, atol=1e-4)


@pytest.mark.parametrize("weight", [0.3, 1.2])
def test_weight_decay_shrinks_or_drops_directions(weight: float) -> None:
    """Oracle 2 (Kunin et al. 2019): decoder and encoder become each other's transposes.

    Squared singular values ``1 - weight / value``, of directions under the weight 0.
    """
    x, vectors = data()
    k = 4
    module = linear(k, penalties=WeightDecay(weight))
    lead = VALUES[:k]
    kept = lead > weight
    known = torch.where(kept, 2 * weight - weight**2 / lead, lead).sum() + VALUES[k:].sum()
    assert solve(module, x) == pytest.approx(known.item(), abs=1e-8)
    down, up = module.encoder.layers[0].weight.detach(), module.decoder.layers[0].weight.detach()
    torch.testing.assert_close(down, up.T, rtol=0, atol=1e-4)
    squares = (1 - weight / lead).clamp(min=0)
    torch.testing.assert_close(singular_values(module), squares, rtol=0, atol=1e-4)
    left = torch.linalg.svd(up)[0][:, : int(kept.sum())]
    agreement = (left * vectors[:, : int(kept.sum())]).sum(dim=0).abs()
    torch.testing.assert_close(agreement, torch.ones_like(agreement), rtol=0, atol=1e-6)


@pytest.mark.parametrize("weight", [0.4, 1.5])
def test_a_tied_contractive_model_shrinks_by_half_as_much(weight: float) -> None:
    """Oracle 3 (Rifai et al. 2011, section 3): squared singular values ``1 - weight / (2 value)``."""
    x, _ = data()
    k = 3
    module = linear(k, tied=True, penalties=Contractive(weight))
    lead = VALUES[:k]
    known = (weight - weight**2 / (4 * lead)).sum() + VALUES[k:].sum()
    assert solve(module, x) == pytest.approx(known.item(), abs=1e-8)
    torch.testing.assert_close(singular_values(module), 1 - weight / (2 * lead), rtol=0, atol=1e-4)
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(module.objective(x, 0).loss, parameters)
    assert max(gradient.abs().max().item() for gradient in gradients) < 1e-5


def test_an_untied_contractive_model_only_rescales() -> None:
    """The other half of oracle 3: the penalty leaves through the scale, and what is rebuilt stays PCA."""
    x, vectors = data()
    k = 3
    module = linear(k, penalties=Contractive(0.4))
    before = module.objective(x, 0).terms["contractive"].item()
    loss = solve(module, x, 300)
    assert module.objective(x, 0).terms["contractive"].item() < 0.01 * before
    assert loss == pytest.approx(VALUES[k:].sum().item(), rel=0.01)
    torch.testing.assert_close(product(module), vectors[:, :k] @ vectors[:, :k].T, rtol=0, atol=0.05)


@pytest.mark.parametrize("k", range(1, D + 1))
def test_rows_of_rank_r_are_rebuilt_from_r_units_and_no_fewer(k: int) -> None:
    """Oracle 25."""
    r = 4
    x, _ = data(r)
    loss = solve(linear(k), x)
    assert loss == pytest.approx(VALUES[k:r].sum().item(), abs=1e-8)
    assert (loss > 0.1) == (k < r)


def test_standardised_columns_hold_one_unit_of_variance_each() -> None:
    """Oracle 25: with no code at all, the squared error a row is the number of columns."""
    from isthmus import Autoencoder

    rows = load_iris().data
    model = Autoencoder(1, scaling="standardise", max_epochs=1, validation_share=0.0, random_state=0).fit(
        rows
    )
    x = model._model.scaling.to_model(rows).astype(np.float64)
    assert model._model.baseline is not None
    assert np.square(x - model._model.baseline.mean).sum(axis=1).mean() == pytest.approx(4, rel=1e-5)
    assert model.metrics_["baselines"]["mean"]["sse"] == pytest.approx(4, rel=1e-5)

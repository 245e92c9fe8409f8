"""A head on an encoder, beside scikit-learn's regression on the same codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from isthmus.config import Model
from isthmus.config.parts.networks import Dense
from isthmus.errors import ParameterError
from isthmus.model.build import build
from isthmus.model.classifier import ClassifierModule
from isthmus.model.halves import EncoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.training.rows import Labelled

torch.set_num_threads(1)
D, N = 5, 120
X = Randomness(0).normal((N, D)).double()
LABELS = (X[:, 0] + 0.8 * Randomness(1).normal((N,)).double() > 0).long() + (X[:, 1] > 1).long()


def made(n_classes: int = 3, **params: object) -> ClassifierModule:
    model = Model(code_size=D, network=Dense((6,), "tanh"), likelihood="squared_error")
    whole = build(model, (D,), seed=0).double()
    return ClassifierModule(EncoderModule(whole), n_classes, **params).double()  # type: ignore[arg-type]


def test_it_begins_with_every_class_alike() -> None:
    cost = made().objective(Labelled(X, LABELS), 0)
    torch.testing.assert_close(cost.loss, torch.tensor(3.0).double().log())
    torch.testing.assert_close(cost.per_example.mean(), cost.loss)
    assert list(cost.terms) == ["cross_entropy"]


def test_a_frozen_encoder_is_logistic_regression() -> None:
    """The head's optimum on standardised codes is scikit-learn's, without a penalty on either."""
    module = made(frozen=True)
    with torch.no_grad():
        codes = module.encoder(X)
        module.standardise(codes.mean(dim=0), codes.std(dim=0, correction=0))
    (parameters, share), *none = module.parameter_groups()
    assert share == 1.0
    assert none == []
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = module.objective(Labelled(X, LABELS), 0).loss
        loss.backward()
        return loss

    optimiser.step(closure)
    standardised = ((codes - module.shift) / module.scale).numpy()
    other = LogisticRegression(C=1e8, tol=1e-8, max_iter=2_000).fit(standardised, LABELS.numpy())
    expected = other.predict_proba(standardised)
    np.testing.assert_allclose(torch.softmax(module(X), dim=1).detach().numpy(), expected, atol=1e-3)
    assert all(parameter.grad is None for parameter in module.encoder.parameters())


def test_gradients_are_slopes_and_reach_the_encoder() -> None:
    module = made()
    with torch.no_grad():
        module.head.weight.copy_(Randomness(3).normal((3, D)))
    module.objective(Labelled(X, LABELS), 0).loss.backward()
    weight = module.encoder.encoder.layers[0].weight
    step = 1e-6
    losses = []
    for shift in (step, -step):
        with torch.no_grad():
            weight[2, 1] += shift
            losses.append(module.objective(Labelled(X, LABELS), 0).loss.item())
            weight[2, 1] -= shift
    assert weight.grad[2, 1].item() == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=1e-8)


def test_a_weight_of_two_is_the_row_twice() -> None:
    module = made()
    with torch.no_grad():
        module.head.weight.copy_(Randomness(3).normal((3, D)))
    weights = torch.tensor([2.0, 0.0, 1.0, 1.0]).double()
    places = [0, 0, 2, 3]
    weighted = module.objective(Labelled(X[:4], LABELS[:4]), 0, sample_weight=weights)
    torch.testing.assert_close(weighted.loss, module.objective(Labelled(X[places], LABELS[places]), 0).loss)


def test_encoder_and_head_have_rates_of_their_own() -> None:
    module = made(encoder_share=0.1)
    assert [share for _, share in module.parameter_groups()] == [1.0, 0.1]
    assert [len(list(group)) for group, _ in module.parameter_groups()] == [2, 4]


def test_a_frozen_encoder_stays_in_evaluation() -> None:
    module = made(frozen=True).train()
    assert module.training
    assert not module.encoder.training
    assert made().train().encoder.training


def test_units_that_never_move_are_only_shifted() -> None:
    module = made()
    module.standardise(torch.ones(D), torch.tensor([2.0, 0, 1e-9, 1, 1]))
    assert module.scale.tolist() == [2, 1, 1, 1, 1]
    module.standardise(torch.ones(D), torch.zeros(D))
    assert module.scale.tolist() == [1] * D


@pytest.mark.parametrize(("n_classes", "share"), [(0, 1.0), (2, 0.0)])
def test_what_cannot_be_is_refused(n_classes: int, share: float) -> None:
    with pytest.raises(ParameterError, match="n_classes of at least 1 and encoder_share above 0"):
        made(n_classes, encoder_share=share)

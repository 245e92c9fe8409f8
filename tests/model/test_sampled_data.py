"""Values that state probabilities: each use draws zeros and ones, the same for input and target."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from isthmus.config import Model
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.likelihoods import Bernoulli
from isthmus.config.parts.networks import Dense
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)
GREY = Randomness(0).uniform((6, 5)).double()


def module(*, sampled: bool, **params: object) -> AutoencoderModule:
    chosen = {"code_size": 2, "network": Dense((4,), "tanh"), "likelihood": Bernoulli(sampled=sampled)}
    return build(Model(**{**chosen, **params}), (5,), seed=0).double()  # type: ignore[arg-type]


def drawn(step: int) -> Tensor:
    chance = Randomness(0, "training", step, "target")
    return (chance.uniform(GREY.shape, like=GREY) < GREY).double()


@pytest.mark.parametrize("step", [0, 7])
def test_input_and_target_are_the_same_draw(step: int) -> None:
    x = drawn(step)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    plain, sampled = module(sampled=False), module(sampled=True)
    for params in ({}, {"code": GaussianCode()}, {"code": GaussianCode(n_draws=3)}):
        plain, sampled = module(sampled=False, **params), module(sampled=True, **params)
        torch.testing.assert_close(sampled.objective(GREY, step).loss, plain.objective(x, step).loss)


def test_every_step_draws_anew_and_every_call_of_a_step_alike() -> None:
    sampled = module(sampled=True)
    assert torch.equal(sampled.objective(GREY, 3).loss, sampled.objective(GREY, 3).loss)
    assert not torch.equal(sampled.objective(GREY, 3).loss, sampled.objective(GREY, 4).loss)
    assert not torch.equal(drawn(3), drawn(4))


def test_the_mean_over_draws_is_the_value() -> None:
    part = module(sampled=True).likelihood
    draws = torch.stack([part.target(GREY, Randomness(seed)) for seed in range(2000)])
    assert (draws.mean(dim=0) - GREY).abs().max() < 5 * 0.5 / 2000**0.5
    assert torch.equal(module(sampled=False).likelihood.target(GREY, Randomness(0)), GREY)


def test_codes_and_reconstructions_leave_nothing_to_chance() -> None:
    plain, sampled = module(sampled=False), module(sampled=True)
    assert torch.equal(sampled.reconstruct(GREY), plain.reconstruct(GREY))

"""Every Omega: the laws, over every code and network that it may look at."""

from __future__ import annotations

import pytest
import torch

from isthmus.config import Model
from isthmus.config.parts.codes import Code, DeterministicCode, GaussianCode
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import Penalty
from isthmus.penalties.contractive import Contractive
from isthmus.penalties.l1 import L1
from isthmus.penalties.l2 import L2
from isthmus.penalties.priors import LaplacePrior, NormalPrior, StudentTPrior
from isthmus.penalties.student_t import StudentT
from isthmus.penalties.weight_decay import WeightDecay
from isthmus.testing import check_penalty

torch.set_num_threads(1)

PENALTIES = {
    "l1": L1(0.1),
    "l2": L2(0.1),
    "weight_decay": WeightDecay(0.1),
    "contractive-exact": Contractive(0.1, "exact"),
    "contractive-estimate": Contractive(0.1, "estimate"),
    "contractive-auto": Contractive(0.1, "auto"),
    "student_t": StudentT(0.1, 0.5, 2.0),
    "laplace_prior": LaplacePrior(0.5),
    "normal_prior": NormalPrior(0.5),
    "student_t_prior": StudentTPrior(0.5, 2.0),
}
CODES = [DeterministicCode("sigmoid"), DeterministicCode("relu"), GaussianCode()]


def dense(code: Code, hidden: tuple[int, ...] = (4,)) -> AutoencoderModule:
    return build(
        Model(code_size=3, code=code, network=Dense(hidden, "tanh"), likelihood="squared_error"), (6,), seed=0
    )


@pytest.mark.parametrize("code", CODES, ids=repr)
@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_laws_over_dense_layers(penalty: Penalty, code: Code) -> None:
    check_penalty(penalty, dense(code), Randomness(0).normal((4, 6)))


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_laws_over_convolutions(penalty: Penalty) -> None:
    model = Model(code_size=2, network=Conv2d((2,), activation="tanh"), likelihood="squared_error")
    check_penalty(penalty, build(model, (1, 5, 4), seed=0), Randomness(0).normal((3, 1, 5, 4)))

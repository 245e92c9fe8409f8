"""Sum of absolute values of h."""

from __future__ import annotations

from dataclasses import replace

import torch

from isthmus.config import Model
from isthmus.config.parts.networks import Dense
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.l1 import L1
from isthmus.penalties.l2 import L2
from isthmus.testing.penalty import view_of

torch.set_num_threads(1)


def test_it_reads_the_code_that_the_decoder_is_given() -> None:
    module = build(Model(code_size=2, network=Dense(()), likelihood="squared_error"), (3,), seed=0)
    view = view_of(module, torch.zeros(2, 3), Randomness(0))
    view = replace(view, h=torch.tensor([[1.0, -2.0], [0.0, 3.0]]))
    assert L1(0.1)(view).tolist() == [3.0, 3.0]
    assert L2(0.1)(view).tolist() == [5.0, 9.0]

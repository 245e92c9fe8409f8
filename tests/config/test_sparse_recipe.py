"""Six ways to a sparse code, each a choice of parts."""

from __future__ import annotations

import pytest
import torch

from isthmus.config.parts.networks import Dense
from isthmus.config.recipes import sparse
from isthmus.errors import UnknownNameError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)


@pytest.mark.parametrize("by", ["l1", "student_t", "kl", "top_k", "batch_top_k", "winner_take_all"])
def test_every_way_is_built_and_regularised(by: str) -> None:
    model = sparse(0.5, by).replace(code_size=9, network=Dense(()), likelihood="squared_error")
    module = build(model, (4,), seed=0)
    cost = module.objective(Randomness(0).normal((6, 4)), 0)
    assert model.kind == "sparse"
    if by in {"l1", "student_t", "kl"}:
        (penalty,) = model.penalties
        assert penalty.weight == 0.5
        assert cost.loss > cost.terms["distortion"]
    else:
        assert model.penalties == ()
        assert (module.code(Randomness(0).normal((6, 9)), Randomness(0)).value == 0).sum() > 20


def test_an_unknown_way_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"sparse: unknown way 'topk'; did you mean .*'top_k'"):
        sparse(by="topk")

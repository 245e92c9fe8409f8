"""The largest units of each row: exactly so many, ties and NaN included, fewer and fewer if asked."""

from __future__ import annotations

import pytest
import torch

from isthmus.codes.top_k import TopK
from isthmus.config import Config, Model
from isthmus.config.defaults import Facts, resolve
from isthmus.config.parts.codes import DeterministicCode, TopKCode
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import Contractive
from isthmus.errors import ParameterError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_code, check_module

torch.set_num_threads(1)
A = Randomness(0).normal((50, 9)).double()


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "softplus"])
@pytest.mark.parametrize("ranked_by", ["value", "magnitude"])
@pytest.mark.parametrize("n_active", [1, 3, 4, "auto"])
def test_laws(n_active, activation, ranked_by) -> None:
    check_code(TopK(4, n_active, activation, 4, ranked_by))


@pytest.mark.parametrize("k", range(1, 10))
def test_exactly_the_largest_of_a_row(k: int) -> None:
    h = TopK(9, k)(A, Randomness(0)).value
    assert ((h != 0).sum(dim=1) == k).all()
    for row, kept in zip(A.tolist(), h.tolist(), strict=True):
        limit = sorted(row)[-k]
        assert kept == [a if a >= limit else 0.0 for a in row]


def test_ties_are_broken_and_not_kept_together() -> None:
    h = TopK(6, 2)(torch.ones(5, 6), Randomness(0)).value
    assert h.sum(dim=1).tolist() == [2.0] * 5


def test_nan_stays_visible() -> None:
    a = torch.tensor([[1.0, float("nan"), 3.0]])
    for code in (TopK(3, 1), TopK(3, 1, "relu"), TopK(3, 2, ranked_by="magnitude")):
        assert code(a, Randomness(0)).value.isnan().any()


def test_magnitude_keeps_large_negative_units() -> None:
    a = torch.tensor([[1.0, -3.0, 2.0, 0.5]])
    assert TopK(4, 2, ranked_by="magnitude").mean(a).tolist() == [[0.0, -3.0, 2.0, 0.0]]
    assert TopK(4, 2).mean(a).tolist() == [[1.0, 0.0, 2.0, 0.0]]


def test_fewer_units_over_the_first_half_of_the_training() -> None:
    code = TopK(9, 2, first_n_active=8)
    assert [code.n_active_at(p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)] == [8, 5, 2, 2, 2]
    for progress, k in ((0.0, 8), (0.25, 5), (1.0, 2)):
        assert ((code(A, Randomness(0), progress).value != 0).sum(dim=1) == k).all()
    assert ((code.mean(A) != 0).sum(dim=1) == 2).all()


def test_the_jacobian_is_the_mask() -> None:
    """Through one dense layer: the squared weights of the kept units, by the trace and by autograd."""
    model = Model(code_size=5, network=Dense(()), code=TopKCode(2), likelihood="squared_error")
    module = build(model.replace(penalties=Contractive(0.1)), (9,), seed=0).double()
    weight = module.encoder.layers[0].weight
    kept = module.encode(A) != 0
    expected = (kept * weight.square().sum(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(module.objective(A, 0).terms["contractive"], expected)


def test_the_best_approximation_of_so_many_terms() -> None:
    """Oracle 17: with an orthonormal decoder the error is the sum of the smallest squared coefficients."""
    basis = torch.linalg.qr(Randomness(1).normal((9, 9)).double()).Q
    model = Model(
        code_size=9, network=Dense(()), code=TopKCode(3, ranked_by="magnitude"), likelihood="squared_error"
    )
    module = build(model, (9,), seed=0).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.encoder.layers[0].weight.copy_(basis.T)
        module.decoder.layers[0].weight.copy_(basis)
    smallest = (A @ basis).square().sort(dim=1).values[:, :6].sum(dim=1)
    torch.testing.assert_close(module.objective(A, 0).per_example, smallest)


@pytest.mark.parametrize("code", [TopKCode(1), TopKCode(2, "relu", 3)], ids=repr)
def test_a_whole_model(code: TopKCode) -> None:
    model = Model(code_size=4, network=Dense((6,), "tanh"), code=code, likelihood="squared_error")
    check_module(build(model, (5,), seed=0), Randomness(0).normal((6, 5)))


def test_what_is_refused() -> None:
    def made(code: TopKCode) -> None:
        build(Model(code_size=4, network=Dense(()), code=code, likelihood="squared_error"), (5,), seed=0)

    with pytest.raises(ParameterError, match=r"n_active must be at most .*got n_active 5 and code size 4"):
        made(TopKCode(5))
    with pytest.raises(ParameterError, match="got first_n_active 6 and code size 4"):
        made(TopKCode(2, first_n_active=6))
    with pytest.raises(ParameterError, match="first_n_active must be at least n_active, got 2 and 3"):
        TopKCode(3, first_n_active=2)
    with pytest.raises(ParameterError, match=r"n_active must be in \[1, inf\), got 0"):
        TopKCode(0)


def test_auto_is_the_root_of_the_code_size_and_stands_in_the_config() -> None:
    facts = Facts((100,), 500, "squared_error")
    config = resolve(Config(model=Model(code_size=64, code="top_k")), facts)
    assert config.model.code == TopKCode(8)
    assert build(Model(code_size=2, code="top_k", network=Dense(()), likelihood="gaussian"), (3,), seed=0)
    assert resolve(Config(model=Model(code_size=64)), facts).model.code == DeterministicCode()

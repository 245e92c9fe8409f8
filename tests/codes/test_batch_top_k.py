"""The largest units of a batch in training, a threshold in evaluation."""

from __future__ import annotations

import pytest
import torch

from isthmus.artifact import FittedModel
from isthmus.codes.batch_top_k import BatchTopK
from isthmus.config import Config, Model, Training
from isthmus.config.parts.codes import BatchTopKCode
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import Contractive
from isthmus.errors import ParameterError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.sources import ArraySource
from isthmus.testing import check_code, check_module
from isthmus.workflows.fit import fit

torch.set_num_threads(1)
A = Randomness(0).normal((50, 9)).double()


@pytest.mark.parametrize("activation", ["identity", "relu", "sigmoid"])
@pytest.mark.parametrize("n_active", [1, 3, 4])
def test_laws(n_active: int, activation) -> None:
    check_code(BatchTopK(4, n_active, activation))


@pytest.mark.parametrize("k", [1, 3, 8])
def test_exactly_the_largest_of_the_batch(k: int) -> None:
    h = BatchTopK(9, k, "identity").double()(A, Randomness(0)).value
    limit = A.flatten().sort(descending=True).values[50 * k - 1]
    assert (h != 0).sum() == 50 * k
    assert torch.equal(h, A.where(limit <= A, 0.0))


@pytest.mark.parametrize("k", [1, 2, 8])
def test_evaluation_gives_back_the_batch_that_the_threshold_comes_from(k: int) -> None:
    code = BatchTopK(9, k, "identity").double()
    trained = code(A, Randomness(0)).value
    code.eval()
    assert torch.equal(code.mean(A), trained)
    assert torch.equal(code(A, Randomness(1)).value, trained)
    assert torch.equal(code.slope(A), (trained != 0).double())


def test_the_threshold_is_the_mean_of_the_first_batches() -> None:
    code = BatchTopK(9, 2, "identity").double()
    own = []
    for block in A.split(10):
        code(block, Randomness(0))
        values = block.flatten().sort(descending=True).values
        own.append((values[19] + values[20]) / 2)
    torch.testing.assert_close(code.threshold, torch.stack(own).mean())
    code.eval()(A + 5, Randomness(0))
    torch.testing.assert_close(code.threshold, torch.stack(own).mean())


def test_as_many_units_in_evaluation_on_other_rows() -> None:
    code = BatchTopK(20, 3)
    for step in range(200):
        code(Randomness(step).normal((32, 20)), Randomness(0))
    share = (code.eval().mean(Randomness(-1).normal((4000, 20))) > 0).sum(dim=1).float().mean().item()
    assert share == pytest.approx(3, rel=0.05)


def test_fewer_positive_units_than_wanted_and_ties_at_zero() -> None:
    code = BatchTopK(3, 2)
    a = torch.tensor([[1.0, -1.0, -2.0], [-1.0, -1.0, -1.0]])
    assert code(a, Randomness(0)).value.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert code.threshold == 0
    assert code.eval().mean(a).tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_nan_stays_visible_and_leaves_the_threshold_alone() -> None:
    code = BatchTopK(3, 1)
    code(torch.tensor([[1.0, 2.0, 3.0]]), Randomness(0))
    assert code(torch.tensor([[1.0, float("nan"), 3.0]]), Randomness(0)).value.isnan().any()
    assert code.threshold == 2.5
    assert code.n_seen == 1
    assert code.eval().mean(torch.tensor([[float("nan"), 3.0, 0.0]])).isnan().any()


def test_all_units_is_the_activation() -> None:
    code = BatchTopK(9, 9, "identity").double()
    assert torch.equal(code(A, Randomness(0)).value, A)
    assert torch.equal(code.mean(A), A)
    assert code.n_seen == 0


@pytest.mark.parametrize("penalties", [(), Contractive(0.3)], ids=repr)
def test_a_whole_model(penalties) -> None:
    model = Model(
        code_size=4,
        network=Dense((6,), "tanh"),
        code=BatchTopKCode(2),
        likelihood="squared_error",
        penalties=penalties,
    )
    check_module(build(model, (5,), seed=0), Randomness(0).normal((6, 5)))


def test_the_file_keeps_the_threshold() -> None:
    rows = Randomness(0).normal((40, 6)).numpy()
    config = Config(
        model=Model(code_size=5, network=Dense(()), code=BatchTopKCode(2)),
        training=Training(epochs=2, seed=0),
    )
    fitted, _ = fit(ArraySource(rows), config)
    assert isinstance(fitted.module.code, BatchTopK)
    assert fitted.module.code.threshold > 0
    opened = FittedModel.from_bytes(fitted.to_bytes())
    assert opened.module.code.threshold == fitted.module.code.threshold
    x = torch.from_numpy(rows)
    assert torch.equal(opened.module.encode(x), fitted.module.encode(x))


def test_more_units_than_there_are_is_refused() -> None:
    with pytest.raises(
        ParameterError, match=r"BatchTopK: n_active must be at most .*n_active 5 and code size 4"
    ):
        BatchTopK(4, 5)

"""Gaps: no loss and no gradient knows what stands there; the encoder is told; columns are hidden whole."""

from __future__ import annotations

import pytest
import torch

from isthmus.config import Model
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.corruptions import GaussianNoise, Masking, SaltAndPepper
from isthmus.config.parts.likelihoods import Mixed
from isthmus.config.parts.networks import Conv2d, Dense, Transformer
from isthmus.config.parts.penalties import Contractive, ContractiveHessian
from isthmus.errors import ParameterError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.model.objective import Objective
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Block, Layout
from isthmus.testing import check_module

torch.set_num_threads(1)

TABLE: Layout = (
    Block("number", 1),
    Block("category", 3, 0.7),
    Block("boolean", 1, 0.5),
    Block("number", 1, 0.3),
)
MEMBERS = torch.tensor([0, 1, 1, 1, 2, 3])


def module(**params) -> AutoencoderModule:
    chosen = {"code_size": 2, "network": Dense((5,)), "likelihood": Mixed("gaussian"), **params}
    made = build(Model(**chosen), (6,), seed=0, layout=TABLE, gaps=True)
    with torch.no_grad():  # flags begin at 0: here they have been learned
        for name, parameter in made.named_parameters():
            if name.endswith("encoder.layers.0.weight"):
                parameter[:, 6:] = Randomness(7).normal(parameter[:, 6:].shape)
    return made.double()


def rows(n: int = 12, gaps: float = 0.3) -> torch.Tensor:
    x = Randomness(1).normal((n, 6)).double()
    x[:, 1:4] = torch.nn.functional.one_hot(x[:, 1:4].argmax(1), 3).double()
    x[:, 4] = (x[:, 4] > 0).double()
    missing = (Randomness(2).uniform((n, 4)) < gaps)[:, MEMBERS]
    return x.masked_fill(missing, torch.nan)


PARTS = {
    "plain": {},
    "squared error": {"likelihood": Mixed("squared_error")},
    "masking": {"corruption": Masking(0.4, emphasis=0.5)},
    "noise": {"corruption": GaussianNoise(0.3)},
    "salt and pepper": {"corruption": SaltAndPepper(0.3, low=0, high=1)},
    "contractive": {"penalties": (Contractive(0.1),)},
    "estimated": {"penalties": (Contractive(0.1, method="estimate"),)},
    "hessian": {"penalties": (ContractiveHessian(0.1),)},
    "variational": {"code": GaussianCode()},
    "several draws": {"code": GaussianCode(n_draws=3)},
    "transformer": {"network": Transformer(2, 4, 1, 2)},
}


@pytest.mark.parametrize("params", PARTS.values(), ids=PARTS)
def test_the_laws_of_a_module_hold_with_gaps(params) -> None:
    check_module(module(**params), rows(4))


@pytest.mark.parametrize("params", PARTS.values(), ids=PARTS)
def test_the_loss_is_finite_and_every_weight_has_a_gradient(params) -> None:
    made = module(**params)
    found = made.objective(rows(), 0)
    found.loss.backward()
    assert torch.isfinite(found.per_example).all()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


def test_a_gap_is_left_out_of_loss_and_gradient() -> None:
    made = module()
    x = rows()
    missing = x.isnan()
    outputs = made.decoder(made.encode(x)).detach().requires_grad_()
    for filling in (0.0, 1.0, -50.0):
        full = x.masked_fill(missing, filling)
        expected = made.likelihood(outputs, full, (~missing).double())
        assert torch.equal(made.distortion(outputs, x), expected)
        (gradient,) = torch.autograd.grad(expected.sum(), outputs)
        inside = gradient.clone()
        inside[:, 1:4] = 0  # a softmax ties its block together, and a block is missing as a whole
        assert (gradient[missing] == 0).all()
        assert inside[~missing].abs().sum() > 0


def test_a_row_of_gaps_costs_nothing() -> None:
    made = module(likelihood=Mixed("squared_error"))
    x = rows()
    x[3] = torch.nan
    found = made.objective(x, 0)
    assert found.per_example[3] == 0


def test_the_encoder_tells_a_gap_from_the_value_that_fills_it() -> None:
    made = module()
    x = rows(gaps=0.0)
    missing = x.clone()
    missing[:, 0] = torch.nan
    filled = x.clone()
    filled[:, 0] = 0.0
    assert not torch.allclose(made.encode(missing), made.encode(filled))
    shown = made.gaps(missing)  # type: ignore[misc]
    assert torch.equal(shown, torch.cat([filled, torch.tensor([[1.0, 0, 0, 0]]).double().expand(12, 4)], 1))


def test_flags_begin_without_any_say() -> None:
    fresh = build(
        Model(code_size=2, network=Dense((5,)), likelihood=Mixed("squared_error")),
        (6,),
        seed=0,
        layout=TABLE,
        gaps=True,
    ).double()
    x = rows()
    assert torch.equal(fresh.encode(x), fresh.encode(x.nan_to_num()))


def test_masking_hides_whole_columns_and_says_so() -> None:
    made = module(corruption=Masking(0.5))
    assert made.corruption is not None
    x = rows(200, gaps=0.0)
    shown = made.corruption(x, Randomness(5))
    hidden = shown.isnan()
    assert torch.equal(hidden[:, 1], hidden[:, 2])
    assert torch.equal(hidden[:, 1], hidden[:, 3])
    assert torch.equal(shown[~hidden], x[~hidden])
    columns = hidden[:, [0, 1, 4, 5]].double()
    assert ((columns.mean(0) - 0.5).abs() < 0.15).all()
    assert torch.corrcoef(columns.T).fill_diagonal_(0).abs().max() < 0.25
    without = build(
        Model(code_size=2, network=Dense(()), likelihood="squared_error", corruption=Masking(0.5)),
        (6,),
        seed=0,
        layout=TABLE,
    )
    assert without.corruption is not None
    zeroed = without.corruption(x, Randomness(5))
    assert torch.equal(zeroed, shown.nan_to_num())


def test_no_corruption_fills_a_gap() -> None:
    made = module(corruption=SaltAndPepper(0.9, low=0, high=1))
    x = rows()
    shown = made.corrupted(x, Randomness(4))
    assert torch.equal(shown.isnan(), x.isnan())
    assert (shown != x)[~x.isnan()].any()
    assert module().corrupted(x, Randomness(4)) is x


def test_a_hidden_column_still_has_a_loss() -> None:
    """What masking hides is target; what is missing is none."""
    made = module(corruption=Masking(0.5))
    x = rows(gaps=0.0)

    def loss(z: torch.Tensor) -> Objective:
        return made.objective(z, 0)

    moved = x.clone()
    moved[:, 0] += 1.0
    assert (loss(moved).per_example != loss(x).per_example).all()


def test_a_gap_moves_nothing() -> None:
    """The contractive penalty of a row with a gap is that of the rest of the row."""
    made = module(penalties=(Contractive(1.0, method="exact"),))
    x = rows(3, gaps=0.0)
    x[:, 0] = torch.nan
    _, penalty = next(iter(made.named_penalties()))
    found = made.objective(x, 0).terms["contractive"]
    jacobian = torch.autograd.functional.jacobian(lambda z: made.encode(z).sum(0), x)
    assert (jacobian[:, :, 0] == 0).all()
    torch.testing.assert_close(found, jacobian.square().sum((0, 2)).mean())
    assert penalty.weight == 1.0


def test_balance_weighs_columns_in_training_alone() -> None:
    x = rows(gaps=0.0)
    balanced = module(likelihood=Mixed("squared_error"))
    plain = module(likelihood=Mixed("squared_error", balanced=False))
    plain.load_state_dict(balanced.state_dict())
    outputs = plain.decoder(plain.encode(x))
    assert torch.equal(balanced.distortion(outputs, x), plain.distortion(outputs, x))
    weight = balanced.likelihood.balance()
    assert weight is not None
    expected = plain.objective(x, 0, value_weight=weight.double()).loss
    torch.testing.assert_close(balanced.objective(x, 0).loss, expected)


def test_what_cannot_go_with_gaps_is_refused() -> None:
    model = Model(code_size=2, network=Dense(()), likelihood="squared_error")
    with pytest.raises(ParameterError, match=r"missing = 'mask' shows the encoder flags .* Set tied=False"):
        build(replace_network(model, Dense((), tied=True)), (6,), seed=0, layout=TABLE, gaps=True)
    with pytest.raises(ParameterError, match="gaps can be told of tables and vectors alone"):
        build(replace_network(model, Conv2d((4,))), (1, 8, 8), seed=0, gaps=True)
    with pytest.raises(ParameterError, match="Mixed's numbers must be chosen first"):
        build(model.replace(likelihood="mixed"), (6,), seed=0)


def replace_network(model: Model, network: Dense | Conv2d) -> Model:
    return model.replace(network=network)

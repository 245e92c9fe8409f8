"""Steps without a graph: the gradient is autograd's, the step AdamW's, and a training goes on alike.

Where values lie by rows the gradient is autograd's to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from isthmus.config import Model, Training
from isthmus.config.parts.activations import Activation
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.corruptions import Corruption, GaussianNoise, Masking, SaltAndPepper
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import L1, Contractive
from isthmus.likelihoods.squared_error import SquaredError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.model.objective import Cost, Objective
from isthmus.numerics.products import is_large
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.threads import torch_threads
from isthmus.training.dense_step import DenseStep
from isthmus.training.loop import Trainer
from isthmus.training.rows import TensorRows
from isthmus.training.state import moments_of, set_moments

X = torch.rand(48, 7, generator=torch.Generator().manual_seed(0))

Same = Callable[[Cost, Objective], None]


def _kind(part: Any) -> str:
    return "none" if part is None else type(part).__name__


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def made(shape: tuple[int, ...] = (7,), **params: Any) -> AutoencoderModule:
    chosen = {"code_size": 3, "network": Dense((9,), "silu"), "likelihood": "squared_error", **params}
    return build(Model(**chosen), shape, seed=1)


def adamw(module: AutoencoderModule, **params: Any) -> torch.optim.AdamW:
    return torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=0.1, fused=True, **params)


def beside_autograd(
    most_rows: int | None = None,
    **params: Any,
) -> tuple[AutoencoderModule, AutoencoderModule, DenseStep, torch.optim.AdamW]:
    """A module that steps without a graph, its twin, these steps and the twin's optimiser."""
    module, twin = made(**params), made(**params)
    optimiser = adamw(module)
    assert DenseStep.fits(module, optimiser)
    return module, twin, DenseStep(module, optimiser, most_rows), adamw(twin)


@pytest.mark.parametrize(
    "activation", ["identity", "relu", "leaky_relu", "silu", "gelu", "softplus", "sigmoid", "tanh"]
)
@pytest.mark.parametrize("likelihood", ["squared_error", "bernoulli"])
@pytest.mark.parametrize("hidden_sizes", [(), (16,), (50, 21)])
@pytest.mark.parametrize("most_rows", [None, 48], ids=["by rows", "by units"])
def test_the_gradient_is_that_of_autograd(
    most_rows: int | None, activation: Activation, likelihood: str, hidden_sizes: tuple[int, ...]
) -> None:
    params = {
        "network": Dense(hidden_sizes, activation),
        "likelihood": likelihood,
        "code": DeterministicCode(activation),
    }
    module, twin, steps, other = beside_autograd(most_rows, **params)
    for n in (48, 37, 1):
        module.load_state_dict(twin.state_dict())
        found = steps.differentiate(X[:n])
        other.zero_grad()
        expected = twin.objective(X[:n], 0)
        expected.loss.backward()
        pairs = {
            "loss": (found.loss, expected.loss),
            "distortion": (found.terms["distortion"], expected.terms["distortion"]),
        }
        for (name, parameter), beside in zip(module.named_parameters(), twin.parameters(), strict=True):
            assert parameter.grad is not None
            assert beside.grad is not None
            pairs[name] = parameter.grad, beside.grad
        for name, (one, other_one) in pairs.items():
            if most_rows is None and name not in ("loss", "distortion"):  # whose sum is taken otherwise
                assert torch.equal(one, other_one), name
            else:
                torch.testing.assert_close(one, other_one, rtol=1e-5, atol=1e-6, msg=name)
        steps.update()
        other.step()
        assert_near(module, twin)
    steps.release()
    assert_near(module, twin)


@pytest.mark.parametrize("likelihood", ["squared_error", "bernoulli"])
@pytest.mark.parametrize(
    "corruption", [None, GaussianNoise(0.3), Masking(0.4), SaltAndPepper(0.2, low=0, high=1)], ids=_kind
)
@pytest.mark.parametrize(
    "code",
    [
        "deterministic",
        "gaussian",
        GaussianCode(0.3, warm_up_share=0.8),
        DeterministicCode(noise=0.4),
        DeterministicCode("sigmoid", noise=0.0, final_noise=0.7),
        DeterministicCode("relu", noise=0.2),
    ],
    ids=["deterministic", "gaussian", "warmed up", "noisy", "ever noisier", "noisy, with units off"],
)
@pytest.mark.parametrize("hidden", [Dense(()), Dense((9, 21), "softplus")], ids=["linear", "softplus"])
@pytest.mark.parametrize("most_rows", [None, 48], ids=["by rows", "by units"])
def test_what_is_drawn_is_drawn_as_by_the_module(
    same_terms: Same,
    most_rows: int | None,
    hidden: Dense,
    code: Any,
    corruption: Corruption | None,
    likelihood: str,
) -> None:
    params = {"network": hidden, "likelihood": likelihood, "code": code, "corruption": corruption}
    module, twin, steps, other = beside_autograd(most_rows, **params)
    for step, (n, progress) in enumerate(((48, 0.0), (37, 0.4), (1, 1.0), (48, 0.9))):
        module.load_state_dict(twin.state_dict())
        found = steps.differentiate(X[:n], progress, step)
        other.zero_grad()
        expected = twin.objective(X[:n], step, progress=progress)
        expected.loss.backward()
        same_terms(found, expected)
        for (name, parameter), beside in zip(module.named_parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, beside.grad, rtol=1e-4, atol=2e-6, msg=name)
        steps.update()
        other.step()
        assert_near(module, twin, 1e-5)


@pytest.mark.parametrize("most_rows", [None, 48], ids=["by rows", "by units"])
def test_a_log_variance_out_of_range_has_no_gradient(most_rows: int | None) -> None:
    module, twin, steps, _ = beside_autograd(most_rows, code="gaussian")
    for each in (module, twin):
        layer = each.network.get_submodule("encoder.layers")[-1]
        with torch.no_grad():
            layer.get_parameter("bias")[3:] = torch.tensor([25.0, -25.0, 0.5])
    found = steps.differentiate(X, step=2)
    expected = twin.objective(X, 2)
    expected.loss.backward()
    torch.testing.assert_close(found.loss, expected.loss.detach(), rtol=1e-5, atol=1e-5)
    for (name, parameter), beside in zip(module.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, beside.grad, rtol=1e-4, atol=1e-5, msg=name)
    of_bias = module.network.get_submodule("encoder.layers")[-1].get_parameter("bias").grad
    assert of_bias is not None
    assert (of_bias == 0).tolist() == [False] * 3 + [True, True, False]


def test_a_corruption_may_give_back_the_batch_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    module, twin, steps, _ = beside_autograd(48, corruption=Masking(0.5))
    for each in (module, twin):
        assert each.corruption is not None
        monkeypatch.setattr(each.corruption, "forward", lambda x, *_: x)
    for rows in (X, 1 - X):
        found, expected = steps.differentiate(rows), twin.objective(rows, 0)
        torch.testing.assert_close(found.loss, expected.loss.detach())


@pytest.mark.parametrize("code", ["deterministic", "gaussian"])
@pytest.mark.parametrize("most_rows", [None, 300], ids=["as torch has them", "the larger side innermost"])
def test_large_products_of_drawn_codes_and_corrupted_rows(most_rows: int | None, code: str) -> None:
    params: dict[str, Any] = {
        "shape": (300,),
        "code_size": 70,
        "network": Dense((200, 160)),
        "code": code,
        "corruption": Masking(0.3),
    }
    module, twin, steps, _ = beside_autograd(most_rows, **params)
    x = torch.rand(300, 300, generator=torch.Generator().manual_seed(0))
    for step, n in enumerate((300, 299, 2, 300, 299)):
        found = steps.differentiate(x[:n], step=step)
        twin.zero_grad()
        expected = twin.objective(x[:n], step)
        expected.loss.backward()
        torch.testing.assert_close(found.loss, expected.loss.detach())
        for (name, parameter), beside in zip(module.named_parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, beside.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_a_batch_that_is_not_finite_leaves_nothing_once_weights_are_put_back() -> None:
    """What lies between rows of weights is never read, whatever comes to stand there."""
    module, twin, steps, other = beside_autograd(48)
    start = {name: value.clone() for name, value in module.state_dict().items()}
    steps.differentiate(X * torch.inf)
    steps.update()
    assert not any(parameter.isfinite().all() for parameter in module.parameters())
    module.load_state_dict(start)
    set_moments(steps._optimiser, {})
    for _ in range(3):
        both(steps, other, module, twin)


@pytest.mark.parametrize(
    ("network", "penalties"),
    [
        (Dense((200, 60)), ()),
        (Dense((200, 60), "tanh"), ()),
        (Dense((64, 300)), ()),
        (Dense(()), ()),
        (Dense(()), (Contractive(0.1),)),
    ],
)
@pytest.mark.parametrize("most_rows", [None, 300], ids=["as torch has them", "the larger side innermost"])
def test_large_products_bring_memory_of_their_own(
    network: Dense, penalties: tuple[Any, ...], most_rows: int | None
) -> None:
    params: dict[str, Any] = {
        "shape": (300,),
        "code_size": 150 if penalties else 70,
        "network": network,
        "code": DeterministicCode("sigmoid" if penalties else "identity"),
        "penalties": penalties,
    }
    module, twin, steps, other = beside_autograd(most_rows, **params)
    turned = [one for one in module.parameters() if not one.is_contiguous()]
    assert bool(turned) == (most_rows is not None and not penalties)
    assert all(one.shape[0] > one.shape[1] for one in turned)
    # Of gradients that are next to nothing AdamW makes steps as long as of others, rounding and all.
    atol = 1e-4 if turned else 1e-6
    x = torch.rand(300, 300, generator=torch.Generator().manual_seed(0))
    for n in (300, 2, 128, 300, 1, 128):
        module.load_state_dict(twin.state_dict())
        found = steps.differentiate(x[:n])
        other.zero_grad()
        expected = twin.objective(x[:n], 0)
        expected.loss.backward()
        torch.testing.assert_close(found.loss, expected.loss.detach())
        for (name, parameter), beside in zip(module.named_parameters(), twin.parameters(), strict=True):
            assert parameter.grad is not None
            assert beside.grad is not None
            if penalties or turned:
                torch.testing.assert_close(parameter.grad, beside.grad, rtol=1e-4, atol=1e-6, msg=name)
            else:
                assert torch.equal(parameter.grad, beside.grad), name
        steps.update()
        other.step()
        assert_near(module, twin, atol)
    steps.release()
    assert_near(module, twin, atol)
    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    assert len(own) == len(list(module.parameters()))
    moments = moments_of(steps._optimiser).values()
    assert all(one.is_contiguous() for one in (*module.parameters(), *moments))
    assert all(one.grad is None for one in module.parameters())
    set_moments(other, moments_of(steps._optimiser))
    for each, own_optimiser in ((module, steps._optimiser), (twin, other)):
        own_optimiser.zero_grad()
        each.objective(x, 0).loss.backward()
        own_optimiser.step()
    assert_near(module, twin, atol)


@pytest.mark.parametrize("likelihood", ["squared_error", "bernoulli"])
def test_a_batch_a_row_short_has_the_same_bits_whatever_came_before(likelihood: str) -> None:
    params: dict[str, Any] = {
        "shape": (300,),
        "code_size": 70,
        "network": Dense((200, 60)),
        "likelihood": likelihood,
    }
    module, twin, resumed = (made(**params) for _ in range(3))
    x = torch.rand(128, 300, generator=torch.Generator().manual_seed(0))
    steps = DenseStep(module, adamw(module), 128)
    steps.differentiate(x)
    found = steps.differentiate(x[:127])
    after = DenseStep(resumed, adamw(resumed), 128).differentiate(x[:127])
    assert torch.equal(found.loss, after.loss)
    expected = twin.objective(x[:127], 0)
    expected.loss.backward()
    torch.testing.assert_close(found.loss, expected.loss.detach())
    for one, same, beside in zip(module.parameters(), resumed.parameters(), twin.parameters(), strict=True):
        assert one.grad is not None
        assert same.grad is not None
        assert torch.equal(one.grad, same.grad)
        torch.testing.assert_close(one.grad, beside.grad, rtol=1e-4, atol=1e-6)
    before = one.grad.clone()
    steps.differentiate(x)
    steps.differentiate(x[:127])
    assert torch.equal(one.grad, before)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("likelihood", ["squared_error", "bernoulli"])
@pytest.mark.parametrize("progress", [0.1, 1.0])
def test_the_contractive_penalty_of_a_layer_is_that_of_autograd(
    activation: Activation, likelihood: str, progress: float
) -> None:
    params: dict[str, Any] = {
        "code_size": 11,
        "network": Dense(()),
        "likelihood": likelihood,
        "code": DeterministicCode(activation),
        "penalties": (Contractive(0.7, warm_up_share=0.5),),
    }
    module, twin, steps, other = beside_autograd(**params)
    for n in (48, 37, 1):
        module.load_state_dict(twin.state_dict())
        found = steps.differentiate(X[:n], progress)
        other.zero_grad()
        expected = twin.objective(X[:n], 0, progress=progress)
        expected.loss.backward()
        torch.testing.assert_close(found.loss, expected.loss.detach())
        assert list(found.terms) == list(expected.terms)
        for name, term in expected.terms.items():
            torch.testing.assert_close(found.terms[name], term.detach())
        for (name, parameter), beside in zip(module.named_parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, beside.grad, rtol=1e-4, atol=1e-6, msg=name)
        steps.update()
        other.step()


@pytest.mark.parametrize(
    "params",
    [
        {
            "penalties": (Contractive(0.1, method="estimate"),),
            "network": Dense(()),
            "code": DeterministicCode("tanh"),
        },
        {"penalties": (Contractive(0.1),), "network": Dense((5,)), "code": DeterministicCode("tanh")},
        {"penalties": (Contractive(0.1),), "network": Dense(()), "code": DeterministicCode("silu")},
        {"penalties": (Contractive(0.1), L1(0.1)), "network": Dense(()), "code": DeterministicCode("tanh")},
    ],
)
def test_other_penalties_are_left_to_autograd(params: dict[str, Any]) -> None:
    module = made(**params)
    assert not DenseStep.fits(module, adamw(module))


@pytest.mark.parametrize("most_rows", [None, 5], ids=["by rows", "by units"])
def test_pictures_are_rows_of_values(most_rows: int | None) -> None:
    module = made(shape=(1, 2, 7), likelihood="bernoulli")
    twin, x = made(shape=(1, 2, 7), likelihood="bernoulli"), torch.rand(5, 1, 2, 7)
    found = DenseStep(module, adamw(module), most_rows).differentiate(x)
    expected = twin.objective(x, 0)
    expected.loss.backward()
    torch.testing.assert_close(found.loss, expected.loss.detach())
    for one, other in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("most_rows", [None, 48], ids=["by rows", "by units"])
def test_moments_are_taken_over_given_back_and_forgotten(most_rows: int | None) -> None:
    module, twin = made(), made()
    optimiser, other = adamw(module), adamw(twin)
    for each, own in ((module, optimiser), (twin, other)):
        each.objective(X, 0).loss.backward()
        own.step()
    steps = DenseStep(module, optimiser, most_rows)  # from the moments of torch's own step
    both(steps, other, module, twin)
    kept = {name: value.clone() for name, value in moments_of(optimiser).items()}
    both(steps, other, module, twin)
    set_moments(optimiser, kept)
    set_moments(other, kept)
    both(steps, other, module, twin)
    set_moments(optimiser, {})
    set_moments(other, {})
    both(steps, other, module, twin)
    steps.release()
    assert len({parameter.untyped_storage().data_ptr() for parameter in module.parameters()}) == 4 * 2
    for each, own in ((module, optimiser), (twin, other)):
        own.zero_grad()
        each.objective(X, 0).loss.backward()
        own.step()
    assert_near(module, twin)


def both(
    steps: DenseStep, other: torch.optim.AdamW, module: AutoencoderModule, twin: AutoencoderModule
) -> None:
    steps.differentiate(X)
    steps.update()
    other.zero_grad()
    twin.objective(X, 0).loss.backward()
    other.step()
    assert_near(module, twin)


@pytest.mark.parametrize("most_rows", [None, 48], ids=["by rows", "by units"])
def test_gradients_that_autograd_put_elsewhere_are_stepped_along(most_rows: int | None) -> None:
    module, twin = made(), made()
    optimiser, other = adamw(module), adamw(twin)
    steps = DenseStep(module, optimiser, most_rows)
    optimiser.zero_grad()
    module.objective(X, 0).loss.backward()
    steps.update()
    twin.objective(X, 0).loss.backward()
    other.step()
    assert_near(module, twin)


OTHERS: list[dict[str, Any]] = [
    {"code": GaussianCode(free_bits=0.1)},
    {"code": GaussianCode(capacity=3.0)},
    {"code": GaussianCode(n_draws=2)},
    {"code": "gaussian", "penalties": (L1(0.1),)},
    {"code": DeterministicCode(noise=0.1), "penalties": (L1(0.1),)},
    {"corruption": Masking(0.3, emphasis=0.5)},
    {"penalties": (L1(0.1),)},
    {"likelihood": {"type": "bernoulli", "sampled": True}},
    {"likelihood": "gaussian"},
    {"network": Dense((9,), "silu", tied=True)},
    {"network": Dense((9,), "elu")},
]


@pytest.mark.parametrize("params", OTHERS, ids=str)
def test_other_models_are_left_to_autograd(params: dict[str, Any]) -> None:
    module = made(**params)
    assert not DenseStep.fits(module, adamw(module))


def test_what_somebody_watches_or_changed_is_left_to_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    module = made()
    assert DenseStep.fits(module, adamw(module))
    assert not DenseStep.fits(module, torch.optim.SGD(module.parameters()))
    assert not DenseStep.fits(module, torch.optim.AdamW(list(module.parameters())[:2]))
    assert not DenseStep.fits(module, adamw(module, amsgrad=True))
    handle = module.network.encoder.register_forward_hook(lambda *_: None)
    assert not DenseStep.fits(module, adamw(module))
    handle.remove()
    assert DenseStep.fits(module, adamw(module))
    monkeypatch.setattr(SquaredError, "forward", lambda self, outputs, x, weight=None: outputs.sum(1))
    assert not DenseStep.fits(module, adamw(module))


@pytest.mark.parametrize(
    "params", [{}, {"code": "gaussian", "corruption": GaussianNoise(0.1)}], ids=["plain", "drawn"]
)
@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_training_ends_where_one_with_autograd_does(
    clip: float | None, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Training(
        epochs=5, batch_size=10, learning_rate=0.02, weight_decay=0.1, gradient_clip=clip, patience=None, seed=2,
        device="cpu", threads=1, validation_share=0.0,
    )  # fmt: skip
    module, twin, rows = made(**params), made(**params), TensorRows(X)
    made_of = list[bool]()
    fits = DenseStep.fits
    monkeypatch.setattr(DenseStep, "fits", lambda *given: made_of.append(fits(*given)) or made_of[-1])
    history = Trainer(module, plan).fit(rows, TensorRows(X[:9]))
    assert made_of == [True]
    monkeypatch.setattr(DenseStep, "fits", lambda *_: False)
    beside = Trainer(twin, plan).fit(rows, TensorRows(X[:9]))
    assert_near(module, twin)
    for ours, theirs in zip(history.epochs, beside.epochs, strict=True):
        assert math.isclose(ours.training["loss"], theirs.training["loss"], rel_tol=1e-5)


def test_validation_rows_are_measured_as_the_fitted_model_measures_them() -> None:
    """Their batches are larger than those of steps, and their products of the other kind."""
    module = made((64,), network=Dense((256, 128)), code_size=8)
    rows = TensorRows(Randomness(1).normal((300, 64)))
    plan = Training(
        epochs=2, batch_size=31, learning_rate=1e-3, patience=None, seed=2, device="cpu", threads=1,
        validation_share=0.0,
    )  # fmt: skip
    assert not is_large(31, 256, 128)
    assert is_large(256, 256, 128) or not is_large(10**6, 10**3, 10**3)
    trainer = Trainer(module, plan)
    history = trainer.fit(rows, rows)
    assert history.best_epoch == 2
    after, _ = trainer.validate(rows)
    assert history.epochs[-1].validation is not None
    assert math.isclose(history.epochs[-1].validation["loss"], after["loss"], rel_tol=1e-5)


def assert_near(module: AutoencoderModule, twin: AutoencoderModule, atol: float = 1e-6) -> None:
    """But for the last bit of a few: one vector has other numbers at its end than each of its parts."""
    for (name, value), other in zip(module.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(
            value, other, rtol=1e-5, atol=atol, msg=lambda told, name=name: f"{name}: {told}"
        )

"""Models told a label, against what they are without one and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from isthmus.artifact import FittedModel
from isthmus.config import Config, Model
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.likelihoods import Gaussian
from isthmus.config.parts.networks import Conv2d, Dense, Transformer
from isthmus.config.parts.penalties import Contractive
from isthmus.errors import ArtifactError, DataError, ParameterError
from isthmus.evaluation.evidence import evidence
from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.model.condition import LabelCondition
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.testing import check_module

torch.set_num_threads(1)

MEANS = torch.tensor([[3.0, 0, 0, -1, 2], [-2.0, 1, 0, 4, 0]], dtype=torch.float64)


def two_classes(n: int) -> tuple[Tensor, Tensor]:
    """Rows of two classes with one covariance, and their classes."""
    noise = Randomness(3).normal((n, 5)).double()
    mix = torch.diag(torch.tensor([2.0, 1.5, 0.5, 0.5, 0.5], dtype=torch.float64))
    mix[0, 1] = mix[3, 0] = 0.7
    y = torch.arange(n) % 2
    return noise @ mix + MEANS[y], y


def conditional(**changes: object) -> Model:
    return Model(
        **{  # type: ignore[arg-type]
            "code_size": 2,
            "network": Dense(()),
            "likelihood": "squared_error",
            "condition": "label",
            **changes,
        }
    )


def linear_vae(x: Tensor, y: Tensor) -> tuple[AutoencoderModule, MultivariateNormal]:
    """The optimum: probabilistic PCA of class-centred rows, and the density that it stands for."""
    k, d = 2, x.shape[1]
    means = torch.stack([x[y == label].mean(dim=0) for label in (0, 1)])
    lam, u = torch.linalg.eigh(torch.cov((x - means[y]).T, correction=0))
    lam, u = lam.flip(0), u.flip(1)
    s = lam[k:].mean()
    columns = u[:, :k] * (lam[:k] - s).sqrt()
    module = build(
        conditional(code=GaussianCode(), likelihood=Gaussian("learned")), (d,), seed=0, n_classes=2
    ).double()
    into, out = (
        next(m for m in half.modules() if isinstance(m, torch.nn.Linear))
        for half in (module.network.encoder, module.network.decoder)
    )
    with torch.no_grad():
        module.condition.shift.copy_(-means)  # type: ignore[union-attr]
        into.weight.copy_(torch.cat([(columns / lam[:k]).T, torch.zeros(k, d, dtype=x.dtype)]))
        into.bias.copy_(torch.cat([torch.zeros(k, dtype=x.dtype), (s / lam[:k]).log()]))
        out.weight.copy_(torch.cat([columns, means.T], dim=1))
        out.bias.zero_()
        module.likelihood.log_scale.fill_(math.log(s.item()) / 2)  # type: ignore[operator]
    return module, MultivariateNormal(means[y], columns @ columns.T + s * torch.eye(d, dtype=x.dtype))


def test_evidence_of_the_linear_optimum_is_the_density_of_class_centred_rows() -> None:
    x, y = two_classes(300)
    module, density = linear_vae(x, y)
    source = ArraySource(x.numpy(), np.array(["a", "b"])[y.numpy()])
    scaling = Scaling.fit(source, np.arange(len(source)), method="none")
    model = FittedModel(Config(), scaling, module.float().eval(), classes=np.array(["a", "b"]))
    found = evidence(Inference(model), source, n_samples=20)
    assert found is not None
    np.testing.assert_allclose(found.log_likelihood, density.log_prob(x), atol=2e-4)
    np.testing.assert_allclose(found.log_likelihood, found.bounds[5], atol=2e-4)  # the posterior is exact


def test_the_linear_optimum_is_one() -> None:
    """At class-centred probabilistic PCA the bound's slope is 0 in every weight, the labels' own too."""
    x, y = two_classes(40)
    module, density = linear_vae(x, y)
    many = x.repeat(4000, 1), y.repeat(4000)
    cost = module.objective(many, 0).loss
    cost.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() < 0.06, name
    assert cost.item() == pytest.approx(-density.log_prob(x).mean().item(), abs=0.02)


def test_a_new_condition_says_nothing_to_the_encoder() -> None:
    x = torch.rand(3, 5)
    told = build(conditional(), (5,), seed=0, n_classes=4)
    plain = build(conditional(condition="none"), (5,), seed=0)
    assert torch.equal(told.given(torch.tensor([2, 0, 1])).encode(x), plain.encode(x))


def test_each_row_is_told_its_own_label() -> None:
    """A batch of labels is the rows one by one, for several draws a row too."""
    x, y = torch.rand(3, 5), torch.tensor([2, 0, 1])
    module = build(conditional(), (5,), seed=0, n_classes=3)
    with torch.no_grad():
        module.condition.shift.copy_(torch.rand(3, 5))  # type: ignore[union-attr]
    told = module.given(y)
    for row in range(3):
        alone = module.given(y[row : row + 1])
        torch.testing.assert_close(told.reconstruct(x)[row], alone.reconstruct(x[row : row + 1])[0])
    h = told.encode(x)
    apart = told.decode(h.repeat_interleave(4, dim=0)).unflatten(0, (3, 4))
    torch.testing.assert_close(apart, told.decode(h)[:, None].expand(-1, 4, -1))
    tiled = told.tiled(4).decode(h.repeat(4, 1)).unflatten(0, (4, 3))
    torch.testing.assert_close(tiled, told.decode(h)[None].expand(4, -1, -1))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": Dense((7,))},
        {"code": GaussianCode(), "likelihood": Gaussian("learned")},
        {"code": GaussianCode(n_draws=3), "likelihood": Gaussian("learned")},
        {"penalties": (Contractive(0.1),), "network": Dense((4,)), "corruption": "gaussian_noise"},
        {"network": Transformer(patch_size=1, width=8, n_heads=2)},
    ],
)
def test_a_model_of_a_label_is_an_autoencoder(changes: dict[str, object]) -> None:
    module = build(conditional(**changes), (5,), seed=0, n_classes=3)
    check_module(module.given(torch.tensor([1])), torch.rand(3, 5))


def test_pictures_are_told_their_labels() -> None:
    module = build(conditional(network=Conv2d((4,))), (1, 8, 8), seed=0, n_classes=3)
    check_module(module.given(torch.tensor([2])), torch.rand(2, 1, 8, 8))


def test_objective_of_pairs_is_that_of_the_told_module() -> None:
    x, y = torch.rand(4, 5), torch.tensor([0, 1, 1, 2])
    module = build(conditional(code=GaussianCode()), (5,), seed=0, n_classes=3)
    assert torch.equal(module.objective((x, y), 2).loss, module.given(y).objective(x, 2).loss)


def test_labels_are_told_as_one_of_n() -> None:
    condition = LabelCondition(2, (1,))
    assert condition.beside(torch.zeros(2, 1), torch.tensor([1, 0])).tolist() == [[0, 0, 1], [0, 1, 0]]


def test_no_label_is_guessed() -> None:
    x, module = torch.zeros(3, 5), build(conditional(), (5,), seed=0, n_classes=2)
    for use in (module.encode, module.reconstruct, lambda x: module.objective(x, 0)):
        with pytest.raises(ParameterError, match="conditional on a label, got rows without any"):
            use(x)
    with pytest.raises(ParameterError, match="conditional on a label"):
        module.decode(torch.zeros(3, 2))
    with pytest.raises(ParameterError, match="a label for each of 3 rows, or one for all, got 2"):
        module.given(torch.tensor([0, 1])).encode(x)
    with pytest.raises(ParameterError, match="not conditional on a label, got some"):
        build(conditional(condition="none"), (5,), seed=0).given(torch.tensor([0]))


def test_what_cannot_go_with_a_condition_is_refused() -> None:
    with pytest.raises(ParameterError, match="tied=True"):
        build(conditional(network=Dense((), tied=True)), (5,), seed=0, n_classes=2)
    with pytest.raises(ParameterError, match="got 0 classes"):
        build(conditional(), (5,), seed=0)
    with pytest.raises(ParameterError, match="got 2 classes"):
        build(conditional(condition="none"), (5,), seed=0, n_classes=2)
    with pytest.raises(ParameterError, match="condition must be none or label"):
        conditional(condition="labels")


def test_weights_of_other_classes_are_refused() -> None:
    weights = build(conditional(), (5,), seed=0, n_classes=3).state_dict()
    assert build(conditional(), (5,), seed=0, n_classes=3, weights=weights)
    with pytest.raises(ArtifactError, match="open: the model has"):
        build(conditional(), (5,), seed=0, n_classes=4, weights=weights)
    without = {name: value for name, value in weights.items() if not name.startswith("condition.")}
    with pytest.raises(
        ArtifactError, match=r"nothing for condition\.shift|condition\.shift, the file has nothing"
    ):
        build(conditional(), (5,), seed=0, n_classes=3, weights=without)


def test_condition_goes_through_a_config() -> None:
    config = Config(model=conditional())
    assert Config.from_toml(config.to_toml()) == config
    assert Config.from_dict({}).model.condition == "none"


def test_rows_of_a_source_bring_known_labels() -> None:
    source = ArraySource(np.zeros((3, 5)), ["b", "a", "b"])
    scaling = Scaling.fit(
        ArraySource(np.random.default_rng(0).normal(size=(9, 5))), np.arange(9), method="none"
    )
    module = build(conditional(), scaling.model_shape, seed=0, n_classes=2).eval()
    inference = Inference(FittedModel(Config(), scaling, module, classes=np.array(["a", "b"])))
    np.testing.assert_array_equal(inference.class_numbers(source), [1, 0, 1])
    with pytest.raises(DataError, match=r"fitted on \(2 classes: a, b\), got 'c'"):
        inference.encode(ArraySource(np.zeros((2, 5)), ["a", "c"]))
    with pytest.raises(DataError, match="expected a label a row"):
        inference.encode(ArraySource(np.zeros((2, 5))))
    with pytest.raises(DataError, match="expected 2 labels, one a code, got an array of shape"):
        inference.decode(np.zeros((2, 2)), np.array(["a"]))

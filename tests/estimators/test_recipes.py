"""The kinds as estimators: what each chooses, that nothing else differs, and scikit-learn's checks."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.utils.estimator_checks import estimator_checks_generator

import isthmus
from isthmus import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    GaussianNoise,
    Masking,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from isthmus.config.parts.networks import Conv1d, Conv2d
from isthmus.config.recipes import RECIPES
from isthmus.errors import ArtifactError
from isthmus.estimators.recipes import Recipe

X = load_iris().data
KINDS = [kind for kind in Recipe.__subclasses__() if kind.__module__ == Recipe.__module__]
OWN = {
    SparseAutoencoder: {"weight": 0.3},
    DenoisingAutoencoder: {"corruption": GaussianNoise(0.2)},
    ContractiveAutoencoder: {"weight": 0.3},
    VariationalAutoencoder: {"beta": 0.3},
    ConvolutionalAutoencoder: {"channels": (3,), "kernel_size": 3, "stride": 2, "activation": "relu"},
}
QUICK = {"max_epochs": 2, "random_state": 0, "threads": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def quick(kind: type[Recipe], **params: Any) -> Recipe:
    return kind(2, **{**QUICK, **OWN[kind], **params})  # type: ignore[misc]


def checks() -> list[Any]:
    found: list[Any] = []
    for kind in KINDS:
        estimator = kind(max_epochs=2, threads=1, device="cpu")
        for number, (one, check) in enumerate(estimator_checks_generator(estimator)):
            name = getattr(check, "func", check).__name__
            if name != "check_array_api_input":
                found.append(pytest.param(one, check, id=f"{kind.__name__}-{number}-{name}"))
    return found


@pytest.mark.parametrize(("estimator", "check"), checks())
def test_check(estimator: Recipe, check: Any) -> None:
    """All but the one that needs a process of its own; with the defaults they pass too."""
    check(estimator)


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_every_parameter_of_the_autoencoder_but_those_that_it_chooses(kind: type[Recipe]) -> None:
    every = inspect.signature(Autoencoder).parameters
    mine = inspect.signature(kind).parameters
    own = set(OWN[kind]) & (set(mine) - set(every)) | ({"corruption"} & set(OWN[kind]))
    assert set(mine) == (set(every) - set(kind.CHOSEN)) | own
    assert set(kind.CHOSEN) <= set(every)
    for name in set(mine) - own:
        assert mine[name].default == every[name].default
    assert kind().get_params(deep=False) == {name: p.default for name, p in mine.items()}
    assert getattr(isthmus, kind.__name__) is kind


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_recipe_of_its_name(kind: type[Recipe]) -> None:
    model = quick(kind).fit(X).config_.model
    assert model.kind == kind.KIND
    expected = RECIPES[kind.KIND]()
    assert type(model.code) is type(expected.code)
    assert [type(penalty) for penalty in model.penalties] == [type(p) for p in expected.penalties]
    defaults = kind(2, **QUICK).fit(X).config_.model
    assert defaults.code == expected.code
    assert defaults.penalties == expected.penalties
    assert defaults.corruption == expected.corruption


def test_the_same_choice_of_parts_is_the_same_model() -> None:
    pairs: list[tuple[Recipe, dict[str, Any]]] = [
        (quick(VariationalAutoencoder), {"code": isthmus.GaussianCode(0.3)}),
        (quick(DenoisingAutoencoder), {"corruption": GaussianNoise(0.2)}),
        (
            quick(SparseAutoencoder),
            {"code": isthmus.DeterministicCode("relu"), "penalties": isthmus.L1(0.3)},
        ),
    ]
    for recipe, parts in pairs:
        plain = Autoencoder(2, **QUICK, **parts).fit(X)
        assert np.array_equal(recipe.fit(X).transform(X), plain.transform(X))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_opens_as_what_it_is(kind: type[Recipe], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = quick(kind).fit(X)
    model.save(path)
    opened = kind.open(path)
    assert type(opened) is kind
    for name, value in OWN[kind].items():
        assert getattr(opened, name) == value
    assert np.array_equal(opened.transform(X), model.transform(X))
    assert Autoencoder.open(path).config_ == model.config_
    assert clone(opened).get_params(deep=False).keys() == model.get_params(deep=False).keys()
    others = [other for other in KINDS if other not in (kind, DenoisingAutoencoder)]
    for other in others:
        with pytest.raises(ArtifactError, match=f"{other.__name__}: expected a model of kind"):
            other.open(path)


def test_parameters_that_a_recipe_chooses_are_refused() -> None:
    with pytest.raises(TypeError, match="VariationalAutoencoder: has no parameter 'code'"):
        VariationalAutoencoder(2, code="deterministic")
    with pytest.raises(TypeError, match="has no parameter 'betta'"):
        VariationalAutoencoder(2, betta=1)
    with pytest.raises(ValueError, match="Invalid parameter 'code'"):
        VariationalAutoencoder(2).set_params(code="deterministic")
    assert DenoisingAutoencoder().set_params(corruption__hidden_share=0.5).corruption == Masking(0.5)


def test_convolutions_follow_the_rows() -> None:
    digits = load_digits()
    params = {"channels": (2,), **QUICK, "max_epochs": 1}
    pictures = ConvolutionalAutoencoder(2, **params).fit(digits.images[:60])
    flat = ConvolutionalAutoencoder(2, sample_shape=(8, 8), **params).fit(digits.data[:60])
    steps = ConvolutionalAutoencoder(2, **params).fit(digits.data[:60])
    assert isinstance(pictures.config_.model.network, Conv2d)
    assert isinstance(flat.config_.model.network, Conv2d)
    assert isinstance(steps.config_.model.network, Conv1d)
    assert np.array_equal(pictures.transform(digits.images[:5]), flat.transform(digits.data[:5]))
    sound = ConvolutionalAutoencoder(2, row_kind="sequences", **params).fit(digits.images[:60])
    assert isinstance(sound.config_.model.network, Conv1d)
    assert sound.module_.sample_shape == (8, 8)

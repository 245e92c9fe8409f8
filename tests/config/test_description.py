"""Descriptions: one sentence for every bad value, NumPy's scalars, scikit-learn's face."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest
from sklearn.base import clone

from isthmus.config import Data, Training
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.corruptions import GaussianNoise, Masking
from isthmus.config.parts.likelihoods import Gaussian
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.config.parts.penalties import L1, Contractive
from isthmus.errors import IsthmusError, ParameterError, UnknownNameError

REFUSED = [
    (
        lambda: Masking(1.3),
        "Masking: hidden_share must be in [0, 1), got 1.3. To hide everything is to learn nothing; try 0.25.",
    ),
    (lambda: Masking(1.0), "Masking: hidden_share must be in [0, 1), got 1.0."),
    (lambda: Masking(-0.1), "Masking: hidden_share must be in [0, 1), got -0.1."),
    (lambda: Masking(float("nan")), "Masking: hidden_share must be in [0, 1), got nan."),
    (lambda: GaussianNoise(-1), "GaussianNoise: scale must be in [0, inf), got -1.0."),
    (lambda: GaussianNoise(float("inf")), "GaussianNoise: scale must be in [0, inf), got inf."),
    (lambda: Gaussian(0), "Gaussian: scale must be in (0, inf), got 0.0."),
    (lambda: GaussianCode(-1), "GaussianCode: beta must be in [0, inf), got -1.0."),
    (lambda: L1(-1), "L1: weight must be in [0, inf), got -1.0."),
    (lambda: Dense((0,)), "Dense: hidden_sizes must be in [1, inf), got 0. A layer needs at least one unit."),
    (lambda: Conv2d(kernel_size=2, stride=3), "Conv2d: kernel_size must be at least stride (3), got 2."),
    (lambda: Training(warm_up_share=1), "Training: warm_up_share must be in [0, 1), got 1.0."),
    (lambda: Training(seed=-1), "Training: seed must be in [0, 4294967295], got -1."),
    (lambda: Training(patience=0), "Training: patience must be in (0, 1], got 0"),
    (lambda: Contractive(method="fast"), "Contractive: method must be auto, exact or estimate, got 'fast'."),
    (lambda: Data(resize=(0, 3)), "Data: resize must be in [1, inf), got 0."),
    (lambda: Gaussian(0.1, 0.2), "Gaussian: takes at most 1 values (scale), got 2."),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSED, ids=[text[:40] for _, text in REFUSED])
def test_a_bad_value_is_one_sentence(make, sentence) -> None:
    with pytest.raises(ParameterError) as caught:
        make()
    message = str(caught.value)
    assert message.startswith(sentence)
    assert message.endswith(".")
    assert "\n" not in message
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Masking("much"),
        lambda: Dense(3.5),
        lambda: Dense((3.5,)),
        lambda: Dense("wide"),
        lambda: Gaussian("learnt"),
        lambda: DeterministicCode("rleu"),
        lambda: Training(epochs="many"),
        lambda: Training(gradient_clip=-1),
    ],
)
def test_a_value_of_the_wrong_kind_says_who_and_what_came(make) -> None:
    with pytest.raises(IsthmusError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    assert message.split(":", maxsplit=1)[0] in {
        "Masking",
        "Dense",
        "Gaussian",
        "DeterministicCode",
        "Training",
    }
    assert "got " in message


def test_an_unknown_key_lists_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="Training: unknown key 'epoch'; did you mean 'epochs'"):
        Training(epoch=3)
    with pytest.raises(UnknownNameError, match=r"Masking: unknown key 'share'.*Known: .*hidden_share"):
        Masking(share=0.5)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_numpy_scalars_become_numbers(kind) -> None:
    part = L1(kind(0.5))
    assert part.weight == 0.5
    assert type(part.weight) is float
    assert part == L1(0.5)


def test_numpy_integers_become_numbers() -> None:
    assert type(Training(epochs=np.int64(3)).epochs) is int
    sizes = Dense(tuple(np.array([8, 4]))).hidden_sizes
    assert sizes == (8, 4)
    assert all(type(size) is int for size in sizes)


def test_get_params_are_the_parameters() -> None:
    assert Conv2d(channels=(8,)).get_params() == {
        "channels": (8,),
        "kernel_size": 4,
        "stride": 2,
        "activation": "silu",
        "down": "stride",
        "up": "transposed",
        "switches": False,
        "residual": 0,
    }
    assert Conv2d(**Conv2d(channels=(8,)).get_params()) == Conv2d(channels=(8,))


def test_set_params_checks_and_leaves_the_rest() -> None:
    part = Conv2d(channels=(8,))
    assert part.set_params(kernel_size=3) is part
    assert part == Conv2d(channels=(8,), kernel_size=3)
    with pytest.raises(ParameterError, match="kernel_size"):
        part.set_params(stride=4)
    with pytest.raises(UnknownNameError, match="kernel"):
        part.set_params(kernel=4)
    assert part == Conv2d(channels=(8,), kernel_size=3)


def test_replace_is_a_copy() -> None:
    part = Masking(0.1)
    assert part.replace(hidden_share=0.2) == Masking(0.2)
    assert part == Masking(0.1)


def test_clone_is_equal_and_apart() -> None:
    part = Dense((8, 4), activation="tanh")
    twin = clone(part)
    assert twin == part
    assert twin is not part
    twin.set_params(activation="relu")
    assert part.activation == "tanh"
    assert copy.deepcopy(part) == part


def test_errors_are_let_go_of() -> None:
    """They were kept for ever, each within a ring with pydantic's own, which no collector sees: 5 kB a wrong value."""
    refused = []
    for _ in range(3):
        with pytest.raises(ParameterError) as caught:
            Data.from_dict({"types": {"age": "cou"}})
        refused.append(weakref.ref(caught.value))
        del caught
    gc.collect()
    assert [each() for each in refused] == [None, None, None]

"""What "auto" becomes: bounded functions of sizes, which never fall where they should rise."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.config import Config, Model, Training
from isthmus.config import defaults as rules
from isthmus.config.parts.corruptions import Masking
from isthmus.config.parts.networks import Conv2d, Dense, Transformer
from isthmus.config.recipes import imputing

ROWS = st.integers(1, 10**8)
VALUES = st.integers(1, 10**7)


def is_power_of_two(n: int) -> bool:
    return n & (n - 1) == 0


@given(ROWS, ROWS)
def test_batch_size(a: int, b: int) -> None:
    low, high = rules.batch_size(min(a, b)), rules.batch_size(max(a, b))
    assert 32 <= low <= high <= 256
    assert is_power_of_two(low)
    assert is_power_of_two(high)


@given(ROWS, ROWS)
def test_hidden_sizes(a: int, b: int) -> None:
    small, large = rules.hidden_sizes(min(a, b)), rules.hidden_sizes(max(a, b))
    assert 1 <= len(small) <= len(large) <= 3
    assert 64 <= small[0] <= large[0] <= 1024
    assert all(first == 2 * second for first, second in itertools.pairwise(large))


@given(VALUES, VALUES)
def test_code_size(a: int, b: int) -> None:
    small, large = rules.code_size((min(a, b),)), rules.code_size((max(a, b),))
    assert 1 <= small <= large <= 64
    assert small <= min(a, b)
    assert small == min(64, round(math.sqrt(min(a, b))))


def test_code_size_counts_the_values_of_a_picture() -> None:
    assert rules.code_size((28, 28, 1)) == rules.code_size((784,)) == 28
    assert rules.code_size((1,)) == 1


@given(ROWS, st.sampled_from([1, 32, 64, 256, 1000]))
def test_epochs(n_rows: int, batch: int) -> None:
    epochs = rules.epochs(n_rows, batch)
    steps_an_epoch = math.ceil(n_rows / batch)
    wanted = min(rules.STEPS_A_ROOT_ROW * math.sqrt(n_rows), rules.MOST_STEPS)
    assert epochs >= 10
    assert epochs * steps_an_epoch >= wanted
    assert epochs == 10 or (epochs - 1) * steps_an_epoch < wanted


@given(ROWS, ROWS)
def test_steps_do_not_fall_with_rows(a: int, b: int) -> None:
    """Up to one epoch, by which they are rounded up."""

    def steps(n: int) -> int:
        return rules.epochs(n, rules.batch_size(n)) * math.ceil(n / rules.batch_size(n))

    few, many = min(a, b), max(a, b)
    assert steps(many) + math.ceil(few / rules.batch_size(few)) >= steps(few)


@given(VALUES, VALUES)
def test_learning_rate(a: int, b: int) -> None:
    assert rules.learning_rate((a,), "random") == rules.learning_rate((b,), "random") == 2e-3
    small, large = rules.learning_rate((min(a, b),), "pca"), rules.learning_rate((max(a, b),), "pca")
    assert large <= small <= 1e-3
    assert small * min(a, b) <= 0.15 * 1.05  # two digits are kept


@pytest.mark.parametrize("n_values", [10**6, 10**7, 10**9])
def test_a_learning_rate_from_pca_is_never_zero(n_values: int) -> None:
    assert rules.learning_rate((n_values,), "pca") > 0


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 5))
def test_channels(height: int, width: int, stride: int) -> None:
    found = rules.channels((height, width, 3), stride)
    assert found == tuple(32 * 2**stage for stage in range(len(found)))
    side = max(height, width)
    if stride == 1:
        assert found == (32,)
    else:
        assert len(found) == 1 or side / stride ** (len(found) - 1) > 7
        assert side / stride ** len(found) <= 7
    assert rules.channels((width, height, 1), stride) == found


def test_chosen_values_stay_and_auto_goes() -> None:
    facts = rules.Facts((28, 28, 1), 5000, "bernoulli")
    config = Config(
        model=Model(code_size=5, network=Dense((9,)), likelihood="gaussian"),
        training=Training(batch_size=7, epochs=3, patience=0.5, gradient_clip=2.0, learning_rate=0.1),
    )
    assert rules.resolve(config, facts) == config
    found = rules.resolve(Config(), facts)
    assert found.model.code_size == 28
    assert found.model.network.hidden_sizes == rules.hidden_sizes(5000)
    assert type(found.model.likelihood).__name__ == "Bernoulli"
    assert found.training.batch_size == rules.batch_size(5000)
    assert found.training.epochs == rules.epochs(5000, 64)
    assert found.training.patience == 0.3
    none = Config(training=Training(patience=None))
    assert rules.resolve(none, facts).training.patience is None
    picture = rules.resolve(Config(model=Model(network=Conv2d())), facts)
    assert picture.model.network.channels == (32, 64)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=3).map(tuple))
def test_patches_are_few_and_none_is_large(shape: tuple[int, ...]) -> None:
    patch, sides = rules.patch_size(shape), shape[:-1] or shape
    largest, wanted = {1: (math.inf, 64), 2: (64, 16), 3: (16, 2)}[len(shape)]
    n_patches = math.ceil(max(sides) / patch)
    assert 1 <= patch <= largest
    assert n_patches <= wanted or patch == largest
    assert patch == 1 or math.ceil(max(sides) / (patch - 1)) > wanted


@given(ROWS, ROWS)
def test_token_width(a: int, b: int) -> None:
    low, high = rules.token_width(min(a, b)), rules.token_width(max(a, b))
    assert 32 <= low <= high <= 128
    assert is_power_of_two(low)
    assert is_power_of_two(high)


@given(st.integers(2, 2000))
def test_heads_divide_the_width(width: int) -> None:
    heads = rules.n_heads(width)
    assert width % heads == 0
    assert heads == 1 or width // heads >= 32


def test_a_transformer_is_resolved_and_what_is_chosen_stays() -> None:
    facts = rules.Facts((28, 28, 1), 7_200, "bernoulli")

    def resolved(**chosen: Any) -> dict[str, Any]:
        config = Config(model=Model(network=Transformer(**chosen)))
        return rules.resolve(config, facts).model.network.get_params()

    auto = resolved()
    assert auto == {"patch_size": 14, "width": 64, "depth": 1, "n_heads": 2, "mlp_ratio": 4.0}
    assert resolved(width=30) == {**auto, "width": 30, "n_heads": 1}
    assert resolved(n_heads=3) == {**auto, "width": 192, "n_heads": 3}
    assert resolved(patch_size=3, depth=5) == {**auto, "patch_size": 3, "depth": 5}
    tokens = Config(model=Model(network=Transformer()))
    assert rules.resolve(tokens, facts).training.learning_rate == 4e-3
    assert rules.resolve(tokens.with_training(learning_rate=0.1), facts).training.learning_rate == 0.1


def test_resolving_is_done_once() -> None:
    facts = rules.Facts((12,), 300, "squared_error")
    once = rules.resolve(Config(), facts)
    assert rules.resolve(once, rules.Facts((99,), 10**6, "bernoulli")) == once


def test_what_fills_hidden_values_is_wide() -> None:
    facts = rules.Facts((14,), 300, "mixed")
    filling = rules.resolve(Config(model=imputing()), facts)
    assert filling.model.code_size == 14
    assert filling.model.network.hidden_sizes == rules.hidden_sizes(300)[:1]
    assert rules.code_size((1000,), filling=True) == 64
    # Kept values that count a little can be copied: the usual rules.
    partly = imputing().replace(corruption=Masking(0.25, emphasis=0.9))
    usual = rules.resolve(Config(model=partly), facts)
    assert usual.model.code_size == 4
    assert usual.model.network.hidden_sizes == rules.hidden_sizes(300)
    # What is asked for stays.
    asked = Config(model=imputing().replace(code_size=3, network=Dense((9, 8))))
    kept = rules.resolve(asked, facts)
    assert (kept.model.code_size, kept.model.network.hidden_sizes) == (3, (9, 8))

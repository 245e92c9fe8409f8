"""Threads: a rule of sizes, and nothing of it left in the process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from isthmus.config import Model
from isthmus.config.parts.networks import Conv2d, Dense, Network, Transformer
from isthmus.model.build import build
from isthmus.numerics.threads import torch_threads
from isthmus.training import threads
from isthmus.training.threads import WORK_A_THREAD, choose_threads, training_threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def test_threads_are_set_and_given_back() -> None:
    with training_threads(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 1


def test_threads_are_given_back_after_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), training_threads(2):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("cores", [1, 2, 7, None])
def test_threads_follow_the_work_of_a_step(cores: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A linear model multiplies twice ``values x code``: 2 operations each, 3 times as many in training."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    module = build(Model(code_size=50, network=Dense(()), likelihood="squared_error"), (1000,), seed=0)
    work = 3 * 2 * (1000 * 50 + 50 * 1000)
    for batch in (1, 100, 500, 1000, 2000, 100_000):
        expected = max(1, min(int(batch * work / WORK_A_THREAD), cores or 1))
        assert choose_threads(module, batch) == expected


@pytest.mark.parametrize(
    "network", [Dense((7, 5)), Conv2d((4, 6)), Transformer(patch_size=4, width=8, n_heads=2)]
)
def test_operations_are_those_that_torch_counts(network: Network) -> None:
    shape = (6,) if isinstance(network, Dense) else (1, 16, 16)
    module = build(Model(code_size=3, network=network, likelihood="squared_error"), shape, seed=0).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        module(torch.zeros(1, *shape))
    with torch.no_grad(), threads._Counter() as ours:
        module(torch.zeros(1, *shape))
    assert ours.n_operations == theirs.get_total_flops() > 0

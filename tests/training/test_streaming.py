"""Rows that are read by block: each once an epoch, in an order of chance, within a budget, and no slower for it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from isthmus.config import Model, Training
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.corruptions import GaussianNoise
from isthmus.config.parts.networks import Dense
from isthmus.errors import DataError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.training.loop import Trainer
from isthmus.training.rows import LabelledRows, Packed, Rows
from isthmus.training.streaming import Mixing, StreamedRows, ahead

torch.set_num_threads(1)
X = np.random.default_rng(0).normal(size=(101, 4)).astype(np.float32)


def streamed(array: np.ndarray, block: int, mixed: int) -> StreamedRows:
    source = ArraySource(array)
    rows = StreamedRows(source, Scaling.fit(source), 10**6)
    rows.mixing = Mixing(len(array), block, mixed)
    return rows


class Twin(Rows[torch.Tensor]):
    """The slow twin: everything is read at once, and put in the order that the mixing says."""

    def __init__(self, array: np.ndarray, mixing: Mixing) -> None:
        source = ArraySource(array)
        self.x = torch.from_numpy(Scaling.fit(source).to_model(source.read(slice(0, len(source)))))
        self.mixing = mixing

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, indices: torch.Tensor) -> torch.Tensor:
        return self.x[indices]

    def in_order(  # type: ignore[override]
        self, chance: Randomness, n_batches: int, n_done: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = []
        for number, blocks in enumerate(self.mixing.parts(chance)):
            ends = self.mixing.ends or range(self.mixing.block, 10**3, self.mixing.block)
            rows = [row for b in blocks for row in range(ends[b - 1] if b else 0, ends[b])]
            rows = [row for row in rows if row < len(self)]
            order += [rows[i] for i in chance.at("rows", number).permutation(len(rows)).tolist()]
        for indices in torch.tensor(order).tensor_split(n_batches)[n_done:]:
            yield indices, self.x[indices]


# The order


@given(n=st.integers(2, 90), block=st.integers(1, 40), mixed=st.integers(1, 9), data=st.data())
@settings(deadline=None, max_examples=40)
def test_each_row_once_in_batches_of_nearly_one_size(
    n: int, block: int, mixed: int, data: st.DataObject
) -> None:
    n_batches = data.draw(st.integers(1, n))
    rows = streamed(X[:n], block, mixed)
    found = list(rows.in_order(Randomness(3, "order", 1), n_batches))
    expected = list(Twin(X[:n], rows.mixing).in_order(Randomness(3, "order", 1), n_batches))
    assert sorted(torch.cat([indices for indices, _ in found]).tolist()) == list(range(n))
    assert len(found) == n_batches
    for (indices, x), (same, y) in zip(found, expected, strict=True):
        assert torch.equal(indices, same)
        assert torch.equal(x, y)


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=20), budget=st.integers(1, 300))
@settings(deadline=None, max_examples=40)
def test_uneven_blocks_are_whole_and_mixed_within_the_budget(sizes: list[int], budget: int) -> None:
    ends = np.cumsum(sizes)
    mixing = Mixing.within(int(ends[-1]), 1, 4 * budget, ends)
    parts = [part.tolist() for part in mixing.parts(Randomness(1))]
    assert sorted(chain.from_iterable(parts)) == list(range(len(sizes)))
    assert all(sum(sizes[b] for b in part) <= max(budget, *sizes) for part in parts)
    rows = np.concatenate([mixing.rows_of(np.array(part)) for part in parts])
    np.testing.assert_array_equal(np.sort(rows), np.arange(ends[-1]))


def test_uneven_blocks_in_batches() -> None:
    rows = streamed(X, 1, 1)
    rows.mixing = Mixing.within(101, 16, 4 * 16 * 40, np.array([30, 37, 38, 60, 75, 101]))
    assert rows.mixing.mixed == 1
    found = list(rows.in_order(Randomness(3), 7))
    for (i, x), (j, y) in zip(found, Twin(X, rows.mixing).in_order(Randomness(3), 7), strict=True):
        assert torch.equal(i, j)
        assert torch.equal(x, y)


def order_of(seed: int, epoch: int) -> list[int]:
    rows = streamed(X, 4, 3)
    return torch.cat([i for i, _ in rows.in_order(Randomness(seed, "order", epoch), 5)]).tolist()


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    first = order_of(1, 1)
    torch.manual_seed(99)
    assert order_of(1, 1) == first
    assert order_of(1, 2) != first
    assert order_of(2, 1) != first


def test_a_block_that_holds_everything_is_a_plain_permutation() -> None:
    rows = streamed(X, 1000, 1)
    ((indices, x),) = rows.in_order(Randomness(0), 1)
    assert sorted(indices.tolist()) == list(range(101))
    assert indices.tolist() != list(range(101))
    assert torch.equal(x, rows.gather(indices))


def test_blocks_are_mixed() -> None:
    """Rows of one batch come from several blocks, from anywhere in the file."""
    rows = streamed(np.arange(10_000.0)[:, None], 50, 20)
    for indices, _ in rows.in_order(Randomness(1), 50):
        assert len(indices) == 200
        assert len(set((indices // 50).tolist())) >= 15
        assert int(indices.max() - indices.min()) > 5_000


@pytest.mark.parametrize(
    ("row_bytes", "budget", "ends", "expected"),
    [
        (256, 2 * 10**9, None, (4096, 476)),  # blocks of a megabyte
        (100, 10**6, None, (156, 16)),  # as many as can be mixed
        (10**6, 10**6, None, (1, 1)),  # a row at a time
        (100, 10**6, np.arange(1000, 10**7 + 1, 1000), (1000, 2)),  # a row group is a block
        (100, 10**6, np.array([10**5, 10**7 - 10**5, 10**7]), (10**7 - 2 * 10**5, 1)),
    ],
)
def test_blocks_follow_the_budget(
    row_bytes: int, budget: int, ends: NDArray[np.int64] | None, expected: tuple[int, int]
) -> None:
    mixing = Mixing.within(10**7, row_bytes, budget, ends)
    assert (mixing.block, mixing.mixed) == expected


# The budget


def test_no_more_than_two_mixtures_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    most = [0]
    make = Packed.empty

    def counted(self: Packed, n_rows: int) -> torch.Tensor:
        made = make(self, n_rows)
        held.append(weakref.ref(made))
        most[0] = max(most[0], sum(len(t) for ref in held if (t := ref()) is not None))
        return made

    monkeypatch.setattr(Packed, "empty", counted)
    gc.disable()  # nothing may wait for the collector
    try:
        for _ in streamed(np.tile(X, (40, 1)), 10, 8).in_order(Randomness(0), 400):
            pass
    finally:
        gc.enable()
    assert len(held) == 2
    assert most[0] == 160


def test_the_source_is_read_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    rows = streamed(X, 7, 2)
    read = ArraySource.read
    monkeypatch.setattr(ArraySource, "read", lambda self, which: (asked.append(which), read(self, which))[1])
    list(rows.in_order(Randomness(0), 9))
    assert sorted((part.start, part.stop) for part in asked) == [
        (i, min(i + 7, 101)) for i in range(0, 101, 7)
    ]  # type: ignore[attr-defined]


# The thread


def n_readers() -> int:
    return sum(thread.name.startswith("isthmus-read-ahead") for thread in threading.enumerate())


def test_the_next_is_made_while_one_is_used() -> None:
    made = [threading.Event() for _ in range(3)]

    def make(stop: threading.Event) -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    for number in ahead(make):
        assert number + 1 == 3 or made[number + 1].wait(10)
    assert n_readers() == 0


def test_a_reader_that_nobody_waits_for_ends() -> None:
    batches = streamed(X, 2, 2).in_order(Randomness(0), 50)
    next(batches)
    assert n_readers() == 1
    batches.close()
    assert n_readers() == 0


def test_what_goes_wrong_in_the_thread_is_told() -> None:
    rows = streamed(X, 4, 2)
    rows._source = ArraySource(np.where(np.arange(404).reshape(101, 4) == 300, np.inf, X))
    with pytest.raises(DataError, match="must be finite, got infinity"):
        list(rows.in_order(Randomness(0), 9))
    assert n_readers() == 0


# A training


def trained(
    rows: Rows[torch.Tensor], n_epochs_done: int = 0, epochs: int = 3, **weights: torch.Tensor
) -> list[list[float]]:
    model = Model(
        code_size=2,
        network=Dense((6,)),
        code=GaussianCode(),
        corruption=GaussianNoise(0.1),
        likelihood="squared_error",
    )
    module = build(model, (4,), seed=1)
    plan = Training(
        epochs=epochs, batch_size=16, learning_rate=0.01, seed=2, device="cpu", threads=1, patience=None
    )
    Trainer(module, plan, n_epochs_done=n_epochs_done).fit(rows, **weights)  # type: ignore[arg-type]
    return [value.tolist() for value in module.state_dict().values()]


def test_a_training_is_that_of_the_slow_twin() -> None:
    """Bit for bit, weights of rows included; and going on later repeats what an uninterrupted one does."""
    rows = streamed(X, 8, 3)
    twin = Twin(X, rows.mixing)
    weight = torch.linspace(0.5, 1.5, 101)
    assert trained(rows) == trained(twin)
    assert trained(rows, sample_weight=weight) == trained(twin, sample_weight=weight)
    assert trained(rows, sample_weight=weight) != trained(rows)
    assert trained(rows, n_epochs_done=2) == trained(twin, n_epochs_done=2)


def test_labels_go_with_their_rows() -> None:
    labels = torch.arange(101)
    rows = streamed(np.arange(101.0)[:, None], 8, 3)
    for indices, batch in LabelledRows(rows, labels).in_order(Randomness(1), 9):
        assert torch.equal(batch.labels, indices)
        assert torch.equal(batch.x, rows.gather(indices))
    assert n_readers() == 0

"""Rows for an accelerator: held there where they fit, else sent a batch ahead; the same rows in the same order.

Without one, the copies of a lane are made here as late as any may be: when its place is used again, or the batch used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.training import transfer
from isthmus.training.rows import ActivationRows, Labelled, LabelledRows, Rows, SourceRows, TensorRows
from isthmus.training.streaming import StreamedRows
from isthmus.training.transfer import Lane, SentRows, near

N = 53
BYTES = ArraySource(np.random.default_rng(0).integers(0, 256, (N, 4, 4), dtype=np.uint8))
FLOATS = ArraySource(np.random.default_rng(1).normal(size=(N, 5)))
LABELS = torch.arange(N)


class LateLane(Lane):
    """One whose copies are not begun before somebody waits for them."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self._rooms: list[Tensor] = []
        self._due: list[tuple[Tensor, Tensor]] = []
        self.n_sent = self.n_arrived = 0

    def arrive(self, batch: Any) -> Any:
        self._wait()
        self.n_arrived += 1
        return batch

    def _wait(self) -> None:
        for sent, room in self._due:
            sent.copy_(room)
        self._due.clear()

    def _copy(self, rooms: list[Tensor]) -> list[Tensor]:
        sent = [torch.empty_like(room) for room in rooms]
        self._due += zip(sent, rooms, strict=True)
        self.n_sent += 1
        return sent

    def _pinned(self, like: Tensor) -> Tensor:
        return torch.empty(like.shape, dtype=like.dtype)


class Forgetful(LateLane):
    """One that does not wait for the copy that was sent before."""

    def send(self, batch: Any) -> Any:
        due, self._due = self._due, []
        sent = super().send(batch)
        self._due = due + self._due
        return sent


def held(source: ArraySource) -> SourceRows:
    return SourceRows(source, Scaling.fit(source))


def streamed(source: ArraySource) -> StreamedRows:
    rows = StreamedRows(source, Scaling.fit(source), 1600)
    assert rows.mixing.mixed * rows.mixing.block < N  # several mixtures
    return rows


ROWS: dict[str, Callable[[], Rows[Any]]] = {
    "bytes": lambda: held(BYTES),
    "floats": lambda: held(FLOATS),
    "tensor": lambda: TensorRows(torch.rand(N, 3, generator=torch.Generator().manual_seed(0))),
    "streamed bytes": lambda: streamed(BYTES),
    "streamed floats": lambda: streamed(FLOATS),
    "labelled": lambda: LabelledRows(held(BYTES), LABELS),
    "labelled stream": lambda: LabelledRows(streamed(BYTES), LABELS),
    "activations": lambda: ActivationRows(held(BYTES), lambda x: x.flatten(1), 16, torch.device("cpu")),
}


def copied(batch: Any) -> list[Tensor]:
    """Its tensors, which stand where the next batch may."""
    return [member.clone() for member in (batch if isinstance(batch, tuple) else (batch,))]


@pytest.mark.parametrize("n_done", [0, 3])
@pytest.mark.parametrize("name", ROWS)
def test_batches_that_are_sent_are_those_of_the_cpu(name: str, n_done: int) -> None:
    chance = Randomness(3)
    expected = [
        (indices, copied(batch), type(batch)) for indices, batch in ROWS[name]().in_order(chance, 7, n_done)
    ]
    lanes = [LateLane(), LateLane()]
    rows = SentRows(ROWS[name](), lanes)
    assert len(rows) == N
    found = [(indices, copied(batch), type(batch)) for indices, batch in rows.in_order(chance, 7, n_done)]
    assert len(found) == len(expected) == 7 - n_done
    for (one, batch, kind), (other, beside, expected_kind) in zip(found, expected, strict=True):
        assert torch.equal(one, other)
        assert kind is expected_kind
        for member, twin in zip(batch, beside, strict=True):
            assert member.dtype == twin.dtype
            assert torch.equal(member, twin)
    assert [lane.n_arrived for lane in lanes] == [(7 - n_done + 1) // 2, (7 - n_done) // 2]


def test_a_batch_is_sent_before_the_one_before_it_is_used() -> None:
    lanes = [LateLane(), LateLane()]
    batches = SentRows(held(BYTES), lanes).in_order(Randomness(0), 4)
    seen = list[tuple[int, int]]()
    for _ in batches:
        seen.append((sum(lane.n_sent for lane in lanes), sum(lane.n_arrived for lane in lanes)))
    assert seen == [(2, 1), (3, 2), (4, 3), (4, 4)]


def test_a_place_is_not_used_again_before_its_copy_is_done() -> None:
    expected = [batch.clone() for _, batch in held(BYTES).in_order(Randomness(0), 5)]

    def alike(lane: type[LateLane]) -> bool:
        # One lane alone, and a batch kept until the next is sent: the worst that two lanes can meet.
        one = lane()
        sent = [one.send(held_) for _, held_ in held(BYTES).packed_in_order(Randomness(0), 5)]
        one.arrive(sent[-1])
        unpacked = held(BYTES).unpacker(torch.device("cpu"))
        return all(torch.equal(unpacked(batch), beside) for batch, beside in zip(sent, expected, strict=True))

    assert alike(LateLane)
    assert not alike(Forgetful)


class Own:
    """A batch of somebody's own."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def to(self, device: torch.device) -> Own:
        return Own(self.x.to(device))


def test_a_batch_of_another_kind_moves_itself() -> None:
    lane = LateLane()
    own = Own(torch.ones(2))
    sent = lane.arrive(lane.send(own))
    assert isinstance(sent, Own)
    assert sent is not own
    assert torch.equal(sent.x, own.x)
    assert lane.n_sent == 0


def test_what_is_given_and_gathered_is_the_rows_own() -> None:
    rows, lanes = held(BYTES), [LateLane(), LateLane()]
    indices = torch.tensor([4, 2])
    assert torch.equal(SentRows(rows, lanes).gather(indices), rows.gather(indices))
    assert torch.equal(SentRows(rows, lanes).given(indices), rows.given(indices))
    assert SentRows(rows, lanes).room == rows.room


class Asked(TensorRows):
    """Rows that say how much room they were given."""

    most_bytes = -1

    def held_on(self, device: torch.device, most_bytes: int) -> Asked | None:
        assert device == torch.device("cuda")
        self.most_bytes = most_bytes
        return self if self._x.nbytes <= most_bytes else None


@pytest.mark.parametrize(("free", "is_held"), [(240, True), (238, False)])
def test_rows_are_held_where_they_take_half_of_what_is_free(
    free: int, is_held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10 * free))
    monkeypatch.setattr(transfer, "Lane", lambda device: LateLane())
    rows = Asked(torch.zeros(10, 3))
    found = near(rows, torch.device("cuda"))
    assert rows.most_bytes == free // 2
    assert found is rows if is_held else isinstance(found, SentRows)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_elsewhere_rows_stay_where_they_are(device: str) -> None:
    rows = held(BYTES)
    assert near(rows, torch.device(device)) is rows


def test_labelled_rows_move_as_one() -> None:
    batch = Labelled(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64)).to("meta")
    assert isinstance(batch, Labelled)
    assert {member.device.type for member in batch} == {"meta"}

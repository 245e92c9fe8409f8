"""Rows on their way to an accelerator: all of them held there, or batches sent while the one before is used."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import cycle
from typing import Any, TypeVar

import torch
from torch import Tensor

from isthmus.numerics.randomness import Randomness
from isthmus.training.rows import Rows

SHARE_HELD = 0.5
"""Of the memory that is free on a device, what rows may take that are held there."""

B = TypeVar("B")


def near(rows: Rows[B], device: torch.device) -> Rows[B]:
    """The same rows, in the same order, for a loop whose steps are made on ``device``.

    For CUDA they are held on the device, as bytes where they are bytes, if they take at most half of the memory
    that is free there; else batches are sent one ahead (:class:`SentRows`). For any other device they stay where
    they are: on the CPU that is where they are wanted, and elsewhere the loop moves each batch.
    """
    if device.type != "cuda":
        return rows
    free, _ = torch.cuda.mem_get_info(device)
    held = rows.held_on(device, int(SHARE_HELD * free))
    return SentRows(rows, [Lane(device), Lane(device)]) if held is None else held


class Lane:
    """A place in pinned memory, from which a batch is copied to a device while the CPU goes on.

    Parameters
    ----------
    device
        Where batches go, a CUDA one.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._rooms: list[Tensor] = []
        self._stream, self._copied = torch.cuda.Stream(device), torch.cuda.Event()

    def send(self, batch: Any) -> Any:
        """Begin the copy of a batch, whose own memory may be used again at once; not to be used before :meth:`arrive`.

        Waits for the copy of the batch that was sent here before. A batch that is neither a tensor nor several
        is moved as it moves itself.
        """
        self._wait()
        if not _members(batch):
            return batch.to(self.device)
        return _like(batch, self._copy([self._room(n, member) for n, member in enumerate(_members(batch))]))

    def arrive(self, batch: Any) -> Any:
        """Have the present stream wait until the batch that was sent last is there."""
        present = torch.cuda.current_stream(self.device)
        present.wait_event(self._copied)
        for member in _members(batch):
            member.record_stream(present)  # its memory came from the other stream
        return batch

    def _wait(self) -> None:
        """Until the last copy is done."""
        self._copied.synchronize()

    def _copy(self, rooms: list[Tensor]) -> list[Tensor]:
        """Begin to copy tensors, beside the work of the present stream."""
        with torch.cuda.stream(self._stream):
            sent = [room.to(self.device, non_blocking=True) for room in rooms]
        self._copied.record(self._stream)
        return sent

    def _room(self, place: int, member: Tensor) -> Tensor:
        """A tensor of a batch in the memory that is kept for it; itself if it is on the device already."""
        if member.device.type != "cpu":
            return member
        if place == len(self._rooms):
            self._rooms.append(self._pinned(member))
        elif len(self._rooms[place]) < len(member):
            self._rooms[place] = self._pinned(member)
        return self._rooms[place][: len(member)].copy_(member)

    def _pinned(self, like: Tensor) -> Tensor:
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)


class SentRows(Rows[B]):
    """Rows that are on the CPU, whose batches are sent one ahead: while a step is made, the next one's rows travel.

    Parameters
    ----------
    rows
        On the CPU.
    lanes
        Used in turn, so that a batch is gathered while the one before it is still on its way.
    """

    def __init__(self, rows: Rows[B], lanes: Sequence[Lane]) -> None:
        self._rows, self._lanes = rows, lanes
        self.room = rows.room
        self._unpacked: Callable[[B], B] = rows.unpacker(lanes[0].device)

    def __len__(self) -> int:
        return len(self._rows)

    def given(self, indices: Tensor) -> Tensor:
        """As the rows alone."""
        return self._rows.given(indices)

    def gather(self, indices: Tensor) -> B:
        """The rows at ``indices``, on the CPU."""
        return self._rows.gather(indices)

    def in_order(self, chance: Randomness, n_batches: int, n_done: int = 0) -> Generator[tuple[Tensor, B]]:
        """As the rows alone, on the device."""
        waiting: tuple[Tensor, B, Lane] | None = None
        with closing(self._rows.packed_in_order(chance, n_batches, n_done)) as batches:
            for (indices, held), lane in zip(batches, cycle(self._lanes), strict=False):
                sent = indices, lane.send(held), lane
                if waiting is not None:
                    yield self._arrived(*waiting)
                waiting = sent
        if waiting is not None:
            yield self._arrived(*waiting)

    def _arrived(self, indices: Tensor, batch: B, lane: Lane) -> tuple[Tensor, B]:
        return indices, self._unpacked(lane.arrive(batch))


def _members(batch: Any) -> tuple[Tensor, ...]:
    """Tensors of a batch: itself, or those of a tuple; none of any other."""
    members: tuple[Any, ...] = batch if isinstance(batch, tuple) else (batch,)
    return members if all(isinstance(member, Tensor) for member in members) else ()


def _like(batch: Any, members: list[Tensor]) -> Any:
    """A batch of the same kind."""
    if not isinstance(batch, tuple):
        return members[0]
    kind: Any = type(batch)  # pyright: ignore[reportUnknownVariableType]
    return kind._make(members) if hasattr(kind, "_make") else kind(members)

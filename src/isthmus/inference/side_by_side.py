"""Pieces of work at the same time, a thread each: for calls so small that PyTorch cannot spread them itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import itemgetter
from threading import Event, Thread
from typing import TypeVar

import torch

T = TypeVar("T")

FEWEST = 4
"""Pieces from which on threads are begun for them."""


def side_by_side(work: Callable[[T], None], pieces: Sequence[T]) -> None:
    """``work`` of each piece, in as many threads as PyTorch has, this one among them; in each of them PyTorch has one.

    They are begun in order, and none once one has failed or Ctrl-C was pressed. What the first that fails raises is
    raised here, when no thread works any more.

    >>> found = []
    >>> side_by_side(lambda piece: found.append(piece), range(10))
    >>> sorted(found)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1 or len(pieces) < FEWEST:
        for piece in pieces:
            work(piece)
        return
    places, over, failed = iter(enumerate(pieces)), Event(), list[tuple[int, BaseException]]()

    def take() -> None:
        torch.set_num_threads(1)
        for place, piece in places:
            if over.is_set():
                return
            try:
                work(piece)
            except BaseException as error:  # raised below
                failed.append((place, error))
                over.set()

    threads = list[Thread]()
    try:
        for n in range(min(n_threads, len(pieces)) - 1):
            thread = Thread(target=take, name=f"isthmus-rows-{n}")
            # Where the system lends no more threads, those that there are do the work.
            with suppress(RuntimeError):
                thread.start()
                threads.append(thread)
        take()  # in this thread, whose memory is there already
        for thread in threads:
            thread.join()
    finally:
        over.set()
        for thread in threads:
            thread.join()
        torch.set_num_threads(n_threads)  # each of them has set what threads begin with that are new
    if failed:
        raise min(failed, key=itemgetter(0))[1]

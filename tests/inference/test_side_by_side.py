"""Pieces of work in threads of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from isthmus.inference.side_by_side import FEWEST, side_by_side
from isthmus.numerics.threads import torch_threads


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    with torch_threads(3):
        yield


def test_each_piece_is_done_once_and_torch_has_one_thread_in_each() -> None:
    seen = list[tuple[int, int, str]]()
    side_by_side(
        lambda n: seen.append((n, torch.get_num_threads(), threading.current_thread().name)), range(50)
    )
    assert sorted(n for n, _, _ in seen) == list(range(50))
    assert {threads for _, threads, _ in seen} == {1}
    assert {name for _, _, name in seen} <= {
        threading.current_thread().name,
        "isthmus-rows-0",
        "isthmus-rows-1",
    }
    assert torch.get_num_threads() == 3
    later = list[int]()
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [3]  # threads that begin afterwards are as before


@pytest.mark.parametrize(("n_pieces", "n_threads"), [(FEWEST - 1, 3), (50, 1)])
def test_few_pieces_or_one_thread_stay_here(n_pieces: int, n_threads: int) -> None:
    torch.set_num_threads(n_threads)
    seen = list[tuple[int, int]]()
    side_by_side(lambda n: seen.append((n, threading.get_ident())), range(n_pieces))
    assert seen == [(n, threading.get_ident()) for n in range(n_pieces)]


def test_the_first_piece_that_fails_is_told_and_no_other_is_begun_after_it() -> None:
    done = list[int]()

    def work(n: int) -> None:
        if n in (7, 9):
            raise ValueError(n)
        done.append(n)

    with pytest.raises(ValueError, match="7"):
        side_by_side(work, range(100_000))
    assert len(done) < 100_000 - 2
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("n_lent", [0, 1])
def test_where_no_more_threads_are_lent_the_work_is_done_by_those_that_there_are(
    n_lent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent, own = list[int](), threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if len(lent) == n_lent:
            raise RuntimeError("can't start new thread")
        lent.append(1)
        own(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    done = list[int]()
    side_by_side(done.append, range(50))
    assert done == list(range(50))
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("where", ["in a piece", "while others work"])
def test_ctrl_c_ends_all_threads(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done, own, here = list[int](), threading.Thread.join, threading.current_thread()
    if where == "while others work":

        def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
            monkeypatch.setattr(threading.Thread, "join", own)
            raise KeyboardInterrupt

        monkeypatch.setattr(threading.Thread, "join", interrupted)

    def work(n: int) -> None:
        time.sleep(0.001)
        if where == "in a piece" and threading.current_thread() is here:
            raise KeyboardInterrupt
        done.append(n)

    before, n_pieces = threading.active_count(), 1_000
    with pytest.raises(KeyboardInterrupt):
        side_by_side(work, range(n_pieces))
    assert where == "while others work" or len(done) < n_pieces - 1
    assert threading.active_count() == before
    assert torch.get_num_threads() == 3

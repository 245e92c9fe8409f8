"""Pieces of work in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from isthmus.inference.side_by_side import FEWEST, side_by_side


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_each_piece_is_done_once_and_torch_has_one_thread_in_each() -> None:
    seen = list[tuple[int, int, str]]()
    side_by_side(
        lambda n: seen.append((n, torch.get_num_threads(), threading.current_thread().name)), range(50)
    )
    assert sorted(n for n, _, _ in seen) == list(range(50))
    assert {threads for _, threads, _ in seen} == {1}
    assert threading.current_thread().name not in {name for _, _, name in seen}
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

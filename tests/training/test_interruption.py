"""Ctrl-C asks the first time and insists the second; handlers of others are left alone."""

from __future__ import annotations

import signal
import threading

import pytest

from isthmus.training.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_asks_and_twice_ends(number: signal.Signals) -> None:
    told: list[int] = []
    before = signal.getsignal(number)
    with Interruption(terminate=True, told=lambda: told.append(1)) as asked:
        assert not asked.asked
        signal.raise_signal(number)
        assert asked.asked
        assert told == [1]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert told == [1]


def test_a_library_leaves_other_signals_and_handlers_alone() -> None:
    with Interruption() as asked:
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        with Interruption() as inner:  # the outer one is asked
            signal.raise_signal(signal.SIGINT)
        assert (asked.asked, inner.asked) == (True, False)
    mine: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: mine.append(number))
    try:
        with Interruption() as asked:
            signal.raise_signal(signal.SIGINT)
        assert (asked.asked, mine) == (False, [signal.SIGINT])
    finally:
        signal.signal(signal.SIGINT, before)


def test_elsewhere_than_in_the_main_thread_it_does_nothing() -> None:
    seen: list[bool] = []

    def run() -> None:
        with Interruption() as asked:
            seen.append(asked.asked)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

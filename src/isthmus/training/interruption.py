"""Ctrl-C, and a request to end, as a question that the training asks itself after every step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self


class Interruption:
    """While it is entered, the first Ctrl-C is only noted; the second raises KeyboardInterrupt at once.

    Signals reach the main thread alone, and a handler that somebody else has set is left alone: elsewhere this
    does nothing, and Ctrl-C raises KeyboardInterrupt as ever.

    Parameters
    ----------
    terminate
        Whether SIGTERM is taken as Ctrl-C is: for programs, not for libraries.
    told
        Called at the first one.

    Examples
    --------
    >>> with Interruption() as interruption:
    ...     signal.raise_signal(signal.SIGINT)
    ...     interruption.asked
    True
    """

    def __init__(self, *, terminate: bool = False, told: Callable[[], None] | None = None) -> None:
        self._usual: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler}
        if terminate:
            self._usual[signal.SIGTERM] = signal.SIG_DFL
        self._told = told
        self._before: dict[signal.Signals, Any] = {}
        self.asked = False
        """Whether somebody asked for the end."""

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, usual in self._usual.items():
                if signal.getsignal(number) is usual:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if self._told is not None:
            with suppress(OSError):  # a terminal that is gone
                self._told()

"""What comes next, made while the present one is used."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

T = TypeVar("T")


def ahead(make: Callable[[Event], Iterator[T]]) -> Generator[T]:
    """What ``make`` gives, the next one made in a thread while the present one is used.

    ``make`` is handed an event that is set when nobody wants any more.

    >>> list(ahead(lambda stop: iter(range(3))))
    [0, 1, 2]
    """
    stop = Event()
    source = make(stop)
    with ThreadPoolExecutor(1, "isthmus-read-ahead") as thread:
        try:
            coming = thread.submit(next, source, None)
            while (made := coming.result()) is not None:
                coming = thread.submit(next, source, None)
                yield made
                del made
        finally:
            stop.set()

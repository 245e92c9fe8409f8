"""A progress bar on the terminal: epoch, loss, rows a second, time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

from isthmus.training.callbacks import Callback, Epoch

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

REFRESH_SECONDS = 0.1
"""The bar is told no more often: a step may take less than a millisecond."""


@final
class ProgressBar(Callback):
    """Shows a training on stderr while it runs; does nothing where stderr is no terminal.

    Used as a context, so that whatever ends the training also ends the bar, and nothing of it stays.

    Parameters
    ----------
    title
        What stands before the bar, for example the name of the model.

    Examples
    --------
    >>> with ProgressBar("fit") as bar:
    ...     bar.begin(n_epochs=1, n_rows=10)
    ...     bar.step(10)
    """

    def __init__(self, title: str = "") -> None:
        self._title = title
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._n_epochs = self._epoch = self._total = self._done = self._before = 0
        self._start = self._told = 0.0
        self._loss = ""

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._progress = _make_bar()
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def say(self, text: str) -> None:
        """A line on stderr, above the bar where there is one."""
        if self._progress is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, n_epochs: int, n_rows: int) -> None:
        """Make the bar."""
        self._n_epochs, self._total, self._epoch = n_epochs, n_epochs * n_rows, 1
        self._done = self._before = 0
        self._start = time.monotonic()
        self._told = 0.0
        if self._progress is not None:
            self._task = self._progress.add_task(self._title, total=self._total, said="")
            self._tell()

    def goes_on(self, epochs: Sequence[Epoch], n_rows: int) -> None:
        """Fill the bar with what was done before."""
        self._done = self._before = n_rows
        for epoch in epochs[-1:]:
            self.epoch(epoch)

    def step(self, n_rows: int) -> None:
        """Count the rows of a step."""
        self._done += n_rows
        if self._progress is not None and time.monotonic() - self._told > REFRESH_SECONDS:
            self._tell()

    def epoch(self, epoch: Epoch) -> None:
        """Show the losses of an epoch."""
        self._epoch = min(epoch.epoch + 1, self._n_epochs)
        self._loss = f"loss {epoch.training['loss']:.4g}"
        if epoch.validation is not None:
            self._loss += f", validation {epoch.validation['loss']:.4g}"
        if self._progress is not None:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        seconds = self._told - self._start
        words = [f"epoch {self._epoch}/{self._n_epochs}"] if self._n_epochs > 1 else []
        if self._loss:
            words.append(self._loss)
        if self._done > self._before and seconds > 0.5:
            rate = (self._done - self._before) / seconds
            words += [f"{rate:,.0f} rows/s", f"{duration((self._total - self._done) / rate)} left"]
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done, said="  ".join(words))


def duration(seconds: float) -> str:
    """Seconds as people read them.

    >>> duration(8.4), duration(95), duration(7_500)
    ('8 s', '1:35 min', '2:05 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def _make_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[said]}"),
        console=Console(file=sys.stderr),
        transient=True,
    )

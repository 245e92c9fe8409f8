"""What may watch a training, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch, in plain values."""

    epoch: int
    """Counted from 1."""
    learning_rate: float
    """Of its last step."""
    training: dict[str, float]
    """Mean over the epoch's examples of ``loss`` and each of its terms."""
    validation: dict[str, float] | None
    """The same on the validation rows after the epoch, or None."""
    level: int | None = None
    """The layer that was trained alone, counted from the input; None where all were trained together."""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; ``level`` stands there where there was one."""
        values = asdict(self)
        if self.level is None:
            del values["level"]
        return values


class Callback:
    """Watches a training; every method may be left out."""

    def begin(self, n_epochs: int, n_rows: int) -> None:
        """Before the first step: epochs at most, and rows an epoch."""

    def goes_on(self, epochs: Sequence[Epoch], n_rows: int) -> None:
        """After :meth:`begin` of a training that goes on: its epochs so far, and the rows of all its steps."""

    def step(self, n_rows: int) -> None:
        """After each step on ``n_rows`` rows; minus as many where steps are taken back."""

    def note(self, text: str) -> None:
        """Something that a user should know, in a sentence."""

    def epoch(self, epoch: Epoch) -> None:
        """After each epoch and its validation."""

    def end(self, reason: str) -> None:
        """After the last step; ``reason`` is ``"all epochs"``, ``"patience"`` or ``"interrupted"``."""

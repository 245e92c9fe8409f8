"""The best weights of a training so far."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from isthmus.model.objective import Trainable

STANDARD_ERRORS = 2.0
"""How far beyond its standard error a difference in validation loss must be to count."""


class Best:
    """The best weights so far, and whether the present ones are worse beyond chance.

    A validation set of ten rows has a lowest epoch by luck alone. So the present weights stand
    unless the best ones are better by more than two standard errors of the paired difference; only
    such epochs count for patience. With many rows this is the lowest validation loss. A loss that is
    not finite is worse than any.
    """

    def __init__(self) -> None:
        self.n_worse = 0
        self._present = 0
        self._epoch = 0
        self._losses: Tensor | None = None
        self._weights: dict[str, Tensor] = {}

    def offer(self, epoch: int, losses: Tensor | None, module: Trainable) -> None:
        """Take note of an epoch; without validation the last one is the best."""
        self._present = epoch
        if losses is None:
            return
        if not torch.isfinite(losses).all():
            self.n_worse += 1
            return
        if self._losses is None or losses.mean() < self._losses.mean():
            self._epoch, self._losses = epoch, losses
            self._weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
        worse = (losses - self._losses).double()
        error = worse.std() / math.sqrt(len(worse)) if len(worse) > 1 else worse.new_zeros(())
        self.n_worse = self.n_worse + 1 if worse.mean() > STANDARD_ERRORS * error else 0

    def restore(self, module: Trainable, *, interrupted: bool = False) -> int:
        """Put the best weights back if the present ones are worse; the epoch that they are of.

        Weights of half an epoch were never measured, so after an interruption the measured ones return.
        """
        if not self._weights or (self.n_worse == 0 and not interrupted):
            return self._present
        module.load_state_dict(self._weights)
        return self._epoch

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain values and tensors from which :meth:`load` goes on, bit for bit."""
        tensors = {f"weight.{name}": value for name, value in self._weights.items()}
        if self._losses is not None:
            tensors["losses"] = self._losses
        return {"n_worse": self.n_worse, "present": self._present, "epoch": self._epoch}, tensors

    def load(self, values: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> None:
        """Go on from a :meth:`state`."""
        self.n_worse, self._present, self._epoch = values["n_worse"], values["present"], values["epoch"]
        self._losses = tensors.get("losses")
        weights = {name: value for name, value in tensors.items() if name.startswith("weight.")}
        self._weights = {name.removeprefix("weight."): value.to(device) for name, value in weights.items()}

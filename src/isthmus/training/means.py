"""Means of a pass over the rows, fetched from the device rarely."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from isthmus.model.objective import Cost, Objective

MOST_HELD_STEPS = 256
"""Steps whose log values wait on the device until they are fetched together."""


class Means:
    """Weighted means of an objective's terms over the steps of a pass."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._sizes: list[int] = []
        self._sums: dict[str, float] = {}
        self._n = 0

    def add(self, result: Cost | Objective, n: int) -> bool:
        """Take a step on ``n`` rows; whether what was held was fetched now."""
        for name, value in (("loss", result.loss), *result.terms.items()):
            held = self._values.get(name)
            if held is None:
                held = self._values[name] = []
            held.append(value.detach() if value.requires_grad else value)
        self._sizes.append(n)
        if len(self._sizes) < MOST_HELD_STEPS:
            return False
        self._add_up()
        return True

    def loss_of_fetched(self) -> float:
        """Sum of the losses that were fetched: not finite if one of them is not."""
        return self._sums.get("loss", 0.0)

    def fetch(self) -> dict[str, float]:
        """The means so far; of no step there are none."""
        self._add_up()
        return {name: value / self._n for name, value in self._sums.items()}

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain values and tensors from which :meth:`load` goes on, bit for bit."""
        held = {f"held.{name}": torch.stack(values) for name, values in self._values.items()}
        sums = {f"sum.{name}": torch.tensor(value, dtype=torch.float64) for name, value in self._sums.items()}
        names = list(self._values or self._sums)
        return {"names": names, "sizes": list(self._sizes), "n": self._n}, held | sums

    def load(self, values: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> None:
        """Go on from a :meth:`state`."""
        held = {name: tensors.get(f"held.{name}") for name in values["names"]}
        sums = {name: tensors.get(f"sum.{name}") for name in values["names"]}
        self._values = {
            name: list(value.to(device).unbind()) for name, value in held.items() if value is not None
        }
        self._sums = {name: value.item() for name, value in sums.items() if value is not None}
        self._sizes, self._n = list(values["sizes"]), values["n"]

    def _add_up(self) -> None:
        sizes = torch.tensor(self._sizes, dtype=torch.float64)
        known = dict[tuple[int, ...], float]()  # the loss is often its only term
        for name, values in self._values.items():
            which = tuple(map(id, values))
            if which not in known:
                known[which] = torch.stack(values).cpu().double().dot(sizes).item()
            self._sums[name] = self._sums.get(name, 0.0) + known[which]
        self._n += sum(self._sizes)
        self._values.clear()
        self._sizes.clear()

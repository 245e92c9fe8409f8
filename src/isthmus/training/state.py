"""The state of a training: all that a later process needs to go on as if nothing had happened.

There is no generator in it: chance is a function of seed, epoch and step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from isthmus.model.objective import Trainable

Tensors = dict[str, Tensor]
_copy_each: Any = torch._foreach_copy_  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]


@dataclass(slots=True)
class State:
    """Plain values, and groups of tensors by name."""

    values: dict[str, Any]
    """As JSON knows them."""
    groups: dict[str, Tensors] = field(default_factory=dict[str, Tensors])


class Keeper:
    """Asked after every step of a training whether to stop it, and offered its state; this one keeps none.

    Parameters
    ----------
    stop
        Whether the training is to stop.
    """

    def __init__(self, stop: Callable[[], bool] = bool) -> None:
        self._stop = stop

    @property
    def stopping(self) -> bool:
        """Whether the training is to stop after this step, its state kept."""
        return self._stop()

    def offer(self, state: Callable[[], State], *, now: bool = False) -> None:
        """Keep the state, which takes time to make, if it is due or to be kept ``now``."""


class Snapshot:
    """Weights and moments as they were, in memory of their own, to go back to.

    Parameters
    ----------
    module
        Its parameters and buffers are copied, and given their values back.
    optimiser
        So is what it remembers of them.
    """

    def __init__(self, module: Trainable, optimiser: torch.optim.Optimizer) -> None:
        self._module, self._optimiser = module, optimiser
        self._weights: Tensors = {}
        self._moments: Tensors = {}

    def take(self) -> None:
        """Remember the present values instead of earlier ones."""
        self._weights = _copied(self._module.state_dict(), self._weights)
        moments = moments_of(self._optimiser)
        is_first = not any(value.any() for name, value in moments.items() if name.endswith(".step"))
        self._moments = {} if is_first else _copied(moments, self._moments)

    def go_back(self) -> None:
        """Give all of it the values that were remembered."""
        self._module.load_state_dict(self._weights)
        set_moments(self._optimiser, self._moments)

    def groups(self) -> dict[str, Tensors]:
        """What is remembered, as groups of a :class:`State`."""
        return {"epoch.weights": self._weights, "epoch.moments": self._moments}

    def load(self, state: State, device: torch.device) -> None:
        """Remember what a state says."""
        self._weights = {name: value.to(device) for name, value in state.groups["epoch.weights"].items()}
        self._moments = dict(state.groups["epoch.moments"])


def moments_of(optimiser: torch.optim.Optimizer) -> Tensors:
    """What an optimiser remembers of each parameter, by its number in the order of the groups and its name."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    return {
        f"{number}.{name}": value
        for number, parameter in enumerate(parameters)
        for name, value in optimiser.state.get(parameter, {}).items()
    }


def set_moments(optimiser: torch.optim.Optimizer, moments: Tensors) -> None:
    """Have an optimiser remember copies of what :meth:`moments_of` gave; of no moments, nothing."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    if not moments:
        optimiser.state.clear()
    for name, value in moments.items():
        number, of = name.split(".", 1)
        parameter = parameters[int(number)]
        # A count of steps stands where the optimiser put it: beside the parameter if fused.
        copied = value.to(parameter.device, copy=True, memory_format=torch.contiguous_format)
        optimiser.state[parameter][of] = copied


def _copied(values: Tensors, into: Tensors) -> Tensors:
    """Copies of tensors, in the memory of earlier ones where these are the same."""
    if values.keys() != into.keys():
        return {name: value.detach().clone() for name, value in values.items()}
    with torch.no_grad():
        _copy_each([into[name] for name in values], [*values.values()])
    return into

"""AdamW as torch has it, without its compiler, which it imports to be left alone by it: a second, and 70 MB."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import (
    _global_optimizer_post_hooks,  # pyright: ignore[reportPrivateUsage]
    _global_optimizer_pre_hooks,  # pyright: ignore[reportPrivateUsage]
)

ONE = torch.ones(())
"""A number that is a tensor already takes half the time of one that becomes it."""
_fused_adamw: Any = torch._fused_adamw_  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
_add_to_each: Any = torch._foreach_add_  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]


def _own(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method without wrappers that import ``torch._dynamo`` to have it stay out, even where nothing is compiled."""
    return inspect.unwrap(method)


def fused_adamw(
    group: dict[str, Any],
    parameters: list[Tensor],
    gradients: list[Tensor],
    first: list[Tensor],
    second: list[Tensor],
    steps: list[Tensor],
) -> None:
    """One call of torch's kernel, by the settings of a group; ``steps`` count the one that this is."""
    _fused_adamw(
        parameters, gradients, first, second, [], steps,
        lr=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=group["weight_decay"],
        eps=group["eps"], amsgrad=False, maximize=False, grad_scale=None, found_inf=None,
    )  # fmt: skip


class _Moved(NamedTuple):
    """What a step of a group takes."""

    parameters: list[Tensor]
    gradients: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    steps: list[Tensor]


class AdamW(torch.optim.AdamW):
    """AdamW (Loshchilov & Hutter 2019) to the last bit as torch has it, and as fast to begin with as to go on with.

    Steps after the first are one call of the fused kernel a group, half as long for a small network as with what
    torch asks about each parameter each time: it asked that in the first.

    Parameters
    ----------
    params, **options
        As :class:`torch.optim.AdamW` takes them.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimiser = AdamW([weight], lr=0.1, weight_decay=0.0)
    >>> weight.grad = torch.ones(1)
    >>> optimiser.step()
    >>> round(weight.item(), 4)
    0.9
    """

    add_param_group = _own(Optimizer.add_param_group)
    zero_grad = _own(Optimizer.zero_grad)
    state_dict = _own(Optimizer.state_dict)
    load_state_dict = _own(Optimizer.load_state_dict)
    _torch_step = Optimizer.profile_hook_step(torch.no_grad()(_own(torch.optim.AdamW.step)))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move all parameters that have a gradient; what ``closure`` gives, if there is one."""
        all_moved = None if closure is not None or self._is_watched() else self._moved()
        if all_moved is None:
            return self._torch_step(closure)
        with torch.no_grad():
            for group, moved in zip(self.param_groups, all_moved, strict=True):
                if moved.steps[0].is_cpu:
                    _add_to_each(moved.steps, ONE, alpha=1.0)
                else:
                    _add_to_each(moved.steps, 1)
                fused_adamw(group, *moved)
        return None

    step.hooked = True  # pyright: ignore[reportFunctionMemberAccess]  # what torch puts around each step is in its own

    def _is_watched(self) -> bool:
        """Whether somebody is told of a step, or is to scale it."""
        return bool(
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or hasattr(self, "grad_scale")
        )

    def _moved(self) -> Sequence[_Moved] | None:
        """What a step of each group takes; None if torch has not begun all of it, or has other things to do."""
        found = list[_Moved]()
        for group in self.param_groups:
            moved = _Moved([], [], [], [], [])
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                held = self.state.get(parameter)
                if not held:
                    return None
                moved.parameters.append(parameter)
                moved.gradients.append(gradient)
                moved.first.append(held["exp_avg"])
                moved.second.append(held["exp_avg_sq"])
                moved.steps.append(held["step"])
            kinds = {(one.dtype, one.device) for one in moved.parameters}
            if len(kinds) != 1 or not group["fused"] or _is_special(group):
                return None
            found.append(moved)
        return found


def _is_special(group: dict[str, Any]) -> bool:
    """Whether a group asks for what is not done here."""
    return any(group[name] for name in ("amsgrad", "maximize", "capturable", "differentiable"))

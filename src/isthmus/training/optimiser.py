"""AdamW as torch has it, without its compiler, which it imports to be left alone by it: a second, and 70 MB."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer


def _own(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method without wrappers that import ``torch._dynamo`` to have it stay out, even where nothing is compiled."""
    return inspect.unwrap(method)


class AdamW(torch.optim.AdamW):
    """AdamW (Loshchilov & Hutter 2019) to the last bit as torch has it, and as fast to begin with as to go on with.

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
    step = torch.no_grad()(_own(torch.optim.AdamW.step))

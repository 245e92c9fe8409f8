"""AdamW is torch's, to the last bit, whichever way it is asked."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from isthmus.training.optimiser import AdamW


def moved(kind: type[torch.optim.AdamW], **options: Any) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """Weights after steps, and the state."""
    chance = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(5, 3, generator=chance)), torch.nn.Parameter(torch.zeros(3))]
    optimiser = kind([{"params": weights[:1]}], lr=0.01, weight_decay=0.1, **options)
    optimiser.add_param_group({"params": weights[1:], "lr": 0.1})
    for _ in range(5):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=chance)
        optimiser.step()
        optimiser.zero_grad()
    assert all(weight.grad is None for weight in weights)
    optimiser.load_state_dict(optimiser.state_dict())
    return [weight.detach() for weight in weights], optimiser.state_dict()


@pytest.mark.parametrize(
    "options", [{"fused": True}, {"foreach": True}, {"foreach": False}, {"amsgrad": True}]
)
def test_steps_are_those_of_torch(options: dict[str, bool]) -> None:
    (ours, state), (theirs, expected) = moved(AdamW, **options), moved(torch.optim.AdamW, **options)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert state["param_groups"] == expected["param_groups"]
    for number, held in expected["state"].items():
        assert all(torch.equal(state["state"][number][name], value) for name, value in held.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["of one type", "of two types"])
def test_a_gradient_may_be_missing_for_a_while(dtype: torch.dtype) -> None:
    found = list[list[torch.Tensor]]()
    for kind in (AdamW, torch.optim.AdamW):
        weights = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2, dtype=dtype))]
        optimiser = kind(weights, lr=0.1, fused=True)
        for has_gradient in ((True, False), (True, True), (False, True), (False, False), (True, True)):
            for weight, has in zip(weights, has_gradient, strict=True):
                weight.grad = weight.detach().clone() if has else None
            optimiser.step()
        found.append([weight.detach() for weight in weights])
        found[-1] += [optimiser.state[weight]["step"] for weight in weights]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_hooks_are_called() -> None:
    weight, told = torch.nn.Parameter(torch.ones(2)), list[str]()
    optimiser = AdamW([weight], fused=True)
    weight.grad = torch.ones(2)
    optimiser.step()
    before = optimiser.register_step_pre_hook(lambda *_: told.append("before"))
    optimiser.step()
    before.remove()
    optimiser.register_step_post_hook(lambda *_: told.append("after"))
    optimiser.step()
    assert told == ["before", "after"]
    assert optimiser.state[weight]["step"] == 3


def test_no_gradient_is_kept_of_a_step() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = AdamW([weight])
    weight.grad = torch.ones(2)
    assert optimiser.step((weight * 2).sum).requires_grad
    assert weight.is_leaf
    assert torch.is_grad_enabled()

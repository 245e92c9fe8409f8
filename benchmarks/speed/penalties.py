"""The contractive penalty: what it adds to a step, and what the same costs by PyTorch's own Jacobians."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from isthmus.config.parts.codes import DeterministicCode
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import Contractive
from isthmus.numerics.jacobians import dense_squared_norm
from speed.harness import Contestant, Options, Ratio, Taken, Task, Work, beside
from speed.training import Begun, begun

BATCH = 128
N_OURS = 3
"""Times that ours is computed in a round, in which each of the others is once."""
N_ROWS = 2048
DEEP = Dense((512, 256))


def one_layer(_: Options) -> Task:
    plain, exact = (_single(penalties) for penalties in ((), (Contractive(0.1, method="exact"),)))
    return Task(
        "contractive-one-layer",
        "Training 784-1000 with a sigmoid code, batches of 128, an epoch of 8,000 digits, with the exact penalty and "
        "without one.",
        [plain.ours("none"), exact.ours("exact")],
        [Ratio("cost over no penalty, exact", beside("exact", "none"), 1.15, 1.08, more_is_better=False)],
    )


def deep(_: Options) -> Task:
    methods = ("estimate", "exact")
    trained = {"none": begun(DEEP, BATCH, 1, n_rows=N_ROWS)}
    trained |= {
        name: begun(DEEP, BATCH, 1, n_rows=N_ROWS, penalties=(Contractive(0.1, method=name),))
        for name in methods
    }
    return Task(
        "contractive-deep",
        "Training 784-512-256-32, batches of 128, an epoch of 2,048 digits, with the penalty estimated by one probe, "
        "exact, and without one.",
        [start.ours(name) for name, start in trained.items()],
        [
            Ratio(
                "cost over no penalty, estimate", beside("estimate", "none"), 2.0, 1.5, more_is_better=False
            ),
            Ratio("cost over no penalty, exact", beside("exact", "none"), more_is_better=False),
        ],
        facts={f"operations_a_step_{name}": _operations(start) for name, start in trained.items()},
    )


def jacobian(_: Options) -> Task:
    found = [
        *_by_both("deep", begun(DEEP, BATCH, 1)),
        *_by_both("one layer", begun(Dense(()), BATCH, 1, 256, code=DeterministicCode(activation="sigmoid"))),
    ]
    return Task(
        "contractive-over-jacobian",
        "The exact penalty and its gradient by the weights of a batch of 128 digits, of an encoder 784-512-256-32 "
        "and of one 784-256 with a sigmoid, beside the faster of "
        "torch.autograd.functional.jacobian's two ways, of the sum over rows. Ours is computed three times a "
        "round, for which the ratios allow.",
        found,
        [
            Ratio("over PyTorch's jacobian, one layer", _over_faster("one layer"), 20.0, 100.0),
            Ratio("over PyTorch's jacobian, deep", _over_faster("deep")),
        ],
        rounds=(3, 5),
    )


def _by_both(name: str, start: Begun) -> list[Contestant]:
    """Ours, and PyTorch's with a loop and with vmap; they agree."""
    module, x = start.prepared.model.module, start.x[:BATCH]
    weights = [parameter for parameter in module.parameters() if parameter.requires_grad]

    def ours() -> Tensor:
        trace = module.dense_trace(x)
        assert trace is not None
        return dense_squared_norm(*trace).mean()

    def theirs(*, vectorize: bool) -> Tensor:
        full = torch.autograd.functional.jacobian(
            lambda x: module.encode(x).sum(dim=0), x, create_graph=True, vectorize=vectorize
        )
        return full.square().sum() / len(x)

    ways = {
        f"isthmus, {name}": ours,
        f"loop, {name}": partial(theirs, vectorize=False),
        f"vmap, {name}": partial(theirs, vectorize=True),
    }
    torch.testing.assert_close(ways[f"isthmus, {name}"](), ways[f"loop, {name}"](), rtol=1e-3, atol=0.0)
    return [
        Contestant(who, _gradients(way, weights, N_OURS if way is ours else 1)) for who, way in ways.items()
    ]


def _gradients(way: Callable[[], Tensor], weights: Sequence[Tensor], n_times: int) -> Callable[[], Work]:
    def work() -> None:
        for _ in range(n_times):
            torch.autograd.grad(way(), weights, allow_unused=True)

    return lambda: work


def _over_faster(name: str) -> Callable[[Taken], float]:
    def ratio(taken: Taken) -> float:
        return N_OURS * min(taken[f"loop, {name}"], taken[f"vmap, {name}"]) / taken[f"isthmus, {name}"]

    return ratio


def _single(penalties: tuple[Any, ...]) -> Begun:
    return begun(Dense(()), BATCH, 1, 1000, code=DeterministicCode(activation="sigmoid"), penalties=penalties)


def _operations(start: Begun) -> float:
    """Floating-point operations of a step, as counted in the products that it calls."""
    module = copy.deepcopy(start.prepared.model.module)
    with Operations() as counter:
        module.objective(start.x[:BATCH], 0).loss.backward()
    return counter.total


class Operations(TorchDispatchMode):
    """Counts what products cost; torch's own counter refuses gradients of gradients."""

    total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out

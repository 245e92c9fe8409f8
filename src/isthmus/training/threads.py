"""CPU threads of a training step: chosen from the work, set for a while and given back."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from isthmus.cores import n_cores, one_blas_thread, usable_threads
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.numerics.threads import torch_threads

WORK_A_THREAD = 2e8
"""Floating-point operations a step under which another thread costs more than it brings."""


@contextmanager
def training_threads(n: int) -> Generator[None]:
    """Run with ``n`` CPU threads, as far as they are usable, and NumPy with one; then restore what the process had."""
    with torch_threads(usable_threads(n)), one_blas_thread():
        yield


def choose_threads(module: AutoencoderModule, batch_size: int) -> int:
    """One thread for small steps, which more would only slow down; never more than the process has cores."""
    with torch.no_grad(), _Counter() as counter:
        told = module if module.condition is None else module.given(torch.zeros(1, dtype=torch.int64))
        told.eval()(torch.zeros(1, *module.sample_shape))
    work = 3 * batch_size * counter.n_operations
    return max(1, min(int(work / WORK_A_THREAD), n_cores()))


class _Counter(TorchDispatchMode):
    """Counts floating-point operations as ``FlopCounterMode`` does, which would import ``torch._dynamo`` for it."""

    n_operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        count = flop_registry.get(func._overloadpacket)
        if count is None:
            with self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        out = func(*args, **kwargs)
        if count is not None:
            self.n_operations += count(*args, **kwargs, out_val=out)
        return out

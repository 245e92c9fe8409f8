"""CPU threads of a training step: chosen from the work, set for a while and given back."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from isthmus.cores import n_cores
from isthmus.model.autoencoder import AutoencoderModule

WORK_A_THREAD = 2e8
"""Floating-point operations a step under which another thread costs more than it brings."""


@contextmanager
def training_threads(n: int) -> Generator[None]:
    """Run with ``n`` CPU threads, then restore what the process had."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(module: AutoencoderModule, batch_size: int) -> int:
    """One thread for small steps, which more would only slow down; never more than the process has cores."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        told = module if module.condition is None else module.given(torch.zeros(1, dtype=torch.int64))
        told.eval()(torch.zeros(1, *module.sample_shape))
    work = 3 * batch_size * counter.get_total_flops()
    return max(1, min(int(work / WORK_A_THREAD), n_cores()))

"""The precision of a training: where it can be had, and for how long."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from isthmus.config.training import Precision
from isthmus.errors import ParameterError
from isthmus.model.objective import Trainable


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse bfloat16 where a device does not compute in it."""
    if precision == "float32" or device.type == "cpu":
        return
    if device.type != "cuda" or not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ParameterError(
            f"training: precision = 'bfloat16' needs a device of 'cpu', or of 'cuda' with units for it, got "
            f"'{device}'. Set precision = 'float32', or device = 'cpu'."
        )


@contextmanager
def in_precision(module: Trainable, precision: Precision) -> Generator[None]:
    """Have the passes of a module's networks in ``precision`` for a while."""
    before = module.precision
    module.precision = precision
    try:
        yield
    finally:
        module.precision = before

"""Passes of networks in bfloat16, between inputs and outputs in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from isthmus.config.training import Precision
from isthmus.networks.base import Decoder, Encoder


def encoded(encoder: Encoder, x: Tensor, precision: Precision) -> tuple[Tensor, Any]:
    """pre_code and context of x ``(rows, *sample_shape)``; pre_code is of x's type, whatever the precision."""
    if precision == "float32":
        return encoder(x)
    with _autocast(x):
        pre_code, context = encoder(x)
    return pre_code.to(x.dtype), context


def decoded(decoder: Decoder, h: Tensor, context: Any, precision: Precision) -> Tensor:
    """Outputs for a code ``(rows, code_size)``, of its type, whatever the precision."""
    if precision == "float32":
        return decoder(h, context)
    with _autocast(h):
        outputs = decoder(h, context)
    return outputs.to(h.dtype)


def _autocast(x: Tensor) -> torch.autocast:
    """Products of matrices and convolutions in bfloat16; weights stay what they are."""
    return torch.autocast(x.device.type, torch.bfloat16)

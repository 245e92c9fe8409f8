"""A user's own pair of torch modules."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from isthmus.errors import ParameterError
from isthmus.networks.base import Decoder, Encoder, Ends, Network
from isthmus.shapes import Shape, shape_text


class CustomEncoder(Encoder):
    """Any module from ``(rows, *sample_shape)`` to ``(rows, pre_code_size)``."""

    def __init__(self, module: nn.Module, size: int) -> None:
        super().__init__()
        self.module = module
        self.size = size

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """The module's output, with a context if it gives one."""
        result = self.module(x)
        pre_code, context = result if isinstance(result, tuple) else (result, None)
        _check("encoder", pre_code, (self.size,))
        return pre_code, context


class CustomDecoder(Decoder):
    """Any module from ``(rows, code_size)`` to ``(rows, *output_shape)``."""

    def __init__(self, module: nn.Module, output_shape: Shape) -> None:
        super().__init__()
        self.module = module
        self.output_shape = output_shape

    def forward(self, h: Tensor, context: Any = None) -> Tensor:
        """The module's output; a context is handed on if there is one."""
        outputs = self.module(h) if context is None else self.module(h, context)
        _check("decoder", outputs, self.output_shape)
        return outputs


class Custom(Network):
    """The pair ``network=(encoder, decoder)`` behind the contract of a network."""

    def __init__(self, ends: Ends, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = CustomEncoder(encoder, ends.pre_code_size)
        self.decoder = CustomDecoder(decoder, ends.output_shape)


def _check(who: str, got: Tensor, shape: Shape) -> None:
    if tuple(got.shape[1:]) != shape:
        raise ParameterError(
            f"network: your {who} must give (rows, {shape_text(shape).replace(' x ', ', ')}), "
            f"got {tuple(got.shape)}. The code and the likelihood ask for that many numbers."
        )

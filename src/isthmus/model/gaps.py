"""Gaps: the encoder is shown a fill value and told which columns are missing."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from isthmus.networks.base import Encoder
from isthmus.networks.dense import DenseEncoder
from isthmus.shapes import Layout, Shape


@final
class Gaps(nn.Module):
    """Lets a network of vectors read rows with NaN: ``(x, 0 at gaps)`` and one flag a column, side by side.

    A column is missing where its first feature is NaN. The zero is the mean of a number, and no category;
    the flag, 1 where the column is missing, tells it from a true one (Rubin 1976; the missing
    indicator). Hidden on purpose by :class:`isthmus.config.parts.corruptions.Masking`, a column looks
    like a gap: so a denoiser learns to fill it.

    Parameters
    ----------
    layout
        Which features belong to which column.

    Examples
    --------
    >>> from isthmus.shapes import Block
    >>> gaps = Gaps((Block("number", 1), Block("category", 2)))
    >>> gaps(torch.tensor([[torch.nan, 0.0, 1.0]]))
    tensor([[0., 0., 1., 1., 0.]])
    """

    first: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        starts = torch.tensor([0, *(block.size for block in layout)]).cumsum(0)[:-1]
        self.register_buffer("first", starts, persistent=False)
        self.n_columns = len(layout)

    def forward(self, x: Tensor) -> Tensor:
        """``(rows, features + columns)`` of ``(rows, features)``; NaN nowhere."""
        missing = x.isnan()
        flags = missing[:, self.first].to(x.dtype)
        return torch.cat([torch.where(missing, torch.zeros_like(x), x), flags], dim=1)

    def input_shape(self, sample_shape: Shape) -> Shape:
        """Shape of what the network is shown of one example."""
        return (sample_shape[0] + self.n_columns,)

    def quieten(self, encoder: nn.Module) -> None:
        """Let a dense encoder begin without any regard for the flags.

        Where training never has a gap no gradient reaches their weights, and a gap that comes later then
        is a mean, not chance.
        """
        if isinstance(encoder, DenseEncoder):
            with torch.no_grad():
                encoder.layers[0].get_parameter("weight")[:, -self.n_columns :] = 0.0


class GapEncoder(Encoder):
    """An encoder that may be shown gaps.

    It is no chain of dense layers in x: where a value is missing nothing moves with it. Derivatives go
    the general way.

    Parameters
    ----------
    encoder
        Whose weights these are; it takes what :class:`Gaps` makes of rows.
    gaps
        How gaps are told.
    """

    def __init__(self, encoder: Encoder, gaps: Gaps) -> None:
        super().__init__()
        self.encoder, self.gaps = encoder, gaps
        self.training = encoder.training

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """As the encoder's own, of x and its flags."""
        return self.encoder(self.gaps(x))

    def filters(self) -> tuple[str, Tensor] | None:
        """The encoder's own without the weights of the flags, where it has a weight for each feature."""
        found = self.encoder.filters()
        if found is None or found[1].ndim != 2:
            return None
        return found[0], found[1][:, : found[1].shape[1] - self.gaps.n_columns]

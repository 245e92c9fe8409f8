"""A label that encoder and decoder are told: what it says need not be in the code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from isthmus.errors import ParameterError
from isthmus.networks.base import Decoder, Encoder
from isthmus.shapes import Shape


@final
class LabelCondition(nn.Module):
    """Tells a network of any kind the class of each row.

    The encoder is shown ``x + E[y]``, with a learned row E of the sample's shape for each class, 0 at
    the start; the decoder is given ``(h, one_hot(y))``. Model: ``p(x given y) = E p(x given h, y)``
    (Kingma et al. 2014, M2; Sohn et al. 2015, with a prior of h that does not depend on y).

    Parameters
    ----------
    n_classes
        How many labels there are, at least 1.
    sample_shape
        Shape of one example, torch side.

    Examples
    --------
    >>> condition = LabelCondition(3, (2,))
    >>> condition.beside(torch.zeros(2, 1), torch.tensor([2, 0]))
    tensor([[0., 0., 0., 1.],
            [0., 1., 0., 0.]])
    """

    def __init__(self, n_classes: int, sample_shape: Shape) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.shift = nn.Parameter(torch.zeros(n_classes, *sample_shape))

    def shown(self, x: Tensor, y: Tensor) -> Tensor:
        """What the encoder is shown of x ``(rows, *sample_shape)`` with labels y, of x's shape."""
        _check_count(len(y) in (1, len(x)), len(x), len(y))
        return x + self.shift[y]

    def beside(self, h: Tensor, y: Tensor) -> Tensor:
        """What the decoder is given, ``(rows, code_size + n_classes)``; of several draws a row all in turn."""
        _check_count(len(h) % len(y) == 0, len(h), len(y))
        told = one_hot(y, self.n_classes).to(h.dtype)
        n = 1 if len(y) == len(h) else len(h) // len(y)
        return torch.cat([h, told.repeat_interleave(n, dim=0)], dim=1)


class ConditionedEncoder(Encoder):
    """An encoder with the labels of the rows that it is to be shown.

    Parameters
    ----------
    encoder
        Whose weights these are.
    condition
        How labels are told.
    labels
        Numbers of classes, ``(rows,)``, or ``(1,)`` for all rows alike; None refuses every row.
    """

    def __init__(self, encoder: Encoder, condition: LabelCondition, labels: Tensor | None) -> None:
        super().__init__()
        self.encoder, self.condition, self.labels = encoder, condition, labels
        self.training = encoder.training

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """As the encoder's own, of x and its labels."""
        return self.encoder(self._shown(x))

    def dense_trace(self, x: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor], Tensor] | None:
        """The encoder's own: a label moves the input and no Jacobian."""
        return self.encoder.dense_trace(self._shown(x))

    def filters(self) -> tuple[str, Tensor] | None:
        """The encoder's own."""
        return self.encoder.filters()

    def _shown(self, x: Tensor) -> Tensor:
        return self.condition.shown(x, _known(self.labels))


class ConditionedDecoder(Decoder):
    """A decoder with the labels of the rows that it is to decode.

    Parameters
    ----------
    decoder
        Whose weights these are; it takes ``code_size + n_classes`` numbers.
    condition
        How labels are told.
    labels
        As for :class:`ConditionedEncoder`; codes may be several a row, those of a row side by side.
    """

    def __init__(self, decoder: Decoder, condition: LabelCondition, labels: Tensor | None) -> None:
        super().__init__()
        self.decoder, self.condition, self.labels = decoder, condition, labels
        self.training = decoder.training

    def forward(self, h: Tensor, context: Any = None) -> Tensor:
        """As the decoder's own, of h and its labels."""
        return self.decoder(self.condition.beside(h, _known(self.labels)), context)

    def start_at(self, outputs: Tensor) -> None:
        """The decoder's own: all classes begin near the same outputs."""
        self.decoder.start_at(outputs)

    def alone(self) -> Decoder:
        """The decoder alone, still told the labels."""
        return ConditionedDecoder(self.decoder.alone(), self.condition, self.labels)


def _check_count(fits: bool, n_rows: int, n_labels: int) -> None:
    if not fits:
        raise ParameterError(
            f"model: expected a label for each of {n_rows} rows, or one for all, got {n_labels}. "
            "Give given(y) the labels of these rows."
        )


def _known(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise ParameterError(
            "model: it is conditional on a label, got rows without any. Hand labels in: module.given(y), "
            "labels=y, or --labels FILE."
        )
    return labels

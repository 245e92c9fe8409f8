"""An encoder under a linear head: classes from codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.errors import ParameterError
from isthmus.model.halves import EncoderModule
from isthmus.model.objective import Objective, Trainable
from isthmus.networks.linear import Linear
from isthmus.numerics.randomness import Randomness


@final
class ClassifierModule(Trainable):
    """``p(class given x) = softmax(V (h - shift) / scale + c)``, h the code of x.

    The head begins at zero, where every class is as likely as any other; its loss is the cross-entropy
    ``-ln p(label given x)``, in nats. Encoder and head are trained together, or the head alone
    (Hinton and Salakhutdinov 2006; Bengio et al. 2007).

    Parameters
    ----------
    encoder
        The encoder of a fitted model: ``isthmus.open(path, half="encoder")``. It is trained in place.
    n_classes
        At least 1.
    frozen
        Whether the encoder stays as it is.
    encoder_share
        Learning rate of the encoder as a share of the head's, above 0.
    seed
        Root of all chance; the head has none.

    Examples
    --------
    >>> import torch
    >>> from isthmus.config import Model
    >>> from isthmus.model.build import build
    >>> whole = build(
    ...     Model(code_size=2, network={"type": "dense", "hidden_sizes": [4]}, likelihood="squared_error"),
    ...     (5,),
    ...     seed=0,
    ... )
    >>> classifier = ClassifierModule(EncoderModule(whole), n_classes=3)
    >>> classifier(torch.zeros(2, 5)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        encoder: EncoderModule,
        n_classes: int,
        *,
        frozen: bool = False,
        encoder_share: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if n_classes < 1 or encoder_share <= 0:
            raise ParameterError(
                "ClassifierModule: expected n_classes of at least 1 and encoder_share above 0, got "
                f"{n_classes} and {encoder_share:g}. To keep the encoder as it is, set frozen=True."
            )
        self.encoder = encoder
        size = encoder.code.size
        self.head = Linear(size, n_classes)
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.frozen, self.encoder_share, self.seed = frozen, encoder_share, seed
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(rows, n_classes)`` of ``(rows, *sample_shape)`` in model units."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            h = self.encoder(x, self.precision)
        return self.head((h - self.shift) / self.scale)

    def standardise(self, mean: Tensor, scale: Tensor) -> None:
        """Let the untrained head see codes of mean 0 and scale 1; a unit that never moves is only shifted."""
        self.shift.copy_(mean)
        self.scale.copy_(torch.where(scale > 1e-6 * scale.max(), scale, torch.ones_like(scale)))

    def objective_at(
        self,
        batch: Any,
        randomness: Randomness,
        *,
        sample_weight: Tensor | None = None,
        progress: float = 1.0,
    ) -> Objective:
        """Cross-entropy of a batch ``(x, labels)``, labels ``(rows,)`` from 0 on; chance plays no part."""
        x, labels = batch
        loss = F.cross_entropy(self(x), labels, reduction="none")
        if sample_weight is not None:
            loss = loss * sample_weight
        mean = loss.mean()
        return Objective(mean, {"cross_entropy": mean}, loss)

    def parameter_groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """The head's at the full rate; the encoder's at its share, unless it is frozen."""
        groups: list[tuple[Sequence[nn.Parameter], float]] = [(list(self.head.parameters()), 1.0)]
        if not self.frozen:
            groups.append(([p for p in self.encoder.parameters() if p.requires_grad], self.encoder_share))
        return groups

    def whole_batch_terms(self) -> list[str]:
        """Layers of the encoder that normalise over a batch, unless it is frozen."""
        return [] if self.frozen else super().whole_batch_terms()

    def train(self, mode: bool = True) -> Self:
        """As of any module, but a frozen encoder stays in evaluation."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

"""The one objective: mean over examples of L(x, g(h)) + sum_j weight_j Omega_j."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import View

if TYPE_CHECKING:
    from isthmus.model.autoencoder import AutoencoderModule


class Objective(NamedTuple):
    """What one batch costs."""

    loss: Tensor
    """What is minimised, one number: the mean over examples."""
    terms: dict[str, Tensor]
    """Means of its terms before weighting: ``distortion``, ``rate``, and each penalty's Omega."""


def evaluate(
    model: AutoencoderModule,
    x: Tensor,
    randomness: Randomness,
    sample_weight: Tensor | None = None,
    value_weight: Tensor | None = None,
) -> Objective:
    """Cost of a batch.

    Parameters
    ----------
    x
        The clean batch, ``(rows, *sample_shape)`` in model units: also the target.
    randomness
        Where corruption, code noise and probes come from.
    sample_weight
        ``(rows,)``, of mean 1 over the training rows; weighs whole examples.
    value_weight
        Of x's shape or broadcast to it; weighs each value's loss.
    """
    shown = x if model.corruption is None else model.corruption(x, randomness.at("corruption"))
    pre_code, context = model.encoder(shown)
    code = model.code(pre_code, randomness.at("code"))
    outputs = model.decoder(code.value, context)

    def mean(per_example: Tensor) -> Tensor:
        return (per_example if sample_weight is None else per_example * sample_weight).mean()

    terms = {"distortion": mean(model.likelihood(outputs, x, value_weight))}
    loss = terms["distortion"]
    if code.rate is not None:
        terms["rate"] = mean(code.rate)
        loss = loss + model.code.rate_weight * terms["rate"]
    for name, penalty in model.named_penalties():
        view = View(
            shown,
            code.value,
            model.encode,
            model.dense_trace,
            model.weights(),
            randomness.at("penalty", name),
        )
        omega = penalty(view)
        terms[name] = mean(omega) if penalty.scope == "example" else omega
        loss = loss + penalty.weight * terms[name]
    return Objective(loss, terms)

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
    per_example: Tensor
    """Each example's share, ``(rows,)``: its mean is the loss less the terms that are one number."""


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

    def weighed(values: Tensor) -> Tensor:
        return values if sample_weight is None else values * sample_weight

    per_example = weighed(model.likelihood(outputs, x, value_weight))
    terms = {"distortion": per_example.mean()}
    shared: list[Tensor] = []
    if code.rate is not None:
        rate = weighed(code.rate)
        terms["rate"] = rate.mean()
        per_example = per_example + model.code.rate_weight * rate
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
        if penalty.scope == "example":
            omega = weighed(omega)
            per_example = per_example + penalty.weight * omega
        else:
            shared.append(penalty.weight * omega)
        terms[name] = omega.mean()
    return Objective(sum(shared, start=per_example.mean()), terms, per_example)

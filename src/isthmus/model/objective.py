"""The one objective: mean over examples of L(x, g(h)) + sum_j weight_j Omega_j."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from isthmus.config.training import Precision
from isthmus.corruptions.base import Corruption
from isthmus.errors import ParameterError
from isthmus.model.precision import decoded, encoded
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import DenseTrace, View

if TYPE_CHECKING:
    from isthmus.model.autoencoder import AutoencoderModule


class Cost(NamedTuple):
    """What one batch costs, as far as a step of the training needs it."""

    loss: Tensor
    """As that of an :class:`Objective`."""
    terms: dict[str, Tensor]
    """As those of an :class:`Objective`."""


class Objective(NamedTuple):
    """What one batch costs, and each of its examples."""

    loss: Tensor
    """What is minimised, one number: the mean over examples."""
    terms: dict[str, Tensor]
    """Means of its terms before weighting: ``distortion``, ``rate``, and each penalty's Omega."""
    per_example: Tensor
    """Each example's share, ``(rows,)``: its mean is the loss less the terms that are one number."""


class Trainable(nn.Module, ABC):
    """A module that says what a batch costs: all that the training loop asks of it."""

    seed: int
    """Root of all chance in :meth:`objective`."""
    precision: Precision = "float32"
    """Of its networks' passes in :meth:`objective_at`, and nowhere else; set for as long as a training lasts."""

    def objective(
        self, batch: Any, step: int, *, sample_weight: Tensor | None = None, progress: float = 1.0
    ) -> Objective:
        """Loss and terms of a batch in training, a function of the seed, the batch and the step."""
        return self.objective_at(batch, self.chance(step), sample_weight=sample_weight, progress=progress)

    def chance(self, step: int) -> Randomness:
        """Of a step in training."""
        return Randomness(self.seed, "training", step)

    @abstractmethod
    def objective_at(
        self,
        batch: Any,
        randomness: Randomness,
        *,
        sample_weight: Tensor | None = None,
        progress: float = 1.0,
    ) -> Objective:
        """Loss and terms of a batch, a function of the batch and the chance that is handed in."""

    def parameter_groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Parameters to train, and which share of the learning rate is theirs."""
        return [([parameter for parameter in self.parameters() if parameter.requires_grad], 1.0)]

    def whole_batch_terms(self) -> list[str]:
        """What in training knows the rows of a batch only together, by name: such a batch cannot be done in parts.

        Here the layers that normalise over a batch; whoever adds other terms adds their names.
        """
        return [
            f"the layer {name} ({type(layer).__name__})"
            for name, layer in self.named_modules()
            if isinstance(layer, nn.modules.batchnorm._BatchNorm)  # pyright: ignore[reportPrivateUsage]
        ]


def evaluate(
    model: AutoencoderModule,
    x: Tensor,
    randomness: Randomness,
    sample_weight: Tensor | None = None,
    value_weight: Tensor | None = None,
    progress: float = 1.0,
) -> Objective:
    """Cost of a batch.

    Parameters
    ----------
    x
        The clean batch, ``(rows, *sample_shape)`` in model units: also the target. Where the model knows
        gaps, NaN is one: it enters no loss, and the encoder is told.
    randomness
        Where corruption, code noise and probes come from.
    sample_weight
        ``(rows,)``, of mean 1 over the training rows; weighs whole examples.
    value_weight
        Of x's shape or broadcast to it; weighs each value's loss.
    progress
        Share of the training done, in [0, 1]: for whatever warms up or falls.
    """
    x = model.target(x, randomness.at("target"))
    shown = x
    balance = model.likelihood.balance()
    value_weight = _both(None if balance is None else balance[None], value_weight)
    if model.corruption is not None:
        chance = randomness.at("corruption")
        shown = model.corrupted(x, chance, progress)
        value_weight = _both(emphasised(model.corruption, x, chance, progress), value_weight)
    trace = None
    if any(penalty.reads_trace for _, penalty in model.named_penalties()):
        trace = model.encoder.dense_trace(shown)
    pre_code, context = encoded(model.encoder, shown, model.precision) if trace is None else (trace[-1], None)
    code = model.code(pre_code, randomness.at("code"), progress)

    def weighed(values: Tensor) -> Tensor:
        if sample_weight is None:
            return values
        return values * sample_weight.reshape(-1, *[1] * (values.ndim - 1))

    if code.log_ratio is None:
        outputs = decoded(model.decoder, code.value, context, model.precision)
        distortion = model.distortion(outputs, x, value_weight)
        per_example = weighed(distortion)
    else:
        distortion, bound = _importance_weighted(model, code.value, code.log_ratio, context, x, value_weight)
        per_example = weighed(bound)

    def dense_trace(at: Tensor) -> DenseTrace | None:
        return model.dense_trace(at) if trace is None or at is not shown else model.through_code(*trace)

    terms = {"distortion": weighed(distortion).mean()}
    shared: list[Tensor] = []
    if code.rates is not None:
        rates = weighed(code.rates)
        terms["rate"] = rates.sum(dim=1).mean()
        if code.log_ratio is None:
            whole = model.code.scope == "batch" and model.code.training
            cost = model.code.cost(rates if whole else code.rates, progress)
            if cost.ndim:
                per_example = per_example + (cost if whole else weighed(cost))
            else:
                shared.append(cost)
    for name, penalty in model.named_penalties():
        view = View(
            shown,
            code.value if model.code.n_draws == 1 else code.value[:: model.code.n_draws],
            model.encode,
            dense_trace,
            model.weights,
            randomness.at("penalty", name),
            sample_weight,
        )
        omega = penalty(view)
        if penalty.scope == "example":
            omega = weighed(omega)
            per_example = per_example + penalty.weight_at(progress) * omega
        else:
            shared.append(penalty.weight_at(progress) * omega)
        terms[name] = omega.mean()
    return Objective(sum(shared, start=per_example.mean()), terms, per_example)


def _both(by: Tensor | None, value_weight: Tensor | None) -> Tensor | None:
    """What values count by two weights, either of which may be none."""
    if by is None or value_weight is None:
        return value_weight if by is None else by
    return by * value_weight


def emphasised(corruption: Corruption, x: Tensor, randomness: Randomness, progress: float) -> Tensor | None:
    """What each value counts, of x's shape: those that the corruption left alone count less; None if none do.

    Source: Vincent et al. (2010), section 5.2.
    """
    if corruption.emphasis == 0:
        return None
    touched = corruption.touched(x, randomness, progress)
    return None if touched is None else 1 - corruption.emphasis * (~touched).to(x.dtype)


def _importance_weighted(
    model: AutoencoderModule,
    h: Tensor,
    log_ratio: Tensor,
    context: Any,
    x: Tensor,
    value_weight: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Mean distortion of a row's draws and ``-ln mean exp(-L - log_ratio)``, each ``(rows,)``.

    Source: Burda et al. (2016), equation 8; its gradient is that of equation 13.
    """
    n = model.code.n_draws
    if context is not None:
        raise ParameterError(
            f"objective: several draws a row ({n}) cannot be decoded with what the encoder hands over beside "
            "the code (pooling switches), which it does once a row. Set switches=False, or draw once."
        )
    targets = x.repeat_interleave(n, dim=0)
    weight = value_weight
    if weight is not None and len(weight) == len(x):
        weight = weight.repeat_interleave(n, dim=0)
    losses = model.distortion(decoded(model.decoder, h, None, model.precision), targets, weight)
    bound = math.log(n) - torch.logsumexp(-(losses + log_ratio).unflatten(0, (-1, n)), dim=1)
    return losses.unflatten(0, (-1, n)).mean(dim=1), bound

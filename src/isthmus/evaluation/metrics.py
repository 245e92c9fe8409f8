"""What a model reaches on rows, beside the baselines: the documented keys of every JSON."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.evaluation.columns import ColumnError, column_errors
from isthmus.evaluation.denoising import Denoised, measure_denoising
from isthmus.evaluation.sound import SoundQuality, measure_sound
from isthmus.exploration.priors import has_density
from isthmus.inference import Inference, OfPass, Pass
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import n_values
from isthmus.sources import Source

DEAD_VARIANCE = 1e-4
"""A unit is dead if its variance over rows is under this share of the mean variance of the units."""
UNITS_VALUES = 1 << 20
"""Values of codes that are taken to float64 at a time."""
ACTIVE_VARIANCE = 1e-2
"""A Gaussian unit is active if its mean varies by more (Burda et al. 2016, section 5.1)."""

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Errors, codes and units on the rows of a source, in model units."""

    errors: Array
    """Squared error of each row, summed over its values, ``(rows,)``."""
    pca_errors: Array | None
    """The same for PCA at the same code size."""
    mean_errors: Array | None
    """The same for the training rows' mean."""
    codes: Array
    """``(rows, code_size)``."""
    dead: NDArray[np.bool_]
    """Units that carry nothing, ``(code_size,)``."""
    losses: Array
    """The likelihood's loss of each row, ``(rows,)``."""
    rates: Array | None
    """Nats of each unit in each row, ``(rows, code_size)``; None without a distribution."""
    elbo: float | None
    """Evidence lower bound in nats, one draw of the code a row, mean over rows; None without one."""
    n_values: float
    """Values a row in model units; where there are gaps, the mean number of those that are there."""
    n_given: int
    """Rows as given, where equal ones were merged into one row of their total weight."""
    bits_per_value: float | None = None
    """What a value costs to store exactly, at most, in bits, by the elbo; None where L is no probability of x."""
    context_errors: Array | None = None
    """As ``errors``, the decoder helped by what the encoder gives beside the code; None where it gives nothing."""
    weights: Array | None = None
    """What each row counts in every mean, ``(rows,)``; None if all count the same."""
    denoised: Denoised | None = None
    """What the model makes of rows that its own corruption damaged; None without one."""
    sound: SoundQuality | None = None
    """How near the model's sound is to the original; None for rows that are no sound."""
    columns: tuple[ColumnError, ...] | None = None
    """Errors of each column of a table in its own unit; None of rows that are no table."""

    def to_dict(self) -> dict[str, Any]:
        """The documented keys; see ``docs/metrics.md``."""
        sse = self._mean(self.errors)
        values: dict[str, Any] = {
            "rows": self.n_given,
            "error": {"sse": sse, "mse": sse / self.n_values},
            "baselines": {},
            "code": {
                "size": self.codes.shape[1],
                "active": int((~self.dead).sum()),
                "dead": int(self.dead.sum()),
            },
            "loss": self._mean(self.losses),
        }
        for name, errors in (("pca", self.pca_errors), ("mean", self.mean_errors)):
            if errors is not None:
                mean = self._mean(errors)
                values["baselines"][name] = {"sse": mean, "mse": mean / self.n_values}
        if self.context_errors is not None:
            with_context = self._mean(self.context_errors)
            values["error_with_context"] = {"sse": with_context, "mse": with_context / self.n_values}
        if self.rates is not None:
            values["rate_nats"] = self._mean(self.rates.sum(axis=1))
        if self.elbo is not None:
            values["elbo_nats"] = self.elbo
        if self.bits_per_value is not None:
            values["bits_per_value"] = self.bits_per_value
        if self.denoised is not None:
            values["denoising"] = self.denoised.to_dict(self.n_values, self.weights)
        if self.sound is not None:
            values["sound"] = self.sound.to_dict()
        if self.columns is not None:
            values["columns"] = [column.to_dict() for column in self.columns]
        return values

    def _mean(self, values: Array) -> float:
        return _mean(values, self.weights)


def squared_errors(inference: Inference, source: Source) -> Array:
    """Squared error of each row in model units, summed over its values, ``(rows,)``: nothing else."""

    def errors(module: AutoencoderModule, found: Pass) -> torch.Tensor:
        return _squared_error(found.x, module.likelihood.mean(found.outputs)).unsqueeze(1)

    return inference.over(source, OfPass(errors), (1,))[:, 0]


def measure(
    inference: Inference,
    source: Source,
    weights: Array | None = None,
    *,
    n_given: int | None = None,
    clean: bool = True,
) -> Measured:
    """Run a model over all rows of a source and compare it with its baselines.

    ``weights``, ``(rows,)``, is what each row counts in every mean; ``n_given`` the number of rows
    before equal ones were merged. ``clean`` says that the rows can be a target: a model that has a
    corruption is then measured on corrupted ones too.
    """
    scaling, baseline = inference.model.scaling, inference.model.baseline

    def codes_errors_and_losses(module: AutoencoderModule, found: Pass) -> torch.Tensor:
        error = _squared_error(found.x, module.likelihood.mean(found.outputs))
        helped = torch.full_like(error, torch.nan)
        if found.context is not None:
            outputs = module.decoder(found.code, found.context)
            helped = _squared_error(found.x, module.likelihood.mean(outputs))
        of_row = torch.stack([error, module.distortion(found.outputs, found.x), helped], dim=1)
        return torch.cat([of_row, found.code], dim=1)

    found = inference.over(source, OfPass(codes_errors_and_losses), (3 + inference.code_size,))
    codes = np.ascontiguousarray(found[:, 3:])
    pca_errors = mean_errors = None
    if baseline is not None:
        pca_errors, mean_errors = np.empty(len(source), np.float32), np.empty(len(source), np.float32)
        for start in range(0, len(source), 1024):
            rows = slice(start, min(start + 1024, len(source)))
            pca_errors[rows], mean_errors[rows] = baseline.squared_errors(scaling.to_model(source.read(rows)))
    rates = inference.rate_per_unit(source)
    elbo, is_probability = (None, False) if rates is None else _elbo(inference, source, weights)
    n_seen = values_seen(inference, source, weights)
    is_drawn = has_density(inference.module)
    return Measured(
        errors=found[:, 0],
        pca_errors=pca_errors,
        mean_errors=mean_errors,
        codes=codes,
        dead=dead_units(codes, weights, has_distribution=is_drawn),
        losses=found[:, 1],
        rates=rates,
        elbo=elbo,
        bits_per_value=-elbo / (n_seen * math.log(2)) if elbo is not None and is_probability else None,
        n_values=n_seen,
        n_given=len(source) if n_given is None else n_given,
        weights=weights,
        context_errors=None if np.isnan(found[:, 2]).any() else found[:, 2],
        denoised=measure_denoising(inference, source, weights) if clean else None,
        sound=measure_sound(inference, source),
        columns=column_errors(inference, source, weights, hide=clean),
    )


def _squared_error(x: torch.Tensor, reconstruction: torch.Tensor) -> torch.Tensor:
    """Gaps are left out."""
    rest = x - reconstruction
    return rest.masked_fill(rest.isnan(), 0.0).square().flatten(1).sum(dim=1)


def values_seen(inference: Inference, source: Source, weights: NDArray[Any] | None = None) -> float:
    """How many values a row has in model units, gaps left out: the mean over rows."""
    n = n_values(inference.model.scaling.model_shape)
    if not inference.model.scaling.allows_gaps:
        return n

    def seen(module: AutoencoderModule, x: torch.Tensor) -> torch.Tensor:
        return (~x.isnan()).sum(dim=1, keepdim=True).to(x.dtype)

    return _mean(inference.over(source, seen, (1,))[:, 0], weights) or 1.0


def _elbo(inference: Inference, source: Source, weights: Array | None) -> tuple[float | None, bool]:
    """``E ln p(x given h) - rate``, one draw of h a row, and whether it bounds a probability of exactly x.

    None where L is no density. A quantised code is one h a row, and the bound ``ln p(x, h)``.
    """
    if inference.module.likelihood.unit != "nats":
        return None, False
    root = Randomness(inference.module.seed, "evaluation")
    block = itertools.count()
    is_probability = inference.module.likelihood.is_probability

    def bound(module: AutoencoderModule, x: torch.Tensor) -> torch.Tensor:
        nonlocal is_probability
        randomness = root.at(next(block))
        if is_probability:
            is_probability = module.likelihood.is_density(x if module.gaps is None else x.nan_to_num())
        x = module.target(x, randomness.at("target"))
        # Without the context: what it tells of x is in no rate.
        drawn = module.code(module.encoder(x)[0], randomness)
        distortion = module.distortion(module.decoder(drawn.value[:: module.code.n_draws]), x)
        rates = x.new_zeros(len(x), 1) if drawn.rates is None else drawn.rates
        return -(distortion + rates.sum(dim=1)).unsqueeze(1)

    found = _mean(inference.over(source, bound, (1,))[:, 0], weights)
    return found, is_probability


def dead_units(codes: Array, weights: Array | None = None, *, has_distribution: bool) -> NDArray[np.bool_]:
    """Units that carry nothing: they hardly vary over the rows, ``(code_size,)``.

    Of a Gaussian code by the variance of the means, against 0.01; of others against the other units.
    """
    variance, step = np.empty(codes.shape[1]), max(1, UNITS_VALUES // max(1, len(codes)))
    for start in range(0, codes.shape[1], step):
        values = codes[:, start : start + step].astype(np.float64)
        values -= np.average(values, axis=0, weights=weights)
        variance[start : start + step] = np.average(np.square(values), axis=0, weights=weights)
    if has_distribution:
        return variance <= ACTIVE_VARIANCE
    return variance <= DEAD_VARIANCE * variance.mean()


def _mean(values: Array, weights: Array | None) -> float:
    return float(np.average(values.astype(np.float64), weights=weights))

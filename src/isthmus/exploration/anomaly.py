"""How odd a row is to a fitted model, and which of its values make it so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.artifact.anomaly import USUAL_SHARE, Measure, Usual, quantiles
from isthmus.codes.base import Code
from isthmus.errors import ParameterError
from isthmus.exploration.regions import Regions, regions_of
from isthmus.inference import Inference, OfPass, Pass
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.shapes import Layout
from isthmus.sources import Source
from isthmus.sources.subset import Subset

MOST_ROWS = 10_000
"""Rows, evenly spaced, that tell what is usual: a thousandth of them is ten rows."""
FLOOR_SHARE, FLOOR = 1e-2, 1e-6
"""An error counts against its value's usual one, but against no less than this share of the values' mean
usual error, nor than a thousandth of a model unit, squared: a column that was always the same would
otherwise outweigh all others for a rounding error."""
N_FILLS = 4
"""How often what is hidden is filled in from the reconstruction of the row filled in before."""
MOST_TOGETHER = 256
"""Values of a row, at most, whose residuals are looked at together for what made it odd."""
RIDGE = 0.3
"""Added to the variance of the residuals in every direction, in units of their usual size: of few rows, or of
columns that say the same, some directions would seem never to be taken. From 0.03 to 1 it decides little."""
DOUBT = 0.03
"""Added to the variance of a pixel that is black or white and has the reconstruction for its mean."""
BLOCK = 1024
BLOCK_VALUES = 1 << 18
"""Residuals of a block, as far as it may have fewer rows."""
MOST_KEPT = 1 << 20
"""Residuals that are kept for a second look, at most; of more the rows are passed through the model again."""

Array = NDArray[np.float32]


class AnomalyScore:
    r"""How odd rows are to a model: larger is odder.

    With the squared error ``e_j = (x_j - r(x)_j)^2`` of each value j in model units and its usual size
    ``t_j``, the mean of ``e_j`` over the training rows, the anomaly of a row is, by ``measure`` (of a table
    a value j is a whole column: a category's error is the sum over its words),

    - ``"relative_error"``: the mean over the d values of ``log(1 + e_j / t_j)``. A value that the model
      rebuilds well is odd by a small error, and one wild value does not outweigh all others.
    - ``"squared_error"``: the mean over the values of ``e_j``; of a linear model PCA's residual.
    - ``"evidence"``: ``L(x, g(h)) + KL(q(h given x) to p(h))`` at the mean h of a Gaussian code, in nats:
      minus the evidence lower bound, but for the spread of the code (An and Cho 2015).

    Parameters
    ----------
    inference
        Of the model.
    usual
        What its training rows were like; the model's own if None.

    Raises
    ------
    ParameterError
        ``"evidence"`` of a model without a rate or without a density, or no usual errors anywhere.
    """

    def __init__(self, inference: Inference, usual: Usual | None = None) -> None:
        usual = inference.model.usual if usual is None else usual
        if usual is None:
            raise ParameterError(
                "anomaly: expected a model that knows the errors of its training rows, got one of partial_fit or of "
                "an earlier isthmus. Give rows to compare with, the training rows or others like them: --reference "
                "SOURCE at the command line, AnomalyDetector in Python; or fit it again."
            )
        self.inference, self.usual = inference, usual
        scaling = inference.model.scaling
        self._column = None if scaling.layout is None else torch.from_numpy(regions_of(scaling).of_value)
        self._usual = _floored(_by_column(torch.from_numpy(usual.errors)[None], self._column)[0])
        of_value = self._usual if self._column is None else self._usual[self._column]
        if usual.measure == "squared_error":
            of_value = torch.full_like(of_value, float(_floored(torch.from_numpy(usual.errors)).mean()))
        self._scale_of_causes = of_value.reshape(scaling.model_shape)
        self._are_pictures = scaling.schema.kind == "pictures"
        self._together = None
        if usual.products is not None and usual.measure != "squared_error":
            size = torch.full_like(of_value, float(of_value.mean())) if self._are_pictures else of_value
            self._together = _whitening(usual.products, size.numpy(), scaling.layout)
        check_measure(inference, usual.measure)

    def score(self, source: Source) -> NDArray[np.float64]:
        """The anomaly of each row, ``(rows,)``; a function of the row alone, bit for bit."""
        return self.score_as_computed(source).astype(np.float64)

    def score_as_computed(self, source: Source) -> Array:
        """As :meth:`score`, in float32: the same numbers in half the memory."""
        one = self._evidence if self.usual.measure == "evidence" else OfPass(self._anomaly)
        return self.inference.over(source, one, (1,))[:, 0]

    def score_of_residuals(self, residuals: Array) -> NDArray[np.float64]:
        """As :meth:`score`, of what the reconstructions leave of rows, ``(rows, *model_shape)``, NaN at a gap.

        Not of the measure ``"evidence"``.
        """
        rest = torch.from_numpy(residuals)
        return self._of_residuals(rest.masked_fill(rest.isnan(), 0.0))[:, 0].numpy().astype(np.float64)

    def causes(self, source: Source) -> tuple[Array, Regions]:
        """How much of a row's error each of its regions makes, ``(rows, n_regions)``, and what they are.

        A region is a column, a patch of a picture or a stretch of steps. Each in turn is hidden and filled
        in from the rest: by the row's reconstruction, that of the row so filled, and so on, four times in
        all. Its part is how far the size of the row's residual falls then, 0 where it does not. So a value
        that is common in itself but wrong beside the others is found, though its oddity spreads over all
        errors. Of more than 64 columns, or 16 patches or stretches, those of largest error are looked at and
        the others get 0.

        The size of d values, up to 256, is ``z (C + 0.3 I)^-1 z / d``, with
        ``z_j = (x_j - r(x)_j) / sqrt(t_j)`` (of pictures t is the mean over all values) and C the mean of the
        products ``z_j z_k`` over the training rows, in which categories have no part: residuals of columns that
        say nearly the same go together, and one that goes alone is odder than its size. Of more values, of a
        model that knows no C and for the measure ``"squared_error"`` it is the mean of ``e_j / t_j``, t for
        that measure the mean over all values; of pictures the mean of ``e_j / (r_j (1 - r_j) + 0.03)``, for a
        grey reconstruction says that the model does not know, and the edges of strokes would outshine every patch.

        Costs four reconstructions a region, and one.
        """
        regions = regions_of(self.inference.model.scaling)
        label = torch.from_numpy(regions.of_value)

        def one(module: AutoencoderModule, x: Tensor) -> Tensor:
            return _parts(module, x, self._relative, self._size, label, regions)

        return self.inference.over(source, one, (regions.n_regions,)), regions

    def contributions(self, source: Source) -> Array:
        """The regions' parts at their values, ``(rows, *sample_shape)``, channels last.

        A region's part is shared out among its values in proportion to their relative errors; the sum over
        a row is that of its regions.
        """
        shape = self.inference.model.scaling.model_shape
        result = np.empty((len(source), *shape), np.float32)
        for rows in _blocks(len(source)):
            part = _rows(source, rows)
            parts, regions = self.causes(part)
            relative = self._relative_errors(part).reshape(len(part), -1)
            total = np.zeros((regions.n_regions, len(part)))
            np.add.at(total, regions.of_value, relative.T)
            share = relative / np.maximum(total, np.finfo(np.float32).tiny)[regions.of_value].T
            result[rows] = (parts[:, regions.of_value] * share).reshape(len(part), *shape)
        return np.moveaxis(result, 1, -1)

    def names_of_causes(self, source: Source, n_causes: int) -> list[list[str]]:
        """The regions of each row that make it odd, the first one most; fewer where fewer have a part in it."""
        return list(self.each_names_of_causes(source, n_causes))

    def each_names_of_causes(self, source: Source, n_causes: int) -> Iterator[list[str]]:
        """As :meth:`names_of_causes`, a row after the other, found a thousand rows at a time."""
        for rows in _blocks(len(source)):
            parts, regions = self.causes(_rows(source, rows))
            order = np.argsort(-parts, axis=1, kind="stable")[:, :n_causes]
            for row, own in zip(order, parts, strict=True):
                yield [regions.names[number] for number in row if own[number] > 0]

    def _evidence(self, module: AutoencoderModule, x: Tensor) -> Tensor:
        """Less the bound on the evidence of rows in model units, ``(rows, 1)``."""
        pre_code, _ = module.encoder(x)
        rates = module.code.rate_per_unit(pre_code)
        loss = module.distortion(module.decoder(module.code.mean(pre_code)), x)
        return (loss if rates is None else loss + rates.sum(dim=1)).unsqueeze(1)

    def _anomaly(self, module: AutoencoderModule, found: Pass) -> Tensor:
        """The anomaly of rows in model units, ``(rows, 1)``."""
        return self._of_residuals(_residuals(found.x, module.likelihood.mean(found.outputs)))

    def _of_residuals(self, residuals: Tensor) -> Tensor:
        errors = residuals.square()
        if self.usual.measure == "relative_error":
            errors = torch.log1p(_by_column(errors, self._column) / self._usual)
        return errors.flatten(1).mean(dim=1, keepdim=True)

    def _relative_errors(self, source: Source) -> Array:
        def one(module: AutoencoderModule, found: Pass) -> Tensor:
            return self._relative(found.x, module.likelihood.mean(found.outputs))

        return self.inference.over(source, OfPass(one), self.inference.model.scaling.model_shape)

    def _size(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """How large the residual of a row is, ``(rows,)``, where what made it so is looked for."""
        if self._together is None:
            return self._relative(x, rebuilt).flatten(1).mean(dim=1)
        return (_residuals(x, rebuilt).flatten(1) @ self._together).square().mean(dim=1)

    def _relative(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """Errors against what is usual where a value is looked for, of x's shape."""
        errors = _squares(x, rebuilt)
        if not self._are_pictures:
            return errors / self._scale_of_causes
        share = rebuilt.clamp(0.0, 1.0)
        return errors / (share * (1.0 - share) + DOUBT)


def fit_usual(
    inference: Inference,
    training: Source,
    weights: NDArray[np.floating] | None = None,
    *,
    held_out: Source | None = None,
    held_out_weights: NDArray[np.floating] | None = None,
    measure: Measure = "relative_error",
) -> Usual:
    """What is usual: errors of the training rows and quantiles of their anomaly, from one pass or two.

    The threshold is the 0.99-quantile of the held-out rows' anomaly; where there are none, or were not
    many, of the training rows' or the largest.

    Parameters
    ----------
    training
        Rows the model was fitted on; at most 10,000 of them are looked at, evenly spaced.
    weights
        ``(rows,)``: what each counts.
    held_out, held_out_weights
        The same of rows that were not trained on.
    measure
        See :class:`AnomalyScore`.
    """
    check_measure(inference, measure)
    training, weights = _some(training, weights)
    errors, products, residuals = _mean_errors(inference, training, weights)
    empty = np.zeros(0)
    score = AnomalyScore(inference, Usual(measure, errors, empty, None, 0.0, "", products=products))
    if residuals is None or measure == "evidence":
        found = quantiles(score.score(training), weights)
    else:
        found = quantiles(score.score_of_residuals(residuals), weights)
    found_held_out = None
    if held_out is not None:
        held_out, held_out_weights = _some(held_out, held_out_weights)
        found_held_out = quantiles(score.score(held_out), held_out_weights)
    usual = Usual(measure, errors, found, found_held_out, 0.0, "", products=products)
    rows = "training" if held_out is None else "held-out"
    return usual.with_threshold(
        usual.at_quantile(USUAL_SHARE), f"the {USUAL_SHARE:g}-quantile of {rows} rows"
    )


def check_measure(inference: Inference, measure: Measure) -> None:
    """Refuse the evidence of a model that has none."""
    module = inference.module
    has_rate = type(module.code).rate_per_unit is not Code.rate_per_unit
    if measure == "evidence" and not (has_rate and module.likelihood.unit == "nats"):
        raise ParameterError(
            f"measure: 'evidence' asks for a Gaussian code and a likelihood that is a density, got "
            f"{type(module.code).__name__} and {type(module.likelihood).__name__}. Set code='gaussian' and "
            "likelihood='gaussian' or 'bernoulli', or take measure='relative_error'."
        )


def _floored(errors: Tensor) -> Tensor:
    return errors.clamp_min(max(FLOOR_SHARE * float(errors.mean()), FLOOR))


def _by_column(errors: Tensor, column: Tensor | None) -> Tensor:
    """Errors of values summed to those of columns, ``(rows, columns)``; as they are where a value is one."""
    flat = errors.flatten(1)
    if column is None:
        return flat
    return flat.new_zeros(len(flat), int(column.max()) + 1).index_add_(1, column, flat)


def _squares(x: Tensor, rebuilt: Tensor) -> Tensor:
    return _residuals(x, rebuilt).square()


def _residuals(x: Tensor, rebuilt: Tensor) -> Tensor:
    """What the reconstruction leaves; nothing is known of a gap, and it makes no row odd."""
    return (x - rebuilt).masked_fill(x.isnan(), 0.0)


def _whitening(products: Array, usual: Array, layout: Layout | None) -> Tensor:
    """What residuals are multiplied with, so that the sum of their squares tells how odd they are together."""
    scale = np.sqrt(usual.astype(np.float64))
    correlation = products / np.outer(scale, scale)
    if layout is not None:
        alone = np.repeat([block.size > 1 for block in layout], [block.size for block in layout])
        correlation[alone, :] = correlation[:, alone] = 0.0
        correlation[alone, alone] = 1.0 - RIDGE  # their errors count as they are
    variance, axes = np.linalg.eigh(correlation)
    root = axes / np.sqrt(np.maximum(variance, 0.0) + RIDGE) @ axes.T
    return torch.from_numpy((root / scale[:, None]).astype(np.float32))


def _parts(
    module: AutoencoderModule,
    x: Tensor,
    relative: Callable[[Tensor, Tensor], Tensor],
    size: Callable[[Tensor, Tensor], Tensor],
    label: Tensor,
    regions: Regions,
) -> Tensor:
    """How far the size of the residual falls when each region is filled in from the rest."""
    rebuilt = module.reconstruct(x)
    errors = relative(x, rebuilt).flatten(1)
    before = size(x, rebuilt)
    by_region = x.new_zeros(len(x), regions.n_regions).index_add_(1, label, errors)
    # The regions looked at, those of largest error first: other ones in each row.
    order = by_region.argsort(dim=1, descending=True, stable=True)[:, : regions.n_looked_at]
    result = torch.zeros_like(by_region)
    for number in range(order.shape[1]):
        hidden = (label[None] == order[:, number, None]).view(x.shape)
        filled = torch.where(hidden, rebuilt, x)
        again = module.reconstruct(filled)
        for _ in range(N_FILLS - 1):
            filled = torch.where(hidden, again, x)
            again = module.reconstruct(filled)
        fallen = (before - size(filled, again)).clamp_min(0.0)
        result.scatter_(1, order[:, number, None], fallen[:, None])
    return result


def _mean_errors(
    inference: Inference, source: Source, weights: NDArray[np.floating] | None
) -> tuple[Array, Array | None, Array | None]:
    """Mean squared error of each value that is there, ``(n_values,)``, a block of rows at a time.

    And where they are few the mean product of the residuals of each two, a gap's 0, ``(n_values, n_values)``, and
    the residuals, ``(rows, *model_shape)``.
    """

    def one(module: AutoencoderModule, found: Pass) -> Tensor:
        return found.x - module.likelihood.mean(found.outputs)

    shape = inference.model.scaling.model_shape
    total, counted = np.zeros((2, int(np.prod(shape))))
    products, n_rows = np.zeros((total.size, total.size)) if total.size <= MOST_TOGETHER else None, 0.0
    kept = list[Array]()
    for rows in _blocks(len(source), max(BLOCK, BLOCK_VALUES // total.size // BLOCK * BLOCK)):
        block = inference.over(_rows(source, rows), OfPass(one), shape)
        if len(source) * total.size <= MOST_KEPT:
            kept.append(block)
        residuals = block.reshape(len(block), -1)
        counts = np.ones(len(residuals)) if weights is None else weights[rows].astype(np.float64)
        there, gaps = residuals.astype(np.float64), np.isnan(residuals)
        n_of_block = counts.sum()
        n_rows += n_of_block
        if gaps.any():
            there[gaps] = 0.0
            counted += counts @ ~gaps
        else:
            counted += n_of_block
        if products is None:
            total += counts @ np.square(there)
        else:
            of_block = (there.T if weights is None else counts * there.T) @ there
            products += of_block
            total += of_block.diagonal()
    errors = total / np.maximum(counted, np.finfo(np.float64).tiny)
    if products is not None:
        products = ((products + products.T) / (2 * n_rows)).astype(np.float32)
    return errors.astype(np.float32), products, np.concatenate(kept) if kept else None


def _some(source: Source, weights: NDArray[np.floating] | None) -> tuple[Source, NDArray[np.floating] | None]:
    if len(source) <= MOST_ROWS:
        return source, weights
    rows = np.linspace(0, len(source) - 1, MOST_ROWS).round().astype(np.int64)
    return Subset(source, rows), None if weights is None else weights[rows]


def _rows(source: Source, rows: slice) -> Source:
    return Subset(source, np.arange(rows.start, rows.stop))


def _blocks(n_rows: int, size: int = BLOCK) -> Iterator[slice]:
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))

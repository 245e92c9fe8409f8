"""Impute: the gaps of a table filled by a model, everything else left as it was."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from isthmus.artifact import FittedModel
from isthmus.errors import ParameterError
from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.sources import Source, TableSource, conform


def impute(
    model: FittedModel, source: Source, *, n_draws: int | None = None, seed: int | None = None
) -> NDArray[Any]:
    """The rows of a source with their gaps filled.

    What is there stays as it is, bit for bit. A gap becomes what the model makes of the rest of its row:
    a number's mean in model units (of quantile maps about its median), the most probable category. A row's
    result does not depend on the rows beside it. A model fitted with
    :class:`~isthmus.config.parts.corruptions.Masking` has learned to do this; any other has only
    learned to rebuild what it sees.

    Rows cannot hold a category that the model does not know: it counts as a gap here. In the table itself
    :func:`isthmus.sources.table_out.with_gaps_filled` leaves it alone.

    Parameters
    ----------
    model
        Fitted with ``missing="mask"``, as tables are.
    source
        Rows like those that it was fitted on.
    n_draws
        None for the one best filling; else how many fillings are drawn from the model, at least 1: the
        code from its distribution, if it has one, and the values from the likelihood. Differences between
        them say how sure the model is (multiple imputation; Rubin 1987).
    seed
        Root of all draws; None is the model's.

    Returns
    -------
    array
        ``(rows, columns)`` in data units, of the source's type; ``(n_draws, rows, columns)`` of draws.

    Raises
    ------
    ParameterError
        If the model knows no gaps, or draws are asked of one whose likelihood is no density.

    Examples
    --------
    >>> from isthmus.config import Config
    >>> from isthmus.sources.arrays import ArraySource
    >>> from isthmus.workflows.fit import fit
    >>> t = np.linspace(-1, 1, 64)
    >>> config = Config.from_dict({"data": {"missing": "mask"}, "training": {"epochs": 5, "seed": 0}})
    >>> model, _ = fit(ArraySource(np.stack([t, 2 * t], axis=1)), config)
    >>> impute(model, ArraySource(np.array([[0.5, 1.0], [0.25, np.nan]])))[:, 0].tolist()
    [0.5, 0.25]
    """
    if not model.scaling.allows_gaps:
        raise ParameterError(
            "impute: expected a model that knows gaps, got one fitted with missing='refuse'. Fit one to a table or to "
            "vectors with missing='mask', at the command line --set data.missing=mask."
        )
    if n_draws is not None and n_draws < 1:
        raise ParameterError(f"impute: n_draws must be at least 1, got {n_draws}. Try 10, or None.")
    inference = Inference(model)
    source = conform(source, model.scaling.schema) if isinstance(source, TableSource) else source
    inference.check_source(source)
    rows = source.read(slice(0, len(source)))
    if n_draws is None:
        return _filled(rows, inference.reconstruct(source))
    root = Randomness(inference.module.seed if seed is None else seed, "impute")
    draws = [_drawn(inference, source, root.at(number)) for number in range(n_draws)]
    return np.stack([_filled(rows, drawn) for drawn in draws])


def _drawn(inference: Inference, source: Source, chance: Randomness) -> NDArray[Any]:
    """One draw of every value of every row, in data units."""
    block = itertools.count()

    def draw(module: AutoencoderModule, x: Tensor) -> Tensor:
        here = chance.at(next(block))
        pre_code, _ = module.encoder(x)
        noise = here.at("code").normal((len(x), module.code.size), like=x)
        drawn = module.code.draw(pre_code, noise)
        h = module.code.mean(pre_code) if drawn is None else drawn[0]
        return module.likelihood.draw(module.decoder(h), here.at("values"))

    scaling = inference.model.scaling
    return scaling.to_data(inference.over(source, draw, scaling.model_shape))


def _filled(rows: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.isnan(rows), values.astype(rows.dtype, copy=False), rows)

"""The laws of a whole autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.model.autoencoder import AutoencoderModule
from isthmus.testing.laws import (
    check_gradients,
    check_repeatable,
    check_rows_apart,
    double,
    global_chance_untouched,
    require,
    require_close,
    require_shape,
)


def check_module(module: AutoencoderModule, x: Tensor, *, gradients: bool = True) -> None:
    """Check that ``module`` obeys the laws of an autoencoder, whatever its parts.

    ``encode``, ``decode`` and ``reconstruct`` have their shapes, leave nothing to chance and keep
    rows apart; the objective is a function of seed, batch and step, its loss is the weighted sum of
    its terms (unless several draws or a cost of the whole batch make it another) and a mean over
    examples (in evaluation, where parts look at the whole batch in training); every parameter
    receives a gradient, which is the loss's slope by central differences.

    Parameters
    ----------
    module
        The module; it is left as it is.
    x
        A batch to try it on, ``(rows, *sample_shape)`` in model units, of at least two rows.
    gradients
        Whether to check gradients too: the dear part, two evaluations a parameter tensor.

    Raises
    ------
    LawBroken
        If a law does not hold; the message names it.

    Examples
    --------
    >>> import torch
    >>> from isthmus.config import Model
    >>> from isthmus.model.build import build
    >>> model = Model(code_size=2, network={"type": "dense", "hidden_sizes": []}, likelihood="squared_error")
    >>> check_module(build(model, (5,), seed=0), torch.rand(3, 5))
    """
    rows = len(x)
    h = module.encode(x)
    require_shape(module, "the code", h, (rows, module.code.size))
    require_shape(module, "the reconstruction", module.reconstruct(x), tuple(x.shape))
    stored = h.detach().clone(memory_format=torch.contiguous_format)
    same = torch.equal(module.decode(stored), module.reconstruct(x))
    require(same, module, "a stored code must decode to the reconstruction, bit for bit.")
    for what, function, start in (
        ("the code", module.encode, x),
        ("a decoded code", module.decode, stored),
        ("the reconstruction", module.reconstruct, x),
    ):
        check_repeatable(module, what, lambda function=function, start=start: function(start))
        check_rows_apart(module, what, function, start)
    _check_objective(module, x)
    _check_mean(double(module), x.double())
    if gradients:
        double_x = x.double()
        check_gradients(module, module, lambda made, draw: made.objective(double_x, draw).loss)


def _check_objective(module: AutoencoderModule, x: Tensor) -> None:
    with torch.no_grad(), global_chance_untouched(module):
        cost = module.objective(x, 3)
        again = module.objective(x, 3)
    loss, terms = cost.loss, cost.terms
    require_shape(module, "the loss", loss, ())
    same = torch.equal(loss, again.loss) and all(
        torch.equal(terms[name], again.terms[name]) for name in terms
    )
    require(same, module, "the objective must be a function of seed, batch and step.")
    weights = {"distortion": 1.0, "rate": module.code.rate_weight}
    weights.update({name: penalty.weight for name, penalty in module.named_penalties()})
    require_shape(module, "per_example", cost.per_example, (len(x),))
    require(set(terms) <= set(weights), module, f"every term must have a weight, got {sorted(terms)}.")
    code = module.code
    if code.n_draws == 1 and (code.scope == "example" or "rate" not in terms):
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        require_close(module, "the loss must be the weighted sum of its terms.", loss, total, 1e-5)


def _check_mean(module: AutoencoderModule, x: Tensor) -> None:
    """The mean of what each example costs alone is the loss, unless a term looks at the whole batch."""
    if any(penalty.scope == "batch" for _, penalty in module.named_penalties()):
        return
    if module.code.scope == "batch":
        module = module.eval()
    with torch.no_grad():
        alone = [
            module.objective(x, 3, sample_weight=len(x) * torch.eye(len(x), dtype=x.dtype)[row]).loss
            for row in range(len(x))
        ]
        loss = module.objective(x, 3).loss
    require_close(module, "the loss must be the mean over examples.", torch.stack(alone).mean(), loss)

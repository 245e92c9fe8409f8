"""Whether nothing keeps a model from learning to copy its input."""

from __future__ import annotations

from isthmus.config.config import Config
from isthmus.config.model import Model
from isthmus.config.parts.codes import DeterministicCode
from isthmus.config.parts.networks import Conv1d, Conv2d, Dense


def overcomplete_note(config: Config, n_values: int) -> str | None:
    """One sentence if the code has room for the whole input and nothing regularises it, else None.

    A code of at least as many units as a row has values can hold the row itself: without a
    corruption, a penalty, noise, a sparse or a Gaussian code the best that training can find is the
    identity, which tells nothing of the data (Bengio et al. 2007). A narrower hidden layer is a
    bottleneck, and a code, a network or a penalty of the user's own may be anything: neither is warned of.

    Parameters
    ----------
    config
        Every ``"auto"`` already replaced.
    n_values
        Values of a row.

    Examples
    --------
    >>> print(overcomplete_note(Config(model=Model(code_size=8, network=Dense((32,)))), 4))
    The code has 8 units for 4 values and nothing regularises it, so that the best to be learned is the \
identity: take a smaller code, or add a corruption, a penalty or a sparse code.
    >>> overcomplete_note(Config(model=Model(code_size=3, network=Dense((32,)))), 4) is None
    True
    """
    model = config.model
    size, code = model.code_size, model.code
    if not isinstance(size, int) or size < n_values or n_values == 1:
        return None
    free = isinstance(code, DeterministicCode) and not (code.noise or code.final_noise)
    regularised = (
        model.corruption is not None
        or config.training.weight_decay > 0
        or any(getattr(penalty, "weight", 1.0) > 0 for penalty in model.penalties)
    )
    if not free or regularised or not _lets_all_through(model, n_values):
        return None
    return (
        f"The code has {size} units for {n_values} values and nothing regularises it, so that the best to be "
        "learned is the identity: take a smaller code, or add a corruption, a penalty or a sparse code."
    )


def _lets_all_through(model: Model, n_values: int) -> bool:
    """Whether no layer before the code is a narrower one."""
    network = model.network
    if isinstance(network, Dense):
        widths = () if isinstance(network.hidden_sizes, str) else network.hidden_sizes
        return all(width >= n_values for width in widths)
    return isinstance(network, (Conv1d, Conv2d))

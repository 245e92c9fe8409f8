"""From an estimator's parameters to a config, and back."""

from __future__ import annotations

import copy
import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from isthmus.config import Config, Data, Description, Model, Training
from isthmus.config.catalogue import Custom, part_from, part_name
from isthmus.errors import ParameterError
from isthmus.model.build import Factory

TRAINING = (
    "batch_size", "micro_batch", "learning_rate", "schedule", "warm_up_share", "weight_decay", "gradient_clip",
    "validation_share", "patience", "start", "dead_units", "scheme",
    "pretraining_share", "device", "threads", "precision",
)  # fmt: skip
"""Parameters of the same name in the estimator and in ``Training``."""
DATA = ("scaling", "missing", "sample_shape", "row_kind", "types", "memory")
"""Parameters of the same name in the estimator and in ``Data``."""
FAMILIES = ("network", "code", "likelihood", "corruption")
RENAMED = (
    ("Model: code_size", "Autoencoder: n_components"),
    ("Training: epochs", "Autoencoder: max_epochs"),
    ("Training: seed", "Autoencoder: random_state"),
    ("data.memory", "Autoencoder: memory"),
    ("data.types.NAME=category", "types={'NAME': 'category'}"),
    ("data.types", "Autoencoder: types"),
)
"""What a config calls otherwise than an estimator."""


@dataclass(frozen=True, slots=True)
class Copies:
    """A factory of copies of the user's own part, so that no fit trains the original."""

    original: Any

    def __call__(self) -> Any:
        """A copy."""
        return copy.deepcopy(self.original)


def to_config(params: Mapping[str, Any], seed: int | None) -> tuple[Config, dict[str, Factory]]:
    """The config that an estimator's parameters spell out, and factories of the user's own parts."""
    try:
        return _to_config(params, seed)
    except ParameterError as error:
        message = str(error)
        for there, here in RENAMED:
            message = message.replace(there, here)
        raise ParameterError(message) from None


def _to_config(params: Mapping[str, Any], seed: int | None) -> tuple[Config, dict[str, Factory]]:
    own: dict[str, Factory] = {}
    chosen: dict[str, Any] = {name: _part(name, params[name], own) for name in FAMILIES}
    chosen["network"] = _with_layers(chosen["network"], params["hidden_sizes"], params["activation"])
    penalties = as_sequence(params["penalties"])
    chosen["penalties"] = tuple(
        _part("penalty", penalty, own, f"penalty_{number}") for number, penalty in enumerate(penalties, 1)
    )
    config = Config(
        data=Data(**{name: params[name] for name in DATA}),
        model=Model(
            kind=params.get("kind", "basic"),
            code_size=params["n_components"],
            condition=params["condition"],
            **chosen,
        ),
        training=Training(
            epochs=params["max_epochs"], seed=seed, **{name: params[name] for name in TRAINING}
        ),
    )
    return config, own


def from_config(config: Config, own: Mapping[str, Factory]) -> dict[str, Any]:
    """An estimator's parameters that spell out a config; the user's own parts from their factories.

    Where a model was trained binds nobody who opens it: its device and its memory are "auto" again.
    """
    model, training = config.model, config.training

    def part(value: Any) -> Any:
        return own[value.name]() if isinstance(value, Custom) and value.name in own else value

    return {
        "n_components": model.code_size,
        **{name: part(getattr(model, name)) for name in FAMILIES},
        "penalties": tuple(part(penalty) for penalty in model.penalties),
        "condition": model.condition,
        "max_epochs": training.epochs,
        "random_state": training.seed,
        **{name: getattr(training, name) for name in TRAINING},
        "device": "auto",
        **{name: getattr(config.data, name) for name in DATA},
        "memory": "auto",
    }


def as_sequence(penalties: Any) -> Sequence[Any]:
    """Penalties given as none, one, or several."""
    if penalties is None:
        return ()
    return penalties if isinstance(penalties, (list, tuple)) else (penalties,)  # pyright: ignore[reportUnknownVariableType]


def penalty_names(penalties: Any) -> dict[str, Description]:
    """The descriptions among several penalties by name; the second of a name is ``name_2``."""
    named: dict[str, Description] = {}
    seen: Counter[str] = Counter()
    if isinstance(penalties, (list, tuple)):
        for penalty in penalties:  # pyright: ignore[reportUnknownVariableType]
            if isinstance(penalty, Description):
                name = part_name(penalty)
                seen[name] += 1
                named[name if seen[name] == 1 else f"{name}_{seen[name]}"] = penalty
    return named


def seed_from(random_state: Any) -> int | None:
    """The seed that a ``random_state`` stands for; None lets the system choose."""
    if random_state is None:
        return None
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    if not isinstance(random_state, numbers.Integral):
        raise ParameterError(
            f"Autoencoder: random_state must be an integer, a NumPy generator or None, got {random_state!r}. "
            "It is a seed; try 0."
        )
    return int(random_state)


def _part(family: str, value: Any, own: dict[str, Factory], name: str | None = None) -> Any:
    """A description, or a :class:`Custom` one whose factory copies the user's modules."""
    modules = value if isinstance(value, tuple) else (value,)  # pyright: ignore[reportUnknownVariableType]
    if all(isinstance(module, nn.Module) for module in modules):  # pyright: ignore[reportUnknownVariableType]
        expected = "a pair (encoder, decoder)" if family == "network" else "one module"
        if isinstance(value, tuple) and (family != "network" or len(modules) != 2):  # pyright: ignore[reportUnknownArgumentType]
            raise ParameterError(f"Autoencoder: {family} of your own must be {expected}, got {value!r}.")
        key = name or family
        own[key] = Copies(value)
        return Custom(key)
    if family == "likelihood" and value == "auto":
        return value
    return copy.deepcopy(part_from(family, value))


def _with_layers(network: Any, hidden_sizes: Any, activation: Any) -> Any:
    """``hidden_sizes`` and ``activation`` laid over a network's own."""
    changes = {
        name: value
        for name, value in (("hidden_sizes", hidden_sizes), ("activation", activation))
        if not (isinstance(value, str) and value == "auto")
    }
    if not changes or not isinstance(network, Description):
        return network
    for name in changes:
        if name not in network.get_params():
            raise ParameterError(
                f"Autoencoder: {name} does not apply to {type(network).__name__}, which has "
                f"{', '.join(network.get_params()) or 'no parameters'}. Set it on the network itself."
            )
    return network.replace(**changes)

"""From a description to a module: the only place that resolves names to classes."""

from __future__ import annotations

import importlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.codes.base import Code
from isthmus.config.catalogue import Custom, part_name, target_of
from isthmus.config.description import Description
from isthmus.config.model import Model
from isthmus.config.parts.likelihoods import Mixed as MixedDescription
from isthmus.corruptions.base import Corruption
from isthmus.corruptions.masking import Masking
from isthmus.errors import ArtifactError, ParameterError
from isthmus.likelihoods.base import Likelihood
from isthmus.likelihoods.mixed import Mixed
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.condition import LabelCondition
from isthmus.model.gaps import Gaps
from isthmus.networks.base import Ends, Layer, Network
from isthmus.networks.custom import Custom as CustomNetwork
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import Penalty
from isthmus.shapes import Block, Layout, Shape, n_values, shape_text

Factory = Callable[[], Any]
"""Gives a part of the user's own: a module, or for a network the pair (encoder, decoder)."""


def build(
    model: Model,
    sample_shape: Shape,
    *,
    seed: int,
    parts: Mapping[str, Factory] | None = None,
    weights: Mapping[str, Tensor] | None = None,
    n_classes: int = 0,
    layout: Layout | None = None,
    gaps: bool = False,
) -> AutoencoderModule:
    """The module that a description spells out, with weights drawn from ``seed`` or given.

    Parameters
    ----------
    model
        Every ``"auto"`` already replaced.
    sample_shape
        Shape of one example, torch side.
    parts
        Factories of the user's own parts, by the name in ``Custom(name)``.
    weights
        The module's state. It is compared with the description before any memory is taken.
    n_classes
        Labels that a conditional model knows.
    layout
        Which features of a row belong to one column of a table; None where each is its own.
    gaps
        Whether NaN in a row is a gap; it needs a layout.

    Raises
    ------
    ParameterError
        If parts do not fit each other or the data.
    ArtifactError
        If a part of the user's own was not handed in, or the weights are of another model.
    """
    size = model.code_size
    if not isinstance(size, int) or isinstance(model.likelihood, str):
        raise ParameterError(
            "build: code_size and likelihood must be chosen first, got 'auto'. Resolve the config."
        )
    _check_draws(model)
    _check_condition(model, n_classes)
    own = parts or {}
    code = _code(model.code, size, own)
    likelihood = None if _is_mixed(model) else _likelihood(model.likelihood, sample_shape, layout, own)
    output_shape = sample_shape if likelihood is None else likelihood.output_shape(sample_shape)
    told = _gaps(model, sample_shape, layout) if gaps else None
    input_shape = sample_shape if told is None else told.input_shape(sample_shape)
    ends = Ends(input_shape, code.n_inputs(size), size + n_classes, output_shape)
    network = _network(model.network, ends, seed, own, weights)
    if likelihood is None:  # as large as a row, so not before the network's sizes are those of the weights
        likelihood = _likelihood(model.likelihood, sample_shape, layout, own)
    if told is not None and weights is None:
        told.quieten(network.encoder)
    module = AutoencoderModule(
        network=network,
        code=code,
        likelihood=likelihood,
        corruption=_corruption(model.corruption, layout, own, gaps=gaps),
        penalties=_penalties(model, own),
        sample_shape=sample_shape,
        seed=seed,
        condition=_condition(n_classes, sample_shape, weights),
        gaps=told,
    )
    _check_supports(module)
    if weights is not None:
        check_weights(module, weights)
        module.load_state_dict(weights)
    return module


def _check_draws(model: Model) -> None:
    """What the encoder hands over once a row cannot go with several codes of it."""
    n_draws = getattr(model.code, "n_draws", 1)
    if n_draws > 1 and getattr(model.network, "switches", False):
        raise ParameterError(
            f"model: {type(model.code).__name__}(n_draws={n_draws}) draws several codes a row, which cannot go "
            f"with {type(model.network).__name__}(switches=True), whose encoder tells the places of one. "
            "Set switches=False, or n_draws=1."
        )


def _check_condition(model: Model, n_classes: int) -> None:
    """A condition has classes, and a decoder that is told them is no mirror of the encoder."""
    if (model.condition == "label") != (n_classes > 0):
        raise ParameterError(
            f"model: condition = {model.condition!r} got {n_classes} classes. Give rows labels where the model is "
            "conditional on one, and none where it is not."
        )
    if n_classes and getattr(model.network, "tied", False):
        raise ParameterError(
            f"model: condition = 'label' gives the decoder numbers that no encoder gives, which cannot go with "
            f"{type(model.network).__name__}(tied=True). Set tied=False, or condition='none'."
        )


def _is_mixed(model: Model) -> bool:
    return isinstance(model.likelihood, MixedDescription)


def _likelihood(
    description: Any, sample_shape: Shape, layout: Layout | None, own: Mapping[str, Factory]
) -> Likelihood:
    """A table's likelihood is told its columns; without a table all values are numbers."""
    if not isinstance(description, MixedDescription):
        return _part(description, own)
    if description.numbers == "auto":
        raise ParameterError("build: Mixed's numbers must be chosen first, got 'auto'. Resolve the config.")
    blocks = (Block("number", 1),) * n_values(sample_shape) if layout is None else layout
    return Mixed(blocks, sample_shape, description.numbers, description.balanced)


def _corruption(
    description: Any, layout: Layout | None, own: Mapping[str, Factory], *, gaps: bool
) -> Corruption | None:
    if description is None:
        return None
    corruption: Corruption = _part(description, own)
    if layout is not None and isinstance(corruption, Masking):
        corruption.hide_columns(layout, math.nan if gaps else 0.0)
    return corruption


def _gaps(model: Model, sample_shape: Shape, layout: Layout | None) -> Gaps:
    """Flags are inputs that no decoder gives, and that only rows of one axis have room for."""
    if layout is None or len(sample_shape) != 1:
        raise ParameterError(
            f"model: gaps can be told of tables and vectors alone, got rows of {shape_text(sample_shape)}. Fill the "
            "gaps first, with missing='refuse'."
        )
    if getattr(model.network, "tied", False):
        raise ParameterError(
            f"model: missing = 'mask' shows the encoder flags that no decoder gives, which cannot go with "
            f"{type(model.network).__name__}(tied=True). Set tied=False, or missing='refuse'."
        )
    return Gaps(layout)


def _condition(
    n_classes: int, sample_shape: Shape, weights: Mapping[str, Tensor] | None
) -> LabelCondition | None:
    if not n_classes:
        return None
    if weights is not None:
        with torch.device("meta"):
            expected = LabelCondition(n_classes, sample_shape)
        inside = {name: value for name, value in weights.items() if name.startswith("condition.")}
        check_weights(expected, inside, "condition.")
    return LabelCondition(n_classes, sample_shape)


def _code(description: Description, size: int, own: Mapping[str, Factory]) -> Code:
    factory = _custom(description, own)
    if factory is None:
        return _class(description)(size, **description.get_params())
    code: Code = factory()
    if code.size != size:
        raise ParameterError(
            f"code: expected your own code to have the model's code size, {size}, got {code.size}. "
            f"Set the size of the model (n_components) to {code.size}."
        )
    return code


def _network(
    description: Description,
    ends: Ends,
    seed: int,
    own: Mapping[str, Factory],
    weights: Mapping[str, Tensor] | None,
) -> Network:
    factory = _custom(description, own)
    if factory is not None:
        made = factory()
        return made if isinstance(made, Network) else CustomNetwork(ends, *made)
    if weights is not None:
        for name, value in description.get_params().items():
            if isinstance(value, tuple) and len(value) > len(weights):  # pyright: ignore[reportUnknownArgumentType]
                raise ArtifactError(
                    f"open: {name} names more layers than the file has weights for. The file is damaged."
                )
    with torch.device("meta"):
        network: Network = _class(description)(ends, **description.get_params())
    if weights is not None:
        inside = {name: value for name, value in weights.items() if name.startswith("network.")}
        check_weights(network, inside, "network.")
    network._apply(_empty)  # pyright: ignore[reportPrivateUsage]  # to_empty would import sympy: 0.2 s and 38 MB
    if weights is None:
        _initialise(network, seed)
    return network


def _empty(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype)


def check_weights(module: nn.Module, weights: Mapping[str, Tensor], prefix: str = "") -> None:
    """Names, shapes and types of a module's state must be those of the weights."""
    expected = {prefix + name: value for name, value in module.state_dict().items()}
    for name in sorted({*expected, *weights}):
        wanted, got = (_kind(state.get(name)) for state in (expected, weights))
        if wanted != got:
            raise ArtifactError(
                f"open: the model has {wanted} for {name}, the file has {got}. "
                "Give the file that 'isthmus fit' wrote, and the parts that it was fitted with."
            )


def _kind(tensor: Tensor | None) -> str:
    if tensor is None:
        return "nothing"
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def _penalties(model: Model, own: Mapping[str, Factory]) -> dict[str, Penalty]:
    """Penalties by name; the second of a name is ``name_2``."""
    seen: Counter[str] = Counter()
    named: dict[str, Penalty] = {}
    for description in model.penalties:
        name = part_name(description).removeprefix("custom:").replace(".", "_")
        seen[name] += 1
        named[name if seen[name] == 1 else f"{name}_{seen[name]}"] = _part(description, own)
    return named


def _check_supports(module: AutoencoderModule) -> None:
    """Refuse a penalty whose Omega is not defined wherever the code may lie."""
    code = module.code
    for name, penalty in module.named_penalties():
        (low, high), (lowest, highest) = penalty.support, code.support
        if low > lowest or high < highest:
            raise ParameterError(
                f"{name}: expected a code with units in ({low:g}, {high:g}), got {type(code).__name__} with "
                f"units in ({lowest:g}, {highest:g}). Take DeterministicCode('sigmoid') without noise, or "
                "another penalty."
            )


def _part(description: Description, own: Mapping[str, Factory]) -> Any:
    factory = _custom(description, own)
    if factory is not None:
        return factory()
    return _class(description)(**description.get_params())


def _custom(description: Description, own: Mapping[str, Factory]) -> Factory | None:
    if not isinstance(description, Custom):
        return None
    if description.name not in own:
        raise ArtifactError(
            f"open: this model has a part of its author's own, {description.name!r}, which no file can "
            f"hold. Hand it in: isthmus.open(path, parts={{{description.name!r}: factory}})."
        )
    return own[description.name]


def _class(description: Description) -> Any:
    module, name = target_of(description).split(":")
    return getattr(importlib.import_module(module), name)


def _initialise(network: nn.Module, seed: int) -> None:
    """Uniform within ``1 / sqrt(fan in)``, weights and biases (LeCun et al. 1998; torch's default).

    A weight of one axis scales what was normalised: it begins at 1, its bias at 0. A
    :class:`Layer` sets its own. A weight that is another layer's is left to that one. Each tensor
    draws from its own name, so that changing one layer leaves the others as they were.
    """
    randomness = Randomness(seed, "initialise")
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, Layer):
                module.initialise(randomness.at(name))
                continue
            weight, own = getattr(module, "weight", None), dict(module.named_parameters(recurse=False))
            if weight is None:
                _check_none(own, module)
                continue
            bound = 1 / math.sqrt(max(1, math.prod(weight.shape[1:])))
            for kind, parameter in own.items():
                if weight.ndim == 1:
                    parameter.fill_(1.0 if kind == "weight" else 0.0)
                    continue
                numbers = randomness.at(name, kind).uniform(parameter.shape)
                parameter.copy_((2 * numbers - 1) * bound)


def _check_none(parameters: Mapping[str, Tensor], module: nn.Module) -> None:
    """What nobody sets would begin as whatever the memory holds."""
    if parameters:
        raise ParameterError(
            f"{type(module).__name__}: expected a weight to tell how {', '.join(parameters)} should begin, "
            "got none. Make the module a networks.base.Layer, which sets them itself."
        )

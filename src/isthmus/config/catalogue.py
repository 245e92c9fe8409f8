"""The closed catalogue: every name that a config, a file or a flag may use for a part.

A name leads to its torch-free description and, as a string, to the class that is built from it;
``isthmus.model.build`` alone resolves that string. Nothing in a file is ever imported by path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.config.description import Description
from isthmus.config.parts import codes, corruptions, likelihoods, networks, penalties
from isthmus.errors import ParameterError, unknown_name


@dataclass(frozen=True, slots=True)
class Entry:
    """One name: what describes it, and where the class stands that does it."""

    description: type[Description]
    target: str


CATALOGUE: dict[str, dict[str, Entry]] = {
    "network": {
        "dense": Entry(networks.Dense, "isthmus.networks.dense:Dense"),
        "conv1d": Entry(networks.Conv1d, "isthmus.networks.conv1d:Conv1d"),
        "conv2d": Entry(networks.Conv2d, "isthmus.networks.conv2d:Conv2d"),
        "transformer": Entry(networks.Transformer, "isthmus.networks.transformer:Transformer"),
    },
    "code": {
        "deterministic": Entry(codes.DeterministicCode, "isthmus.codes.deterministic:Deterministic"),
        "top_k": Entry(codes.TopKCode, "isthmus.codes.top_k:TopK"),
        "batch_top_k": Entry(codes.BatchTopKCode, "isthmus.codes.batch_top_k:BatchTopK"),
        "winner_take_all": Entry(codes.WinnerTakeAllCode, "isthmus.codes.winner_take_all:WinnerTakeAll"),
        "gaussian": Entry(codes.GaussianCode, "isthmus.codes.gaussian:Gaussian"),
        "quantised": Entry(codes.QuantisedCode, "isthmus.codes.quantised:Quantised"),
    },
    "likelihood": {
        "bernoulli": Entry(likelihoods.Bernoulli, "isthmus.likelihoods.bernoulli:Bernoulli"),
        "squared_error": Entry(likelihoods.SquaredError, "isthmus.likelihoods.squared_error:SquaredError"),
        "gaussian": Entry(likelihoods.Gaussian, "isthmus.likelihoods.gaussian:Gaussian"),
        "mixed": Entry(likelihoods.Mixed, "isthmus.likelihoods.mixed:Mixed"),
        "discretised_logistic": Entry(
            likelihoods.DiscretisedLogistic, "isthmus.likelihoods.discretised_logistic:DiscretisedLogistic"
        ),
    },
    "corruption": {
        "masking": Entry(corruptions.Masking, "isthmus.corruptions.masking:Masking"),
        "gaussian_noise": Entry(
            corruptions.GaussianNoise, "isthmus.corruptions.gaussian_noise:GaussianNoise"
        ),
        "salt_and_pepper": Entry(
            corruptions.SaltAndPepper, "isthmus.corruptions.salt_and_pepper:SaltAndPepper"
        ),
        "block": Entry(corruptions.Block, "isthmus.corruptions.block:Block"),
    },
    "penalty": {
        "l1": Entry(penalties.L1, "isthmus.penalties.l1:L1"),
        "l2": Entry(penalties.L2, "isthmus.penalties.l2:L2"),
        "weight_decay": Entry(penalties.WeightDecay, "isthmus.penalties.weight_decay:WeightDecay"),
        "contractive": Entry(penalties.Contractive, "isthmus.penalties.contractive:Contractive"),
        "contractive_hessian": Entry(
            penalties.ContractiveHessian, "isthmus.penalties.contractive_hessian:ContractiveHessian"
        ),
        "kl_sparsity": Entry(penalties.KLSparsity, "isthmus.penalties.kl_sparsity:KLSparsity"),
        "student_t": Entry(penalties.StudentT, "isthmus.penalties.student_t:StudentT"),
        "decorrelation": Entry(penalties.Decorrelation, "isthmus.penalties.decorrelation:Decorrelation"),
        "laplace_prior": Entry(penalties.LaplacePrior, "isthmus.penalties.priors:LaplacePrior"),
        "normal_prior": Entry(penalties.NormalPrior, "isthmus.penalties.priors:NormalPrior"),
        "student_t_prior": Entry(penalties.StudentTPrior, "isthmus.penalties.priors:StudentTPrior"),
    },
}

PREFIX = "custom:"


@dataclass(frozen=True, slots=True)
class Custom(Description):
    """A part that the user wrote: the file keeps its name and weights, never its code.

    Parameters
    ----------
    name
        What whoever opens the file has to hand in: ``isthmus.open(path, parts={name: factory})``.

    Examples
    --------
    >>> part_name(Custom("my-net"))
    'custom:my-net'
    """

    name: str

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """None: a custom part has no parameters here."""
        return {}


def part_name(part: Description) -> str:
    """The catalogue's name of a description.

    >>> part_name(penalties.L1(0.1))
    'l1'
    """
    if isinstance(part, Custom):
        return PREFIX + part.name
    for family in CATALOGUE.values():
        for name, entry in family.items():
            if type(part) is entry.description:
                return name
    raise unknown_name("catalogue", "part", type(part).__name__, _all_names())


def target_of(part: Description) -> str:
    """Where the class stands that is built from a description, as ``"module:Class"``."""
    for family in CATALOGUE.values():
        for entry in family.values():
            if type(part) is entry.description:
                return entry.target
    raise unknown_name("catalogue", "part", type(part).__name__, _all_names())


def part_to_dict(part: Description | None) -> dict[str, Any]:
    """A part as plain values, its name under ``type``; no part at all is ``type = "none"``.

    >>> part_to_dict(penalties.L1(0.1))
    {'type': 'l1', 'weight': 0.1, 'warm_up_share': 0.0}
    """
    return {"type": "none"} if part is None else {"type": part_name(part), **part.to_dict()}


def part_from(family: str, value: Any) -> Description | None:
    """A part from a description, a name, or plain values with the name under ``type``.

    >>> part_from("corruption", "gaussian_noise")
    GaussianNoise(scale=0.3, final_scale=None)
    >>> part_from("corruption", {"type": "gaussian_noise", "scale": 0.5})
    GaussianNoise(scale=0.5, final_scale=None)
    """
    if value is None or isinstance(value, Description):
        return _check_family(family, value)
    values: dict[str, Any] = {"type": value} if isinstance(value, str) else dict(_mapping(family, value))
    name = values.pop("type", None)
    if name is None:
        raise ParameterError(
            f"config: a {family} needs its name under 'type', got {values!r}. "
            f"Known: {', '.join(sorted(CATALOGUE[family]))}."
        )
    if name == "none" and not values:
        return None
    if isinstance(name, str) and name.startswith(PREFIX) and not values:
        return Custom(name.removeprefix(PREFIX))
    if not isinstance(name, str) or name not in CATALOGUE[family]:
        raise unknown_name("config", family, str(name), CATALOGUE[family])
    return CATALOGUE[family][name].description.from_dict(values)


def _mapping(family: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value  # pyright: ignore[reportUnknownVariableType]
    raise ParameterError(
        f"config: {family} must be a name, a description or a table with 'type', got {value!r}. "
        f"Known: {', '.join(sorted(CATALOGUE[family]))}."
    )


def _check_family(family: str, part: Description | None) -> Description | None:
    kinds = tuple(entry.description for entry in CATALOGUE[family].values())
    if part is None or isinstance(part, (Custom, *kinds)):
        return part
    raise ParameterError(
        f"config: {family} must be one of {', '.join(kind.__name__ for kind in kinds)}, "
        f"got {part!r}. It belongs to another family."
    )


def _all_names() -> list[str]:
    return [name for family in CATALOGUE.values() for name in family]

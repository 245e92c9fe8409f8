"""Description of a model: one choice from each family of parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from isthmus.config.catalogue import part_from, part_to_dict
from isthmus.config.description import Description, description, numpy_scalars, within
from isthmus.config.parts.codes import DeterministicCode
from isthmus.errors import ParameterError, unknown_name

Size = Annotated[
    int, numpy_scalars, within("[1, inf)", "A code of no units carries nothing; try 8 or 'auto'.")
]

Condition = Literal["none", "label"]

FAMILIES = ("network", "code", "likelihood", "corruption")


@description
class Model(Description):
    """A choice of parts: one from each family, penalties as many as wanted.

    Parameters
    ----------
    kind
        Name of the recipe that the choice began with; a label once every part is chosen.
    code_size
        Units of the code h.
    network
        Encoder and decoder: a description or a name of one.
    code
        How the encoder's output becomes h.
    likelihood
        L(x, g(h)); ``"auto"`` looks at the data.
    corruption
        What is done to the input that the encoder is shown; None shows it as it is.
    penalties
        Omega terms, each with its own weight.
    condition
        ``"label"``: encoder and decoder are told the label of each row, so that the code need not say
        it (Sohn et al. 2015); ``"none"``.

    Examples
    --------
    >>> from isthmus.config.parts.penalties import L1
    >>> Model(code_size=8, penalties=(L1(0.01),)).to_dict()["penalties"]
    [{'type': 'l1', 'weight': 0.01, 'warm_up_share': 0.0}]
    """

    kind: str = "basic"
    code_size: Size | Literal["auto"] = "auto"
    network: Any = "dense"
    code: Any = None
    likelihood: Any = "auto"
    corruption: Any = None
    penalties: Any = ()
    condition: Condition = "none"

    def __post_init__(self) -> None:
        self._check_kind(self.kind)
        self.network = self._part("network", "dense" if self.network is None else self.network)
        self.code = DeterministicCode() if self.code is None else self._part("code", self.code)
        self.likelihood = self._part("likelihood", self.likelihood)
        self.corruption = self._part("corruption", self.corruption)
        several = self.penalties if isinstance(self.penalties, (list, tuple)) else (self.penalties,)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        chosen = [part_from("penalty", one) for one in several]  # pyright: ignore[reportUnknownVariableType]
        self.penalties = tuple(one for one in chosen if one is not None)

    @staticmethod
    def _check_kind(kind: Any) -> None:
        from isthmus.config.recipes import RECIPES

        if not isinstance(kind, str) or kind not in RECIPES:
            raise unknown_name("config", "kind", str(kind), RECIPES)

    def _part(self, family: str, value: Any) -> Any:
        if family == "likelihood" and value == "auto":
            return value
        part = part_from(family, value)
        if part is None and family != "corruption":
            raise ParameterError(f"Model: {family} cannot be 'none'. Every model has one; leave it out.")
        return part

    def to_dict(self) -> dict[str, Any]:
        """Plain values; parts as tables with their name under ``type``."""
        values: dict[str, Any] = {"kind": self.kind, "code_size": self.code_size}
        for family in FAMILIES:
            part = getattr(self, family)
            values[family] = part if isinstance(part, str) else part_to_dict(part)
        values["penalties"] = [part_to_dict(part) for part in self.penalties]
        values["condition"] = self.condition
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The model that ``values`` spell out, beginning with the recipe named by ``kind``."""
        from isthmus.config.recipes import RECIPES

        kind = values.get("kind", "basic")
        cls._check_kind(kind)
        chosen = RECIPES[kind]().get_params()
        for family in FAMILIES:
            given, default = values.get(family), chosen[family]
            if isinstance(given, Mapping) and "type" not in given and isinstance(default, Description):
                chosen[family] = {**part_to_dict(default), **given}
            elif family in values:
                chosen[family] = given
        return cls(
            **{
                **values,
                **{family: chosen[family] for family in FAMILIES},
                "kind": kind,
                "penalties": values.get("penalties", chosen["penalties"]),
            }
        )

"""What every description has in common: checked at construction, plain values in and out.

A description is a small torch-free dataclass. Its single values are checked when it is made; it
can be read from and written to plain dictionaries (TOML, JSON), and it speaks scikit-learn's
``get_params``/``set_params`` so that a search reaches every parameter of every part.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Self, TypeVar, dataclass_transform, get_args, get_type_hints

import numpy as np
from pydantic import AfterValidator, BeforeValidator, ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from isthmus.errors import IsthmusError, ParameterError, unknown_name

T = TypeVar("T")


class Description:
    """A validated, torch-free description of one thing: a part, the data, a training."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name, as scikit-learn asks for them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def set_params(self, **params: Any) -> Self:
        """Set some parameters, checked as at construction."""
        changed = type(self)(**{**self.get_params(), **params})
        self.__dict__.update(changed.__dict__)
        return self

    def replace(self, **params: Any) -> Self:
        """A copy with some parameters set."""
        return copy.copy(self).set_params(**params)

    def __sklearn_clone__(self) -> Self:
        return copy.deepcopy(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for TOML and JSON; every default is explicit."""
        return {name: plain(value) for name, value in self.get_params().items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The description that ``values`` spell out; absent keys take their defaults."""
        hints = get_type_hints(cls, include_extras=True)
        return cls(**{key: from_plain(hints.get(key), value) for key, value in values.items()})


@dataclass_transform()
def description(cls: type[T]) -> type[T]:
    """Make ``cls`` a checked dataclass whose errors are one sentence (ParameterError)."""
    made: Any = pydantic_dataclass(config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))(cls)
    original: Callable[..., None] = made.__init__
    names = [f.name for f in fields(made)]

    @functools.wraps(original)
    def checked_init(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) > len(names):
            raise ParameterError(
                f"{cls.__name__}: takes at most {len(names)} values ({', '.join(names)}), got {len(args)}."
            )
        kwargs = {**dict(zip(names, args, strict=False)), **kwargs}
        for name in kwargs:
            if name not in names:
                raise unknown_name(cls.__name__, "key", name, names)
        try:
            original(self, **kwargs)
        except ValidationError as error:
            trouble = _as_our_error(cls.__name__, error)
        else:
            return
        # Raised there it would have pydantic's error as its context, which holds it: a ring that is never collected.
        raise trouble

    made.__init__ = checked_init
    return made


def _as_our_error(who: str, error: ValidationError) -> IsthmusError:
    """What pydantic found about the first wrong field, as one sentence: who, expected, got."""
    found = error.errors(include_url=False)
    where = found[0]["loc"][0] if found[0]["loc"] else None
    about = [e for e in found if where is None or e["loc"][0] == where]
    raised = [e["ctx"]["error"] for e in about if e["type"] == "value_error" and "ctx" in e]
    if raised and isinstance(raised[0], IsthmusError):
        return raised[0]
    if raised:
        return ParameterError(f"{who}: {where} {raised[0]}")
    expected = dict.fromkeys(e["msg"].replace("Input should be ", "").replace("'", "") for e in about)
    return ParameterError(f"{who}: {where} must be {' or '.join(expected)}, got {about[0]['input']!r}.")


def plain(value: Any) -> Any:
    """Nested tuples, descriptions and NumPy scalars as lists, dictionaries and numbers."""
    if isinstance(value, Description):
        return value.to_dict()
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return "none" if value is None else value


def from_plain(hint: Any, value: Any) -> Any:
    """Undo :func:`plain` for the one value that TOML lacks: ``"none"`` where None may stand."""
    return None if value == "none" and type(None) in get_args(hint) else value


def within(interval: str, advice: str) -> AfterValidator:
    """A check that a number lies in ``interval``, written as in mathematics: ``"[0, 1)"``.

    The message names the interval, what came, and ``advice`` on what to do.
    """
    low_text, high_text = (end.strip() for end in interval[1:-1].split(","))
    low, high = float(low_text), float(high_text)

    def check(value: float | str) -> float | str:
        if isinstance(value, str):
            return value
        above = value >= low if interval[0] == "[" else value > low
        below = value <= high if interval[-1] == "]" else value < high
        if not (above and below):
            raise ValueError(f"must be in {interval}, got {value!r}. {advice}")
        return value

    return AfterValidator(check)


def _as_python_number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


numpy_scalars = BeforeValidator(_as_python_number)
"""Lets NumPy's scalars (from ``np.logspace`` in a grid) stand where Python's numbers may."""

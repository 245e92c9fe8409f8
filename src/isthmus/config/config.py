"""The whole description: data, model and training, from TOML, flags or parameters, and back."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from isthmus.config.data import Data
from isthmus.config.model import Model
from isthmus.config.parts.networks import Conv1d
from isthmus.config.training import Training
from isthmus.errors import ParameterError, SourceError, unknown_name
from isthmus.version import __version__

SECTIONS: dict[str, type[Data] | type[Model] | type[Training]] = {
    "data": Data,
    "model": Model,
    "training": Training,
}


FORMAT = 1
"""Number of the format of config files; one that names none, as people write them, is of any."""

LARGEST = 1 << 17
"""Bytes of a config file."""
DEEPEST = 16
"""Levels of tables and arrays in it."""
_SETTING = re.compile(
    r"""\s*(?P<key>(?:"[^"]*"|'[^']*'|[^."'=]+)(?:\.(?:"[^"]*"|'[^']*'|[^."'=]+))*?)\s*=(?P<value>.*)""",
    re.DOTALL,
)
_STEP = re.compile(r""""([^"]*)"|'([^']*)'|([^."']+)""")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that decides a fit, apart from the rows.

    Parameters
    ----------
    data, model, training
        The three descriptions.

    Examples
    --------
    >>> Config.from_dict({"model": {"kind": "denoising", "code_size": 8}}).model.corruption.hidden_share
    0.25
    """

    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        # Rows have to be opened before a network is built: a network of sequences says what they are.
        if self.data.row_kind == "auto" and isinstance(self.model.network, Conv1d):
            object.__setattr__(self, "data", self.data.replace(row_kind="sequences"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, every default explicit."""
        return {name: getattr(self, name).to_dict() for name in SECTIONS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """The config that ``values`` spell out; absent keys take their defaults."""
        for name, section in values.items():
            if name not in SECTIONS:
                raise unknown_name("config", "section", name, SECTIONS)
            if not isinstance(section, Mapping):
                raise ParameterError(f"config: [{name}] must be a table of keys, got {section!r}.")
        return cls(
            data=Data.from_dict(values.get("data", {})),
            model=Model.from_dict(values.get("model", {})),
            training=Training.from_dict(values.get("training", {})),
        )

    def to_toml(self) -> str:
        """The config as a TOML document that :meth:`from_toml` reads back."""
        return tomlkit.dumps({"format": FORMAT, **self.to_dict()})  # pyright: ignore[reportUnknownMemberType]

    @classmethod
    def from_toml(cls, text: str) -> Config:
        """The config in a TOML document."""
        return cls.from_dict(parse_toml(text, "config"))

    def with_training(self, **params: Any) -> Config:
        """A copy with some training parameters set."""
        return replace(self, training=self.training.replace(**params))

    def with_model(self, **params: Any) -> Config:
        """A copy with some model parameters set."""
        return replace(self, model=self.model.replace(**params))

    def with_data(self, **params: Any) -> Config:
        """A copy with some data parameters set."""
        return replace(self, data=self.data.replace(**params))


def parse_toml(text: str, who: str) -> dict[str, Any]:
    """The plain values of a TOML document, without the number of its format.

    Raises
    ------
    ParameterError
        It is no TOML, or of a format that only a newer isthmus knows.
    """
    if any(
        piece.count(".") > 4 * DEEPEST
        for line in text.splitlines()
        for piece in re.split(r"[,{}=\[\]]", line)
    ):
        raise _too_deep(who)  # the parser takes memory by the square of a key's steps
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise _too_deep(who) from None
    except ValueError as error:
        raise ParameterError(f"{who}: is not valid TOML: {error}.") from None
    if not _is_flat(values):
        raise _too_deep(who)
    number = values.pop("format", FORMAT)
    if type(number) is not int or number < 1:
        raise ParameterError(f"{who}: format must be a whole number from 1 on, got {number!r}; leave it out.")
    if number > FORMAT:
        raise ParameterError(
            f"{who}: is of config format {number}, and this isthmus, {__version__}, reads up to {FORMAT}. "
            "Install a newer isthmus to use it."
        )
    return values


def _too_deep(who: str) -> ParameterError:
    return ParameterError(
        f"{who}: expected values at most {DEEPEST} levels deep, got deeper ones. Give a config."
    )


def _is_flat(values: dict[str, Any]) -> bool:
    """Whether nothing lies deeper than it may; level by level, for what is deep must not be gone into."""
    level: list[Any] = [values]
    for _ in range(DEEPEST):
        inner = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [each for some in inner for each in some if isinstance(each, (dict, list))]
    return not level


def read_toml(path: Path) -> dict[str, Any]:
    """The plain values of a TOML file."""
    try:
        if path.stat().st_size > LARGEST:
            raise SourceError(
                f"config: {path} has {path.stat().st_size:,} bytes, expected {LARGEST:,} at most. Give a TOML file."
            )
        text = path.read_text(encoding="utf-8")
    except SourceError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SourceError(f"config: {path} cannot be read: {reason}. Give a TOML file.") from None
    return parse_toml(text, f"config: {path}")


def apply_settings(values: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Lay flags of the form ``section.key=value`` over plain values.

    The value is read as TOML (``[512, 256]``, ``true``, ``0.1``), else as a plain string. A name
    given for a part replaces the whole part; a key under it changes that key alone. A step of a key that
    holds points or an equals sign stands in quotes.

    >>> apply_settings({}, ["model.network.hidden_sizes=[64]", "model.corruption=masking"])
    {'model': {'network': {'hidden_sizes': [64]}, 'corruption': 'masking'}}
    >>> apply_settings({}, ['data.types."body.mass"=count', "data.types.blood group=category"])
    {'data': {'types': {'body.mass': 'count', 'blood group': 'category'}}}
    """
    result = copy.deepcopy(dict(values))
    for setting in settings:
        found = _SETTING.fullmatch(setting)
        if found is None:
            raise ParameterError(f"--set: expected KEY=VALUE, got {setting!r}. Try --set training.epochs=20.")
        key, text = found["key"], found["value"]
        *steps, last = [bare.strip() or quoted or single for quoted, single, bare in _STEP.findall(key)]
        if not steps or steps[0] not in SECTIONS:
            raise unknown_name("--set", "section", steps[0] if steps else last, SECTIONS)
        table: dict[str, Any] = result
        for step in steps:
            below: Any = table.get(step)
            below = {"type": below} if isinstance(below, str) else ({} if below is None else below)
            if not isinstance(below, dict):
                raise ParameterError(f"--set: {key} goes into {step}, which is no table. Set {step} whole.")
            table[step] = below
            table = below  # pyright: ignore[reportUnknownVariableType]
        table[last] = _value(text.strip())
    return result


def _value(text: str) -> Any:
    try:
        return tomlkit.parse(f"x = {text}").unwrap()["x"]
    except TOMLKitError:
        return text

"""A config from a file and flags: defaults < file < kind < single flags < ``--set``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.memory import parse_bytes

if TYPE_CHECKING:
    from isthmus.config import Config, Data

RECIPE_KEYS = ("network", "code", "likelihood", "corruption", "penalties")
"""What a kind chooses: a new one takes these from its recipe and not from the file."""


def read_config(
    file: Path | None,
    *,
    kind: str | None = None,
    code_size: int | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    memory: str | None = None,
    settings: Sequence[str] = (),
) -> Config:
    """The config that a file and flags describe together.

    >>> read_config(None, kind="sparse", settings=["model.code_size=4"]).model.penalties
    (L1(weight=0.01, warm_up_share=0.0),)
    """
    from isthmus.config import Config
    from isthmus.config.config import apply_settings, read_toml
    from isthmus.errors import IsthmusError

    values: dict[str, Any] = {} if file is None else read_toml(file)
    try:
        Config.from_dict(values)
    except IsthmusError as error:  # a mistake in the file is told as the file's
        raise type(error)(f"config: {file}: {str(error).removeprefix('config: ')}") from None
    kinds = [text.partition("=")[2].strip(" \"'") for text in settings if _key(text) == "model.kind"]
    if kinds:
        kind = kinds[-1]
    model = dict(values.get("model", {}))
    if kind is not None:
        model = {key: value for key, value in model.items() if key not in RECIPE_KEYS} | {"kind": kind}
    if code_size is not None:
        model["code_size"] = code_size
    training = dict(values.get("training", {}))
    flags = {"epochs": epochs, "seed": seed, "device": device}
    training.update({name: value for name, value in flags.items() if value is not None})
    values = {**values, "model": model, "training": training}
    if memory is not None:
        size = memory if memory == "auto" else parse_bytes(memory, "--memory")
        values["data"] = {**values.get("data", {}), "memory": size}
    others = [text for text in settings if _key(text) != "model.kind"]
    return Config.from_dict(apply_settings(values, others))


def read_data(settings: Sequence[str]) -> Data:
    """The description of data that flags spell out.

    Raises
    ------
    ParameterError
        A flag that is about something else.

    >>> read_data(["data.types.age=category"]).types
    {'age': 'category'}
    """
    from isthmus.errors import ParameterError

    for text in settings:
        if "=" in text and not _key(text).startswith("data."):
            raise ParameterError(
                f"--set: expected a key of data such as data.types.age=category, got {text!r}. Nothing is fitted here."
            )
    return read_config(None, settings=settings).data


def _key(setting: str) -> str:
    return setting.partition("=")[0].strip()

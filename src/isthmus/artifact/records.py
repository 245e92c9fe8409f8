"""What a model file tells of its training: figures and epochs, checked before anything uses them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

SOUND = ("spectral_distance", "pca_spectral_distance", "phase_spectral_distance", "snr_db", "pca_snr_db")
NUMBERS = ("sse", "mse")
COUNTS = ("size", "active", "dead")


def check_types(document: Mapping[str, Any], types: Mapping[str, type]) -> None:
    """Raise unless the values of these names are of these types; a float may be any finite number."""
    for name, kind in types.items():
        value = document[name]
        if kind is float:
            _number(value, name)
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}")
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError(f"{name} is {type(value).__name__}, not {kind.__name__}")


def check_metrics(metrics: Mapping[str, Any]) -> None:
    """Raise unless these are the documented keys of what was measured, or nothing was."""
    if not metrics:
        return
    _count(metrics["rows"], "metrics.rows")
    if not isinstance(metrics.get("rows_are", ""), str):
        raise TypeError("metrics.rows_are is no word")
    error, baselines, code = (
        _table(metrics[name], f"metrics.{name}") for name in ("error", "baselines", "code")
    )
    for name in NUMBERS:
        _number(error[name], f"metrics.error.{name}")
    if "error_with_context" in metrics:
        helped = _table(metrics["error_with_context"], "metrics.error_with_context")
        for name in NUMBERS:
            _number(helped[name], f"metrics.error_with_context.{name}")
    for which, found in baselines.items():
        for name in NUMBERS:
            _number(_table(found, f"metrics.baselines.{which}")[name], f"metrics.baselines.{which}.{name}")
    for which, found in _table(metrics.get("denoising", {}), "metrics.denoising").items():
        for name in NUMBERS:
            _number(_table(found, f"metrics.denoising.{which}")[name], f"metrics.denoising.{which}.{name}")
    _columns(metrics.get("columns", []))
    _sound(metrics.get("sound"))
    for name in COUNTS:
        _count(code[name], f"metrics.code.{name}")
    _number(metrics["loss"], "metrics.loss")
    for name in ("rate_nats", "elbo_nats", "bits_per_value"):
        if name in metrics:
            _number(metrics[name], f"metrics.{name}")


def check_epochs(epochs: list[Any]) -> None:
    """Raise unless each is the record of an epoch."""
    for place, epoch in enumerate(epochs):
        who = f"epochs[{place}]"
        record = _table(epoch, who)
        _count(record["epoch"], f"{who}.epoch")
        _number(record["learning_rate"], f"{who}.learning_rate")
        _losses(record["training"], f"{who}.training")
        if "level" in record:
            _count(record["level"], f"{who}.level")
        if record["validation"] is not None:
            _losses(record["validation"], f"{who}.validation")


def _sound(value: Any) -> None:
    """How near rebuilt sound is to the original; None of what is no sound."""
    if value is None:
        return
    found = _table(value, "metrics.sound")
    for name in ("spectral_distance", *(name for name in SOUND if name in found)):
        _number(found[name], f"metrics.sound.{name}")


def _columns(value: Any) -> None:
    """Errors of the columns of a table; a column without a value has none."""
    if not isinstance(value, list):
        raise TypeError("metrics.columns is no list")
    for place, each in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        who = f"metrics.columns[{place}]"
        column = _table(each, who)
        _count(column["rows"], f"{who}.rows")
        for name in ("name", "type"):
            if not isinstance(column[name], str):
                raise TypeError(f"{who}.{name} is no word")
        for name in (
            "error",
            "constant",
            *(name for name in ("hidden", "hidden_constant") if name in column),
        ):
            if column[name] is not None:
                _number(column[name], f"{who}.{name}")


def _losses(value: Any, who: str) -> None:
    losses = _table(value, who)
    for name in ("loss", *losses):
        _number(losses[name], f"{who}.{name}")


def _table(value: Any, who: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{who} is no table")
    return value  # pyright: ignore[reportUnknownVariableType]


def _number(value: Any, who: str) -> None:
    if type(value) not in (int, float):
        raise TypeError(f"{who} is no number")


def _count(value: Any, who: str) -> None:
    if type(value) is not int or value < 0:
        raise TypeError(f"{who} is no count")

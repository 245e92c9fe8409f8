"""Paths between two codes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ParameterError

PathName = Literal["linear", "spherical"]
NARROWEST = 1e-6
"""Radians; nearer directions are joined in a straight line, and opposite ones have no shortest path."""


def path_between(
    a: NDArray[Any], b: NDArray[Any], n_steps: int, path: PathName = "linear"
) -> NDArray[np.float64]:
    """Codes from a to b, ``(n_steps, size)``; the first is a and the last is b, exactly.

    Linear: ``(1 - t) a + t b``. Spherical (Shoemake 1985; White 2016): the direction turns by equal
    angles and the norm changes linearly, so that codes of one norm keep it. Where codes are normal
    and have many units, straight lines pass through norms that no code has.

    Parameters
    ----------
    a, b
        Codes, ``(size,)``.
    n_steps
        How many codes, both ends included, at least 2.
    path
        ``"linear"`` or ``"spherical"``.

    Raises
    ------
    ParameterError
        For fewer than two steps, an unknown path, or a spherical one between opposite codes or from 0.

    Examples
    --------
    >>> path_between(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 3, "spherical").round(4).tolist()
    [[1.0, 0.0], [0.7071, 0.7071], [0.0, 1.0]]
    """
    if n_steps < 2:
        raise ParameterError(
            f"interpolate: steps must be at least 2, both ends included, got {n_steps}. Try 9."
        )
    if path not in ("linear", "spherical"):
        raise ParameterError(f"interpolate: path must be 'linear' or 'spherical', got {path!r}.")
    first, last = np.asarray(a, np.float64), np.asarray(b, np.float64)
    shares = np.linspace(0.0, 1.0, n_steps)[:, None]
    codes = _straight(first, last, shares) if path == "linear" else _turned(first, last, shares)
    codes[0], codes[-1] = first, last
    return codes


def _straight(a: NDArray[np.float64], b: NDArray[np.float64], shares: NDArray[np.float64]) -> Any:
    return (1 - shares) * a + shares * b


def _turned(a: NDArray[np.float64], b: NDArray[np.float64], shares: NDArray[np.float64]) -> Any:
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if min(lengths) == 0:
        raise ParameterError("interpolate: a code of zeros has no direction to turn. Take path='linear'.")
    u, v = a / lengths[0], b / lengths[1]
    # Exact for small angles as well, where arccos is not.
    angle = 2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
    if np.pi - angle < NARROWEST:
        raise ParameterError(
            "interpolate: opposite codes have no shortest spherical path. Take path='linear'."
        )
    if angle < NARROWEST:
        return _straight(a, b, shares)
    direction = (np.sin((1 - shares) * angle) * u + np.sin(shares * angle) * v) / np.sin(angle)
    return direction * ((1 - shares) * lengths[0] + shares * lengths[1])

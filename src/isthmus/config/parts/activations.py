"""The closed list of activations, by name."""

from __future__ import annotations

from typing import Literal

Activation = Literal[
    "identity", "relu", "leaky_relu", "elu", "selu", "silu", "gelu", "softplus", "sigmoid", "tanh"
]
"""Name of an elementwise function; their formulas stand in ``isthmus.numerics.activations``."""

"""A model and the groups in its codes as one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from isthmus.artifact import FittedModel
from isthmus.artifact.file import (
    Tensors,
    check_names,
    from_bytes,
    read,
    to_bytes,
    told_as_mismatch,
    write_atomically,
)
from isthmus.errors import ArtifactError
from isthmus.exploration.groups import Groups
from isthmus.model.build import Factory
from isthmus.version import __version__

KIND = "groups"
"""What the document of such a file says it is."""
ARRAYS = ("weights", "means", "covariances")


@dataclass(frozen=True, slots=True, eq=False)
class GroupedModel:
    """An autoencoder, the groups in its codes, and the group of each row that they were found in."""

    model: FittedModel
    groups: Groups
    members: NDArray[np.int64]
    """``(rows,)``."""

    def to_bytes(self) -> bytes:
        """The file's bytes: a function of the contents alone."""
        document = {
            "kind": KIND,
            "version": __version__,
            "method": self.groups.method,
            "criterion": self.groups.criterion,
            "curve": [[n, value] for n, value in self.groups.curve.items()],
        }
        tensors: Tensors = {"autoencoder": np.frombuffer(self.model.to_bytes(), np.uint8)}
        tensors |= {f"groups.{name}": getattr(self.groups, name) for name in ARRAYS}
        tensors["members"] = self.members
        return to_bytes(document, tensors)

    @classmethod
    def from_bytes(
        cls, data: bytes, who: str = "model", parts: Mapping[str, Factory] | None = None
    ) -> GroupedModel:
        """What :meth:`to_bytes` wrote; nothing in it is executed."""
        document, tensors = from_bytes(data, who)
        if document.get("kind") != KIND:
            got = "classifier" if document.get("kind") == "classifier" else "model"
            raise ArtifactError(
                f"{who}: expected a model with groups, got a {got} without. Open it with "
                "Autoencoder.open, and give it to AutoencoderClusterer(autoencoder=...)."
            )
        with told_as_mismatch(who):
            check_names(tensors, ("autoencoder", "members", *(f"groups.{name}" for name in ARRAYS)))
            model = FittedModel.from_bytes(tensors["autoencoder"].tobytes(), who, parts)
            weights, means, covariances = (_of_type(tensors, f"groups.{name}", np.float64) for name in ARRAYS)
            curve = {int(n): float(value) for n, value in document["curve"]}
            groups = Groups(weights, means, covariances, document["method"], document["criterion"], curve)
            members = _of_type(tensors, "members", np.int64)
            _check(groups, members, model.module.code.size)
        return cls(model, groups, members)


def save_groups(grouped: GroupedModel, path: str | Path) -> None:
    """Write a model and its groups, whole or not at all."""
    write_atomically(grouped.to_bytes(), Path(path))


def open_groups(path: str | Path, parts: Mapping[str, Factory] | None = None) -> GroupedModel:
    """Read a model and its groups."""
    return GroupedModel.from_bytes(read(Path(path)), str(path), parts)


def _of_type(tensors: Tensors, name: str, dtype: DTypeLike) -> NDArray[Any]:
    """A copy of a tensor that must be of a type."""
    if tensors[name].dtype != dtype:
        raise TypeError(f"{name} is {tensors[name].dtype}, not {np.dtype(dtype)}")
    return np.array(tensors[name])


def _check(groups: Groups, members: NDArray[np.int64], size: int) -> None:
    """Raise ValueError unless the arrays are those of a mixture over codes of this size."""
    n = len(groups.weights)
    if groups.method not in ("mixture", "k_means") or groups.criterion not in ("bic", "icl"):
        raise ValueError(f"its groups are {groups.method!r} chosen by {groups.criterion!r}")
    shapes = groups.weights.shape, groups.means.shape, groups.covariances.shape
    if n < 1 or shapes != ((n,), (n, size), (n, size, size)):
        raise ValueError(f"its groups have shapes {shapes} for a code of {size}")
    if not all(np.isfinite(each).all() for each in (groups.weights, groups.means, groups.covariances)):
        raise ValueError("its groups are not finite")
    if ((groups.weights <= 0) | (groups.weights > 1)).any() or abs(groups.weights.sum() - 1) > 1e-6:
        raise ValueError("the weights of its groups are no shares")
    if (np.linalg.eigvalsh(groups.covariances) <= 0).any():
        raise ValueError("a covariance of its groups is not positive definite")
    if members.ndim != 1 or (len(members) and not 0 <= members.min() <= members.max() < n):
        raise ValueError("its rows are of groups that there are not")

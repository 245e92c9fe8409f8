"""A fitted model with all that belongs to it, saved and opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.artifact.anomaly import Usual
from isthmus.artifact.baseline import Baseline
from isthmus.artifact.file import (
    Tensors,
    check_names,
    from_bytes,
    read,
    to_bytes,
    told_as_mismatch,
    write_atomically,
)
from isthmus.artifact.records import check_epochs, check_metrics, check_types
from isthmus.config import Config
from isthmus.errors import ArtifactError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import Factory, build
from isthmus.preprocessing import Preprocessing, from_state
from isthmus.run_folder import MODEL, RECORD, TAKING_OVER
from isthmus.shapes import n_values
from isthmus.version import __version__


@dataclass(slots=True)
class FittedModel:
    """A fitted autoencoder and everything a later user of it needs.

    Parameters
    ----------
    config
        Every default explicit.
    scaling
        Data units to model units and back.
    module
        The torch module, in model units, in evaluation mode.
    baseline
        Mean and PCA of the training rows, or None.
    metrics
        What was measured on held-out rows at the end of the fit.
    epochs
        One record an epoch, as :meth:`isthmus.training.callbacks.Epoch.to_dict` gives them.
    best_epoch
        The epoch whose weights these are, counted from 1.
    notes
        What a user should know, one sentence each.
    classes
        Labels that a conditional model was fitted on, in order, ``(n_classes,)``; None of another.
    usual
        What anomalies are measured against, or None, as in files of isthmus before it knew of any.
    """

    config: Config
    scaling: Preprocessing
    module: AutoencoderModule
    baseline: Baseline | None = None
    metrics: dict[str, Any] = field(default_factory=dict[str, Any])
    epochs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    best_epoch: int = 0
    notes: tuple[str, ...] = ()
    classes: NDArray[Any] | None = None
    usual: Usual | None = None

    @property
    def n_parameters(self) -> int:
        """How many numbers the model learned."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def to_bytes(self) -> bytes:
        """The model file's bytes: a function of the model alone, not of clock, host or path."""
        scaling, arrays = self.scaling.to_state()
        document: dict[str, Any] = {
            "version": __version__,
            "config": self.config.to_dict(),
            "scaling": scaling,
            "metrics": self.metrics,
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "notes": list(self.notes),
        }
        if self.classes is not None:
            document |= {"classes": self.classes.tolist(), "classes_type": self.classes.dtype.str}
        tensors: Tensors = {f"scaling.{name}": value for name, value in arrays.items()}
        for name, value in self.module.state_dict().items():
            tensors[f"module.{name}"] = value.detach().cpu().contiguous().numpy()
        if self.baseline is not None:
            tensors["baseline.mean"] = self.baseline.mean
            tensors["baseline.components"] = self.baseline.components
        if self.usual is not None:
            document["usual"], arrays = self.usual.to_state()
            tensors |= {f"usual.{name}": value for name, value in arrays.items()}
        return to_bytes(document, tensors)

    @classmethod
    def from_bytes(
        cls, data: bytes, who: str = "model", parts: Mapping[str, Factory] | None = None
    ) -> FittedModel:
        """The model that :meth:`to_bytes` wrote; nothing in it is executed.

        Raises
        ------
        ArtifactError
            If the bytes are damaged, foreign or newer, or a part of the author's own is missing.
        """
        document, tensors = from_bytes(data, who)
        held = {"classifier": "a classifier", "groups": "an autoencoder with groups"}
        if (kind := document.get("kind")) in held:
            opens = "AutoencoderClassifier.open" if kind == "classifier" else "AutoencoderClusterer.open"
            raise ArtifactError(
                f"{who}: expected an autoencoder, got {held[kind]}. Open it with {opens}; "
                "its autoencoder_ is the autoencoder."
            )
        with told_as_mismatch(who):
            check_names(tensors, ("scaling.", "module.", "baseline.", "usual."))
            _check_types(document)
            config = Config.from_dict(document["config"])
            scaling = from_state(document["scaling"], _under("scaling.", tensors))
            classes = _classes(document)
            module = build(
                config.model,
                scaling.model_shape,
                seed=config.training.seed or 0,
                parts=parts,
                weights=_weights(tensors),
                n_classes=0 if classes is None else len(classes),
                layout=scaling.layout,
                gaps=scaling.allows_gaps,
            )
            return cls(
                config=config,
                scaling=scaling,
                module=module.eval(),
                baseline=_baseline(_under("baseline.", tensors), n_values(scaling.model_shape)),
                metrics=document["metrics"],
                epochs=document["epochs"],
                best_epoch=document["best_epoch"],
                notes=tuple(document["notes"]),
                classes=classes,
                usual=_usual(document, tensors, n_values(scaling.model_shape)),
            )


def save_model(model: FittedModel, path: str | Path) -> None:
    """Write a model file, whole or not at all."""
    write_atomically(model.to_bytes(), Path(path))


def open_model(path: str | Path, parts: Mapping[str, Factory] | None = None) -> FittedModel:
    """Read a model file, or the one in a run folder.

    Parameters
    ----------
    path
        A ``.safetensors`` file, or a run folder that holds ``model.safetensors``.
    parts
        Factories of the author's own parts, by name.
    """
    path = Path(path)
    if _is_folder(path):
        if (path / TAKING_OVER / RECORD).is_file() and (path / TAKING_OVER / MODEL).is_file():
            path /= TAKING_OVER  # killed as it took an older one's place, a run is the folder's nevertheless
        if not (path / MODEL).is_file():
            raise ArtifactError(
                f"{path}: expected a model file or a run folder, got a folder without model.safetensors. "
                "Give what 'isthmus fit' wrote."
            )
        path /= MODEL
    return FittedModel.from_bytes(read(path), str(path), parts)


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, a parent that may not be entered: reading says so
        return False


DOCUMENT = {
    "config": dict,
    "scaling": dict,
    "metrics": dict,
    "epochs": list,
    "best_epoch": int,
    "notes": list,
}


def _check_types(document: dict[str, Any]) -> None:
    check_types(document, DOCUMENT)
    check_metrics(document["metrics"])
    check_epochs(document["epochs"])
    if not all(isinstance(note, str) for note in document["notes"]):
        raise TypeError("notes holds more than sentences")


def _weights(tensors: Tensors) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(value)) for name, value in _under("module.", tensors).items()}


def _classes(document: dict[str, Any]) -> NDArray[Any] | None:
    """Labels of a conditional model; files of others hold none."""
    return labels_from(document, "iuU") if "classes" in document else None


MOST_BYTES = 2**26
"""Memory that labels may take if their type is wider than they are."""


def labels_from(document: dict[str, Any], kinds: str) -> NDArray[Any]:
    """Different labels, ``(n_classes,)``, of one of these NumPy kinds, as a document lists them.

    Raises
    ------
    TypeError, ValueError
        It lists something else.
    """
    labels, name = document["classes"], document["classes_type"]
    if not isinstance(labels, list) or any(isinstance(label, (list, dict)) for label in labels):  # pyright: ignore[reportUnknownVariableType]
        raise TypeError("classes are no list of labels")
    if not isinstance(name, str) or not re.fullmatch(rf"[<>|]?[{kinds}][0-9]{{0,9}}", name):
        raise TypeError(f"classes are of type {name!r}")
    kind = np.dtype(name)
    longest = max((len(label) for label in labels if isinstance(label, str)), default=1)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if (
        kind.itemsize > 4 * longest and kind.itemsize * len(labels) > MOST_BYTES
    ):  # a label takes what its type says
        raise TypeError(f"classes are of type {kind}, and none has more than {longest} letters")
    found = np.array(labels, dtype=kind)
    if found.ndim != 1 or len(np.unique(found)) != len(found):
        raise ValueError("classes are no list of different labels")
    return found


def _usual(document: dict[str, Any], tensors: Tensors, n_values: int) -> Usual | None:
    if "usual" not in document:
        return None
    return Usual.from_state(document["usual"], _under("usual.", tensors), n_values)


def _baseline(arrays: Tensors, n_values: int) -> Baseline | None:
    if not arrays:
        return None
    baseline = Baseline(**arrays)
    k = len(baseline.components)
    if baseline.mean.shape != (n_values,) or baseline.components.shape != (k, n_values):
        raise ValueError(f"the baseline's shapes are not ({n_values},) and (k, {n_values})")
    if any(array.dtype != np.float32 for array in arrays.values()):
        raise TypeError("the baseline is not float32")
    return baseline

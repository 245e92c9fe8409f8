"""A fitted classifier: the autoencoder's whole file, the encoder as it was trained on, and the head."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.artifact.file import (
    Tensors,
    check_names,
    from_bytes,
    read,
    to_bytes,
    told_as_mismatch,
    write_atomically,
)
from isthmus.artifact.fitted import FittedModel, labels_from
from isthmus.artifact.records import check_epochs, check_types
from isthmus.errors import ArtifactError
from isthmus.model.build import Factory, check_weights
from isthmus.model.classifier import ClassifierModule
from isthmus.model.halves import EncoderModule
from isthmus.version import __version__

KIND = "classifier"
"""What the document of such a file says it is; that of an autoencoder says nothing."""
DOCUMENT = {"frozen": bool, "encoder_share": float, "seed": int, "best_epoch": int}


@dataclass(slots=True)
class FittedClassifier:
    """A head and its encoder, beside the autoencoder that the encoder came from.

    Parameters
    ----------
    model
        The autoencoder as it was fitted, with the preprocessing.
    module
        Encoder and head, in model units, in evaluation mode.
    classes
        Labels in order, ``(n_classes,)``.
    epochs
        One record an epoch.
    best_epoch
        The epoch whose weights these are, counted from 1.
    columns
        Names of the columns that it was fitted on, or None.
    """

    model: FittedModel
    module: ClassifierModule
    classes: NDArray[Any]
    epochs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    best_epoch: int = 0
    columns: tuple[str, ...] | None = None

    def to_bytes(self) -> bytes:
        """The file's bytes: a function of the classifier alone."""
        document = {
            "kind": KIND,
            "version": __version__,
            "classes": self.classes.tolist(),
            "classes_type": self.classes.dtype.str,
            "frozen": self.module.frozen,
            "encoder_share": self.module.encoder_share,
            "seed": self.module.seed,
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "columns": None if self.columns is None else list(self.columns),
        }
        tensors: Tensors = {"autoencoder": np.frombuffer(self.model.to_bytes(), np.uint8)}
        for name, value in self.module.state_dict().items():
            tensors[f"classifier.{name}"] = value.detach().cpu().contiguous().numpy()
        return to_bytes(document, tensors)

    @classmethod
    def from_bytes(
        cls, data: bytes, who: str = "model", parts: Mapping[str, Factory] | None = None
    ) -> FittedClassifier:
        """The classifier that :meth:`to_bytes` wrote; nothing in it is executed."""
        document, tensors = from_bytes(data, who)
        if document.get("kind") != KIND:
            raise ArtifactError(
                f"{who}: expected a classifier, got an autoencoder. Open it with Autoencoder.open, and give it "
                "to AutoencoderClassifier(autoencoder=...)."
            )
        with told_as_mismatch(who):
            check_names(tensors, ("autoencoder", "classifier."))
            model = FittedModel.from_bytes(tensors.pop("autoencoder").tobytes(), who, parts)
            check_types(document, DOCUMENT)
            check_epochs(document["epochs"])
            classes = labels_from(document, "biufUO")
            encoder = EncoderModule(copy.deepcopy(model.module))
            weights = {
                name.removeprefix("classifier."): torch.from_numpy(np.array(value))
                for name, value in tensors.items()
            }
            _check_head(weights, encoder.code.size, len(classes))
            module = ClassifierModule(
                encoder,
                len(classes),
                frozen=document["frozen"],
                encoder_share=document["encoder_share"],
                seed=document["seed"],
            )
            check_weights(module, weights)
            module.load_state_dict(weights)
            return cls(
                model,
                module.eval(),
                classes,
                document["epochs"],
                document["best_epoch"],
                _columns(document["columns"], model),
            )


def save_classifier(classifier: FittedClassifier, path: str | Path) -> None:
    """Write a classifier's file, whole or not at all."""
    write_atomically(classifier.to_bytes(), Path(path))


def open_classifier(path: str | Path, parts: Mapping[str, Factory] | None = None) -> FittedClassifier:
    """Read a classifier's file."""
    return FittedClassifier.from_bytes(read(Path(path)), str(path), parts)


def _columns(columns: Any, model: FittedModel) -> tuple[str, ...] | None:
    if columns is None:
        return None
    if len(columns) != model.scaling.schema.n_values or not all(isinstance(name, str) for name in columns):
        raise ValueError("columns are no names of the autoencoder's columns")
    return tuple(columns)


def _check_head(weights: Mapping[str, torch.Tensor], size: int, n_classes: int) -> None:
    """Before a head is made: as many weights as classes and units ask for, for it may be large."""
    found = tuple(weights["head.weight"].shape)
    if found != (n_classes, size):
        raise ValueError(
            f"the head's weights have shape {found} for {n_classes} classes and a code of {size}"
        )

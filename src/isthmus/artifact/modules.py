"""A model file as a torch module, whole or half."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, overload

from isthmus.artifact.fitted import open_model
from isthmus.errors import ParameterError, unknown_name
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import Factory
from isthmus.model.halves import DecoderModule, EncoderModule


@overload
def open_module(
    path: str | Path, *, parts: Mapping[str, Factory] | None = ..., half: None = ...
) -> AutoencoderModule: ...
@overload
def open_module(
    path: str | Path, *, parts: Mapping[str, Factory] | None = ..., half: Literal["encoder"]
) -> EncoderModule: ...
@overload
def open_module(
    path: str | Path, *, parts: Mapping[str, Factory] | None = ..., half: Literal["decoder"]
) -> DecoderModule: ...


def open_module(
    path: str | Path,
    *,
    parts: Mapping[str, Factory] | None = None,
    half: Literal["encoder", "decoder"] | None = None,
) -> AutoencoderModule | EncoderModule | DecoderModule:
    """The torch module in a model file, in model units and evaluation mode.

    Nothing in the file is executed.

    Parameters
    ----------
    path
        A ``.safetensors`` file that ``fit`` or ``save`` wrote, or a run folder.
    parts
        Factories of the author's own parts by name; the error names what is missing.
    half
        ``"encoder"`` or ``"decoder"`` for one of them alone, None for the whole.

    Returns
    -------
    AutoencoderModule, EncoderModule or DecoderModule
        The whole has ``encode``, ``decode``, ``reconstruct`` and ``objective``; a half is called.

    Raises
    ------
    ArtifactError
        If the file is damaged, foreign or newer, or a part is missing.

    Examples
    --------
    >>> import tempfile, torch, isthmus
    >>> from sklearn.datasets import load_iris
    >>> path = tempfile.mkdtemp() + "/iris.safetensors"
    >>> isthmus.Autoencoder(2, max_epochs=5, random_state=0).fit(load_iris().data).save(path)
    >>> isthmus.open(path, half="encoder")(torch.zeros(3, 4)).shape
    torch.Size([3, 2])
    """
    if half not in (None, "encoder", "decoder"):
        raise unknown_name("open", "half", str(half), ["encoder", "decoder"])
    module = open_model(path, parts).module
    if half is None:
        return module
    if module.condition is not None:
        raise ParameterError(
            f"open: the model is conditional on a label, which its {half} alone cannot be told, got half={half!r}. "
            "Open the whole and take module.given(y)."
        )
    return EncoderModule(module) if half == "encoder" else DecoderModule(module)

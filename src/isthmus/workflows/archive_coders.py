"""The coders with a model that archives know, and those of archives that were written before."""

from __future__ import annotations

from pathlib import Path

from isthmus.codec.apart import MODEL, Named
from isthmus.codec.coding.by_column import ColumnCoder
from isthmus.codec.coding.chain_coder import ChainCoder
from isthmus.codec.coding.coders import Coder
from isthmus.codec.coding.context_coder import ContextCoder
from isthmus.codec.coding.latent import LatentCoder
from isthmus.codec.coding.latent_table import LatentTableCoder
from isthmus.codec.coding.preview import PreviewCoder
from isthmus.codec.columns import Columns
from isthmus.codec.container import Archive, naming
from isthmus.codec.container.frames import MAGIC
from isthmus.errors import ParameterError

CODERS: dict[str, type[Coder]] = {
    coder.id: coder
    for coder in (LatentCoder, LatentTableCoder, ChainCoder, ContextCoder, ColumnCoder, PreviewCoder)
}
"""What blocks may be coded with, beside general coders."""


def is_archive(path: Path) -> bool:
    """Whether a file begins as archives do."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def coder_of_archive(path: Path, blocks: list[Columns]) -> Coder:
    """The model of an archive, to code other data with.

    Parameters
    ----------
    path
        The archive.
    blocks
        Some blocks of these data.

    Raises
    ------
    ParameterError
        An archive without a model, or one whose model can code none of the blocks.
    ArtifactError
        An archive that is damaged.
    """
    with Archive(path) as archive:
        name = archive.header.get("coder")
        if not isinstance(name, str) or name not in CODERS:
            raise ParameterError(
                f"--model: expected an archive with a model, got {path}, which has none that this isthmus knows. "
                "Give another, or leave --model out."
            )
        if name == PreviewCoder.id:
            raise ParameterError(
                f"--model: expected an archive with a model that codes, got {path}, a preview, whose model decodes "
                "alone. Give the model file that it was made with, or leave --model out."
            )
        with naming(path):
            if Named.in_header(archive.header) is not None:
                raise ParameterError(
                    f"--model: expected an archive that carries its model, got {path}, which names one that another "
                    "carries. Give that one, or leave --model out."
                )
            coder = CODERS[name].of_section(archive.section(MODEL))
            coder.check()
    if blocks and all(coder.packed(block) is None for block in blocks):
        raise ParameterError(
            f"--model: expected data such as those of {path}, for whose shape, types and values its model is made, "
            "got others. Give the archive of such data, or leave --model out."
        )
    return coder

"""A model that archives share: named in their headers by its digest, and read from the archive that carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from isthmus.codec.container import Archive, naming
from isthmus.codec.frozen.file import N_DIGEST, digest
from isthmus.errors import ArtifactError, ParameterError

MODEL = "model"
"""The section of a learned coder, and in headers the key of one that another archive carries."""


@dataclass(frozen=True)
class Named:
    """A section ``model``, as the headers of archives name it that do not carry it.

    Parameters
    ----------
    digest
        The first 16 bytes of its SHA-256, in hexadecimal.
    n_bytes
        How many it has.
    """

    digest: str
    n_bytes: int

    @classmethod
    def of(cls, section: bytes) -> Self:
        """The name of a section."""
        return cls(digest(section).hex(), len(section))

    @classmethod
    def in_header(cls, header: Mapping[str, Any]) -> Self | None:
        """The one that a header has; None where the archive carries its model, or needs none.

        Raises
        ------
        ArtifactError
            A header that another program wrote.
        """
        if MODEL not in header:
            return None
        match header[MODEL]:
            case {"digest": str(told), "bytes": int(n_bytes)} if (
                len(told) == 2 * N_DIGEST and set(told) <= set("0123456789abcdef") and n_bytes >= 0
            ):
                return cls(told, n_bytes)
            case _:
                raise ArtifactError(
                    "archive: expected the digest of a model in its header, got none. It was written by a program "
                    "other than isthmus."
                )

    def to_dict(self) -> dict[str, Any]:
        """As headers have it."""
        return {"digest": self.digest, "bytes": self.n_bytes}


def section_of(archive: Archive, model: Path | None) -> bytes:
    """The section ``model`` that an archive is read with: its own, or that of another which it names.

    Parameters
    ----------
    archive
        Of which blocks are to be read.
    model
        The archive that carries the section; None where it is its own.

    Raises
    ------
    ParameterError
        An archive that is needed and is not given, or has another model; one that is given and not needed.
    ArtifactError
        A section that is damaged.
    """
    with naming(archive.path):
        named = Named.in_header(archive.header)
    if named is None:
        check_needless(archive, model)
        return archive.section(MODEL)
    if model is None:
        raise ParameterError(
            f"{archive.path}: is read with a model that another archive carries, got none. Give that archive "
            f"(--model), the one of whose model 'isthmus info' tells the digest {named.digest}."
        )
    with Archive(model) as other:
        apart = Named.in_header(other.header) is not None
        if MODEL not in other.sections and (apart or other.header.get("coder") is None):
            raise ParameterError(
                f"--model: expected the archive that carries the model of {archive.path}, got {model}, which "
                f"{'names one and carries none' if apart else 'has none'}. Give the one of whose model 'isthmus "
                f"info' tells the digest {named.digest}."
            )
        section = other.section(MODEL)
    found = Named.of(section)
    if found.digest != named.digest:
        raise ParameterError(
            f"--model: expected the archive whose model has the digest {named.digest}, with which {archive.path} was "
            f"written, got {model}, whose model has {found.digest}. Give that archive."
        )
    return section


def check_needless(archive: Archive, model: Path | None) -> None:
    """Raise ParameterError where a model is given for an archive that is read without."""
    if model is not None:
        raise ParameterError(
            f"--model: expected none, for {archive.path} has all that it is read with, got {model}. Leave it out."
        )

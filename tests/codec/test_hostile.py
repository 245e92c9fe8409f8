"""Archives that somebody changed and signed anew: refused in one line, or read; never a crash, a warning or a hang."""

from __future__ import annotations

import copy
import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import golden_archives
import numpy as np
import pytest

import isthmus
from isthmus.codec import columns as plain
from isthmus.codec.container import Archive, ArchiveWriter
from isthmus.codec.frozen.file import digest
from isthmus.errors import IsthmusError

ODD = (
    0,
    -1,
    2**31,
    2**63,
    2**64,
    -(2**63),
    10**30,
    1e308,
    2.5,
    "",
    "x",
    "\0",
    "f8",
    None,
    True,
    [],
    {},
    [1] * 5,
)
N = 12
"""Changed archives of each."""


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    found = bytearray(data or b"?")
    at = chance.randrange(len(found))
    match chance.randrange(4):
        case 0:
            found[at] ^= 1 << chance.randrange(8)
        case 1:
            del found[at:]
        case 2:
            found[at : at + 4] = bytes(chance.choices((0, 1, 127, 128, 255), k=4))
        case _:
            found[chance.randrange(min(40, len(found)))] = chance.randrange(256)
    return bytes(found)


def changed_words(words: Any, chance: random.Random) -> Any:
    """A document with one value replaced."""
    words, places = copy.deepcopy(words), list[tuple[Any, Any]]()

    def walk(value: Any) -> None:
        for key in (
            list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        ):
            places.append((value, key))
            walk(value[key])

    walk(words)
    held, key = chance.choice(places)
    value = held[key]
    is_number = isinstance(value, int) and chance.random() < 0.5
    held[key] = value + chance.choice((-1, 1, 1000)) if is_number else chance.choice(ODD)
    return words


def changed_columns(data: bytes, chance: random.Random) -> bytes:
    """One column with another entry, type or length; networks are signed anew."""
    found = plain.unpacked(data)
    name = chance.choice(list(found))
    column = found[name]
    if not isinstance(column, list):
        found[name] = chance.choice((column[:-1], np.zeros(column.shape, "i8"), column.reshape(-1, 1)))
    elif column:
        at = chance.randrange(len(column))
        text = column[at]
        if text[:1] in (b"{", b"["):
            text = json.dumps(changed_words(json.loads(text), chance)).encode()
        elif text[:4] == b"isFN":
            text = changed_bytes(text[:-16], chance)
            text += digest(text)
        else:
            text = changed_bytes(text, chance)
        found[name] = [*column[:at], text, *column[at + 1 :]]
    return plain.packed(found)


def changed(path: Path, place: Path, chance: random.Random) -> None:
    """An archive of the same digests as if it had been written so."""
    with Archive(path) as archive:
        header, footer = archive.header, archive.footer
        sections = {name: archive.section(name) for name in archive.sections}
        blocks = [(block.codec, block.n_rows, archive.read(at)) for at, block in enumerate(archive.blocks)]
    what = chance.randrange(4)
    if what == 0 or not (blocks or sections):
        header = changed_words(header, chance)
    elif what == 1 and sections:
        sections = {name: changed_columns(data, chance) for name, data in sections.items()}
    elif blocks:
        at = chance.randrange(len(blocks))
        codec, n_rows, payload = blocks[at]
        if what == 2:
            n_rows = chance.choice((1, n_rows + 1, 10**6, 2**32 - 1))
        else:
            payload = chance.choice(
                (changed_bytes, changed_columns if codec != "bits-back" else changed_bytes)
            )(payload, chance)
        blocks[at] = codec, n_rows, payload
    with ArchiveWriter(place, header, sections=sections, overwrite=True) as writer:
        for block in blocks:
            writer.add(*block)
        writer.close(footer)


@pytest.mark.parametrize("name", golden_archives.ARCHIVES)
def test_what_was_changed_and_signed_anew_is_refused_or_read(name: str, tmp_path: Path) -> None:
    chance, place = random.Random(name), tmp_path / "a.isth"
    model = golden_archives.model_of(golden_archives.PLACE / f"{name}.isth")
    for _ in range(N):
        try:
            changed(golden_archives.PLACE / f"{name}.isth", place, chance)
        except (IsthmusError, ValueError):  # nothing that can be written
            continue
        begin, told = time.process_time(), ""
        try:
            with isthmus.open_archive(place, model=model) as rows:
                out = tmp_path / f"out{rows.form.suffix}"
                rows[: min(len(rows), 60)]
            isthmus.decompress(place, out, model=model)
            shutil.rmtree(out) if out.is_dir() else out.unlink()
        except IsthmusError as error:
            told = str(error)
        assert "\n" not in told
        assert len(told) < 1500
        assert time.process_time() - begin < 10

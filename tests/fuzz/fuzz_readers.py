"""Every reader of files that isthmus has: how it reads, real files of its formats, and how they are changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import fuzz_bombs as bombs
import fuzz_mutations as change
import fuzz_seeds as seeds
import numpy as np
from fuzz_seeds import Files

MOST_VALUES = 1 << 18
"""Values of a source that are read, in rows from its beginning."""


class Reader(NamedTuple):
    """One reader of files."""

    read: Callable[[Path], Any]
    """Reads a file, wholly and as people do."""
    seeds: Callable[[], Files]
    """Real files."""
    change: change.Mutation
    bombs: Callable[[], Files] = dict
    """Small files that promise or unpack to a lot, and other hand-made malice."""
    companions: Callable[[], Files] = dict
    """Files that lie in the same folder."""


def read_source(path: Path, **options: Any) -> None:
    """Open data and read their first rows, the last one, labels, names and notes."""
    from isthmus.sources import open_source

    source = open_source(path, **options)
    schema, n = source.schema, len(source)
    schema.describe()
    rows = source.read(slice(0, max(1, min(n, MOST_VALUES // max(1, schema.n_values)))))
    assert rows.shape[1:] == schema.sample_shape, f"rows {rows.shape} of {schema.sample_shape}"
    assert rows.dtype.name == schema.dtype, f"rows of {rows.dtype} and not of {schema.dtype}"
    source.read(np.array([n - 1, 0]))
    for what, values in (("labels", source.labels), ("names", source.row_names)):
        assert values is None or len(values) == n, f"{what} {len(values)} of {n} rows"
        assert what == "names" or values is None or values.dtype.kind in "iuU", f"labels of {values.dtype}"
    assert all(isinstance(note, str) for note in source.notes)


def read_row_groups(path: Path) -> None:
    """A Parquet file by row group, as one that takes more than its budget."""
    from isthmus.sources.row_groups import RowGroups
    from isthmus.sources.table import arrow_schema

    arrow_schema(path)
    source = RowGroups(path, 1 << 28)
    source.read(slice(0, min(len(source), MOST_VALUES)))
    source.read(np.array([len(source) - 1, 0]))
    assert all(isinstance(note, str) for note in source.notes)


def read_beside(path: Path) -> None:
    """Open the folder that a file lies in."""
    read_source(path.parent)


def read_labels(path: Path) -> None:
    """Labels of four rows, without and with names."""
    from isthmus.errors import IsthmusError
    from isthmus.sources.labels import read_labels

    names = ["a.png", "b.png", "sub/c.png", "d.png"]
    told: IsthmusError | None = None
    for called in (None, names):
        try:
            found = read_labels(path, 4, called)
            assert found.shape == (4,)
            assert found.dtype.kind in "iuU", f"labels of {found.dtype}"
        except IsthmusError as error:  # the other way may read
            told = error
    if told is not None:
        raise told


def read_config(path: Path) -> None:
    """A description as ``fit --config`` reads it."""
    from isthmus.cli.settings import read_config

    read_config(path).to_dict()


def read_journal(path: Path) -> None:
    """All events of a run."""
    from isthmus.journal import read_journal

    assert all(isinstance(event, dict) for event in read_journal(path))


def read_codes(path: Path) -> None:
    """Codes and their labels, as ``decode`` reads them."""
    from isthmus.workflows.code_files import read_code_labels, read_codes

    codes = read_codes(path)
    assert codes.dtype.kind in "biuf"
    if codes.ndim == 2:
        codes[:100].copy()
        labels = read_code_labels(path)
        assert labels is None or labels.dtype.kind in "iuU", f"labels of {labels.dtype}"


def read_model(path: Path) -> None:
    """A model, as every verb opens it."""
    from isthmus.artifact import open_model

    open_model(path)


def read_archive(path: Path) -> None:
    """An archive: all that can be had of it, and what is told of its damage."""
    from isthmus.codec.container import Archive
    from isthmus.errors import ArtifactError

    with Archive(path) as archive:
        lost = 0
        for number in archive.blocks_of(0, archive.n_rows):
            try:
                assert len(archive.read(number)) == archive.blocks[number].n_bytes
            except ArtifactError:
                lost += 1
        for name in archive.sections:
            try:
                archive.section(name)
            except ArtifactError:
                lost += 1
        told = archive.check()
        assert lost <= len(told), f"{lost} parts are lost, and {len(told)} told"
        assert all(isinstance(text, str) for text in told)
        assert archive.sizes.total == path.stat().st_size


def _first(files: Callable[[], Files], name: str, at: int = 0) -> Callable[[], Files]:
    """One of some files under a name of its own, to lie beside a changed one."""
    return lambda: {name: list(files().values())[at]}


READERS: dict[str, Reader] = {
    "csv": Reader(read_source, seeds.csv_files, change.delimited, bombs.csv_bombs),
    "parquet": Reader(read_source, seeds.parquet_files, change.parquet, bombs.parquet_bombs),
    "row-groups": Reader(read_row_groups, seeds.parquet_files, change.parquet, bombs.parquet_bombs),
    "arrow": Reader(read_source, seeds.arrow_files, change.arrow, bombs.arrow_bombs),
    "npy": Reader(read_source, seeds.npy_files, change.npy, bombs.npy_bombs),
    "npz": Reader(read_source, seeds.npz_files, change.npz, bombs.npz_bombs),
    "idx": Reader(read_source, seeds.idx_files, change.idx, bombs.idx_bombs),
    "png": Reader(read_source, seeds.png_files, change.png, bombs.png_bombs),
    "jpeg": Reader(read_source, seeds.jpeg_files, change.blind, bombs.jpeg_bombs),
    "bmp": Reader(read_source, seeds.bmp_files, change.bmp, bombs.bmp_bombs),
    "gif": Reader(read_source, seeds.gif_files, change.blind, bombs.gif_bombs),
    "tiff": Reader(read_source, seeds.tiff_files, change.tiff, bombs.tiff_bombs),
    "webp": Reader(read_source, seeds.webp_files, change.blind, bombs.webp_bombs),
    "wav": Reader(read_source, seeds.wav_files, change.wav, bombs.wav_bombs),
    "flac": Reader(read_source, seeds.flac_files, change.flac, bombs.flac_bombs),
    "ogg": Reader(read_source, seeds.ogg_files, change.ogg),
    "mp3": Reader(read_source, seeds.mp3_files, change.blind),
    "pictures": Reader(
        read_beside, seeds.png_files, change.png, companions=_first(seeds.png_files, "beside.png", 2)
    ),
    "sounds": Reader(
        read_beside, seeds.wav_files, change.wav, bombs.sounds_bombs, _first(seeds.wav_files, "beside.wav")
    ),
    "shards": Reader(
        read_beside, lambda: {"b.npy": seeds.npy_files()["rows.npy"]}, change.npy,
        companions=_first(seeds.npy_files, "a.npy"),
    ),
    "shards-csv": Reader(
        read_beside, lambda: {"b.csv": seeds.csv_files()["good.csv"]}, change.delimited,
        companions=_first(seeds.csv_files, "a.csv"),
    ),
    "shards-parquet": Reader(
        read_beside, lambda: {"b.parquet": seeds.parquet_files()["lists.parquet"]}, change.parquet,
        companions=_first(seeds.parquet_files, "a.parquet", 1),
    ),
    "labels": Reader(read_labels, seeds.label_files, change.labels, bombs.label_bombs),
    "config": Reader(read_config, seeds.config_files, change.toml, bombs.config_bombs),
    "journal": Reader(read_journal, seeds.journal_files, change.journal, bombs.journal_bombs),
    "codes": Reader(read_codes, seeds.code_files, change.codes, bombs.code_bombs),
    "archive": Reader(read_archive, seeds.archive_files, change.archive, bombs.archive_bombs),
    "model": Reader(read_model, seeds.model_files, change.model),
}  # fmt: skip
"""By name."""

CORPUS = Path(__file__).parent / "corpus"
"""Files that a reader once failed on, by reader."""


class Case(NamedTuple):
    """A file that is tried."""

    name: str
    data: bytes
    told: str
    """Where it is from."""


class Cases:
    """The files that a reader is tried with, by number: kept ones, bombs, real ones, then as many as wanted.

    Parameters
    ----------
    reader
        Its name.
    seed
        Other numbers give other changes.
    bombs
        Whether hostile files made by hand are among them.
    """

    def __init__(self, reader: str, seed: int = 0, *, bombs: bool = True) -> None:
        self._reader, self._seed, self._how = reader, seed, READERS[reader]
        self._seeds = self._how.seeds()
        self._others = change.whole(self._seeds)
        folder = CORPUS / reader
        kept = sorted(folder.iterdir()) if folder.is_dir() else []
        self._fixed = [
            *(Case(path.name, path.read_bytes(), f"corpus/{reader}/{path.name}") for path in kept),
            *(
                Case(name, data, f"bomb {name}")
                for name, data in (self._how.bombs() if bombs else {}).items()
            ),
            *(Case(name, data, f"seed {name}") for name, data in self._seeds.items()),
        ]
        self.n_fixed = len(self._fixed)
        """The files that are the same whatever the seed."""

    def __getitem__(self, at: int) -> Case:
        """The file of a number."""
        if at < self.n_fixed:
            return self._fixed[at]
        random = Random(f"{self._reader} {self._seed} {at}")
        name = random.choice(sorted(self._seeds))
        data = self._seeds[name]
        blindly = random.random() < 0.15
        try:
            found = change.mutated(random, data, self._others) if blindly else self._how.change(random, data)
        except (ValueError, IndexError, OSError, EOFError):  # a change on a change that left too little
            found = change.mutated(random, data, self._others)
        return Case(name, found[: change.LONGEST], f"{name} changed, number {at} of seed {self._seed}")

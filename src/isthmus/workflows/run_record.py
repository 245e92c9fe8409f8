"""What a run folder tells of its run beside its config: whose rows it learns from, and how far it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from isthmus.artifact import FittedModel, open_model
from isthmus.artifact.file import make_folder, write_atomically
from isthmus.config import Config
from isthmus.errors import ArtifactError, DataError, IsthmusError, SourceError
from isthmus.journal import read_journal
from isthmus.run_folder import CHECKPOINTS, JOURNAL, MODEL, PREPARED, RECORD, UNFINISHED
from isthmus.sources import Source
from isthmus.training.checkpoints import look_at_checkpoint
from isthmus.workflows.fit import Prepared
from isthmus.workflows.taking_over import settle

FORMAT = 1
ROWS_LOOKED_AT = 1024
"""Evenly spaced rows of data by which they are known again."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the rows of a run come from, as its caller named them."""

    source: str
    labels: str | None = None
    validation: str | None = None
    validation_labels: str | None = None

    def absolute(self) -> Origin:
        """The same with paths that hold in any folder; what is no path stays as it is."""
        named = {name: None if value is None else _absolute(value) for name, value in asdict(self).items()}
        return Origin(**named)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True)
class Record:
    """What :func:`write_record` wrote."""

    origin: Origin | None
    """None where rows were handed in that have no name."""
    config: Config
    """As it was asked for: what opens and splits the rows as they were."""
    fingerprints: dict[str, str]
    """Of the rows to learn from, and of validation rows of their own."""

    def check(self, source: Source, validation: Source | None) -> None:
        """Raise unless the rows are those of the run.

        Raises
        ------
        DataError
            Others, or as many with other values.
        """
        for name, rows in (("data", source), ("validation", validation)):
            wanted = self.fingerprints.get(name)
            found = None if rows is None else fingerprint(rows)
            if found != wanted:
                raise DataError(
                    f"resume: expected the {name if name == 'data' else 'validation data'} that the run began with, "
                    f"{_words(wanted)}, got {_words(found)}. Put them back, or begin a new run."
                )


class Progress(NamedTuple):
    """How far a run is."""

    what: str
    """``"finished"``, ``"interrupted"``, its model written, or ``"unfinished"``, killed or still running."""
    epoch: int
    """The last whole one that its checkpoint, or else its journal, knows."""
    n_epochs: int | None
    """At most."""
    checkpoint: int | None
    """Number of the latest that is whole."""
    damaged: tuple[str, ...]
    """What is wrong with later ones."""


def write_record(
    place: Path, prepared: Prepared, asked: Config, origin: Origin | None, sources: dict[str, Source]
) -> None:
    """Tell in a run folder whose rows it learns from, and keep the model before its first step there."""
    seed = prepared.model.config.training.seed
    rooms = [part.room for part in (prepared.training, prepared.validation) if part is not None]
    memory = next((room for room in rooms if room is not None), 2**62)
    config = asked.with_training(seed=seed).with_data(memory=memory)
    told = {
        "origin": None if origin is None else asdict(origin.absolute()),
        "config": config.to_dict(),
        "fingerprints": {name: fingerprint(source) for name, source in sources.items()},
    }
    document = {"format": FORMAT, "digest": _digest(told), **told}
    write_atomically((json.dumps(document, indent=2) + "\n").encode(), place / RECORD)
    make_folder(place / CHECKPOINTS)
    write_atomically(prepared.model.to_bytes(), place / CHECKPOINTS / PREPARED)


def read_record(place: Path) -> Record:
    """What :func:`write_record` wrote.

    Raises
    ------
    SourceError
        There is no run to go on with.
    ArtifactError
        The file is damaged, or of a newer isthmus.
    """
    path = place / RECORD
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SourceError(
            f"{place}: expected the folder of a run, got one without {RECORD}. Give the folder that "
            "'isthmus fit' wrote to."
        ) from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. Give the folder of a run.") from None
    except (ValueError, RecursionError):
        raise _damaged(path, "it is no JSON") from None
    try:
        if found["format"] != FORMAT:
            raise ArtifactError(
                f"{path}: is of run format {found['format']!r}, and this isthmus reads {FORMAT}. "
                "Resume with the isthmus that began the run."
            )
        if not _matches(found):
            raise _damaged(path, "its digest does not match its contents")
        origin = None if found["origin"] is None else Origin(**found["origin"])
        return Record(origin, Config.from_dict(found["config"]), dict(found["fingerprints"]))
    except ArtifactError:
        raise
    except (IsthmusError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, str(error).rstrip(".")) from None


def place_of(folder: Path) -> Path:
    """Where the files of a folder's run are that can go on: beside an older run they are in a folder of their own.

    Raises
    ------
    OutputError
        The run was killed as it took an older one's place, and the folder cannot be written to.
    """
    settle(folder)
    return folder / UNFINISHED if (folder / UNFINISHED / RECORD).is_file() else folder


def is_resumable(folder: Path) -> bool:
    """Whether a folder holds a run that has not come to its end."""
    place = place_of(folder)
    return (place / RECORD).is_file() and (place / CHECKPOINTS / PREPARED).is_file()


def progress_of(folder: Path) -> Progress:
    """How far the run in a folder is."""
    place = place_of(folder)
    events = read_journal(place / JOURNAL) if (place / JOURNAL).is_file() else []
    begun = next((event for event in events if event.get("event") == "begin"), {})
    epochs = [event["epoch"] for event in events if event.get("event") == "epoch" and "epoch" in event]
    n_epochs, model = begun.get("n_epochs"), (place / MODEL).is_file()
    if not is_resumable(folder):
        return Progress("finished" if model else "unfinished", max(epochs, default=0), n_epochs, None, ())
    what = "interrupted" if model and place == folder else "unfinished"
    try:
        found = look_at_checkpoint(place / CHECKPOINTS)
    except ArtifactError as error:
        return Progress(what, 0, n_epochs, None, (str(error),))
    if found is None:
        return Progress(what, 0, n_epochs, None, ())
    known = found.values.get("levels", found.values)
    return Progress(what, len(known["epochs"]), n_epochs, found.number, found.damaged)


def prepared_model(folder: Path) -> FittedModel:
    """The model of a folder's run before its first step."""
    return open_model(place_of(folder) / CHECKPOINTS / PREPARED)


def fingerprint(source: Source) -> str:
    """How many rows there are, and a digest of some, evenly spaced: by these data are known again."""
    n_rows = len(source)
    places = np.unique(np.linspace(0, n_rows - 1, min(n_rows, ROWS_LOOKED_AT)).round().astype(np.int64))
    digest = hashlib.sha256(repr(source.schema.sample_shape).encode())
    digest.update(np.ascontiguousarray(source.read(places)).tobytes())
    if source.labels is not None:
        digest.update("\n".join(map(str, source.labels[places].tolist())).encode())
    return f"{n_rows} rows {digest.hexdigest()}"


def _digest(told: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _matches(document: dict[str, Any]) -> bool:
    """Whether a record is as it was written: another seed would be a valid one too."""
    told = {key: value for key, value in document.items() if key not in ("format", "digest")}
    return document["digest"] == _digest(told)


def _words(print_: str | None) -> str:
    if print_ is None:
        return "none"
    n_rows, _, digest = print_.partition(" rows ")
    return f"{int(n_rows):,} rows of digest {digest[:8]}"


def _absolute(name: str) -> str:
    path = Path(name)
    return str(path.absolute()) if path.exists() else name


def _damaged(path: Path, why: str) -> ArtifactError:
    return ArtifactError(f"{path}: expected what 'isthmus fit' wrote, but {why}. Begin the run anew.")

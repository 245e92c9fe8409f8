"""Golden files: small files of every format that isthmus writes and reads again, with what is read from them.

    python scripts/golden.py          make the next set, tests/golden/NNN
    python scripts/golden.py --check  read every set, as the tests do

A set is made once and never again: it stands for the files that people have. Make a new one after a format number
changed, or after a part that files can hold was added (``docs/formats.md``). How to read a file stands here too, in
:data:`READERS`, under the name of the file; a reader is never changed, for the sets that are there are read with it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

SETS = Path(__file__).resolve().parents[1] / "tests" / "golden"
TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}
"""Of what a model computes, which another machine sums in another order."""

Arrays = dict[str, np.ndarray[Any, Any]]


# ------------------------------------------------------------------ rows: functions of nothing


def vectors(n: int = 40, width: int = 4) -> np.ndarray[Any, Any]:
    """Rows on a curve, so that a code of two units has something to say."""
    at = np.linspace(0.0, 3.0, n)[:, None]
    return np.sin(at * np.arange(1, width + 1)) + 0.1 * np.cos(37 * at + np.arange(width))


def pictures(n: int = 24, side: int = 8) -> np.ndarray[Any, Any]:
    """Bars of 8-bit pixels."""
    rows = np.zeros((n, side, side), np.uint8)
    for row in range(n):
        rows[row, row % side, :] = 255
        rows[row, :, (row * 3) % side] = 128
    return rows


def sequences(n: int = 24, steps: int = 16) -> np.ndarray[Any, Any]:
    """Two channels of waves."""
    phase, step = np.arange(n)[:, None] / 5, np.arange(steps)[None]
    return np.stack([np.sin(step / 2 + phase), np.cos(step / 3 - phase)], axis=2)


def table(n: int = 60) -> Any:
    """Columns of every type, with gaps; names and words that are no ASCII."""
    number = vectors(n, 2)
    words = ["süß", "sauer", "数据", None]
    return pa.table(
        {
            "weight": pa.array(
                [None if row % 11 == 3 else round(v, 2) for row, v in enumerate(number[:, 0])]
            ),
            "count": pa.array([row * row % 7 for row in range(n)], pa.int64()),
            "taste": pa.array([words[(row * row + row // 3) % 4] for row in range(n)]),
            "is_old": pa.array([None if row % 17 == 5 else row % 3 == 0 for row in range(n)]),
            "day": pa.array([1_700_000_000 + 86_400 * (row % 20) for row in range(n)], pa.timestamp("s")),
            "Größe": pa.array(number[:, 1]),
            "site": pa.array(["north"] * n),
        }
    )


def labels(n: int) -> list[str]:
    """Three words in turn."""
    return [("a", "b", "ç")[row % 3] for row in range(n)]


class Curl(nn.Module):
    """A part of its author's own: a layer and a bend."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.linear(x))


def parts(name: str) -> dict[str, Callable[[], Any]]:
    """What a file with a part of its author's own wants handed in."""
    return {name: lambda: (Curl(4, 2), nn.Linear(2, 4))}


# ------------------------------------------------------------------ files: how each is made


def _plain(folder: Path) -> None:
    from isthmus import Autoencoder

    model = Autoencoder(2, hidden_sizes=(5,), max_epochs=12, random_state=0).fit(vectors())
    model.save(folder / "basic.safetensors")


def _convolutional(folder: Path) -> None:
    from isthmus import Autoencoder, Conv2d

    model = Autoencoder(3, network=Conv2d((2, 3)), likelihood="bernoulli", max_epochs=5, random_state=1)
    model.fit(pictures()).save(folder / "convolutional.safetensors")


def _sequences(folder: Path) -> None:
    from isthmus import Autoencoder, Conv1d

    model = Autoencoder(3, network=Conv1d((2,)), max_epochs=5, random_state=2)
    model.fit(sequences()).save(folder / "sequences.safetensors")


def _transformer(folder: Path) -> None:
    from isthmus import Autoencoder, Transformer

    network = Transformer(patch_size=4, width=4, n_heads=2)
    model = Autoencoder(2, network=network, max_epochs=3, random_state=3)
    model.fit(pictures()).save(folder / "transformer.safetensors")


def _variational(folder: Path) -> None:
    from isthmus import Gaussian, VariationalAutoencoder

    model = VariationalAutoencoder(
        2, likelihood=Gaussian("learned"), hidden_sizes=(5,), max_epochs=8, random_state=4
    )
    model.fit(vectors()).save(folder / "variational.safetensors")


def _sparse(folder: Path) -> None:
    from isthmus import Autoencoder, BatchTopKCode, GaussianNoise, WeightDecay

    model = Autoencoder(
        6,
        code=BatchTopKCode(2),
        corruption=GaussianNoise(0.1),
        penalties=WeightDecay(1e-3),
        hidden_sizes=(5,),
        max_epochs=8,
        random_state=5,
    )
    model.fit(vectors()).save(folder / "sparse.safetensors")


def _table(folder: Path) -> None:
    from isthmus import Autoencoder

    model = Autoencoder(3, hidden_sizes=(6,), max_epochs=10, corruption="masking", random_state=6)
    model.fit(table()).save(folder / "table.safetensors")


def _conditional(folder: Path) -> None:
    from isthmus import Autoencoder

    model = Autoencoder(2, hidden_sizes=(5,), condition="label", max_epochs=8, random_state=7)
    model.fit(vectors(), labels(40)).save(folder / "conditional.safetensors")


def _detector(folder: Path) -> None:
    from isthmus import AnomalyDetector

    model = AnomalyDetector(2, contamination=0.1, hidden_sizes=(5,), max_epochs=8, random_state=8)
    model.fit(vectors()).save(folder / "detector.safetensors")


def _classifier(folder: Path) -> None:
    from isthmus import Autoencoder, AutoencoderClassifier

    inner = Autoencoder(2, hidden_sizes=(5,), max_epochs=6)
    model = AutoencoderClassifier(inner, max_epochs=6, random_state=9)
    model.fit(vectors(), labels(40)).save(folder / "classifier.safetensors")


def _groups(folder: Path) -> None:
    from isthmus import Autoencoder, AutoencoderClusterer

    inner = Autoencoder(2, hidden_sizes=(5,), max_epochs=6)
    model = AutoencoderClusterer(2, inner, random_state=10)
    model.fit(vectors()).save(folder / "groups.safetensors")


def _custom(folder: Path) -> None:
    from isthmus import Autoencoder

    own = (Curl(4, 2), nn.Linear(2, 4))
    with torch.no_grad():
        for half in own:
            for place, parameter in enumerate(half.parameters()):
                parameter.copy_(
                    torch.linspace(-0.5, 0.5, parameter.numel()).reshape(parameter.shape) + place / 7
                )
    model = Autoencoder(2, network=own, max_epochs=4, start="random", random_state=11).fit(vectors())
    model.save(folder / "custom.safetensors")


def _config(folder: Path) -> None:
    from isthmus import Autoencoder
    from isthmus.artifact.file import write_atomically

    model = Autoencoder.open(folder / "table.safetensors")
    write_atomically(model.config_.to_toml().encode(), folder / "config.toml")


def _codes(folder: Path) -> None:
    from isthmus.workflows.code_files import write_codes

    codes = vectors(12, 3).astype(np.float32)
    scale = np.abs(codes) + np.float32(0.5)
    names = np.array([f"picture {row}.png" for row in range(12)])
    named: dict[str, Any] = {"labels": np.array(labels(12)), "row_names": names}
    write_codes(folder / "codes.npy", codes)
    for suffix in (".npz", ".csv", ".parquet"):
        write_codes(folder / f"codes{suffix}", codes, scale=scale, **named)
    write_codes(folder / "lists.parquet", codes, scale=scale, as_lists=True, **named)


def _filled(folder: Path) -> None:
    from isthmus.workflows.table_files import write_table

    for suffix in (".parquet", ".arrow", ".csv"):
        write_table(folder / f"filled{suffix}", table())


def _picture(folder: Path) -> None:
    from PIL import Image

    Image.fromarray(pictures()[5]).save(folder / "picture.png")


def _sounds(folder: Path) -> None:
    from isthmus.workflows.sound_files import encoded

    sound = np.sin(np.arange(800) / 9)[:, None] * np.linspace(0.1, 0.9, 800)[:, None]
    for suffix in (".wav", ".flac"):
        (folder / f"sound{suffix}").write_bytes(encoded(sound.astype(np.float32), 8000, suffix))


def _journal(folder: Path) -> None:
    from isthmus.journal import Journal

    with Journal(folder / "journal.jsonl") as journal:
        journal.write("begin", n_epochs=2, n_rows=36)
        journal.write("epoch", epoch=1, learning_rate=1e-3, training={"loss": 1 / 3}, validation=None)
        journal.write("end", reason="finished")


def _run(folder: Path) -> None:
    """What a run leaves that was killed in its third epoch: its record, the model before it, two checkpoints."""
    from isthmus import Config
    from isthmus.sources import ArraySource
    from isthmus.training.callbacks import Callback
    from isthmus.workflows.run import run_fit

    class Killing(Callback):
        n_steps = 0

        def step(self, n_rows: int) -> None:
            self.n_steps += 1
            if self.n_steps == 5:
                raise SystemExit

    model = {"code_size": 2, "network": {"hidden_sizes": [5]}, "code": "gaussian"}
    training = {"epochs": 4, "batch_size": 18, "seed": 0, "threads": 1, "device": "cpu"}
    config = Config.from_dict({"model": model, "training": training})
    place = folder / "run"
    with suppress(SystemExit):
        run_fit(ArraySource(vectors()), config, name="rows", folder=place, callbacks=[Killing()], seconds=0)
    (place / "run.json").rename(folder / "run.json")
    (place / "checkpoints" / "prepared.safetensors").rename(folder / "prepared.safetensors")
    (folder / "checkpoints").mkdir()
    for number in ("000003", "000004"):
        (place / "checkpoints" / number).rename(folder / "checkpoints" / number)
    shutil.rmtree(place)


MAKERS: tuple[Callable[[Path], None], ...] = (
    _plain,
    _convolutional,
    _sequences,
    _transformer,
    _variational,
    _sparse,
    _table,
    _conditional,
    _detector,
    _classifier,
    _groups,
    _custom,
    _config,
    _codes,
    _filled,
    _picture,
    _sounds,
    _journal,
    _run,
)


# ------------------------------------------------------------------ how each is read, for ever


def _read_model(path: Path, rows: Any) -> Arrays:
    from isthmus import Autoencoder

    model = Autoencoder.open(path)
    codes = model.transform(rows)
    return {"codes": codes, "rebuilt": np.asarray(model.inverse_transform(codes), np.float64)}


def _read_table(path: Path) -> Arrays:
    from isthmus import Autoencoder

    model = Autoencoder.open(path)
    codes = model.transform(table())
    back = pa.Table.from_pandas(model.inverse_transform(codes), preserve_index=False)
    found: Arrays = {"codes": codes}
    for name in back.column_names:
        values = back[name]
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.timestamp("s")).cast(pa.int64())
        is_text = not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type))
        found[f"rebuilt {name}"] = np.array(values.to_pylist(), dtype=str if is_text else np.float64)
    return found


def _read_variational(path: Path) -> Arrays:
    from isthmus import VariationalAutoencoder

    model = VariationalAutoencoder.open(path)
    codes = model.transform(vectors())
    scale = np.asarray(model.code_distribution(vectors())[1])
    return {"codes": codes, "scale": scale, "rebuilt": model.inverse_transform(codes)}


def _read_conditional(path: Path) -> Arrays:
    from isthmus import Autoencoder

    model = Autoencoder.open(path)
    given = labels(40)
    codes = model.transform(vectors(), labels=given)
    back = model.inverse_transform(codes, labels=given)
    return {"codes": codes, "rebuilt": back, "classes": np.array(model.classes_)}


def _read_detector(path: Path) -> Arrays:
    from isthmus import AnomalyDetector

    model = AnomalyDetector.open(path)
    odd = vectors() * np.linspace(0.5, 3, 40)[:, None]
    return {"anomaly": model.anomaly_score(odd), "threshold": np.array(model.threshold_)}


def _read_classifier(path: Path) -> Arrays:
    from isthmus import AutoencoderClassifier

    model = AutoencoderClassifier.open(path)
    return {"shares": model.predict_proba(vectors()), "classes": np.array(model.classes_)}


def _read_groups(path: Path) -> Arrays:
    from isthmus import AutoencoderClusterer

    model = AutoencoderClusterer.open(path)
    return {
        "shares": model.predict_proba(vectors()),
        "labels": model.labels_,
        "centres": model.cluster_centers_,
    }


def _read_custom(path: Path) -> Arrays:
    from isthmus import Autoencoder
    from isthmus.artifact import open_model

    name = open_model_part(path)
    open_model(path, parts(name))
    codes = (model := Autoencoder.open(path, parts=parts(name))).transform(vectors())
    return {"codes": codes, "rebuilt": model.inverse_transform(codes)}


def open_model_part(path: Path) -> str:
    """The name of the part that a file wants, as its refusal tells it."""
    from isthmus.artifact import open_model
    from isthmus.errors import ArtifactError

    try:
        open_model(path)
    except ArtifactError as error:
        return str(error).partition("parts={'")[2].partition("'")[0]
    raise AssertionError("a model with a part of its author's own opened without it")


def _read_config(path: Path) -> Arrays:
    from isthmus.cli.settings import read_config

    return _flat(read_config(path).to_dict())


def _flat(document: dict[str, Any]) -> Arrays:
    flat: Arrays = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{name}.{key}" if name else key, item)
        else:
            flat[name] = np.array(json.dumps(value))

    walk("", document)
    return flat


def _read_codes(path: Path) -> Arrays:
    from isthmus.workflows.code_files import read_code_labels, read_codes

    found = read_code_labels(path)
    return {"codes": read_codes(path)} | ({} if found is None else {"labels": found})


def _read_data(path: Path) -> Arrays:
    from isthmus.config import Data
    from isthmus.workflows.open_data import open_data

    return {"rows": open_data(str(path), Data()).read(slice(None))}


def _read_sound(path: Path) -> Arrays:
    from isthmus.config import Data
    from isthmus.workflows.open_data import open_data

    asked = Data(representation="waveform", window_seconds=0.05)
    return {"rows": open_data(str(path), asked).read(slice(None))}


def _read_journal(path: Path) -> Arrays:
    from isthmus.journal import read_journal

    events = [{k: v for k, v in event.items() if k != "time"} for event in read_journal(path)]
    return {f"event {at}": np.array(json.dumps(event, sort_keys=True)) for at, event in enumerate(events)}


def _read_record(path: Path) -> Arrays:
    from isthmus.workflows.run_record import read_record

    record = read_record(path.parent)
    told = {"config": record.config.to_dict(), "fingerprints": record.fingerprints}
    return {"origin": np.array(str(record.origin)), **_flat(told)}


def _read_checkpoints(path: Path) -> Arrays:
    from isthmus.training.checkpoints import read_checkpoint

    found = read_checkpoint(path)
    assert found is not None
    values = {"values": found.state.values, "added": found.added}
    return {
        "number": np.array(found.number),
        "damaged": np.array(found.damaged, dtype=str),
        **_flat(values),
        **{
            f"{group} {name}": tensor.numpy()
            for group, tensors in found.state.groups.items()
            for name, tensor in tensors.items()
        },
    }


READERS: dict[str, Callable[[Path], Arrays]] = {
    "basic.safetensors": lambda path: _read_model(path, vectors()),
    "convolutional.safetensors": lambda path: _read_model(path, pictures()),
    "sequences.safetensors": lambda path: _read_model(path, sequences()),
    "transformer.safetensors": lambda path: _read_model(path, pictures()),
    "variational.safetensors": _read_variational,
    "sparse.safetensors": lambda path: _read_model(path, vectors()),
    "table.safetensors": _read_table,
    "conditional.safetensors": _read_conditional,
    "detector.safetensors": _read_detector,
    "classifier.safetensors": _read_classifier,
    "groups.safetensors": _read_groups,
    "custom.safetensors": _read_custom,
    "config.toml": _read_config,
    "codes.npy": _read_codes,
    "codes.npz": _read_codes,
    "codes.csv": _read_codes,
    "codes.parquet": _read_codes,
    "lists.parquet": _read_codes,
    "filled.parquet": _read_data,
    "filled.arrow": _read_data,
    "filled.csv": _read_data,
    "picture.png": _read_data,
    "sound.wav": _read_sound,
    "sound.flac": _read_sound,
    "journal.jsonl": _read_journal,
    "run.json": _read_record,
    "prepared.safetensors": lambda path: _read_model(path, vectors()),
    "checkpoints": _read_checkpoints,
}


def sets() -> list[Path]:
    """The folders of all sets, the oldest first."""
    return sorted(path for path in SETS.iterdir() if path.is_dir() and path.name.isdigit())


def differences(folder: Path, name: str) -> list[str]:
    """What is read otherwise from a file of a set than when it was made; nothing if all is well."""
    with np.load(folder / "expected.npz", allow_pickle=False) as expected:
        wanted = {key.partition("/")[2]: expected[key] for key in expected if key.startswith(f"{name}/")}
    found = READERS[name](folder / name)
    told = [f"{name}: {key} is missing" for key in wanted if key not in found]
    for key, values in wanted.items():
        if key in found and not _same(values, found[key]):
            told.append(f"{name}: {key} is {found[key]!r:.200} and was {values!r:.200}")
    return told


def _same(wanted: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> bool:
    if wanted.shape != found.shape or wanted.dtype.kind != found.dtype.kind:
        return False
    if wanted.dtype.kind == "f":
        steps = (
            1.0 if wanted.size and (wanted == np.rint(wanted)).all() else 0.0
        )  # a pixel is rounded up or down
        return bool(
            np.allclose(found, wanted, TOLERANCE["rtol"], max(TOLERANCE["atol"], steps), equal_nan=True)
        )
    return bool((wanted == found).all())


def make() -> Path:
    """Make the next set, and never one that is there."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    last = max((int(path.name) for path in sets()), default=0)
    folder = SETS / f"{last + 1:03d}"
    folder.mkdir()
    for maker in MAKERS:
        maker(folder)
    expected = {
        f"{name}/{key}": values
        for name, read in READERS.items()
        if (folder / name).exists()
        for key, values in read(folder / name).items()
    }
    np.savez_compressed(folder / "expected.npz", **expected)  # pyright: ignore[reportArgumentType]
    return folder


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="read every set, and make none")
    if not parser.parse_args().check:
        print(f"made {make()}")
    told = [
        line
        for folder in sets()
        for name in READERS
        if (folder / name).exists()
        for line in differences(folder, name)
    ]
    print("\n".join(told) or f"{len(sets())} sets are read as they were made")
    return int(bool(told))


if __name__ == "__main__":
    sys.exit(main())

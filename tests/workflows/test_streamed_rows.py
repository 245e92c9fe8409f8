"""A fit on rows that take more than their budget: what it is a function of, and what it never holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import isthmus.workflows.fit as fit_module
from isthmus import Autoencoder
from isthmus.artifact import FittedModel
from isthmus.config import Config, Data, Model, Training
from isthmus.config.parts.networks import Dense
from isthmus.errors import DataError
from isthmus.sources import ArraySource, Source, TableSource, open_source
from isthmus.sources.base import Indices, Rows
from isthmus.training.loop import History
from isthmus.training.rows import SourceRows
from isthmus.training.streaming import StreamedRows
from isthmus.workflows.fit import fit, prepare, train_further, usual_rows
from isthmus.workflows.streamed_rows import budget_if_streamed, one_of_each_stretch, split_streamed

torch.set_num_threads(1)
RANDOM = np.random.default_rng(0)
N, D = 12_000, 32
X = (RANDOM.normal(size=(N, 3)) @ RANDOM.normal(size=(3, D)) + 0.2 * RANDOM.normal(size=(N, D))).astype(
    np.float32
)
"""1.5 MB, and 2.3 MB with what is kept in mind of each row."""


def config(memory: int | str = "1MB", *, data: dict[str, object] | None = None, **training: object) -> Config:
    plan = {"epochs": 2, "batch_size": 128, "seed": 3, "threads": 1, "device": "cpu", **training}
    return Config(
        data=Data(memory=memory, **(data or {})),  # type: ignore[arg-type]
        model=Model(code_size=3, network=Dense((8,)), likelihood="auto"),
        training=Training(**plan),  # type: ignore[arg-type]
    )


def fitted(source: Source, asked: Config, **options: object) -> tuple[FittedModel, History]:
    return fit(source, asked, **options)  # type: ignore[arg-type]


class Watched(Source):
    """A source that keeps in mind how many rows it was asked for at once."""

    def __init__(self, source: Source) -> None:
        self.source, self.name, self.schema, self.labels = source, source.name, source.schema, source.labels
        self.most = 0

    def __len__(self) -> int:
        return len(self.source)

    def read(self, rows: slice | Indices) -> Rows:
        block = self.source.read(rows)
        self.most = max(self.most, len(block))
        return block


# Whether


def test_the_budget_decides() -> None:
    assert budget_if_streamed(ArraySource(X), Data(memory="1MB")) == 10**6
    assert budget_if_streamed(ArraySource(X), Data(memory="4MB")) is None
    held, streamed = (prepare(ArraySource(X), config(memory)) for memory in ("4MB", "1MB"))
    assert held.training.room is None
    assert streamed.training.room == 10**6
    assert not any("Memory" in note for note in held.model.notes)
    first = streamed.model.notes[0]
    assert first.startswith("Memory: 11,024 training rows take 1.41 MB, and data.memory allows 1 MB:")
    assert (
        "read by block in every pass. Their order in the file then matters, and equal rows are not merged."
        in first
    )


def test_a_budget_that_holds_the_rows_changes_nothing() -> None:
    """Whatever it is: the files differ in what they say of it alone."""
    one, other = (fitted(ArraySource(X[:500]), config(memory))[0] for memory in ("4MB", "auto"))
    one.config = other.config
    assert one.to_bytes() == other.to_bytes()


def test_what_is_free_is_written_down_where_it_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "isthmus.workflows.streamed_rows.budget_of", lambda size: 2**20 if size == "auto" else size
    )
    model, _ = fitted(ArraySource(X), config("auto"))
    assert model.config.data.memory == 2**20
    again, _ = fitted(ArraySource(X), model.config.with_training(start="auto", patience="auto"))
    assert again.to_bytes() == model.to_bytes()


# What it is a function of


def test_a_fit_is_that_of_a_twin_that_reads_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same parts and the same order from a tensor that holds everything: the same file."""
    weights = RANDOM.uniform(0.5, 2.0, N)
    model, history = fitted(ArraySource(X), config(), sample_weight=weights)

    class Twin(SourceRows):
        def __init__(self, source: Source, scaling: object, budget: int) -> None:
            super().__init__(source, scaling)  # type: ignore[arg-type]
            self.mixing = StreamedRows(source, scaling, budget).mixing  # type: ignore[arg-type]

        def in_order(self, chance, n_batches, n_done=0):  # type: ignore[no-untyped-def]
            order = []
            for number, blocks in enumerate(self.mixing.parts(chance)):
                rows = torch.from_numpy(self.mixing.rows_of(blocks))
                order.append(rows[chance.at("rows", number).permutation(len(rows))])
            for indices in torch.cat(order).tensor_split(n_batches)[n_done:]:
                yield indices, self.gather(indices)

    monkeypatch.setattr(fit_module, "StreamedRows", Twin)
    twin, _ = fitted(ArraySource(X), config(), sample_weight=weights)
    assert twin.to_bytes() == model.to_bytes()
    assert len(history.epochs) == 2


def test_a_memory_map_gives_the_model_of_the_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped, _ = fitted(open_source(tmp_path / "x.npy"), config())
    assert mapped.to_bytes() == fitted(ArraySource(X), config())[0].to_bytes()


def test_seed_and_budget_matter_and_so_does_the_order_of_the_file() -> None:
    first = fitted(ArraySource(X), config())[0].to_bytes()
    assert fitted(ArraySource(X), config())[0].to_bytes() == first
    assert fitted(ArraySource(X), config(seed=4))[0].to_bytes() != first
    assert fitted(ArraySource(X), config("1.2MB"))[0].to_bytes() != first
    assert fitted(ArraySource(X[::-1].copy()), config())[0].to_bytes() != first


def test_it_learns_what_a_fit_that_holds_everything_learns() -> None:
    held, _ = fitted(ArraySource(X), config("1GB", epochs=4))
    streamed, _ = fitted(ArraySource(X), config("1MB", epochs=4))
    assert streamed.metrics["error"]["mse"] == pytest.approx(held.metrics["error"]["mse"], rel=0.05)
    assert streamed.metrics["baselines"]["pca"]["mse"] == pytest.approx(
        held.metrics["baselines"]["pca"]["mse"], rel=0.05
    )


def test_rows_in_the_order_of_their_classes_are_mixed() -> None:
    """A file that is sorted still gives validation rows of everywhere, and a good model."""
    order = np.argsort(X[:, 0], kind="stable")
    streamed, _ = fitted(ArraySource(X[order]), config("1MB", epochs=4))
    held, _ = fitted(ArraySource(X), config("1GB", epochs=4))
    assert streamed.metrics["error"]["mse"] == pytest.approx(held.metrics["error"]["mse"], rel=0.1)


# What it holds


def test_no_more_than_the_budget_is_read_at_once() -> None:
    """Rows of 128 bytes, so a budget of 7,812; PCA, figures and what is usual look at some of them."""
    watched = Watched(ArraySource(X))
    fitted(watched, config())
    assert watched.most <= 7_812 // 3


def test_validation_rows_are_one_of_each_stretch_and_no_training_rows() -> None:
    training, validation = split_streamed(ArraySource(X), None, 0.1, 1, 10**6, 128)
    assert validation is not None
    assert len(validation.source) == 10**6 // 8 // 128
    assert len(training.source) + len(validation.source) == N
    both = np.concatenate([part.source.read(slice(0, N)) for part in (training, validation)])
    assert sorted(map(bytes, both)) == sorted(map(bytes, X))
    again, _ = split_streamed(ArraySource(X), None, 0.1, 2, 10**6, 128)
    assert not np.array_equal(again.source.read(slice(0, 100)), training.source.read(slice(0, 100)))


@pytest.mark.parametrize(("n", "wanted"), [(10, 10), (10, 3), (7, 0), (10**9, 5)])
def test_one_of_each_stretch(n: int, wanted: int) -> None:
    rows = one_of_each_stretch(n, wanted, 1)
    assert len(rows) == wanted
    assert (np.diff(rows) > 0).all()
    assert ((rows >= 0) & (rows < n)).all()
    assert (rows * wanted // n == np.arange(wanted)).all() or n < 10 * wanted


def test_weightless_rows_are_not_there() -> None:
    weights = (np.arange(N) % 3 > 0).astype(float)
    training, validation = split_streamed(ArraySource(X), weights, 0.1, 1, 10**6, 128)
    assert validation is not None
    assert training.weights is None  # of equal ones
    left = {bytes(row) for row in X[weights == 0]}
    assert not left & set(map(bytes, training.source.read(slice(0, N))))
    assert not left & set(map(bytes, validation.source.read(slice(0, N))))
    with pytest.raises(DataError, match="expected at least 2 rows, got 1"):
        split_streamed(ArraySource(X), (np.arange(N) == 5).astype(float), 0.1, 1, 10**6, 128)


def test_every_label_keeps_a_row_to_learn_from() -> None:
    labels = np.zeros(N, int)
    labels[::100] = np.arange(N // 100)
    source = ArraySource(X, labels=labels)
    training, validation = split_streamed(source, None, 0.5, 1, 10**7, 64, labelled=True)
    assert validation is not None
    assert set(np.unique(training.source.labels)) == set(labels)  # type: ignore[arg-type]
    assert len(training.source) + len(validation.source) == N
    asked = config(validation_share=0.05, epochs=1)
    asked = replace(asked, model=asked.model.replace(condition="label"))
    model, _ = fitted(ArraySource(X, labels=np.arange(N) % 2), asked)
    assert model.classes is not None


def test_without_validation_some_training_rows_are_measured() -> None:
    model, _ = fitted(ArraySource(X), config(validation_share=0.0))
    assert model.metrics["rows_are"] == "training"
    assert model.metrics["rows"] == 10**6 // 8 // (16 * D)


def test_rows_to_validate_by_are_held_as_far_as_there_is_room() -> None:
    model, _ = fitted(ArraySource(X), config(), validation=ArraySource(X[:5000] + 1))
    assert model.metrics["rows"] == 10**6 // 8 // 128
    assert "Validation: 976 of 5,000 rows, for which there is room, evenly spread." in model.notes
    model, _ = fitted(ArraySource(X), config(), validation=ArraySource(X[:50] + 1))
    assert model.metrics["rows"] == 50


# Other rows


def test_bytes_stay_bytes() -> None:
    pictures = RANDOM.integers(0, 256, (5000, 16, 16), np.uint8)
    prepared = prepare(ArraySource(pictures), config("1MB", epochs=1))
    rows = fit_module._rows(prepared.model, prepared.training)
    assert isinstance(rows, StreamedRows)
    assert rows._packed.n_bytes == 256
    assert rows.mixing.block * rows.mixing.mixed <= 10**6 // 4 // 256


def test_gaps_in_tables() -> None:
    frame = {f"c{place}": X[:, place].astype(float) for place in range(8)}
    for values in frame.values():
        values[RANDOM.random(N) < 0.1] = np.nan
    frame["kind"] = np.array(["a", "b", "c"])[RANDOM.integers(0, 3, N)]
    pandas = pytest.importorskip("pandas")
    source = TableSource(pandas.DataFrame(frame))
    model, _ = fitted(source, config(epochs=2))
    assert any(note.startswith("Memory") for note in model.notes)
    held, _ = fitted(source, config("1GB", epochs=2))
    assert model.metrics["error"]["mse"] == pytest.approx(held.metrics["error"]["mse"], rel=0.15)


def test_bad_rows_are_named_by_their_place(tmp_path: Path) -> None:
    bad = X.copy()
    bad[10_001, 3] = np.inf
    np.save(tmp_path / "x.npy", bad)
    with pytest.raises(
        DataError, match=r"^x: values must be finite, got infinity in row 10001, column 3; remove or clip"
    ):
        prepare(open_source(tmp_path / "x.npy"), config(), who="x")


def test_layer_by_layer_and_dead_units() -> None:
    asked = config(epochs=4, scheme="layer_by_layer", dead_units="revived")
    asked = replace(asked, model=asked.model.replace(network=Dense((8, 6))))
    model, history = fitted(ArraySource(X), asked)
    assert len(history.epochs) == 4
    assert np.isfinite(model.metrics["error"]["mse"])


def test_going_on_reads_by_block_too() -> None:
    model, _ = fitted(ArraySource(X), config())
    usual = usual_rows(model, ArraySource(X), validation_share=0.1)
    assert model.usual is not None
    assert usual.threshold == model.usual.threshold
    train_further(model, ArraySource(X))
    assert len(model.epochs) == 4
    assert model.config.data.memory == 10**6


def test_the_estimator_has_a_budget_too() -> None:
    model = Autoencoder(
        n_components=2, max_epochs=1, random_state=0, memory="1MB", hidden_sizes=(4,), device="cpu"
    ).fit(X)
    assert model.config_.data.memory == 10**6
    assert model.transform(X[:5]).shape == (5, 2)
    model.set_params(memory="1GB", warm_start=True).fit(X)
    assert len(model.history_) == 2
    model = Autoencoder(
        n_components=2, max_epochs=1, random_state=0, memory="1MB", hidden_sizes=(4,), device="cpu"
    )
    model.partial_fit(X)
    assert model.config_.data.memory == 10**6

"""Frames in, frames out: columns of every type, in any order, of any library; and what NaN is in arrays."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from isthmus import (
    AnomalyDetector,
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderClusterer,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from isthmus.errors import DataError, DataWarning, ParameterError

torch.set_num_threads(1)

SMALL: dict[str, Any] = {
    "hidden_sizes": (8,), "max_epochs": 2, "random_state": 0, "threads": 1, "device": "cpu",
}  # fmt: skip
RECIPES = [
    Autoencoder,
    AnomalyDetector,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
]


def people(n: int = 60, seed: int = 0, gaps: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "name": [f"p{at:03}" for at in range(n)],
            "age": 50 + 10 * size,
            "ward": pd.Categorical(np.array(["north", "south", "west"])[np.digitize(size, [-0.5, 0.5])]),
            "visits": pd.array(np.rint(30 + 9 * size).clip(0).astype(int), dtype="Int64"),
            "smoker": size > 0,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.rint(1e6 * (3 + size)), unit="s"),
            "word": np.where(size > 0, "tall", "small").astype(object),
            "site": 7,
        },
        index=[f"row {at}" for at in range(n)],
    )
    for name in ("age", "ward", "visits", "since", "word"):
        frame.loc[rng.random(n) < gaps, name] = None
    return frame


KEPT = ["age", "ward", "visits", "smoker", "since", "word", "site"]
"""Columns that come back: all but the identifier."""


@pytest.fixture(scope="module")
def fitted() -> VariationalAutoencoder:
    torch.set_num_threads(1)
    return VariationalAutoencoder(3, **SMALL).fit(people())


@pytest.mark.parametrize("kind", RECIPES)
def test_every_kind_takes_a_frame_and_gives_one_back(kind: type[Autoencoder]) -> None:
    frame = people()
    model = kind(3, **SMALL).fit(frame)
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    assert (model.n_features_in_, model.config_.data.missing) == (8, "mask")
    assert any("'name' is left out" in note for note in model.notes_)
    codes = model.transform(frame)
    assert codes.shape == (60, 3)
    rebuilt = model.reconstruct(frame)
    assert rebuilt.index.equals(frame.index)
    assert rebuilt.columns.tolist() == KEPT
    assert list(rebuilt.dtypes) == list(frame[KEPT].dtypes)
    assert set(rebuilt["ward"]) <= {"north", "south", "west"}
    assert set(rebuilt["word"]) <= {"tall", "small"}
    assert (rebuilt["site"] == 7).all()
    assert rebuilt["since"].between(frame["since"].min(), frame["since"].max()).all()
    assert rebuilt.notna().all().all()
    pd.testing.assert_frame_equal(model.inverse_transform(codes), rebuilt.reset_index(drop=True))
    assert model.score(frame) < 0
    pd.testing.assert_frame_equal(clone(model).fit(frame).reconstruct(frame), rebuilt)


def test_new_rows_walks_and_units_are_frames(fitted: VariationalAutoencoder) -> None:
    frame = people()
    new = fitted.sample(5, random_state=0)
    assert (new.columns.tolist(), len(new)) == (KEPT, 5)
    pd.testing.assert_frame_equal(new, fitted.sample(5, random_state=0))
    walk = fitted.interpolate(frame.iloc[0], frame.iloc[[1]], n_steps=3)
    ends = fitted.reconstruct(frame.iloc[:2]).reset_index(drop=True)
    pd.testing.assert_frame_equal(walk.iloc[[0, 2]].reset_index(drop=True), ends)
    units = fitted.traverse(dict(frame.iloc[3]), units=[0, 1], n_steps=4)
    assert [len(each) for each in units] == [4, 4]
    assert units[0].columns.tolist() == KEPT
    with pytest.raises(DataError, match="expected one row with the names of its columns, got 2 rows"):
        fitted.interpolate(frame.iloc[:2], frame.iloc[0])
    with pytest.raises(DataError, match="got ndarray"):
        fitted.interpolate(np.zeros(8), frame.iloc[0])


def test_columns_go_by_their_names(fitted: VariationalAutoencoder) -> None:
    frame = people(20, 1)
    codes = fitted.transform(frame)
    mixed = frame[["site", "word", "age", "since", "smoker", "ward", "visits"]]
    np.testing.assert_array_equal(fitted.transform(mixed), codes)
    with pytest.warns(DataWarning, match="does not know them: 'height'"):
        np.testing.assert_array_equal(fitted.transform(frame.assign(height=1.8)), codes)
    with pytest.raises(DataError, match="got none named 'age', 'ward'"):
        fitted.transform(frame.drop(columns=["ward", "age"]))
    with pytest.raises(DataError, match="age"):
        fitted.transform(pd.concat([frame, frame[["age"]]], axis=1))
    with pytest.raises(DataError, match="expected numbers, got 'old' in row 3"):
        fitted.transform(frame.astype({"age": object}).assign(age=["1"] * 3 + ["old"] * 17))
    moon = frame.astype({"ward": object}).assign(ward=["moon", *frame["ward"][1:]])
    gap = frame.assign(ward=pd.Categorical([None, *frame["ward"][1:]]))
    with pytest.warns(DataWarning, match="'moon'"):
        np.testing.assert_array_equal(fitted.transform(moon), fitted.transform(gap))
    one = fitted.transform(frame.iloc[[4]])
    np.testing.assert_array_equal(one, codes[[4]])


@pytest.mark.parametrize("library", ["polars", "arrow", "batch"])
def test_frames_of_any_library(library: str) -> None:
    table = pa.Table.from_pandas(people(), preserve_index=False)
    frame: Any = {
        "polars": lambda: pl.from_arrow(table),
        "arrow": lambda: table,
        "batch": lambda: table.combine_chunks().to_batches()[0],
    }[library]()
    model = Autoencoder(3, **SMALL).fit(frame)
    rebuilt = model.reconstruct(frame)
    given = frame.select(KEPT)
    assert rebuilt.schema == given.schema
    np.testing.assert_array_equal(model.transform(given), model.transform(frame))
    np.testing.assert_array_equal(model.transform(table.to_pandas()), model.transform(frame))
    plain = Autoencoder(2, **SMALL).fit(frame.select(["age"]).cast(pa.schema([("age", pa.float64())]))
                                        if library == "arrow" else people()[["age"]].dropna())  # fmt: skip
    assert plain.reconstruct(plain.inverse_transform(np.zeros((3, 2)))).shape == (3, 1)


CELLS = {
    "number": st.one_of(st.none(), st.floats(-1e6, 1e6)),
    "count": st.integers(0, 900),
    "word": st.one_of(st.none(), st.sampled_from(["a", "b c", "ä"])),
    "flag": st.booleans(),
    "day": st.one_of(st.none(), st.datetimes(min_value=pd.Timestamp(1950, 1, 1), max_value=pd.Timestamp(2050, 1, 1))),
}  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(
    st.integers(2, 12).flatmap(
        lambda n: st.fixed_dictionaries(
            {}, optional={name: st.lists(cell, min_size=n, max_size=n) for name, cell in CELLS.items()}
        )
    ),
    st.sampled_from(["pandas", "polars", "arrow"]),
)
@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
def test_any_frame_comes_back_as_itself(columns: dict[str, list[Any]], library: str) -> None:
    """Same columns, order and types; categories, and numbers between the ends, of those that were seen."""
    try:
        table = pa.table({**columns, "more": [0.5 * at for at in range(len(next(iter(columns.values()))))]})
    except StopIteration:
        return
    frame: Any = {"pandas": table.to_pandas, "polars": lambda: pl.from_arrow(table), "arrow": lambda: table}[
        library
    ]()
    model = Autoencoder(2, **{**SMALL, "max_epochs": 1}).fit(frame)
    back = model.inverse_transform(model.transform(frame))
    left_out = {note.split("'")[1] for note in model.notes_ if "left out" in note}
    names = [name for name in table.column_names if name not in left_out]
    got = list(back.column_names if library == "arrow" else back.columns)
    assert got == names
    if library == "arrow":
        assert back.schema == table.select(names).schema
    elif library == "polars":
        assert back.schema == frame.select(names).schema
    else:
        assert list(back.dtypes) == list(frame[names].dtypes)
    seen, rebuilt = table.to_pydict(), (back if library == "arrow" else pa.table(back)).to_pydict()
    for name in names:
        known = [value for value in seen[name] if value is not None]
        if name in ("word", "flag"):
            assert set(rebuilt[name]) <= set(known)
        if name == "day":
            second = pd.Timedelta(seconds=1)
            assert all(min(known) - second <= value <= max(known) + second for value in rebuilt[name])


def test_frames_of_numbers_are_vectors_that_come_back_as_frames() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=40), "b": rng.integers(0, 9, 40), "c": rng.normal(size=40)})
    frame = frame.astype({"c": "float32"})
    model = Autoencoder(2, **SMALL).fit(frame)
    assert model._model.scaling.schema.kind == "vectors"
    np.testing.assert_array_equal(
        model.transform(frame), Autoencoder(2, **SMALL).fit(frame.to_numpy()).transform(frame.to_numpy())
    )
    back = model.reconstruct(frame[["c", "a", "b"]])
    assert list(back.dtypes) == list(frame.dtypes)
    assert back.columns.tolist() == ["a", "b", "c"]
    assert back.index.equals(frame.index)
    with pytest.raises(DataError, match=r"expected the 3 columns .* got none named 'c'"):
        model.transform(frame[["a", "b"]])
    with pytest.warns(DataWarning, match="'new'"):
        model.transform(frame.assign(new=1.0))
    with pytest.raises(ValueError, match="NaN"):
        model.transform(frame.assign(a=np.nan))
    numbered = frame.set_axis([0, 1, 2], axis=1)
    assert Autoencoder(2, **SMALL).fit(numbered).reconstruct(numbered).columns.tolist() == [0, 1, 2]
    gap = frame.assign(a=[None, *frame["a"][1:]])
    assert Autoencoder(2, **SMALL).fit(gap)._model.scaling.schema.kind == "tables"
    masked = Autoencoder(2, missing="mask", **SMALL).fit(frame)
    assert masked._model.scaling.schema.kind == "tables"
    assert np.isfinite(masked.transform(gap)).all()


def test_what_nan_is_in_arrays() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3))
    rows[::5, 1] = np.nan
    assert not get_tags(Autoencoder()).input_tags.allow_nan
    assert get_tags(Autoencoder(missing="mask")).input_tags.allow_nan
    assert get_tags(AutoencoderClusterer(autoencoder=Autoencoder(missing="mask"))).input_tags.allow_nan
    with pytest.raises(ValueError, match="NaN"):
        Autoencoder(2, **SMALL).fit(rows)
    model = Autoencoder(2, missing="mask", **SMALL).fit(rows)
    assert np.isfinite(model.reconstruct(rows)).all()
    assert model.score(rows) == pytest.approx(-model.metrics_["error"]["mse"], rel=1)
    assert get_tags(clone(model)).input_tags.allow_nan
    with pytest.raises(ParameterError, match="missing"):
        Autoencoder(2, missing="maybe", **SMALL).fit(rows)
    with pytest.raises(DataError, match="must be finite"):
        Autoencoder(2, missing="refuse", **SMALL).fit(people())


def test_the_error_of_rows_with_gaps_is_a_mean_over_what_is_there() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 4))
    rows[:, 2][np.arange(40) % 2 == 0] = np.nan
    model = Autoencoder(2, missing="mask", scaling="raw", **SMALL).fit(rows)
    squared = np.square(model.reconstruct(rows) - rows)
    assert model.score(rows) == pytest.approx(-np.nansum(squared) / (~np.isnan(rows)).sum(), rel=1e-5)


def test_arrays_stand_for_the_columns_in_their_order() -> None:
    frame = people().drop(columns=["since", "name"])
    model = Autoencoder(2, **SMALL).fit(frame)
    rows = frame.astype(object).where(frame.notna(), None).to_numpy()
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        np.testing.assert_array_equal(model.transform(rows), model.transform(frame))
    with pytest.raises(ValueError, match="6 features"), pytest.warns(UserWarning, match="feature names"):
        model.transform(rows[:, :3])


def test_files_and_pickles_give_frames(fitted: VariationalAutoencoder, tmp_path: Path) -> None:
    frame = people(20, 2)
    fitted.save(tmp_path / "m.safetensors")
    pd.testing.assert_frame_equal(
        pickle.loads(pickle.dumps(fitted)).reconstruct(frame), fitted.reconstruct(frame)
    )
    opened = VariationalAutoencoder.open(tmp_path / "m.safetensors")
    assert opened.feature_names_in_.tolist() == KEPT
    assert opened.n_features_in_ == 7
    back = opened.reconstruct(frame.drop(columns="name"))
    assert isinstance(back, pd.DataFrame)
    assert back.columns.tolist() == KEPT
    np.testing.assert_array_equal(back["age"], fitted.reconstruct(frame)["age"])
    numbers = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["a", "b"])
    Autoencoder(1, **SMALL).fit(numbers).save(tmp_path / "n.safetensors")
    assert Autoencoder.open(tmp_path / "n.safetensors").sample(3, X=numbers).columns.tolist() == ["a", "b"]


def test_a_fit_that_fails_leaves_the_columns_alone(fitted: VariationalAutoencoder) -> None:
    model = Autoencoder(3, **SMALL).fit(people())
    before = model.reconstruct(people())
    with pytest.raises(DataError):
        model.fit(pd.DataFrame({"a": ["x", "x"], "b": [None, None]}))
    pd.testing.assert_frame_equal(model.reconstruct(people()), before)


def test_more_rows_are_read_by_the_first_ones_columns() -> None:
    model = Autoencoder(2, **SMALL).partial_fit(people())
    model.partial_fit(people(30, 5).drop(columns="name"))
    assert len(model.history_) == 2
    again = Autoencoder(2, warm_start=True, **SMALL).fit(people())
    without_west = people(40, 6)
    again.fit(without_west[without_west["ward"] != "west"])
    assert set(again.reconstruct(people())["ward"]) <= {"north", "south", "west"}


def test_detectors_of_frames() -> None:
    frame = people(150, gaps=0.0)
    detector = AnomalyDetector(3, **{**SMALL, "max_epochs": 30}).fit(frame)
    odd = frame.iloc[[0]].assign(age=500.0)
    assert detector.explain(frame).shape == (150, 6)
    assert detector.explain(odd).argmax() == 0
    assert detector.causes(odd, n_causes=1) == [["age"]]
    assert set(detector.predict(frame)) <= {-1, 1}


def test_groups_of_frames() -> None:
    clusterer = AutoencoderClusterer(2, Autoencoder(3, **SMALL), random_state=0).fit(people())
    assert clusterer.cluster_centers_.columns.tolist() == KEPT
    assert clusterer.predict(people()).shape == (60,)


def test_classes_of_frames() -> None:
    frame = people()
    y = frame["smoker"].to_numpy()
    frame = frame.drop(columns="smoker")
    model = AutoencoderClassifier(Autoencoder(3, **SMALL), max_epochs=3, random_state=0)
    more = people(30, 3).drop(columns="smoker")[frame.columns[::-1]]
    model.fit(frame, y, unlabelled=more)
    assert model.autoencoder_.metrics_["rows"] == 9  # a tenth of both
    assert model.predict_proba(frame).shape == (60, 2)
    np.testing.assert_array_equal(model.predict(frame[frame.columns[::-1]]), model.predict(frame))
    with pytest.raises(DataError, match="none named 'age' in the second"):
        model.fit(frame, y, unlabelled=more.drop(columns="age"))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(frame, y[:-1])
    holes = np.where(np.eye(40, 3) > 0, np.nan, np.random.default_rng(0).normal(size=(40, 3)))
    masked = AutoencoderClassifier(Autoencoder(2, missing="mask", **SMALL), max_epochs=2, random_state=0)
    assert masked.fit(holes, np.arange(40) % 2).predict(holes).shape == (40,)


@pytest.mark.filterwarnings("ignore::isthmus.errors.DataWarning")
def test_in_pipelines_searches_and_folds() -> None:
    frame = people()
    y, frame = frame["smoker"].to_numpy(), frame.drop(columns="smoker")
    pipe = make_pipeline(Autoencoder(2, **SMALL), LogisticRegression())
    assert cross_val_predict(pipe, frame, y, cv=2).shape == (60,)
    search = GridSearchCV(pipe, {"autoencoder__n_components": [2, 3]}, cv=2).fit(pl.from_pandas(frame), y)
    assert search.best_params_["autoencoder__n_components"] in (2, 3)
    codes = pipe[:1].set_output(transform="pandas").fit_transform(frame)
    assert codes.index.equals(frame.index)


def test_types_of_columns_are_as_they_are_said_to_be(tmp_path: Path) -> None:
    """What the rules get wrong stays right in files, copies and searches."""
    frame = people(gaps=0.0)[["age", "visits", "word"]]
    types = {"visits": "category", "word": "ignore"}
    model = Autoencoder(1, types=types, **SMALL).fit(frame)
    schema = model._model.scaling.schema
    assert [(column.name, column.type) for column in schema.table or ()] == [
        ("age", "continuous"),
        ("visits", "category"),
    ]
    assert model.config_.data.types == types
    assert "Set by data.types: 'visits' (category)." in model.notes_
    back = model.reconstruct(frame)
    assert list(back.columns) == ["age", "visits"]
    assert set(back["visits"]) <= set(frame["visits"])
    model.save(tmp_path / "m.safetensors")
    opened = Autoencoder.open(tmp_path / "m.safetensors")
    assert opened.types == types
    assert np.array_equal(opened.transform(frame.drop(columns="word")), model.transform(frame))
    again = clone(model).set_params(types={"visits": "count"}).fit(frame)
    assert [column.type for column in again._model.scaling.schema.table or ()][1] == "count"
    # Numbers alone are a table too, and every kind takes them.
    numbers = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40) % 7})
    detector = AnomalyDetector(types={"b": "category"}, **SMALL).fit(numbers)
    assert [column.type for column in detector._model.scaling.schema.table or ()] == ["count", "category"]
    assert detector.partial_fit(numbers).predict(numbers).shape == (40,)


def test_types_that_cannot_be() -> None:
    frame, rows = people()[["age", "visits"]], np.eye(9, 3)
    with pytest.raises(
        ParameterError, match=r"expected names of columns of Autoencoder, got 'visit'; did you"
    ):
        Autoencoder(types={"visit": "count"}, **SMALL).fit(frame)
    with pytest.raises(
        ParameterError, match=r"^Autoencoder: types: column 'age' must be one of .* got 'number'"
    ):
        Autoencoder(types={"age": "number"}, **SMALL).fit(frame)
    with pytest.raises(
        ParameterError, match=r"^Autoencoder: types: expected .* try types=\{'NAME': 'category'\}"
    ):
        Autoencoder(types="category", **SMALL).fit(frame)
    for X in (rows, sparse.csr_matrix(rows)):
        with pytest.raises(ParameterError, match="types says what the columns of a frame are, got"):
            Autoencoder(types={"0": "count"}, **SMALL).fit(X)
    asked = Autoencoder(types={"a": "count"}, row_kind="sequences", **SMALL)
    with pytest.raises(ParameterError, match="got row_kind='sequences'"):
        asked.fit(pd.DataFrame({"a": np.arange(9.0), "b": 1.0}))

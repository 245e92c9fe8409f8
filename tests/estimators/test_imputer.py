"""The imputer: gaps filled well, what is there left alone bit for bit, frames as they came, draws by a seed."""

from __future__ import annotations

import pickle
from datetime import date
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
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator

from isthmus import Autoencoder, AutoencoderImputer, DeterministicCode, Masking, Mixed, SquaredError
from isthmus.config import Config
from isthmus.errors import DataError, DataWarning, OutputError, ParameterError
from isthmus.sources import TableSource, table_of
from isthmus.workflows.fit import fit
from isthmus.workflows.impute import impute

torch.set_num_threads(1)


def quick(epochs: int = 2, **params: Any) -> AutoencoderImputer:
    inner = Autoencoder(4, hidden_sizes=(16,), max_epochs=epochs, threads=1, device="cpu")
    return AutoencoderImputer(inner, **{"random_state": 0, **params})


def people(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Columns of every type, with gaps in most; all hang on one hidden number."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "id": [f"p{at:03}" for at in range(n)],
            "age": 50 + 10 * size + rng.normal(size=n),
            "ward": pd.Categorical(np.array(["north", "south", "west"])[np.digitize(size, [-0.5, 0.5])]),
            "visits": pd.array(np.rint(10 + 3 * size).clip(0).astype(int), dtype="Int64"),
            "smoker": pd.array(size > 0, dtype="boolean"),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.rint(1e6 * (3 + size)), unit="s"),
            "word": pd.Series(np.where(size > 0, "tall", "small"), dtype=object),
            "site": "here",
        }
    )
    for at, name in enumerate(["age", "ward", "visits", "smoker", "since", "word"]):
        frame.loc[rng.random(n) < 0.1 + 0.02 * at, name] = None
    return frame


@pytest.fixture(scope="module")
def fitted() -> AutoencoderImputer:
    torch.set_num_threads(1)
    return quick(40).fit(people(200, 7))


CHECKS = [
    pytest.param(estimator, check, id=f"{number}-{getattr(check, 'func', check).__name__}")
    for number, (estimator, check) in enumerate(estimator_checks_generator(quick()))
    if getattr(check, "func", check).__name__ != "check_array_api_input"
]
"""Every one, but that which needs a process of its own (see test_sklearn_checks)."""

FRAMES = [
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_global_set_output_transform_polars,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_transformer_preserve_dtypes,
]


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check(estimator: AutoencoderImputer, check: Any) -> None:
    check(estimator)


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@pytest.mark.parametrize("check", FRAMES, ids=lambda check: check.__name__)
def test_check_of_names_and_frames(check: Any) -> None:
    check("AutoencoderImputer", quick())


def test_defaults_pass_the_checks_that_look_at_them() -> None:
    tags = get_tags(AutoencoderImputer())
    assert tags.input_tags.allow_nan
    estimator_checks.check_parameters_default_constructible("AutoencoderImputer", AutoencoderImputer())
    assert clone(AutoencoderImputer(missing_values=-1)).missing_values == -1


# How well


def normal_pairs(n: int, seed: int) -> np.ndarray:
    """Two standard normal columns of correlation 0.8."""
    first, rest = np.random.default_rng(seed).normal(size=(2, n))
    return np.stack([first, 0.8 * first + 0.6 * rest], axis=1)


def test_normal_pairs_are_filled_by_their_conditional_distribution() -> None:
    """x2 given x1 is N(0.8 x1, 0.36): its mean by ``transform``.

    The scale of ``sample`` is one for all rows with x2 hidden, of which 35 % hide x1 too:
    its square is 0.65 * 0.36 + 0.35 * 1. Noise on the code would add to it.
    """
    inner = Autoencoder(
        4,
        hidden_sizes=(16,),
        code=DeterministicCode(),
        corruption=Masking(0.35, emphasis=1.0),
        scaling="standardise",
        max_epochs=25,
        learning_rate=1e-2,
        threads=1,
    )
    imputer = AutoencoderImputer(inner, random_state=0).fit(normal_pairs(800, 0))
    rows = normal_pairs(300, 1)
    rows[:, 1] = np.nan
    expected = 0.8 * rows[:, 0]
    found = imputer.transform(rows)[:, 1]
    assert np.sqrt(np.square(found - expected).mean()) < 0.15
    draws = imputer.sample(rows, n_draws=60, random_state=0)[:, :, 1]
    assert np.sqrt(np.square(draws.mean(axis=0) - found).mean()) < 1.2 * 0.764 / np.sqrt(60)
    assert draws.std(axis=0).mean() == pytest.approx(np.sqrt(0.65 * 0.36 + 0.35), abs=0.06)


def test_gaps_of_every_type_are_filled_better_than_by_constants(fitted: AutoencoderImputer) -> None:
    whole, hidden = people(300, 5), np.random.default_rng(6)
    names = ["age", "ward", "smoker", "word"]
    holes = whole.copy()
    where = {name: (hidden.random(300) < 0.3) & whole[name].notna().to_numpy() for name in names}
    for name, at in where.items():
        holes.loc[at, name] = None
    filled = fitted.transform(holes)
    off = np.abs(filled["age"] - whole["age"])[where["age"]].mean()
    assert off < 0.6 * np.abs(whole["age"] - whole["age"].median())[where["age"]].mean()
    for name in names[1:]:
        here = where[name]
        wrong = (filled[name].astype(object) != whole[name].astype(object))[here].mean()
        assert wrong < 0.8 * (whole[name] != whole[name].mode()[0])[here].astype(bool).mean()


# Frames


def same_cells(before: pd.DataFrame, after: pd.DataFrame) -> None:
    """What was there is there, bit for bit."""
    for name in after.columns:
        there = before[name].notna().to_numpy()
        old, new = before.loc[there, name], after.loc[there, name]
        pd.testing.assert_series_equal(old, new, check_exact=True)


def test_pandas_frames_keep_everything_but_their_gaps(fitted: AutoencoderImputer) -> None:
    frame = people(40, 1).set_index(pd.Index([f"r{at}" for at in range(40)], name="who"))
    before = frame.copy()
    filled = fitted.transform(frame)
    pd.testing.assert_frame_equal(frame, before)
    same_cells(frame, filled)
    assert filled.notna().all().all()
    assert list(filled.dtypes) == list(frame.dtypes)
    assert filled.index.equals(frame.index)
    assert filled.columns.tolist() == frame.columns.tolist()
    assert set(filled["ward"]) <= {"north", "south", "west"}
    dates, known = filled["since"][frame["since"].isna()], people(200, 7)["since"]
    assert dates.between(known.min(), known.max()).all()
    assert fitted.get_feature_names_out().tolist() == frame.columns.tolist()
    assert any("'id' is left out" in note for note in fitted.notes_)


def same_arrow_cells(before: pa.Table, after: pa.Table, *, but: str = "") -> None:
    """As same_cells; everything but one column is filled."""
    assert after.schema == before.schema
    for name in before.column_names:
        old, new = before[name].combine_chunks(), after[name].combine_chunks()
        there = old.is_valid()
        assert new.filter(there).equals(old.filter(there)), name
        assert name == but or new.null_count == 0


@pytest.mark.parametrize("library", ["polars", "arrow"])
def test_frames_of_other_libraries_come_back_as_theirs(library: str) -> None:
    table = pa.Table.from_pandas(people(), preserve_index=False)
    frame: Any = pl.from_arrow(table) if library == "polars" else table
    filled = quick().fit_transform(frame)
    assert type(filled) is type(frame)
    assert filled.schema == frame.schema
    if library == "polars":
        words = [pl.col("ward").cast(pl.String)]  # no order of the words is promised
        same_arrow_cells(frame.with_columns(words).to_arrow(), filled.with_columns(words).to_arrow())
    else:
        words = table["ward"].cast(pa.string())
        at = table.column_names.index("ward")
        same_arrow_cells(
            table.set_column(at, "ward", words),
            filled.set_column(at, "ward", filled["ward"].cast(pa.string())),
        )


CELL = st.one_of(st.none(), st.floats(-1e300, 1e300, allow_nan=False), st.just(-0.0))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 9).flatmap(
        lambda n: st.tuples(
            st.lists(CELL, min_size=n, max_size=n),
            st.lists(st.sampled_from(["north", "south", "moon", None]), min_size=n, max_size=n),
            st.lists(st.one_of(st.none(), st.integers(0, 2**60)), min_size=n, max_size=n),
        )
    ),
    order=st.permutations(["id", "age", "ward", "visits", "smoker", "since", "word", "site"]),
)
@pytest.mark.filterwarnings("ignore::isthmus.errors.DataWarning")
def test_what_is_there_stays_bit_for_bit(fitted: AutoencoderImputer, rows: Any, order: list[str]) -> None:
    """Huge and negative zero, categories never seen, counts beyond float64, columns in any order."""
    ages, wards, visits = rows
    n = len(ages)
    table = pa.table(
        {
            "id": pa.array([None] * n, pa.string()),
            "age": pa.array(ages, pa.float64()),
            "ward": pa.array(wards, pa.string()),
            "visits": pa.array(visits, pa.int64()),
            "smoker": pa.array([None] * n, pa.bool_()),
            "since": pa.array([1_600_000_000_123_456_789] * n, pa.timestamp("ns")),
            "word": pa.array(["tall"] * n),
            "site": pa.array(["elsewhere"] * n),
        }
    )
    filled = fitted.transform(table.select(order))
    assert filled.column_names == table.column_names
    same_arrow_cells(table, filled, but="id")
    known = table["age"].combine_chunks().is_valid()
    old, new = (frame["age"].combine_chunks().filter(known) for frame in (table, filled))
    assert np.array_equal(np.signbit(new), np.signbit(old))


def test_columns_that_nothing_was_learned_from_keep_their_gaps(fitted: AutoencoderImputer) -> None:
    frame = people(5, 2)
    frame.loc[0, "id"] = None
    with pytest.warns(DataWarning, match="Gaps stay in 'id'"):
        filled = fitted.transform(frame)
    assert filled["id"].isna().tolist() == [True, False, False, False, False]
    frame.loc[1, "site"] = None
    with pytest.warns(DataWarning):
        assert fitted.transform(frame)["site"].tolist() == ["here"] * 5


def test_columns_missing_extra_and_twice(fitted: AutoencoderImputer) -> None:
    frame = people(5, 3)
    with pytest.raises(DataError, match=r"expected the 8 columns .* got none named 'age', 'word'"):
        fitted.transform(frame.drop(columns=["age", "word"]))
    with pytest.warns(DataWarning, match="Left out, for the model does not know them: 'new'"):
        assert "new" not in fitted.transform(frame.assign(new=1))
    with pytest.raises(DataError, match="age"):
        fitted.transform(pd.concat([frame, frame[["age"]]], axis=1))
    one = fitted.transform(frame.iloc[[2]])
    pd.testing.assert_frame_equal(one, fitted.transform(frame).iloc[[2]])


def test_a_category_never_seen_is_no_gap(fitted: AutoencoderImputer) -> None:
    frame = people(4, 4).astype({"ward": object})
    frame["ward"] = ["moon", None, "north", "south"]
    with pytest.warns(DataWarning, match="moon"):
        filled = fitted.transform(frame)
    assert filled["ward"].tolist()[0] == "moon"
    assert filled["ward"].tolist()[1] in ("north", "south", "west")


def test_a_category_that_a_frame_lacks_is_filled_in(fitted: AutoencoderImputer) -> None:
    frame = people(30, 4)
    expected = fitted.transform(frame.assign(ward=pd.Categorical([None] * 30, ["north", "south", "west"])))
    lacking = frame.assign(ward=pd.Categorical([None] * 30, ["north"]))
    assert fitted.transform(lacking)["ward"].tolist() == expected["ward"].tolist()
    assert expected["ward"].nunique() > 1
    enum = pl.from_pandas(frame.drop(columns="ward")).with_columns(ward=pl.lit(None, pl.Enum(["north"])))
    assert fitted.transform(enum)["ward"].to_list() == expected["ward"].tolist()


def test_dates_of_text_stay_text() -> None:
    days = [date.fromordinal(737_000 + 3 * at).isoformat() for at in range(40)]
    frame = pd.DataFrame({"day": [None, *days[1:]], "number": np.arange(40.0)})
    filled = quick().fit_transform(frame)
    assert filled["day"].tolist()[1:] == days[1:]
    assert days[0] <= filled["day"][0] <= days[-1]


# Arrays and what stands for a gap


def test_arrays_keep_their_type() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    holes = np.where(np.random.default_rng(1).random(rows.shape) < 0.2, np.nan, rows)
    imputer = quick().fit(holes)
    for dtype in (np.float64, np.float32):
        filled = imputer.transform(holes.astype(dtype))
        there = ~np.isnan(holes)
        assert filled.dtype == dtype
        assert np.array_equal(filled[there], holes.astype(dtype)[there])
        assert np.isfinite(filled).all()
    assert np.array_equal(imputer.transform(rows), rows)
    with pytest.raises(ValueError, match="infinity"):
        imputer.transform(np.full((2, 3), np.inf))


def test_missing_values_are_gaps_beside_nan() -> None:
    whole = np.random.default_rng(0).integers(0, 50, (60, 3))
    rows = whole.copy()
    rows[::4, 1] = -1
    imputer = quick(missing_values=-1).fit(rows)
    filled = imputer.transform(rows)
    assert filled.dtype == rows.dtype
    assert filled.min() >= 0
    assert np.array_equal(filled[rows >= 0], rows[rows >= 0])
    words = people()
    words["word"] = words["word"].fillna("?")
    words["visits"] = words["visits"].fillna(-9)
    filled = quick(missing_values="?").fit_transform(words)
    assert set(filled["word"]) == {"tall", "small"}
    same_cells(words.replace({"word": {"?": None}}), filled)
    assert (filled["visits"] == words["visits"]).all()
    with pytest.raises(ParameterError, match="missing_values must be a number, a word, NaN or None"):
        quick(missing_values=[1]).fit(rows)


# Draws


def test_draws_are_a_function_of_the_seed(fitted: AutoencoderImputer) -> None:
    frame = people(30, 8)
    one, two = fitted.sample(frame, 3, random_state=1), fitted.sample(frame, 3, random_state=1)
    assert len(one) == 3
    for a, b in zip(one, two, strict=True):
        pd.testing.assert_frame_equal(a, b)
        same_cells(frame, a)
        assert a.notna().all().all()
    assert not one[0].equals(one[1])
    assert not fitted.sample(frame, 1, random_state=2)[0].equals(one[0])
    rows = np.where(np.eye(30, 3) > 0, np.nan, np.random.default_rng(0).normal(size=(30, 3)))
    assert quick().fit(rows).sample(rows, 4, random_state=0).shape == (4, 30, 3)
    with pytest.raises(ParameterError, match="n_draws must be at least 1"):
        fitted.sample(frame, 0)


def test_what_is_no_density_draws_nothing() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3))
    imputer = AutoencoderImputer(Autoencoder(2, likelihood=SquaredError(), max_epochs=1), random_state=0)
    with pytest.raises(ParameterError, match="density"):
        imputer.fit(rows).sample(rows)


# Of what it is made


def test_an_autoencoder_keeps_what_it_was_given() -> None:
    inner = Autoencoder(3, corruption=Masking(0.5), likelihood="mixed", max_epochs=1, random_state=7)
    imputer = AutoencoderImputer(inner, random_state=0).fit(np.random.default_rng(0).normal(size=(40, 4)))
    found = imputer.autoencoder_.config_
    assert found.model.corruption == Masking(0.5)
    assert (found.model.code_size, imputer.seed_, found.data.missing) == (3, 7, "mask")
    assert (found.model.network.activation, found.model.code.noise) == ("tanh", 0.5)
    assert inner.missing == "auto"
    assert not hasattr(inner, "module_")


def test_one_set_of_constants_fills(tmp_path: Path) -> None:
    """``AutoencoderImputer()`` and ``isthmus fit --kind imputing`` are one model."""
    frame = people(60)
    config = Config.from_dict({"model": {"kind": "imputing"}, "training": {"seed": 3}}).with_training(
        epochs=3
    )
    model, _ = fit(TableSource(frame), config)
    imputer = AutoencoderImputer(Autoencoder(max_epochs=3), random_state=3).fit(frame)
    found = imputer.autoencoder_.config_
    assert found.training == model.config.training
    assert found.model.replace(kind="imputing") == model.config.model
    filled = table_of(impute(model, TableSource(frame)), model.scaling.schema).to_pandas()
    names = ["age", "visits", "word", "smoker"]
    for name in names:
        assert imputer.transform(frame)[name].tolist() == filled[name].tolist()
    # Arrays by the same constants; parts that are given stay.
    rows = np.random.default_rng(0).normal(size=(40, 4))
    plain = AutoencoderImputer(Autoencoder(max_epochs=1), random_state=0).fit(rows).autoencoder_.config_.model
    assert (plain.code, plain.corruption) == (model.config.model.code, model.config.model.corruption)
    assert (plain.code_size, plain.likelihood) == (4, Mixed("gaussian"))
    own = Autoencoder(code=DeterministicCode(), activation="relu", max_epochs=1)
    kept = AutoencoderImputer(own, random_state=0).fit(rows).autoencoder_.config_.model
    assert (kept.code.noise, kept.network.activation) == (0.0, "relu")


def test_a_fitted_one_is_used_as_it_is() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 4))
    inner = Autoencoder(3, corruption=Masking(0.3), missing="mask", max_epochs=1, random_state=0).fit(rows)
    rows[0, 0] = np.nan
    imputer = clone(AutoencoderImputer(FrozenEstimator(inner))).fit(rows)
    assert imputer.autoencoder_ is inner
    np.testing.assert_array_equal(
        imputer.transform(rows), impute(inner._model, inner._source(rows, reset=False))
    )
    with pytest.raises(ParameterError, match="expected an autoencoder that knows gaps"):
        AutoencoderImputer(Autoencoder(2, max_epochs=1).fit(rows[1:])).fit(rows)
    with pytest.raises(ParameterError, match="missing='refuse'"):
        AutoencoderImputer(Autoencoder(missing="refuse")).fit(rows)
    with pytest.raises(ParameterError, match="must be an Autoencoder or None, got 3"):
        AutoencoderImputer(3).fit(rows)
    with pytest.raises(ParameterError, match="knows no labels"):
        AutoencoderImputer(Autoencoder(condition="label")).fit(rows)


def test_a_file_and_a_pickle_hold_all_of_it(fitted: AutoencoderImputer, tmp_path: Path) -> None:
    path, frame = tmp_path / "imputer.safetensors", people(20, 9)
    fitted.save(path)
    with pytest.raises(OutputError, match="is there already"):
        fitted.save(path)
    kept = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(kept.transform(frame), fitted.transform(frame))
    opened = AutoencoderImputer.open(path)
    without_id = frame.drop(columns="id")
    pd.testing.assert_frame_equal(opened.transform(without_id), fitted.transform(frame).drop(columns="id"))
    assert opened.feature_names_in_.tolist() == without_id.columns.tolist()
    Autoencoder(2, max_epochs=1).fit(np.eye(20, 3)).save(tmp_path / "plain.safetensors")
    with pytest.raises(ParameterError, match="knows gaps"):
        AutoencoderImputer.open(tmp_path / "plain.safetensors")


def test_in_a_pipeline_and_a_search() -> None:
    frame, target = people(60), people(60)["word"].fillna("small")
    frame = frame.drop(columns="word")
    pipe = make_pipeline(quick(), Autoencoder(3, max_epochs=2, random_state=0), LogisticRegression())
    assert pipe.fit(frame, target).predict(frame).shape == (60,)
    search = GridSearchCV(pipe, {"autoencoderimputer__autoencoder__n_components": [2, 3]}, cv=2)
    assert search.fit(frame, target).best_score_ > 0
    out = quick().set_output(transform="polars").fit_transform(frame)
    assert isinstance(out, pl.DataFrame)
    assert out.columns == frame.columns.tolist()

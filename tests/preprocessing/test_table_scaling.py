"""Tables to model units and back: round trips, gaps, order, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import ks_2samp, norm

from isthmus.errors import ArtifactError, DataError, ParameterError
from isthmus.preprocessing import Scaling, TableScaling, from_state
from isthmus.preprocessing.table_fit import N_KNOTS
from isthmus.schema import Column, Schema
from isthmus.sources.arrays import ArraySource
from isthmus.sources.base import Source

TABLE = (
    Column("size", "continuous", "double"),
    Column("kind", "category", "string", ("a", "b", "c")),
    Column("count", "count", "int64"),
    Column("is", "boolean", "bool", (False, True)),
    Column("when", "date", "timestamp[s]"),
)
GAP = float("nan")


class Rows(Source):
    """A table in memory."""

    labels = None

    def __init__(self, values: NDArray[np.float64], table: tuple[Column, ...] = TABLE) -> None:
        self.values = values
        names = tuple(column.name for column in table)
        self.schema = Schema("tables", (len(table),), "float64", columns=names, table=table)

    def __len__(self) -> int:
        return len(self.values)

    def read(self, rows):
        return self.values[rows]


def table(n: int = 400, seed: int = 0, gaps: float = 0.1) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    values = np.stack(
        [
            rng.lognormal(size=n),
            rng.integers(0, 3, n),
            rng.poisson(3, n),
            rng.random(n) < 0.3,
            1e9 + np.rint(1e6 * rng.random(n)),
        ],
        axis=1,
    )
    values[rng.random(values.shape) < gaps] = np.nan
    return values


def fitted(values: NDArray[np.float64] | None = None, **options) -> TableScaling:
    values = table() if values is None else values
    return TableScaling.fit(Rows(values), np.arange(len(values)), **options)


@pytest.mark.parametrize("method", ["quantile", "standardise", "range", "none"])
def test_there_and_back(method) -> None:
    values = table()
    values[:, 4] -= 1e9  # seconds that float32 tells apart
    scaling = fitted(values, method=method)
    model = scaling.to_model(values)
    assert model.dtype == np.float32
    assert model.shape == (400, 7)
    assert np.array_equal(
        np.isnan(model[:, [0, 1, 2, 3, 4, 5, 6]]), np.isnan(values[:, [0, 1, 1, 1, 2, 3, 4]])
    )
    back = scaling.to_data(model)
    assert np.array_equal(back[:, 1:4], values[:, 1:4], equal_nan=True)
    np.testing.assert_allclose(back[:, 0], values[:, 0], rtol=2e-5)
    np.testing.assert_allclose(back[:, 4], values[:, 4], atol=1)


def test_quantiles_become_normal_scores() -> None:
    values = table(5_000, gaps=0.0)
    model = fitted(values).to_model(values)
    for place in (0, 6):
        ranks = (values[:, 0 if place == 0 else 4].argsort().argsort() + 0.5) / len(values)
        np.testing.assert_allclose(model[:, place], norm.ppf(ranks), atol=0.05)


@pytest.mark.parametrize("n", [300, 4000])
def test_scores_drawn_at_random_are_a_heap_as_often_as_rows_are(n: int) -> None:
    """Quantile maps turn normal numbers into the column's own distribution, what many rows share included."""
    rng = np.random.default_rng(0)
    values = np.where(rng.random(n) < 0.3, 0.0, rng.normal(size=n))
    values[rng.random(n) < 0.1] = 1.0
    values[rng.random(n) < 0.1] = values.max()
    scaling = TableScaling.fit(ArraySource(values[:, None]), np.arange(n), method="quantile")
    even = norm.ppf((np.arange(100_000) + 0.5) / 100_000)[:, None]
    drawn = scaling.to_data(even)[:, 0]
    for heap in (0.0, 1.0, values.max()):
        assert np.mean(drawn == heap) == pytest.approx(np.mean(values == heap), abs=1e-3)
    assert ks_2samp(drawn, values).statistic < 0.01
    # Values of a few rows are no heap: numbers between them can come, too.
    assert len(np.unique(drawn)) > n


def test_a_scaling_from_before_heaps_opens() -> None:
    scaling = fitted()
    described, arrays_ = scaling.to_state()
    del arrays_["low"], arrays_["high"]
    opened = from_state(described, arrays_)
    rows = scaling.to_model(table())
    assert np.array_equal(opened.to_data(rows), scaling.to_data(rows), equal_nan=True)


@given(
    arrays(
        np.float64,
        st.integers(2, 60),
        elements=st.floats(-1e6, 1e6, allow_subnormal=False, width=32) | st.sampled_from([0.0, 1.0, GAP]),
    )
)
def test_any_column_keeps_its_order_and_its_knots(column: NDArray[np.float64]) -> None:
    if np.isnan(column).all() or np.nanmin(column) == np.nanmax(column):
        return
    scaling = TableScaling.fit(ArraySource(column[:, None]), np.arange(len(column)), method="quantile")
    model = scaling.to_model(column[:, None])[:, 0]
    seen = ~np.isnan(column)
    order = column[seen].argsort()
    assert (np.diff(model[seen][order]) >= 0).all()
    assert np.array_equal(scaling.to_data(model[:, None])[:, 0], column, equal_nan=True)
    beyond = scaling.to_data(np.array([[-1e9], [1e9]]))[:, 0]
    assert beyond.tolist() == [np.nanmin(column), np.nanmax(column)]


@given(st.lists(st.lists(st.floats(-30, 30), min_size=7, max_size=7), min_size=1, max_size=5))
def test_whatever_a_model_says_comes_back_as_a_row(said: list[list[float]]) -> None:
    scaling = SCALING
    rows = scaling.to_data(np.array(said))
    assert set(rows[:, 1]) <= {0.0, 1.0, 2.0}
    assert set(rows[:, 3]) <= {0.0, 1.0}
    assert np.array_equal(rows[:, [2, 4]], np.rint(rows[:, [2, 4]]))
    ends = np.nanmin(table(), axis=0), np.nanmax(table(), axis=0)
    assert ((rows >= ends[0]) & (rows <= ends[1])).all()
    # What came back is a fixed point.
    assert np.array_equal(scaling.to_data(scaling.to_model(rows))[:, 1:4], rows[:, 1:4])


SCALING = fitted()


def test_a_large_column_has_few_knots_and_its_ends_among_them() -> None:
    values = np.random.default_rng(0).standard_t(2, (20_000, 1))
    scaling = TableScaling.fit(ArraySource(values), np.arange(len(values)), method="quantile")
    assert 100 < len(scaling.maps.knots[0]) <= N_KNOTS
    assert scaling.maps.knots[0][[0, -1]].tolist() == [values.min(), values.max()]
    knots = scaling.maps.knots[0][:, None]
    assert np.array_equal(scaling.to_data(scaling.to_model(knots)), knots)


def test_weights_count_as_repetitions() -> None:
    values = table(50)
    weights = np.random.default_rng(1).integers(0, 4, 50).astype(float)
    rows = np.repeat(np.arange(50), weights.astype(int))
    weighed, repeated = fitted(values, sample_weight=weights), TableScaling.fit(Rows(values), rows)
    for name, array in weighed.to_state()[1].items():
        np.testing.assert_allclose(array, repeated.to_state()[1][name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_what_a_constant_loses() -> None:
    values = table(2_000)
    scaling = fitted(values)
    model = scaling.to_model(values).astype(float)
    shares = np.nanmean(model[:, 1:4], axis=0)
    np.testing.assert_allclose(scaling.centre, np.nanmean(model, axis=0), atol=1e-4)
    losses = [block.constant_loss for block in scaling.layout or ()]
    assert [block.kind for block in scaling.layout or ()] == [
        "number",
        "category",
        "number",
        "boolean",
        "number",
    ]
    assert losses[0] == pytest.approx(np.nanvar(model[:, 0]), rel=1e-3)
    assert losses[1] == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-4)
    p = np.nanmean(model[:, 5])
    assert losses[3] == pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p), rel=1e-4)
    assert scaling.typical[1] == np.bincount(values[~np.isnan(values[:, 1]), 1].astype(int)).argmax()
    assert scaling.typical[0] == pytest.approx(np.nanmedian(values[:, 0]), rel=0.01)


def test_constant_columns_are_safe() -> None:
    values = table(30)
    values[:, 0], values[:, 3] = 7.0, 0.0
    for method in ("quantile", "standardise", "range"):
        scaling = fitted(values, method=method)
        assert np.array_equal(scaling.to_data(scaling.to_model(values))[:, 0], values[:, 0])
        assert "1 of 5 columns are constant (size)" in scaling.notes[0]


def test_days_are_whole() -> None:
    days = 86_400.0 * np.arange(40)
    column = (Column("day", "date", "date32[day]"),)
    scaling = TableScaling.fit(Rows(days[:, None], column), np.arange(40))
    assert (scaling.to_data(np.array([[0.123], [-0.9]])) % 86_400 == 0).all()


def test_the_state_is_the_scaling() -> None:
    for method in ("quantile", "standardise"):
        scaling = fitted(method=method, allows_gaps=True)
        described, arrays_ = scaling.to_state()
        again = from_state(described, arrays_)
        assert isinstance(again, TableScaling)
        assert np.array_equal(again.to_model(table()), scaling.to_model(table()), equal_nan=True)
        assert again.layout == scaling.layout
        assert again.to_state()[0] == described


def test_a_state_without_a_type_is_a_plain_scaling() -> None:
    plain = Scaling.fit(ArraySource(np.eye(3)), np.arange(3))
    assert isinstance(from_state(*plain.to_state()), Scaling)


@pytest.mark.parametrize(
    "change",
    [
        lambda d, a: d.pop("method"),
        lambda d, a: d.update(method="other"),
        lambda d, a: d.update(allows_gaps="yes"),
        lambda d, a: d.update(notes=[3]),
        lambda d, a: a.pop("knots"),
        lambda d, a: a.update(scale=0 * a["scale"]),
        lambda d, a: a.update(knots=a["knots"][::-1].copy()),
        lambda d, a: a.update(scores=a["scores"].astype(np.float32)),
        lambda d, a: a.update(low=a["low"] + 1),
        lambda d, a: a.update(high=a["high"][1:]),
        lambda d, a: a.update(high=a["high"] + 10),
        lambda d, a: a.update(n_knots=a["n_knots"][::-1].copy()),
        lambda d, a: a.update(n_knots=-a["n_knots"]),
        lambda d, a: a.update(centre=a["centre"][1:]),
        lambda d, a: a.update(constant_loss=0 * a["constant_loss"]),
        lambda d, a: a.update(typical=a["typical"] * np.nan),
    ],
)
def test_a_damaged_state_is_refused(change) -> None:
    described, arrays_ = fitted().to_state()
    change(described, arrays_)
    with pytest.raises(ArtifactError, match="the model file is damaged"):
        TableScaling.from_state(described, arrays_)


def test_whole_types_are_rounded_and_clipped() -> None:
    values = np.arange(60, dtype=np.uint8).reshape(20, 3)
    scaling = TableScaling.fit(ArraySource(values), np.arange(20), method="none")
    assert scaling.to_data(np.array([[-3.0, 1.4, 300.0]])).tolist() == [[0, 1, 255]]
    with pytest.raises(DataError, match="gaps cannot stand among uint8; ask for float64"):
        scaling.to_data(np.array([[np.nan, 1.0, 2.0]]))
    assert np.isnan(scaling.to_data(np.array([[np.nan, 1.0, 2.0]]), dtype=np.float64)[0, 0])
    huge = scaling.to_data(np.full((1, 3), 1e30), dtype=np.int64)
    assert (huge > 0).all()


def test_what_no_table_can_hold_is_refused() -> None:
    values = table(20)
    for row, match in (
        ([1.0, 3.0, 1, 0, 1e9], "among the 3 categories of column 'kind', got 3"),
        ([1.0, 0.5, 1, 0, 1e9], "among the 3 categories of column 'kind', got 0.5"),
        ([1.0, 0.0, 1, 2, 1e9], "among the 2 categories of column 'is', got 2"),
        ([np.inf, 0.0, 1, 0, 1e9], "got infinity in column 'size'"),
    ):
        with pytest.raises(DataError, match=match):
            fitted(values).to_model(np.array([row]))
        with pytest.raises(DataError, match=match):
            fitted(np.concatenate([values, [row]]))
    with pytest.raises(DataError, match=r"got a gap in column .*; set missing='mask'"):
        fitted(values, allows_gaps=False)
    with pytest.raises(DataError, match="expected rows of 5 numbers, got 4 of float64"):
        fitted(values).to_model(values[:, 1:])
    values[:, 2] = np.nan
    with pytest.raises(DataError, match="got none but gaps in column 'count'"):
        fitted(values)
    with pytest.raises(DataError, match="rows that are all alike"):
        fitted(np.tile([[1.0, 0, 1, 0, 5.0]], (4, 1)))
    with pytest.raises(ParameterError, match="expected a table or vectors, got pictures"):
        TableScaling.fit(ArraySource(np.zeros((3, 4, 4))), np.arange(3))

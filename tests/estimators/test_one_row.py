"""New rows that are what scikit-learn would make of them are not looked at by it once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isthmus import Autoencoder
from isthmus.estimators import reading

ROWS = np.random.default_rng(0).normal(size=(60, 6))
MODEL = Autoencoder(2, hidden_sizes=(8,), max_epochs=1, random_state=0, threads=1).fit(ROWS)


class AskedError(Exception):
    """scikit-learn was asked."""


@pytest.fixture
def nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any, **__: Any) -> None:
        raise AskedError

    monkeypatch.setattr(reading, "validate_data", ask)


@pytest.mark.usefixtures("nobody_asks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_plain_rows_go_straight_to_the_model(dtype: Any) -> None:
    assert MODEL.transform(ROWS[:1].astype(dtype)).dtype == dtype


@pytest.mark.usefixtures("nobody_asks")
@pytest.mark.parametrize(
    "X",
    [
        ROWS.tolist(),
        ROWS[:0],
        ROWS[0],
        ROWS[:, :5],
        np.where(ROWS > 1, np.nan, ROWS),
        np.where(ROWS > 1, np.inf, ROWS),
        ROWS.astype(">f8"),
        ROWS.astype(object),
        ROWS.astype(int),
        ROWS.astype(np.float16),
        np.ma.masked_array(ROWS),
    ],
    ids=lambda X: f"{type(X).__name__} {getattr(X, 'dtype', '')} {np.shape(X)}",
)
def test_scikit_learn_is_asked_about_all_others(X: Any) -> None:
    with pytest.raises(AskedError):
        MODEL.transform(X)


def test_both_ways_give_the_same_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    straight = MODEL.transform(ROWS)
    monkeypatch.setattr(reading.Reading, "_is_as_known", lambda *_: False)
    assert MODEL.transform(ROWS).tobytes() == straight.tobytes()


def test_names_of_the_fit_are_still_missed() -> None:
    pandas = pytest.importorskip("pandas")
    named = Autoencoder(2, max_epochs=1, random_state=0).fit(pandas.DataFrame(ROWS, columns=list("abcdef")))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        named.transform(ROWS)

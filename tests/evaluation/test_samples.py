"""Privacy, usefulness and the whole of what is said of made rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from isthmus.errors import DataError, ParameterError, UnknownNameError
from isthmus.evaluation.privacy import privacy
from isthmus.evaluation.samples import measure_samples
from isthmus.evaluation.usefulness import choose_target, usefulness
from isthmus.preprocessing import Scaling, TableScaling
from isthmus.schema import Column, Schema
from isthmus.sources import ArraySource, TableSource

RANDOM = np.random.default_rng


def people(n: int, seed: int) -> dict[str, Any]:
    random = RANDOM(seed)
    age = random.uniform(20, 80, n)
    dose = np.exp(random.normal(size=n)) + age / 40
    ill = np.where(age + 12 * random.normal(size=n) > 55, "yes", "no")
    ward = np.array(["north", "south", "west"])[random.integers(0, 3, n)]
    return {"age": age, "dose": dose, "ward": ward, "ill": ill}


@pytest.fixture(scope="module")
def parts() -> tuple[TableSource, TableSource, TableSource, TableScaling]:
    """Training rows, held-out rows, rows that are neither, and a scaling of the first."""
    whole = TableSource(pa.table(people(600, 0)))
    sets = [whole.take(np.arange(start, start + n)) for start, n in ((0, 300), (300, 100), (400, 200))]
    return sets[0], sets[1], sets[2], TableScaling.fit(sets[0], np.arange(300))


def test_new_rows_of_the_source_are_as_near_to_either(parts: Any) -> None:
    training, held_out, new, scaling = parts
    found = privacy(new.read(slice(None)), training, held_out, scaling)
    # 200 rows, so that a share has a standard error of about 0.04; three times as many training rows.
    assert found.nearer_share == pytest.approx(0.5, abs=0.1)
    assert (found.n_copies, found.n_held_out_copies) == (0, 0)
    assert found.median == pytest.approx(found.held_out_median, rel=0.25)


def test_the_share_is_balanced_over_many_draws() -> None:
    """Mean over 200 draws of few rows: exchangeable rows give T / (T + H), which is weighted to a half."""
    shares = []
    for seed in range(200):
        rows = RANDOM(seed).normal(size=(70, 2))
        training, held_out, made = ArraySource(rows[:40]), ArraySource(rows[40:50]), rows[50:]
        scaling = Scaling.fit(training, np.arange(40))
        p = privacy(made, training, held_out, scaling).nearer_share
        assert p is not None
        # The balanced share is turned back into the plain one, whose mean is known exactly.
        shares.append(40 * p / (40 * p + 10 * (1 - p)))
    assert np.mean(shares) == pytest.approx(0.8, abs=3 * np.std(shares) / np.sqrt(200))


def test_a_copier_is_found_out(parts: Any) -> None:
    training, held_out, _, scaling = parts
    rows = training.read(slice(None))
    found = privacy(rows, training, held_out, scaling)
    assert (found.n_copies, found.nearer_share, found.median) == (300, 1.0, 0.0)
    # One that blurs what it copies, so that no row is the same.
    blurred = rows.copy()
    blurred[:, :2] *= 1 + 1e-4 * RANDOM(1).normal(size=(300, 2))
    found = privacy(blurred, training, held_out, scaling)
    assert found.n_copies == 0
    assert found.nearer_share is not None
    assert found.held_out_median is not None
    assert found.nearer_share > 0.97
    assert found.median < 0.02 * found.held_out_median


def test_copies_are_told_with_gaps_and_signed_zeros() -> None:
    training = ArraySource(np.array([[0.0, np.nan], [1.0, 2.0], [3.0, 4.0]]))
    scaling = TableScaling.fit(training, np.arange(3))
    made = np.array([[-0.0, np.nan], [1.0, 2.0], [1.0, np.nan], [3.0, 4.5]])
    found = privacy(made, training, None, scaling)
    assert (found.n_copies, found.n_held_out_copies, found.nearer_share) == (2, None, None)


def test_the_distance_of_a_table_is_the_mean_over_columns() -> None:
    table = pa.table({"x": [0.0, 1.0, 2.0, 3.0], "c": ["a", "b", "a", None]})
    training = TableSource(table, {"c": "category"})
    scaling = TableScaling.fit(training, np.arange(4))
    # x 1.5 lies between ranks 3/8 and 5/8: a half; nearest is (1, b) with (1/8 + 0) / 2.
    found = privacy(np.array([[1.5, 1.0]]), training, None, scaling)
    assert found.median == pytest.approx(1 / 16)
    # A gap and a value are 1 apart, two gaps 0.
    assert privacy(np.array([[3.0, np.nan]]), training, None, scaling).median == 0.0
    assert privacy(np.array([[np.nan, 0.0]]), training, None, scaling).median == pytest.approx(0.5)


def test_pictures_are_compared_by_their_values() -> None:
    pictures = RANDOM(0).integers(0, 256, (20, 4, 4, 1)).astype(np.uint8)
    training = ArraySource(pictures[:10])
    scaling = Scaling.fit(training, np.arange(10))
    made = pictures[:10].copy()
    made[3:, 0, 0, 0] ^= 128
    found = measure_samples(made, training, ArraySource(pictures[10:]), scaling=scaling)
    assert (found.privacy.n_copies, found.privacy.nearer_share) == (3, 1.0)
    assert found.to_training is None
    assert found.usefulness is None
    # One of 16 values moved by 128 of 255.
    assert found.privacy.median == pytest.approx(128 / 255 / 4, rel=1e-5)


def test_real_rows_are_as_useful_as_real_rows(parts: Any) -> None:
    training, held_out, new, scaling = parts
    rows = [each.read(slice(None)) for each in (new, training, held_out)]
    found = usefulness(*rows, scaling.schema, "ill", seed=0)
    assert (found.measure, found.n_rows) == ("AUROC", 200)
    assert found.real > 0.85
    assert found.made == pytest.approx(found.real, abs=0.05)
    nonsense = rows[0].copy()
    nonsense[:, 3] = RANDOM(2).permutation(nonsense[:, 3])
    assert usefulness(nonsense, *rows[1:], scaling.schema, "ill", seed=0).made < 0.7
    one = rows[0].copy()
    one[:, 3] = 0.0
    assert usefulness(one, *rows[1:], scaling.schema, "ill", seed=0).made == 0.5


def test_several_words_are_each_told_from_the_rest() -> None:
    random = RANDOM(3)
    word = random.integers(0, 3, 450).astype(np.float64)
    rows = np.stack([word + 0.05 * random.normal(size=450), word], axis=1)
    columns = (Column("x", "continuous", "double"), Column("c", "category", "string", ("a", "b", "c")))
    schema = Schema("tables", (2,), "float64", table=columns)
    found = usefulness(rows[:150], rows[150:300], rows[300:], schema, "c", seed=0)
    assert (found.made, found.real) == (1.0, 1.0)
    # Of a word that made rows never have nothing is known: its area is a half.
    without = rows[:150][rows[:150, 1] != 2]
    share = float((rows[300:, 1] == 2).mean())
    expected = usefulness(without, rows[150:300], rows[300:], schema, "c", seed=0).made
    assert expected <= 1 - share / 2 + 1e-12


def test_a_number_is_judged_by_r2_and_gaps_of_the_target_are_left_out(parts: Any) -> None:
    training, held_out, new, scaling = parts
    rows = [each.read(slice(None)).copy() for each in (new, training, held_out)]
    rows[0][:50, 0] = np.nan
    found = usefulness(*rows, scaling.schema, "age", seed=0)
    assert (found.measure, found.n_rows) == ("R2", 150)
    assert 0 < found.made < 1


def test_the_target_that_is_chosen_varies_in_held_out_rows(parts: Any) -> None:
    _, held_out, _, scaling = parts
    rows = held_out.read(slice(None)).copy()
    assert choose_target(scaling.schema, rows) == "ill"
    rows[:, 3] = 0.0
    assert choose_target(scaling.schema, rows) == "ward"
    rows[:, 2] = np.nan
    assert choose_target(scaling.schema, rows) == "dose"


def test_everything_about_a_table_is_said(parts: Any) -> None:
    training, held_out, new, scaling = parts
    made = new.read(slice(None))
    found = measure_samples(made, training, held_out, scaling=scaling)
    said = found.to_dict()
    assert (said["rows"], said["training_rows"], said["held_out_rows"]) == (200, 300, 100)
    assert set(said["fidelity"]) == {"training", "held_out", "real"}
    assert said["fidelity"]["training"]["column_shapes"] > 0.9
    assert said["usefulness"]["target"] == "ill"
    assert said["privacy"]["copies"] == 0
    alone = measure_samples(made, training, scaling=scaling).to_dict()
    assert alone["fidelity"] == {
        "training": said["fidelity"]["training"], "held_out": None, "real": None
    }  # fmt: skip
    assert (alone["usefulness"], alone["held_out_rows"]) == (None, None)
    # Without held-out rows, ranks are those among the training rows alone.
    near = said["privacy"]["closest_training_median"]
    assert alone["privacy"]["closest_training_median"] == pytest.approx(near, rel=0.1)
    assert alone["privacy"]["nearer_training_share"] is None


def test_mistakes(parts: Any) -> None:
    training, held_out, new, scaling = parts
    made = new.read(slice(None))
    with pytest.raises(ParameterError, match="no held-out rows"):
        measure_samples(made, training, scaling=scaling, target="ill")
    with pytest.raises(UnknownNameError, match="did you mean 'ill'"):
        measure_samples(made, training, held_out, scaling=scaling, target="il")
    with pytest.raises(DataError, match="at least one"):
        measure_samples(made[:0], training, scaling=scaling)
    with pytest.raises(DataError, match="expected rows of"):
        measure_samples(made[:, :2], training, scaling=scaling)
    with pytest.raises(DataError, match="held-out"):
        measure_samples(made, training, ArraySource(np.zeros((3, 2))), scaling=scaling)
    one = held_out.take(np.arange(1))
    with pytest.raises(DataError, match="one value alone"):
        measure_samples(made, training, one, scaling=scaling, target="ill")
    assert measure_samples(made, training, one, scaling=scaling).usefulness is None

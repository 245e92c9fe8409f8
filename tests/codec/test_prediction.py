"""Filters of sound: exact, near what a filter can leave, read by the slow reader, and bounded where bytes are odd."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import slow_columns

from isthmus.codec import columns
from isthmus.codec.coding.prediction import STRETCH, is_suited, predicted, restored
from isthmus.errors import ArtifactError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import golden_archives


def resonant(shape: tuple[int, int, int], scale: float, seed: int = 0) -> np.ndarray:
    """Noise of a scale through a filter of two poles; the second channel follows the first."""
    chance, (n, frames, channels) = np.random.default_rng(seed), shape
    noise = scale * chance.normal(size=(n, frames))
    x = np.zeros((n, frames + 2))
    for t in range(frames):
        x[:, t + 2] = 1.6 * x[:, t + 1] - 0.8 * x[:, t] + noise[:, t]
    each = [
        x[:, 2:],
        *(0.5 * x[:, 2:] + scale * chance.normal(size=(n, frames)) for _ in range(channels - 1)),
    ]
    return np.rint(np.stack(each, axis=2)).astype(np.int64)


@pytest.mark.parametrize(
    "shape",
    [(1, 256, 1), (3, 300, 2), (2, STRETCH, 1), (2, STRETCH + 1, 1), (1, 2 * STRETCH + 700, 2), (1, 2000, 8)],
)
@pytest.mark.parametrize("scale", [0.0, 0.4, 3000.0])
def test_sound_comes_back(shape: tuple[int, int, int], scale: float) -> None:
    pieces = resonant(shape, scale)
    pieces[0, 7, 0] = -(1 << 23)
    stored = predicted(pieces, 24)
    if stored is None:  # odd ones that are far from all others
        pieces[0, 7, 0] = 3
        stored = predicted(pieces, 24)
    assert stored is not None
    np.testing.assert_array_equal(restored(stored, *shape), pieces)


def test_full_scale_comes_back() -> None:
    chance = np.random.default_rng(0)
    ends = chance.choice([-(1 << 15), (1 << 15) - 1], (1, 600, 2))
    stored = predicted(ends, 16)
    assert stored is not None
    np.testing.assert_array_equal(restored(stored, *ends.shape), ends)


@pytest.mark.parametrize("scale", [20.0, 1000.0])
def test_it_costs_what_filters_leave(scale: float) -> None:
    """Of normal noise a logistic distribution needs some two percent of a bit more than its entropy."""
    pieces = resonant((4, STRETCH, 1), scale)
    stored = predicted(pieces, 24)
    assert stored is not None
    bits = 8 * (4 * len(stored.words) + len(stored.low)) / pieces.size
    entropy = math.log2(scale * math.sqrt(2 * math.pi * math.e))
    assert entropy < bits < entropy + 0.05


@pytest.mark.parametrize("shape", [(600, 2), (2, 300, 1), (1, 256, 3)])
@pytest.mark.parametrize("scale", [30.0, 20_000.0])
def test_the_slow_reader_reads_the_same(shape: tuple[int, ...], scale: float) -> None:
    pieces = resonant((shape[0] if len(shape) > 2 else 1, *shape[-2:]), scale).reshape(shape).astype(np.int32)
    way = columns._predicted_packed(pieces)  # pyright: ignore[reportPrivateUsage]
    assert way is not None
    data = slow_columns.Bytes(way)
    bits = slow_columns.values(data, "i4", shape)
    assert slow_columns.whole_numbers(bits, "i4") == pieces.ravel().tolist()
    assert data.at == len(way)


def test_what_sounds_is_stored_by_filters_where_they_are_smaller() -> None:
    pieces = golden_archives.chord(6000)
    data = columns.packed({"a": pieces})
    assert len(data) < 0.85 * len(columns._sound_packed(pieces) or b"")  # pyright: ignore[reportPrivateUsage]
    np.testing.assert_array_equal(columns.unpacked(data)["a"], pieces)


def test_odd_bytes_are_refused_or_give_as_many_values() -> None:
    pieces = resonant((1, 300, 2), 200.0).astype(np.int16)
    way = columns._predicted_packed(pieces)  # pyright: ignore[reportPrivateUsage]
    assert way is not None
    head = b"\1\1a" + bytes([4, 3, 1, 0xAC, 2, 2])  # one column, a, of i2 with three axes: 1, 300 and 2
    assert (columns.unpacked(head + way)["a"] == pieces).all()
    chance, n_refused = np.random.default_rng(0), 0
    for trial in range(150):
        odd = bytearray(way)
        at = trial if trial < 40 else int(chance.integers(len(odd)))
        odd[at] = int(chance.integers(256))
        try:
            assert columns.unpacked(head + bytes(odd))["a"].shape == pieces.shape
        except ArtifactError:
            n_refused += 1
    assert n_refused > 10
    for n in (1, 3, 4, 30, len(way) - 1):
        with pytest.raises(ArtifactError):
            columns.unpacked(head + way[:n])


def test_shapes_that_promise_too_much_are_not_suited() -> None:
    assert is_suited(1, 256, 1, 32)
    assert is_suited(1, 1 << 24, 1, 128)
    for wrong in (
        (0, 256, 1, 32),
        (1, 255, 1, 32),
        (1, 256, 0, 32),
        (1, 256, 9, 8),
        (1, 256, 1, 0),
        (1, 256, 8, 33),
    ):
        assert not is_suited(*wrong)
    assert not is_suited(1, (1 << 24) + 1, 1, 1)
    assert not is_suited(1 << 16, 256, 8, 32)

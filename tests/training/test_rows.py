"""What the loop reads: bytes and floats, gathered by index."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.training.rows import SourceRows, TensorRows

BYTES = np.random.default_rng(0).integers(0, 256, (12, 4, 3, 2), np.uint8)
INDICES = torch.tensor([5, 0, 11, 5])


def rows_of(array: np.ndarray) -> SourceRows:
    source = ArraySource(array)
    return SourceRows(source, Scaling.fit(source, np.arange(len(source))))


def test_bytes_become_shares_of_255_channels_first() -> None:
    rows = rows_of(BYTES)
    expected = torch.from_numpy(BYTES).permute(0, 3, 1, 2).float() / 255
    assert len(rows) == 12
    assert torch.equal(rows.gather(INDICES), expected[INDICES])
    assert rows.gather(INDICES).dtype == torch.float32


def test_bytes_equal_the_same_values_as_floats() -> None:
    floats = rows_of(BYTES.astype(np.float32) / np.float32(255))
    assert torch.equal(rows_of(BYTES).gather(INDICES), floats.gather(INDICES))


def test_bytes_stay_bytes_until_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    whole = Scaling.to_model

    def watched(self: Scaling, rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return whole(self, rows)

    monkeypatch.setattr(Scaling, "to_model", watched)
    rows = rows_of(BYTES)
    assert asked == []
    rows.gather(INDICES)
    assert asked == [4]


def test_floats_are_scaled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(5, 3, (9, 4))
    rows = rows_of(values)
    monkeypatch.delattr(Scaling, "to_model")
    standardised = ((values - values.mean(0)) / values.std(0)).astype(np.float32)
    torch.testing.assert_close(rows.gather(torch.arange(9)), torch.from_numpy(standardised))


def test_a_tensor_is_rows_already() -> None:
    x = torch.arange(24.0).reshape(12, 2)
    assert len(TensorRows(x)) == 12
    assert torch.equal(TensorRows(x).gather(INDICES), x[INDICES])

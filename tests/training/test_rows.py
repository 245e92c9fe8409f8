"""What the loop reads: bytes and floats, gathered by index."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.training.rows import SourceRows, TensorRows
from isthmus.training.streaming import StreamedRows

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


@pytest.mark.parametrize("shape", [(12, 4, 3, 2), (12, 5)])
@pytest.mark.parametrize("method", ["auto", "range"])
@pytest.mark.parametrize("block", [3, 2**20])
def test_bytes_are_gathered_as_scaling_would_bring_them_to_model_units(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], method: str, block: int
) -> None:
    """Bit for bit, held as one tensor of bytes or read from the source by batch."""
    monkeypatch.setattr("isthmus.training.rows.BLOCK", block)
    monkeypatch.setattr("isthmus.training.rows.BLOCK_VALUES", block)
    source = ArraySource(np.random.default_rng(2).integers(3, 250, shape, np.uint8))
    for kind in {method, "standardise" if len(shape) == 2 else method}:
        scaling = Scaling.fit(source, np.arange(len(source)), method=kind)
        expected = torch.from_numpy(scaling.to_model(source.read(INDICES.numpy())))
        assert torch.equal(SourceRows(source, scaling).gather(INDICES), expected)
        assert torch.equal(StreamedRows(source, scaling, 10**6).gather(INDICES), expected)


def test_bytes_stay_bytes_until_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ArraySource(BYTES)
    scaling = Scaling.fit(source, np.arange(len(source)))
    monkeypatch.delattr(Scaling, "to_model")
    assert SourceRows(source, scaling)._held.dtype == torch.uint8


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

"""Bits-back for tables: exact for every kind of column, and near the evidence of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import csv, parquet
from scipy.stats import norm

from isthmus.artifact import FittedModel
from isthmus.codec import columns as plain
from isthmus.codec.bounded import bounds_of, unbounded
from isthmus.codec.coding.bits_back import GRID_BITS
from isthmus.codec.coding.coders import Plain, as_read
from isthmus.codec.coding.distributions import UNIT_SCALE
from isthmus.codec.coding.fields import symbols_of
from isthmus.codec.coding.latent_table import LatentTableCoder
from isthmus.codec.coding.latent_table_fit import OUTPUT_BITS
from isthmus.codec.columns import Columns
from isthmus.codec.contents.base import Content
from isthmus.codec.contents.kinds import content_of
from isthmus.config import Config
from isthmus.errors import ArtifactError, ParameterError
from isthmus.sources import TableSource
from isthmus.workflows.archive_models import Read
from isthmus.workflows.archive_tables import table_coder
from isthmus.workflows.compress import compress, decompress
from isthmus.workflows.fit import fit

torch.set_num_threads(1)

ROWS = 3000


def table(seed: int, n: int = ROWS) -> pa.Table:
    """Words, truths, counts, decimals and dates that hang on one hidden number."""
    chance = np.random.default_rng(seed)
    z = chance.normal(size=n)
    word = np.digitize(z + 0.3 * chance.normal(size=n), [-1, 0, 1])
    days = np.datetime64("2024-01-01") + np.rint(100 * z + 5 * chance.normal(size=n)).astype(int)
    return pa.table(
        {
            "word": pa.array(np.array(["low", "middle", "high", "highest"])[word]),
            "is_up": pa.array(z + 0.2 * chance.normal(size=n) > 0),
            "count": pa.array(chance.poisson(np.exp(1 + 0.5 * z))),
            "line": pa.array(np.round(3 * z + 0.2 * chance.normal(size=n), 2)),
            "curve": pa.array(np.round(np.exp(z) * 100 + chance.normal(size=n), 1)),
            "day": pa.array(days),
            "noise": pa.array(chance.normal(size=n)),
        }
    )


def fitted(rows: pa.Table, **likelihood: Any) -> FittedModel:
    config = Config.from_dict(
        {
            "model": {
                "kind": "variational",
                "code_size": 2,
                "network": {"type": "dense", "hidden_sizes": [32], "activation": "relu"},
                "likelihood": {"type": "mixed", "numbers": "gaussian", **likelihood},
            },
            "training": {
                "epochs": 30,
                "batch_size": 64,
                "learning_rate": 5e-3,
                "seed": 0,
                "threads": 1,
                "device": "cpu",
            },
        }
    )
    return fit(TableSource(rows), config)[0]


@pytest.fixture(scope="module")
def model() -> FittedModel:
    return fitted(table(0))


def sample_of(content: Content, bounds: Any = None) -> Columns:
    block = Read(content, bounds).block(slice(0, content.n_rows))
    return {name: column for name, column in block.items() if len(column) == content.n_rows}


def coder_of(model: FittedModel, content: Content, bounds: Any = None) -> LatentTableCoder:
    return table_coder(model, content.form, bounds, sample_of(content, bounds), "rows")


@pytest.fixture(scope="module")
def coder(model: FittedModel) -> LatentTableCoder:
    return coder_of(model, content_of(table(1)))


def expected_bits(coder: LatentTableCoder, model: FittedModel, block: Columns) -> float:
    """``-ELBO`` of the coder's symbols in floats: the model's own networks, distributions of SciPy, one draw a row."""
    symbols = symbols_of([each.field for each in coder.fields], block)
    assert symbols is not None
    module = model.module
    rows = np.zeros((len(symbols), coder.encoder.input_shape[0]))
    for at, each in enumerate(coder.fields):
        rows[:, each.first : each.first + each.inputs.shape[1]] = each.inputs[symbols[:, at]] / 1024
    with torch.no_grad():
        pre_code, _ = module.network.encoder(torch.from_numpy(rows).float())  # pyright: ignore
        mean, log_variance = (each.double().numpy() for each in pre_code.chunk(2, dim=1))
        scale = np.exp(log_variance / 2)
        code = mean + scale * np.random.default_rng(0).normal(size=mean.shape)
        cell = np.floor(code * (1 << GRID_BITS)) / (1 << GRID_BITS), 1 / (1 << GRID_BITS)
        middle = cell[0] + cell[1] / 2
        outputs = module.decoder(torch.from_numpy(middle).float()).double().numpy()
    bits = np.log2(mass(cell[0], cell[1], mean, scale)) - np.log2(mass(cell[0], cell[1], 0.0, 1.0))
    total = float(bits.sum())
    for at, each in enumerate(coder.fields):
        n, own = each.field.n_symbols - 1, symbols[:, at]
        share = each.known.others / 65536
        is_other = own == n
        total -= is_other.sum() * np.log2(share) + (~is_other).sum() * np.log2(1 - share)
        some, own = outputs[~is_other], own[~is_other]
        if each.known.is_number:
            edges = each.known.edges / (1 << OUTPUT_BITS)
            wide = 2.0 ** ((each.known.scale - UNIT_SCALE) / 16)
            low, high = (norm.cdf((edges[own + by] - some[:, each.known.outputs[0]]) / wide) for by in (0, 1))
            low, high = np.where(own == 0, 0, low), np.where(own == n - 1, 1, high)
            total -= float(np.log2(high - low + 2.0**-24).sum())
        else:
            logits = np.where(each.known.outputs < 0, 0, some[:, each.known.outputs])
            logits -= logits.max(axis=1, keepdims=True)
            chosen = logits[np.arange(len(own)), own] - np.log(np.exp(logits).sum(axis=1))
            total -= float(chosen.sum() / np.log(2))
    return total


def mass(start: Any, width: float, mean: Any, scale: Any) -> Any:
    return norm.cdf((start + width - mean) / scale) - norm.cdf((start - mean) / scale) + 2.0**-24


def test_all_but_noise_is_known(coder: LatentTableCoder) -> None:
    assert [each.field.name for each in coder.fields] == ["0", "1", "2", "3", "4", "5"]
    assert [each.known.is_number for each in coder.fields] == [False, False, True, True, True, True]


def test_rows_come_back_and_cost_the_evidence(coder: LatentTableCoder, model: FittedModel) -> None:
    block = content_of(table(2)).block(slice(0, ROWS))
    payload = coder.packed(block)
    assert payload is not None
    assert_same(as_read(coder).unpacked(payload, ROWS), block)
    coded: Any = plain.unpacked(payload)["\0"]
    n_steps = int.from_bytes(coded[0][:4], "little")
    about_steps, first_code = 8 * (4 + n_steps), 160  # words that the first code is popped from
    assert n_steps < 40
    wanted = expected_bits(coder, model, block) + about_steps + first_code
    assert 8 * len(coded[0]) == pytest.approx(wanted, rel=0.01)
    assert len(payload) < len(Plain().packed(block))


def test_what_the_encoder_tells_is_used(model: FittedModel) -> None:
    """An encoder that is shown nothing costs more."""
    block = content_of(table(2)).block(slice(0, ROWS))
    own = coder_of(model, content_of(table(1)))
    inputs = [each.inputs.copy() for each in own.fields]
    for each in own.fields:
        each.inputs[:] = 0
    blind = own.packed(block)
    for each, before in zip(own.fields, inputs, strict=True):
        each.inputs[:] = before
    seeing = own.packed(block)
    assert blind is not None
    assert seeing is not None
    assert len(seeing) < 0.9 * len(blind)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 300])
def test_any_number_of_rows_comes_back(coder: LatentTableCoder, n: int) -> None:
    block = content_of(table(3)).block(slice(0, n))
    payload = coder.packed(block)
    assert payload is not None
    assert_same(coder.unpacked(payload, n), block)


@pytest.mark.parametrize("names", [["word", "is_up"], ["line", "curve", "count"]])
def test_categories_alone_and_numbers_alone_come_back(names: list[str]) -> None:
    rows = table(8, 600).select(names)
    block = content_of(rows).block(slice(0, 600))
    own = coder_of(fitted(rows), content_of(rows))
    payload = own.packed(block)
    assert payload is not None
    assert_same(as_read(own).unpacked(payload, 600), block)


def test_values_that_no_one_has_seen_come_back(coder: LatentTableCoder) -> None:
    rows = table(4, 200)
    odd = rows.set_column(0, "word", pa.array(["never", "low"] * 100))
    odd = odd.set_column(3, "line", pa.array([np.nan, 1e9, -0.0, 0.123456789, np.inf] * 40))
    odd = odd.set_column(2, "count", pa.array([10**12, 0] * 100))
    odd = odd.set_column(1, "is_up", pa.array([None, True, False, None] * 50))
    block = content_of(odd).block(slice(0, 200))
    payload = coder.packed(block)
    assert payload is not None
    assert_same(coder.unpacked(payload, 200), block)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("error", [None, 0.002])
def test_files_with_the_model_given(
    model: FittedModel, tmp_path: Path, ending: str, error: float | None
) -> None:
    rows = table(5)
    gaps = [None if row % 20 == 3 else value for row, value in enumerate(rows.column("line").to_pylist())]
    rows = rows.set_column(3, "line", pa.array(gaps)).append_column("more", pa.array(range(ROWS)))
    source = tmp_path / f"rows.{ending}"
    (csv.write_csv if ending == "csv" else parquet.write_table)(rows, source)
    (tmp_path / "m.safetensors").write_bytes(model.to_bytes())
    done = compress(
        source, tmp_path / "a.isth", model=tmp_path / "m.safetensors", max_error=error, relative=True
    )
    assert set(done.codecs) == {"latent-table"}
    decompress(tmp_path / "a.isth", tmp_path / f"back.{ending}")
    if error is None and ending == "csv":
        assert (tmp_path / "back.csv").read_bytes() == source.read_bytes()
    elif error is None:
        assert parquet.read_table(tmp_path / "back.parquet").equals(rows)
    else:
        back = (csv.read_csv if ending == "csv" else parquet.read_table)(tmp_path / f"back.{ending}")
        for name in ("line", "curve", "count"):
            own, found = (np.array(each.column(name).to_pylist(), float) for each in (rows, back))
            spread = np.nanmax(own) - np.nanmin(own)
            np.testing.assert_allclose(found, own, rtol=0, atol=0.002 * spread * (1 + 1e-9))


def test_a_model_that_saves_nothing_is_told(model: FittedModel, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(model.to_bytes())
    again = pa.concat_tables([table(7, 3)] * 500)
    done = compress(again, tmp_path / "a.isth", model=tmp_path / "m.safetensors")
    assert set(done.codecs) == {"plain"}
    assert "leave --model out" in done.notes[-1]


def test_counts_on_a_grid_are_known(model: FittedModel) -> None:
    content = content_of(table(1))
    bounds = bounds_of(content, 0.2, relative=True)
    own = coder_of(model, content, bounds)
    names = {each.field.name for each in own.fields}
    assert {"2~", "3~", "4~"} <= names
    block = Read(content, bounds).block(slice(0, 500))
    payload = own.packed(block)
    assert payload is not None
    assert_same(unbounded(own.unpacked(payload, 500), bounds), unbounded(block, bounds))


def test_other_models_and_data_are_refused(model: FittedModel) -> None:
    content = content_of(pa.table({"x": [1.0, 2.0, 3.0]}))
    with pytest.raises(ParameterError, match="columns that the model knows, got none"):
        coder_of(model, content)
    with pytest.raises(ParameterError, match="expected a table, of which the model was fitted"):
        coder_of(model, content_of(np.zeros((30, 3))))
    with pytest.raises(ParameterError, match="numbers='gaussian'"):
        coder_of(fitted(table(0, 300), numbers="squared_error"), content_of(table(1)))


def test_the_section_makes_an_equal_coder(coder: LatentTableCoder) -> None:
    again = LatentTableCoder.of_section(coder.section())
    again.check()
    block = content_of(table(6, 300)).block(slice(0, 300))
    assert again.packed(block) == coder.packed(block)
    assert again.section() == coder.section()


@pytest.mark.parametrize(
    "change",
    [
        {"fields": [b"[]"]},
        {"fields": [b"{}"]},
        {"networks": []},
        {"edges 2": np.zeros(3, np.int64)},
        {"edges 3": np.arange(400)[::-1].astype(np.int64)},
        {"inputs 0": np.zeros((9, 9), np.int32)},
        {"inputs 1": np.zeros((3, 1), np.int64)},
    ],
    ids=str,
)
def test_other_sections_are_refused(coder: LatentTableCoder, change: dict[str, Any]) -> None:
    held = plain.unpacked(coder.section())
    with pytest.raises(ArtifactError, match="expected a model for bits-back coding of a table"):
        LatentTableCoder.of_section(plain.packed({**held, **change}))


def assert_same(found: Columns, wanted: Columns) -> None:
    assert list(found) == list(wanted)
    for name, column in wanted.items():
        if isinstance(column, list):
            assert found[name] == column
        else:
            assert np.asarray(found[name]).tobytes() == column.tobytes(), name

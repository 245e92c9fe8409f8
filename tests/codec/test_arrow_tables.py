import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import compress, decompress
from isthmus.codec.columns import packed, unpacked
from isthmus.codec.contents import content_from, content_of
from isthmus.codec.contents.arrow_columns import decoded, encoded, is_supported
from isthmus.errors import ArtifactError, DataError

WHOLE = st.integers(-(2**31), 2**31 - 1)
TYPES = {
    pa.int8(): st.integers(-128, 127), pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float16(): st.floats(width=16).map(np.float16), pa.float32(): st.floats(width=32), pa.float64(): st.floats(),
    pa.bool_(): st.booleans(), pa.string(): st.text(max_size=4), pa.large_string(): st.text(max_size=4),
    pa.string_view(): st.text(max_size=20), pa.binary(): st.binary(max_size=4),
    pa.large_binary(): st.binary(max_size=3),
    pa.binary(3): st.binary(min_size=3, max_size=3), pa.date32(): st.dates(), pa.date64(): st.dates(),
    pa.time32("ms"): st.times().map(lambda t: t.replace(microsecond=0)), pa.timestamp("us", tz="Europe/Berlin"): WHOLE,
    pa.duration("s"): WHOLE, pa.month_day_nano_interval(): st.tuples(WHOLE, WHOLE, WHOLE),
    pa.decimal128(10, 2): st.decimals(-10**6, 10**6, places=2),
    pa.decimal128(38, 0): st.integers(-10**37, 10**37).map(Decimal),
    pa.decimal256(60, 0): st.integers(-10**50, 10**50).map(Decimal), pa.null(): st.none(),
    pa.dictionary(pa.int8(), pa.string()): st.sampled_from("abc"),
    pa.dictionary(pa.int32(), pa.int64(), ordered=True): st.sampled_from([5, 6]),
    pa.list_(pa.int16()): st.lists(st.none() | st.integers(-9, 9), max_size=3),
    pa.large_list(pa.list_(pa.string())): st.lists(st.none() | st.lists(st.text(max_size=2), max_size=2), max_size=2),
    pa.list_(pa.float32(), 2): st.lists(st.floats(width=32), min_size=2, max_size=2),
    pa.struct([("a", pa.int8()), ("b", pa.list_(pa.bool_()))]): st.fixed_dictionaries(
        {"a": st.none() | st.integers(0, 5), "b": st.none() | st.lists(st.booleans(), max_size=2)}),
}  # fmt: skip


def pieces(array):
    """Values, gaps as None, floats by their bits."""
    if pa.types.is_nested(array.type) or pa.types.is_dictionary(array.type):
        return [repr(value) for value in array.to_pylist()]
    if pa.types.is_floating(array.type):
        bits = array.view(f"int{array.type.bit_width}") if array.type != pa.float16() else array.view("int16")
        return bits.to_pylist()
    return [repr(value) for value in array]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@given(data=st.data())
@settings(deadline=None, max_examples=8)
def test_arrays_of_every_type_come_back(dtype, data):
    assert is_supported(dtype)
    values = data.draw(st.lists(st.none() | TYPES[dtype], max_size=12))
    array = pa.array(values, dtype)
    start = data.draw(st.integers(0, len(values)))
    array = array.slice(start, data.draw(st.integers(0, len(values) - start)))
    columns = {}
    encoded("k", array, columns)
    back = decoded("k", dtype, unpacked(packed(columns)))
    assert back.type == array.type
    assert pieces(back) == pieces(array)


def example(n=200):
    random = np.random.default_rng(0)
    gaps = random.uniform(size=n) < 0.2
    return pa.table(
        {
            "whole": pa.array(np.arange(n), mask=gaps),
            "float": pa.array(np.where(np.arange(n) % 7 == 0, np.nan, random.normal(size=n))),
            "word": pa.array(random.choice(["x", "y", "é"], n)).dictionary_encode(),
            "text": pa.array([None if gap else f"row {i}" for i, gap in enumerate(gaps)]),
            "when": pa.array([datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(n)]),
            "day": pa.array([date(2024, 1, 1)] * n),
            "list": pa.array([list(range(i % 4)) for i in range(n)]),
        },
    ).replace_schema_metadata({"made": "by hand"})


def same(got, expected):
    assert got.schema.equals(expected.schema, check_metadata=True)
    assert len(got) == len(expected)
    for left, right in zip(got.columns, expected.columns, strict=True):
        assert pieces(left.combine_chunks()) == pieces(right.combine_chunks())


def brought_back(content, path, step):
    form = content_from(json.loads(json.dumps(content.facts)))
    blocks = [packed(content.block(slice(at, at + step))) for at in range(0, content.n_rows, step)]
    form.write((unpacked(block) for block in blocks), path)
    return [form.rows(unpacked(block)) for block in blocks]


@pytest.mark.parametrize("step", [1000, 200, 64, 7])
@pytest.mark.parametrize("kind", ["parquet", "arrow", "memory"])
def test_tables_come_back(tmp_path, kind, step):
    table = example()
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=60, compression="zstd")
        table = pq.read_table(path)
    elif kind == "arrow":
        with pa.ipc.new_file(str(path), table.schema) as file:
            file.write_table(table, max_chunksize=60)
    content = content_of(table if kind == "memory" else path)
    assert content.kind == "table"
    back = tmp_path / f"back{content.form.suffix}"
    rows = brought_back(content, back, step)
    for number, part in enumerate(rows):
        same(part, table.slice(number * step, step))
    if kind != "parquet":
        with pa.ipc.open_file(str(back)) as file:
            if kind == "arrow":
                assert [file.get_batch(i).num_rows for i in range(file.num_record_batches)] == [
                    60,
                    60,
                    60,
                    20,
                ]
            same(file.read_all(), table)
    else:
        same(pq.read_table(back), table)
        found = pq.ParquetFile(back).metadata
        assert [found.row_group(i).num_rows for i in range(found.num_row_groups)] == [60, 60, 60, 20]
        assert found.row_group(0).column(0).compression == "ZSTD"


def test_empty_tables_come_back(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(example().slice(0, 0), path)
    content = content_of(path)
    assert (content.kind, content.n_rows) == ("table", 0)
    brought_back(content, tmp_path / "back.parquet", 5)
    same(pq.read_table(tmp_path / "back.parquet"), pq.read_table(path))
    assert len(content.form.rows(content.block(slice(0, 9)))) == 0


def test_other_types_and_damage_leave_a_file_of_bytes(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8()))})
    pq.write_table(table, path)
    assert content_of(path).kind == "file"
    with pytest.raises(DataError, match="cast it"):
        content_of(table)
    pq.write_table(example(), path)
    path.write_bytes(path.read_bytes()[:-9])
    content = content_of(path)
    assert content.kind == "file"
    content.form.write([content.block(slice(None))], tmp_path / "back.parquet")
    assert (tmp_path / "back.parquet").read_bytes() == path.read_bytes()


def test_a_file_that_is_damaged_in_its_pages_is_kept(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"x": np.random.default_rng(0).normal(size=4000)})
    pq.write_table(table, path, row_group_size=1000, write_page_checksum=True, use_dictionary=False)
    data = bytearray(path.read_bytes())
    place = data.index(table["x"].to_numpy()[3500:3520].tobytes()[:40])  # in the last row group
    data[place] ^= 1
    path.write_bytes(data)
    done = compress(path, tmp_path / "t.isth")
    (note,) = done.notes
    assert note.startswith(
        "t.parquet is kept byte for byte, for it cannot be read: expected a whole Parquet file"
    )
    assert str(tmp_path) not in note
    decompress(tmp_path / "t.isth", tmp_path / "back.parquet")
    assert (tmp_path / "back.parquet").read_bytes() == path.read_bytes()


def test_one_row_group_is_read_once(tmp_path, monkeypatch):
    read, groups = pq.ParquetFile.read_row_group, []
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda file, group: groups.append(group) or read(file, group)
    )
    pq.write_table(example(), tmp_path / "t.parquet")
    content = content_of(tmp_path / "t.parquet")
    content.block(slice(0, 50))
    content.block(slice(50, 100))
    assert groups == [0]


def test_facts_and_columns_of_nobody_are_refused(tmp_path):
    content = content_of(example())
    for changed in (
        {"schema": "!"}, {"schema": "AAAA"}, {"file": "csv"}, {"packing": "rar"}, {"group_rows": None},
        {"schema": content_of(pa.table({"a": [1]})).facts["schema"][:-8]},
    ):  # fmt: skip
        with pytest.raises(ArtifactError) as caught:
            content_from({**content.facts, **changed})
        assert len(str(caught.value).splitlines()) == 1
    block = content.block(slice(0, 50))
    for changed in (
        {"0": block["0"][:5]}, {"0": block["0"].astype(np.int32)}, {"0?": np.zeros(3, np.uint8)}, {"2": block["2"] + 9},
        {"2#": [b"x"]}, {"3": [b"\xff"] * 50}, {"6": block["6"] - 5}, {"6": block["6"] + 1}, {"6[]": [b""]},
    ):  # fmt: skip
        with pytest.raises(ArtifactError) as caught:
            content.form.rows({**block, **changed})
        assert len(str(caught.value).splitlines()) == 1
    del block["4"]
    with pytest.raises(ArtifactError, match="no column '4'"):
        content.form.write([block], tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []


def test_values_that_their_type_does_not_have_are_told(tmp_path):
    codes = pa.Array.from_buffers(pa.int8(), 3, [None, pa.py_buffer(bytes([0, 9, 1]))])
    words = pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b"]), safe=False)
    table = pa.table({"x": words})
    with pytest.raises(DataError, match="of the types of its columns"):
        content_of(table)
    with pa.ipc.new_file(str(tmp_path / "t.arrow"), table.schema) as writer:
        writer.write_table(table)
    content = content_of(tmp_path / "t.arrow")
    assert content.kind == "file"
    assert "for it cannot be read: expected a whole Arrow file" in content.notes[0]

import csv
import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isthmus.codec.columns import packed, unpacked
from isthmus.codec.contents import content_from, content_of
from isthmus.codec.contents import text_tables as room
from isthmus.errors import ArtifactError, SourceError

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def brought_back(path, step=7):
    """The content, its blocks, and the bytes of what is written from them."""
    content = content_of(path)
    form = content_from(json.loads(json.dumps(content.facts)))
    blocks = [packed(content.block(slice(at, at + step))) for at in range(0, content.n_rows, step)]
    back = path.with_name("back")
    form.write((unpacked(block) for block in blocks), back)
    return content, [unpacked(block) for block in blocks], back.read_bytes()


def written(folder, data):
    path = folder / "t.csv"
    path.write_bytes(data)
    return path


CELL = st.one_of(
    st.sampled_from(["", "NA", "0", "-0", "00", "007", "-1", "+1", "1.50", "1.5", "1.", ".5", "-0.00", "1e5", "1E5",
                     "NaN", "inf", "9223372036854775807", "9223372036854775808", "1_000", " 1", "1 ", "0x1", "é",
                     "\x00",
                     "\xa0", "2024-02-30", "2024-02-29", "2024-02-29 12:00:00", "-999-01-01", '"', '""', '"a,b"', '"1"',
                     '"a\nb"',
                     "12345678901234567.5", "0.1000000000000000055", "1" * 400, "\r", "²", "١"]),
    st.text(alphabet='a1.,;"\n\r-', max_size=4),
    st.floats().map(repr), st.integers().map(str), st.decimals(places=2, allow_nan=False).map(str),
)  # fmt: skip


@st.composite
def tables(draw):
    kinds = draw(st.lists(st.sampled_from([CELL, st.integers(-5, 5).map(str), st.just("x"),
                                           st.floats(0, 1).map(repr), st.dates().map(str)]),
                          min_size=1, max_size=4))  # fmt: skip
    rows = draw(st.lists(st.tuples(*kinds), max_size=20))
    separator, end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n"]))
    head = draw(st.sampled_from(["", separator.join("abcd"[: len(kinds)]) + end]))
    text = (
        head
        + end.join(separator.join(row) for row in rows)
        + draw(st.sampled_from(["", end, end + end, "\r"]))
    )
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))


@given(data=tables() | st.binary(min_size=1, max_size=40))
@example(data=b"a,b\n")
@example(data=b"a,b")
@example(data=b"\n")
@example(data=b'"')
@example(data=b"a\n\n\n")
@example(data=b'a,b\n1,"x\n2,y\n3,z"\n')
@example(data=b"a,b\r\n1,2\n3,4\r\n")
@settings(deadline=None, max_examples=80)
def test_any_text_comes_back_byte_for_byte(folder, data):
    assert brought_back(written(folder, data))[2] == data


def many(n=3000):
    days = np.datetime64("2020-01-01") + RANDOM.integers(0, 999, n)
    columns = {
        "id": [str(i) for i in range(n)],
        "price": [f"{v:.2f}" for v in RANDOM.normal(20, 9, n)],
        "short": [f"{v:g}" for v in np.round(RANDOM.uniform(-9, 9, n), 2)],
        "point": [repr(float(v)) for v in np.round(RANDOM.uniform(-9, 9, n), 1)],
        "real": [repr(float(v)) for v in RANDOM.normal(size=n)],
        "zip": [f"{v:05d}" for v in RANDOM.integers(0, 99999, n)],
        "day": [str(day) for day in days],
        "moment": [str(day) + " 12:30:45" for day in days],
        "town": [["Ulm", "Köln", '"St. Ives, UK"'][i] for i in RANDOM.integers(0, 3, n)],
        "gap": ["" if i % 5 == 0 else str(i * i) for i in range(n)],
        "note": [f"note {v}" for v in RANDOM.integers(0, 10**9, n)],
    }
    return columns, "\n".join([",".join(columns), *map(",".join, zip(*columns.values(), strict=True))]) + "\n"


def test_columns_are_typed_and_rows_read_as_a_table(tmp_path):
    columns, text = many()
    path = written(tmp_path, text.encode())
    content, blocks, back = brought_back(path, 1000)
    assert back == text.encode()
    types = {column["name"]: column["type"] for column in content.facts["columns"]}
    assert types == {"id": "number", "price": "number", "short": "number", "point": "number", "real": "float",
                     "zip": "number", "day": "time", "moment": "time", "town": "words", "gap": "number",
                     "note": "text"}  # fmt: skip
    assert all("text" not in block for block in blocks)
    assert blocks[0]["1"].dtype == np.int64
    assert blocks[0]["1"][:3].tolist() == [round(100 * float(cell)) for cell in columns["price"][:3]]
    table = content.form.rows(blocks[1])
    assert table.num_rows == 1000
    assert table["price"].to_pylist() == [float(cell) for cell in columns["price"][1000:2000]]
    assert table["gap"].to_pylist()[:6] == [None, 1001**2, 1002**2, 1003**2, 1004**2, None]
    assert str(table["day"][0]) == columns["day"][1000]
    assert table["moment"][0].as_py().isoformat(" ") == columns["moment"][1000]
    assert table["town"].to_pylist() == [cell.strip('"') for cell in columns["town"][1000:2000]]
    assert table["note"].to_pylist() == columns["note"][1000:2000]
    small = sum(len(packed(content.block(slice(at, at + 1000)))) for at in range(0, 3000, 1000))
    assert small < 0.75 * len(b"".join(map(packed, ({"text": [text.encode()[at : at + 90_000]]}
                                                    for at in range(0, len(text.encode()), 90_000)))))  # fmt: skip


def test_few_rows_may_be_smaller_as_they_stand(tmp_path):
    lines = "".join(f"{i % 3},{i % 3},{i % 3},{i % 3}\n" for i in range(60))
    content = content_of(written(tmp_path, b"a,b,c,d\n" + lines.encode()))
    rows = slice(0, content.n_rows)
    assert len(packed(content.plain(rows))) < len(packed(content.block(rows)))
    assert content.form.texts(content.plain(rows)) == content.form.texts(content.block(rows))
    assert content.form.rows(content.plain(rows)).num_rows == 60


def test_one_odd_row_keeps_its_block_as_text(tmp_path):
    _, text = many(100)
    odd = text.replace("\n50,", "\n50,too many,", 1).encode()
    content, blocks, back = brought_back(written(tmp_path, odd), 20)
    assert back == odd
    assert ["text" in block for block in blocks] == [False, False, True, False, False]
    assert content.form.rows(blocks[2])["text"].to_pylist()[10].startswith("50,too many,")


def test_an_odd_row_hides_no_types(folder):
    lines = [f"{row},{row / 4:.2f}\n" for row in range(60)]
    lines[30] = "a line of words\n"
    content, blocks, back = brought_back(written(folder, ("n,x\n" + "".join(lines)).encode()), 20)
    assert [column["type"] for column in content.facts["columns"]] == ["number", "number"]
    assert [list(block) for block in blocks] == [["0", "1"], ["text"], ["0", "1"]]
    assert back == ("n,x\n" + "".join(lines)).encode()


def test_a_block_whose_cells_are_told_wrongly_is_kept_as_text(tmp_path, monkeypatch):
    _, text = many(100)
    path = written(tmp_path, text.encode())
    content = content_of(path)
    number = type(content.form.cells[0])
    monkeypatch.setattr(number, "read", lambda self, cells: (np.zeros(len(cells), np.int64), []))
    assert list(content.block(slice(0, 9))) == ["text"]


def test_an_odd_cell_makes_its_column_text_in_a_table(tmp_path):
    path = written(tmp_path, b"a,b\n" + b"1,x\n" * 50 + b"one,x\n")
    content = content_of(path)
    assert content.form.rows(content.block(slice(0, 50)))["a"].to_pylist() == [1] * 50
    assert content.form.rows(content.block(slice(48, 51)))["a"].to_pylist() == ["1", "1", "one"]


def test_times_of_a_zone_are_odd_among_others(folder):
    lines = [f"2024-02-{1 + row % 28:02}T10:00:00\n" for row in range(60)]
    lines[7], lines[9] = "2024-02-03T10:00+1\n", "2024-02-03T10:00:0Z\n"
    content, blocks, back = brought_back(written(folder, ("when\n" + "".join(lines)).encode()), 60)
    assert content.facts["columns"][0]["type"] == "time"
    assert blocks[0]["0!"] == [b"2024-02-03T10:00+1", b"2024-02-03T10:00:0Z"]
    assert back == ("when\n" + "".join(lines)).encode()


def test_a_packed_table_has_its_contents_back(tmp_path):
    _, text = many(100)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    content, _, back = brought_back(path, 30)
    assert content.form.suffix == ".csv.gz"
    assert gzip.decompress(back) == text.encode()


def test_places_of_rows_are_found_over_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_PIECE", 64)
    monkeypatch.setattr(room, "_STEP", 4)
    file = io.StringIO()
    out = csv.writer(file)
    out.writerow(["a", "b"])
    rows = [(str(i), RANDOM.choice(['say "hi"', "two\nlines", "x" * 90, "", "a,b"])) for i in range(50)]
    out.writerows(rows)
    path = written(tmp_path, file.getvalue().encode())
    for step in (1, 3, 4, 50):
        content, blocks, back = brought_back(path, step)
        assert back == path.read_bytes()
        assert content.n_rows == 50
        assert all("text" not in block for block in blocks)
    table = content.form.rows(content.block(slice(13, 31)))
    assert table["c1" if "c1" in table.column_names else "b"].to_pylist() == [
        row[1] or None for row in rows[13:31]
    ]


def test_a_table_that_becomes_shorter_is_told(tmp_path):
    path = written(tmp_path, b"a,b\n" + b"1,2\n" * 999)
    content = content_of(path)
    path.write_bytes(b"a,b\n" + b"1,2\n" * 9)
    with pytest.raises(SourceError, match="leave it alone"):
        content.block(slice(None))


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 2**62, 10**12])
def test_times_without_end_make_some_text_or_one_sentence(content, value):
    block = content.block(slice(0, 10))
    for key in ("6", "7"):
        changed = {**block, key: np.full(10, value)}
        assert len(content.form.texts(changed)) == 10
        try:
            assert content.form.rows(changed).num_rows == 10
        except ArtifactError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017


def test_a_quote_that_never_closes_leaves_lines(tmp_path):
    data = b"a,b\n" + b"1,x\n" * 9 + b'2,5" pipe\n' + b"3,y\n" * 9
    content, blocks, back = brought_back(written(tmp_path, data), 5)
    assert back == data
    assert content.facts["quoted"] is False
    assert all("text" not in block for block in blocks)


def test_rows_without_end_are_no_table(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "LONGEST_ROW", 100)
    assert room.open_text(written(tmp_path, b"a,b\n1,2\n" + b"x" * 200 + b"\n")) is None
    assert room.open_text(written(tmp_path, b"\0\1\2")) is None
    assert room.open_text(written(tmp_path, b"")) is None


@pytest.fixture(scope="module")
def content(folder):
    path = folder / "facts.csv"
    path.write_bytes(many(60)[1].encode())
    return content_of(path)


@pytest.mark.parametrize(
    "changed",
    [{"separator": ""}, {"separator": '"'}, {"separator": "é"}, {"line_end": "x"}, {"quoted": 1}, {"head": "€"},
     {"columns": []}, {"columns": [1]}, {"columns": [{"name": "a", "type": "no"}]},
     {"columns": [{"name": "a", "type": "words", "words": [1]}]},
     {"columns": [{"name": "a", "type": "words", "words": []}]},
     {"columns": [{"name": "a", "type": "number", "digits": 10**9, "style": "fixed", "width": 0}]},
     {"columns": [{"name": "a", "type": "time", "unit": "Y", "between": "T"}]}],
)  # fmt: skip
def test_facts_of_nobody_are_refused_in_one_line(content, changed):
    with pytest.raises(ArtifactError) as caught:
        content_from({**content.facts, **changed})
    assert len(str(caught.value).splitlines()) == 1


def test_columns_that_do_not_fit_are_refused(content):
    form, block = content.form, content.block(slice(0, 10))
    assert form.rows(block).num_rows == 10
    for changed in (
        {"0": block["0"][:5]},
        {"0": block["0"].astype(float)},
        {"8": block["8"] + np.uint8(3)},
        {"9?": block["9?"][:3]},
        {"9!": []},
        {"10": np.zeros(10)},
    ):
        with pytest.raises(ArtifactError):
            form.texts({**block, **changed})
        with pytest.raises(ArtifactError):
            form.rows({**block, **changed})

"""Archives to the bytes of their files, as docs/archive.md says: nothing of isthmus is imported.

What a file's own library decides - how a PNG, FLAC, Parquet or zip file is packed - is left to whoever compares: of
these it gives pixels, samples, Arrow tables and members.
"""

from __future__ import annotations

import ast
import datetime
import struct
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from slow_columns import columns, product, whole_numbers
from slow_models import BitsBack, Chain, Context, LatentTable
from slow_preview import SlowPreview
from slow_reader import SlowArchive, digest, must

Block = dict[str, Any]
"""Columns by name: texts, or (type, shape, bits of the values)."""


class ByColumn:
    """The section ``model`` of the codec ``columns``."""

    def __init__(self, section: bytes) -> None:
        model = columns(section)
        parts = zip(model["names"], model["codecs"], model["sections"], strict=True)
        self.models = {name.decode(): MODELS[codec.decode()](own) for name, codec, own in parts}

    def columns(self, payload: bytes, n_rows: int) -> Block:
        kept = columns(payload)
        coded = iter(kept.pop("\0"))
        for name in kept:
            if name in self.models and kept[name] == []:
                data = next(coded)
                kept[name] = self.models[name].columns(data[4:], int.from_bytes(data[:4], "little"))["values"]
        must(next(coded, None) is None, "columns")
        return kept


MODELS: dict[str, Callable[[bytes], Any]] = {
    "bits-back": BitsBack,
    "chain": Chain,
    "columns": ByColumn,
    "context": Context,
    "latent-table": LatentTable,
    "preview": SlowPreview,
}
"""By codec, what is made of the section ``model`` and gives the columns of a payload of so many rows."""


def read(path: Path | str, model: Path | str | None = None) -> Any:
    """What an archive holds: the bytes of a file, of a folder all files by name, or see above."""
    archive = SlowArchive(path)
    facts = archive.header["content"]
    return CONTENTS[facts["kind"]](facts, blocks_of(archive, None if model is None else SlowArchive(model)))


def blocks_of(archive: SlowArchive, other: SlowArchive | None = None) -> list[Block]:
    """The columns of all blocks, numbers on grids as their values; the model may be that of another archive."""
    codec, found = archive.header["coder"], list[Block]()
    model = None if codec is None else MODELS[codec](section_of(archive, other))
    for name, _, n_rows, payload in archive.blocks:
        must(name in ("plain", codec), "codec")
        block = columns(payload) if name == "plain" or model is None else model.columns(payload, n_rows)
        bounds = archive.header["bounds"]
        found.append(block if bounds is None else off_grid(block, bounds))
    return found


def section_of(archive: SlowArchive, other: SlowArchive | None) -> bytes:
    """The section ``model`` that an archive carries, or names and another one carries."""
    if "model" not in archive.header:
        return archive.sections["model"]
    must(other is not None and "model" in other.sections, "model")
    section, named = other.sections["model"], archive.header["model"]
    must(named == {"digest": digest(section).hex(), "bytes": len(section)}, "digest of the model")
    return section


def packed_values(bits: list[int], kind: str) -> bytes:
    """Values as bytes, little endian."""
    width = int(kind[1])
    return b"".join(value.to_bytes(width, "little") for value in bits)


# ------------------------------------------------------------------ numbers within an error


def off_grid(block: Block, bounds: dict[str, Any]) -> Block:
    found = Block()
    for name, column in block.items():
        whole = name[:-1]
        if name.endswith("~") and whole in bounds:
            found[whole] = off_one_grid(
                column, bounds[whole], block.get(f"{whole}^"), block.get(f"{whole}^=")
            )
        elif not any(name in (f"{each}^", f"{each}^=") for each in bounds):
            found[name] = column
    return found


def off_one_grid(column: Any, bound: dict[str, Any], places: Any, own: Any) -> Any:
    kind, shape, bits = column
    must(kind == "i8", "places on a grid")
    dtype, width = bound["dtype"], product(shape[1:])
    lowest, errors = (
        each if isinstance(each, list) else [each] * width for each in map(bound.get, ("lowest", "error"))
    )
    found = list[int]()
    for at, q in enumerate(whole_numbers(bits, kind)):
        low, error = lowest[at % width], errors[at % width]
        if dtype[0] == "f":
            with np.errstate(over="ignore"):
                value = np.float64(low + (2.0 * error if error > 0 else 1.0) * float(q)).astype(dtype)
            found.append(int.from_bytes(value.tobytes(), "little"))
        else:
            n_bits = 8 * int(dtype[1])
            most = (1 << n_bits - (dtype[0] == "i")) - 1
            step = 2 * min(int(error), 1 << 60) + 1
            found.append(min(low + step * q, most) % (1 << n_bits))
    if places is not None:
        for at, value in zip(places[2], own[2], strict=True):
            found[at] = value
    return dtype, shape, found


# ------------------------------------------------------------------ arrays


def npy_header(data: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Type, whether the first axis is the fastest, and shape."""
    start = 10 if data[6] == 1 else 12
    told = ast.literal_eval(data[start:].decode("latin-1" if data[6] < 3 else "utf-8"))
    return np.lib.format.descr_to_dtype(told["descr"]), told["fortran_order"], told["shape"]


def array_file(facts: dict[str, Any], blocks: list[Block], name: str = "values") -> bytes:
    header = b64decode(facts["header"])
    if facts["file"] == "npy":
        dtype, is_turned, shape = npy_header(header)
    else:
        types = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
        dtype, is_turned = np.dtype(types[header[2]]), False
        shape = tuple(int.from_bytes(header[4 + 4 * at : 8 + 4 * at], "big") for at in range(header[3]))
    data = b"".join(packed_values(block[name][2], block[name][0]) for block in blocks)
    must(all(block[name][1][0] >= 0 for block in blocks), "rows")
    must(sum(block[name][1][0] for block in blocks) == (shape[0] if shape else 1), "rows of an array")
    width = {"c": dtype.itemsize // 2}.get(dtype.kind, dtype.itemsize)
    is_number = dtype.itemsize <= {"c": 16}.get(dtype.kind, 8) and dtype.kind in "iumMfc"
    if is_number and not is_little(dtype):
        data = b"".join(data[at : at + width][::-1] for at in range(0, len(data), width))
    n = product(shape)
    must(len(data) == n * dtype.itemsize, "bytes of an array")
    if is_turned and n and dtype.itemsize:
        found, size = [b""] * n, dtype.itemsize
        for at in range(n):
            left, place, step = at, 0, product(shape)
            steps = [product(shape[:axis]) for axis in range(len(shape))]
            for axis, side in enumerate(shape):
                step = product(shape[axis + 1 :])
                place += left // step % side * steps[axis]
            found[place] = data[at * size : (at + 1) * size]
        data = b"".join(found)
    return header + data


def is_little(dtype: np.dtype[Any]) -> bool:
    return dtype.newbyteorder("<") == dtype


def arrays_file(facts: dict[str, Any], blocks: list[Block]) -> dict[str, bytes]:
    """Members by name."""
    n_rows, found = facts["n_rows"], dict[str, bytes]()
    for at, one in enumerate(facts["arrays"]):
        must(one["n_rows"] == n_rows, "rows")
        found[one["name"]] = array_file(one, blocks, str(at))
    if facts["rest"]:
        found |= zip(facts["rest"], blocks[0]["rest"], strict=True)
    return {f"{name}.npy": found[name] for name in facts["order"]}


# ------------------------------------------------------------------ tables of text


def text_file(facts: dict[str, Any], blocks: list[Block]) -> bytes:
    """The bytes of the file; of a packed one those inside."""
    separator, end = facts["separator"].encode("latin-1"), facts["line_end"].encode("latin-1")
    rows = list[bytes]()
    for block in blocks:
        if list(block) == ["text"]:
            rows += block["text"]
            continue
        cells = [cells_of(block, at, told) for at, told in enumerate(facts["columns"])]
        rows += [separator.join(row) + end for row in zip(*cells, strict=True)]
    must(len(rows) == facts["n_rows"], "rows")
    data = facts["head"].encode("latin-1") + b"".join(rows)
    return data[: -len(end)] if facts["ends_open"] else data


def cells_of(block: Block, at: int, told: dict[str, Any]) -> list[bytes]:
    column = block[str(at)]
    if told["type"] == "text":
        found = list(column)
    else:
        kind, _, bits = column
        if told["type"] == "words":
            words = [word.encode("latin-1") for word in told["words"]]
            found = [words[place] for place in bits]
        elif told["type"] == "float":
            must(kind == "f8", "floats")
            floats = (struct.unpack("<d", each.to_bytes(8, "little"))[0] for each in bits)
            found = [repr(each).encode() for each in floats]
        else:
            write = number_cell if told["type"] == "number" else time_cell
            found = [write(value, told) for value in whole_numbers(bits, kind)]
    if f"{at}?" in block:
        odd = iter(block[f"{at}!"])
        found = [
            next(odd) if is_odd else cell for cell, is_odd in zip(found, block[f"{at}?"][2], strict=True)
        ]
    return found


def number_cell(value: int, told: dict[str, Any]) -> bytes:
    digits, style = told["digits"], told["style"]
    sign, text = "-" if value < 0 else "", str(abs(value))
    if not digits:
        return (sign + text.zfill(told["width"] - len(sign))).encode()
    text = text.zfill(digits + 1)
    whole, after = text[:-digits], text[-digits:]
    if style != "fixed":
        after = after.rstrip("0") or ("0" if style == "point" else "")
    return f"{sign}{whole}{'.' if after else ''}{after}".encode()


def time_cell(value: int, told: dict[str, Any]) -> bytes:
    a_day = {"D": 1, "m": 1440, "s": 86400, "ms": 86400 * 1000, "us": 86400 * 10**6}[told["unit"]]
    days, rest = divmod(value, a_day)
    date = (datetime.date(1970, 1, 1) + datetime.timedelta(days)).isoformat()
    if told["unit"] == "D":
        return date.encode()
    a_minute = a_day // 1440
    minutes, rest = divmod(rest, a_minute)
    text = f"{minutes // 60:02}:{minutes % 60:02}"
    if told["unit"] != "m":
        a_second = a_minute // 60
        text += f":{rest // a_second:02}"
        if a_second > 1:
            text += f".{rest % a_second:0{len(str(a_second)) - 1}}"
    return f"{date}{told['between']}{text}".encode()


# ------------------------------------------------------------------ tables of Arrow's


def table_of(facts: dict[str, Any], blocks: list[Block]) -> pa.Table:
    schema = pa.ipc.read_schema(pa.py_buffer(b64decode(facts["schema"])))
    tables = [
        pa.Table.from_arrays(
            [arrow(str(at), dtype, block) for at, dtype in enumerate(schema.types)], schema=schema
        )
        for block in blocks
    ]
    found = pa.concat_tables(tables) if tables else schema.empty_table()
    must(len(found) == facts["n_rows"], "rows")
    return found


def arrow(key: str, dtype: Any, block: Block) -> Any:
    """The array of a key, row by row from Python's values where Arrow takes them."""
    types = pa.types
    if isinstance(dtype, pa.BaseExtensionType):
        return dtype.wrap_array(arrow(key, dtype.storage_type, block))
    gaps = [bool(each) for each in block[f"{key}?"][2]] if f"{key}?" in block else None
    if types.is_struct(dtype):
        inner = [arrow(f"{key}.{at}", field.type, block) for at, field in enumerate(dtype.fields)]
        mask = None if gaps is None else pa.array(gaps)
        return pa.StructArray.from_arrays(inner, fields=dtype.fields, mask=mask)
    column = block[key]
    n = len(column) if isinstance(column, list) else column[1][0]
    gaps = [False] * n if gaps is None else gaps
    if types.is_dictionary(dtype):
        codes, words = leaf(column, dtype.index_type, gaps), arrow(f"{key}#", dtype.value_type, block)
        return pa.DictionaryArray.from_arrays(codes, words, ordered=dtype.ordered)
    if types.is_nested(dtype):
        inner, mask = arrow(f"{key}[]", dtype.value_type, block), pa.array(gaps)
        if types.is_fixed_size_list(dtype):
            return pa.FixedSizeListArray.from_arrays(inner, type=dtype, mask=mask)
        ends = [0]
        for length in whole_numbers(column[2], column[0]):
            ends.append(ends[-1] + length)
        is_large = types.is_large_list(dtype)
        made = pa.LargeListArray if is_large else pa.ListArray
        offsets = pa.array(ends, pa.int64() if is_large else pa.int32())
        return made.from_arrays(offsets, inner, type=dtype, mask=mask)
    return leaf(column, dtype, gaps)


def leaf(column: Any, dtype: Any, gaps: list[bool]) -> Any:
    n = len(gaps)
    if pa.types.is_null(dtype):
        return pa.nulls(n)
    if isinstance(column, list):
        texts = [None if is_gap else text for text, is_gap in zip(column, gaps, strict=True)]
        return pa.array(texts, pa.large_binary()).cast(dtype)
    kind, shape, bits = column
    if pa.types.is_boolean(dtype):
        return pa.array([None if gap else bool(bit) for bit, gap in zip(bits, gaps, strict=True)], dtype)
    if pa.types.is_decimal128(dtype) and shape == (n,):
        data = b"".join(value.to_bytes(16, "little", signed=True) for value in whole_numbers(bits, kind))
    else:
        data = packed_values(bits, kind)
    must(len(data) == n * dtype.bit_width // 8, "bytes of a column")
    valid = 0
    for at, is_gap in enumerate(gaps):
        valid |= (not is_gap) << at
    return pa.Array.from_buffers(
        dtype, n, [pa.py_buffer(valid.to_bytes(n // 8 + 1, "little")), pa.py_buffer(data)]
    )


# ------------------------------------------------------------------ files


def kept_file(facts: dict[str, Any], blocks: list[Block]) -> bytes:
    return b"".join(piece for block in blocks for piece in block["bytes"])


def sound_file(facts: dict[str, Any], blocks: list[Block]) -> Any:
    head, tail = (b64decode(facts[name]) for name in ("head", "tail"))
    samples = [block["values"] for block in blocks]
    return made_sound(facts["sound"], head, tail, samples)


def made_sound(kind: str, head: bytes, tail: bytes, pieces: list[Any]) -> Any:
    """The bytes of a WAV file, or the samples of a FLAC file with its blocks."""
    form, _, channels, sample = kind.split(" ")
    values = [value for dtype, _, bits in pieces for value in whole_numbers(bits, dtype)]
    if form == "flac":
        return np.array(values).reshape(-1, int(channels)), head
    width = int(sample[1])
    body = b"".join((value % (1 << 8 * width)).to_bytes(width, "little") for value in values)
    return head + body + tail


def picture(kind: str, head: bytes, tail: bytes, pixels: list[int]) -> bytes:
    """A PNG file whose lines have no filter."""
    import zlib

    height, width, _, bits = map(int, kind.split(" "))
    n_bytes = bits // 8
    line = len(pixels) // height
    lines = b"".join(
        b"\0" + b"".join(pixel.to_bytes(n_bytes, "big") for pixel in pixels[y * line : (y + 1) * line])
        for y in range(height)
    )
    must(line % width == 0, "channels")
    body = b"IDAT" + zlib.compress(lines)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + head + chunk + tail


def folder_files(facts: dict[str, Any], blocks: list[Block]) -> dict[str, Any]:
    """What each file is, by name; None of an empty folder."""
    found, sounds, last = dict[str, Any](), dict[str, Any](), ""
    for block in blocks:
        hows, at = block["how"][2], defaultdict[str, int](int)
        empty = [b""] * len(hows)
        texts = [block.get(name, empty) for name in ("name", "kind", "head", "tail")]
        for row, how in enumerate(hows):
            name, kind, head, tail = (column[row] for column in texts)
            said = kind.decode("latin-1")
            last = name.decode() if how in (0, 2, 3, 5) else last
            if how < 2:
                found[last] = found.get(last, b"") + block["bytes"][at["bytes"]]
                at["bytes"] += 1
            elif how == 5:
                found[last] = None
            else:
                piece, at[said] = piece_of(block, said, row, at[said], is_sound=how != 2)
                if how == 2:
                    found[last] = picture(said, head, tail, piece[2])
                elif how == 3:
                    sounds[last] = said, head, tail, [piece]
                else:
                    sounds[last][3].append(piece)
    return found | {name: made_sound(*sound) for name, sound in sounds.items()}


def piece_of(block: Block, kind: str, row: int, at: int, *, is_sound: bool) -> tuple[Any, int]:
    """The pixels or samples of a piece, and where those of the next one of its kind begin."""
    dtype, shape, bits = block[kind]
    n = block["frames"][2][row] if is_sound and len(shape) == 2 else 1
    size = product(shape[1:])
    return (dtype, shape, bits[at * size : (at + n) * size]), at + n


CONTENTS: dict[str, Callable[[dict[str, Any], list[Block]], Any]] = {
    "array": array_file,
    "arrays": arrays_file,
    "text table": text_file,
    "table": table_of,
    "file": kept_file,
    "sound": sound_file,
    "folder": folder_files,
}

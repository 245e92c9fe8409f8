"""Changes to files: blind ones that suit any bytes, and ones that know a format and mend its checksums."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

from fuzz_seeds import Files, npy_bytes, ogg_pages, ogg_summed, packed, zipped

Mutation = Callable[[Random, bytes], bytes]

LONGEST = 1 << 18
"""No changed file is longer."""
EXTREMES = tuple(
    sorted(
        {0, 1, 2, 3, 4, 7, 8, 9, 10, 16, 63, 64, 65, 100, 255, 256, 1000, 10**6, 10**9}
        | {2**power + step for power in (7, 8, 15, 16, 24, 31, 32, 40, 62, 63, 64) for step in (-1, 0, 1)}
    )
)
RUNS = (
    b"\0",
    b"\xff",
    b" ",
    b"0",
    b"9",
    b"A",
    b'"',
    b",",
    b"\n",
    b"[",
    b"{",
    b"(",
    b"-",
    b"\x80",
    b"\xf0\x9f\x90\x8d",
)
WORDS = (
    b"NaN", b"inf", b"-inf", b"1e999", b"-1", b"9" * 30, b"1e308", b"0x10", b"null", b"True", b'"', b"'", b"\r", b"\r\n",
    b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xed\xa0\x80", b"../../etc/passwd", b"/etc/passwd", b"\xe2\x80\xa8",
    b"%s%n", b"=1+1", b"id", b"2020-02-30", b"0001-01-01", b"9999-12-31", b"99/99/9999", b"1,5", b";", b"\t", b"|",
)  # fmt: skip


def mutated(random: Random, data: bytes, others: list[bytes]) -> bytes:
    """Some bytes with one to eight blind changes."""
    for _ in range(1 << random.randrange(4)):
        data = random.choice(_BLIND)(random, data, others)
    return data[:LONGEST]


def _place(random: Random, data: bytes) -> int:
    """Anywhere, though the first bytes more often: headers stand there."""
    most = len(data) if random.random() < 0.5 else min(len(data), 64)
    return random.randrange(most + 1)


def _flip(random: Random, data: bytes, others: list[bytes]) -> bytes:
    if not data:
        return data
    at = min(_place(random, data), len(data) - 1)
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _byte(random: Random, data: bytes, others: list[bytes]) -> bytes:
    at = _place(random, data)
    return (
        data[:at] + bytes([random.choice((0, 1, 127, 128, 254, 255, random.randrange(256)))]) + data[at + 1 :]
    )


def _number(random: Random, data: bytes, others: list[bytes]) -> bytes:
    size, sign = random.choice((1, 2, 4, 8)), random.choice("<>")
    value = random.choice(EXTREMES) % (1 << 8 * size)
    at = _place(random, data)
    at -= at % size if random.random() < 0.7 else 0
    return data[:at] + value.to_bytes(size, "little" if sign == "<" else "big") + data[at + size :]


def _cut(random: Random, data: bytes, others: list[bytes]) -> bytes:
    return data[: random.randrange(len(data) + 1)] if random.random() < 0.3 else data


def _without(random: Random, data: bytes, others: list[bytes]) -> bytes:
    at = _place(random, data)
    return data[:at] + data[at + random.choice((1, 2, 4, 8, 64)) :]


def _again(random: Random, data: bytes, others: list[bytes]) -> bytes:
    at, length = _place(random, data), random.choice((1, 4, 16, 256))
    times = random.choice((1, 1, 2, 16, 256)) if len(data) < 1 << 16 else 1
    return data[:at] + data[at : at + length] * times + data[at:]


def _run(random: Random, data: bytes, others: list[bytes]) -> bytes:
    at, length = _place(random, data), random.choice((1, 2, 7, 64, 1000, 20_000))
    filling = random.choice(RUNS) * length
    return data[:at] + filling + (data[at:] if random.random() < 0.5 else data[at + len(filling) :])


def _word(random: Random, data: bytes, others: list[bytes]) -> bytes:
    at, word = _place(random, data), random.choice(WORDS)
    return data[:at] + word + (data[at:] if random.random() < 0.5 else data[at + len(word) :])


def _spliced(random: Random, data: bytes, others: list[bytes]) -> bytes:
    other = random.choice(others)
    start, at = _place(random, other), _place(random, data)
    piece = other[start : start + random.choice((4, 16, 64, len(other)))]
    return data[:at] + piece + data[at + (len(piece) if random.random() < 0.5 else 0) :]


def _digits(random: Random, data: bytes, others: list[bytes]) -> bytes:
    """One written number becomes an extreme one."""
    found = list(re.finditer(rb"-?[0-9]+", data))
    if not found:
        return data
    one = random.choice(found)
    sign = "-" if random.random() < 0.2 else ""
    return data[: one.start()] + f"{sign}{random.choice(EXTREMES)}".encode() + data[one.end() :]


_BLIND = (_flip, _flip, _byte, _number, _number, _cut, _without, _again, _run, _word, _spliced, _digits)


def blind(random: Random, data: bytes) -> bytes:
    """As :func:`mutated`, with no other file."""
    return mutated(random, data, [data])


# ---------------------------------------------------------------- arrays


DTYPES = (
    "|b1", "|i1", "|u1", "<i2", ">i2", "<i4", "<i8", ">i8", "<u8", "<f2", "<f4", "<f8", ">f8", "<f16", "<c8", "<c16",
    "|O", "|V0", "|V8", "<V2147483647", "<U0", "<U1", "<U536870911", "|S0", "|S4", "|S2147483647", "<M8[s]", "<m8[ns]",
    "f4,(2,2)i4", "T", "x", "", "(1000000000,)f8", "i4" * 5000,
)  # fmt: skip


def npy_header(random: Random) -> bytes:
    """A header with fields at random, in a file with few values."""
    axes = random.choice((0, 1, 2, 2, 2, 3, 4, 5, 33, 65))
    shape = ", ".join(
        str(random.choice(EXTREMES[:12] if random.random() < 0.7 else EXTREMES)) for _ in range(axes)
    )
    shape = random.choice((f"({shape},)", f"({shape})", f"[{shape}]", "()", "(-1, 2)", "(True, 2)", "(1.0, 2)", "None",
                           "(" * 200 + ")" * 200, "((2, 3),)", "(2, 3L)", "(1e3, 2)", "(2,)" * 999))  # fmt: skip
    descr = random.choice((repr(random.choice(DTYPES)), "[('a', '<f4')]", "[('a', '|O')]", "[('a', '<f4', (9,) * 9)]", "{}",
                           "('<f4', (2, 2))", "[" * 99 + "]" * 99, "None", "{'names': ['a'], 'formats': ['f4']}"))  # fmt: skip
    order = random.choice(("True", "False", "False", "0", "None"))
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if random.random() < 0.1:
        text = random.choice(
            (text[:-3], text * 2, "import os", "{" * 300, "-" * 5000 + "1", "a" * 9000, f"{text} #", "\\")
        )
    header = text.encode("latin-1") + b" " * random.choice((0, 20, 60)) + b"\n"
    version = random.choice(((1, 0), (1, 0), (2, 0), (3, 0), (9, 9)))
    length = len(header) if random.random() < 0.8 else random.choice(EXTREMES)
    size = struct.pack("<H", length & 0xFFFF) if version == (1, 0) else struct.pack("<I", length & 0xFFFFFFFF)
    values = bytes(random.choice((0, 1, 8, 24, 96, 4096)))
    return b"\x93NUMPY" + bytes(version) + size + header + values


def npy(random: Random, data: bytes) -> bytes:
    """Another header, or blind."""
    return npy_header(random) if random.random() < 0.5 else blind(random, data)


def npz(random: Random, data: bytes) -> bytes:
    """Members changed and zipped anew, names and promised sizes too; or blind."""
    if random.random() < 0.3:
        return blind(random, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(sorted(members))
    what = random.random()
    if what < 0.6:
        members[name] = npy(random, members[name])
    elif what < 0.7:
        members[
            random.choice(("../x.npy", "/x.npy", "x", "format.npy", "y.npy", "\u00e4.npy", "a" * 999))
        ] = members.pop(name)
    elif what < 0.8:
        members[random.choice(("y.npy", "labels.npy", "shape.npy"))] = members[random.choice(sorted(members))]
    else:
        import numpy as np

        values = random.choice(
            ([2**40, 2**40], [2**62, 4], [-1, 8], [6], [6, 8, 9], [0, 8], [6, 2**40], [2**33, 8], [6.5, 8])
        )
        members[random.choice((name, "shape.npy"))] = npy_bytes(np.array(values))
    found = zipped(members, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    if random.random() < 0.3:  # sizes in the directory, which stands at the end
        at = found.rfind(b"PK\x01\x02")
        field = at + random.choice((6, 8, 10, 16, 20, 24, 28, 42))
        found = found[:field] + struct.pack("<I", random.choice(EXTREMES) & 0xFFFFFFFF) + found[field + 4 :]
    return found


def idx(random: Random, data: bytes) -> bytes:
    """Types, axes and sides at random; packed files inside."""
    is_packed = data.startswith(b"\x1f\x8b")
    if is_packed and random.random() < 0.3:
        return blind(random, data)
    inner = gzip.decompress(data) if is_packed else data
    if random.random() < 0.5:
        axes = random.choice((0, 1, 2, 3, 3, 4, 32, 64, 65, 255))
        sides = [
            random.choice(EXTREMES[:9] if random.random() < 0.6 else EXTREMES) & 0xFFFFFFFF
            for _ in range(axes)
        ]
        code = random.choice((8, 9, 11, 12, 13, 14, 10, 0))
        start = bytes([0, 0, code, axes]) + b"".join(struct.pack(">I", side) for side in sides)
        inner = start + inner[16 : random.choice((16, 24, len(inner)))]
    else:
        inner = blind(random, inner)
    return packed(inner) if is_packed else inner


# ---------------------------------------------------------------- pictures


def png(random: Random, data: bytes) -> bytes:
    """Chunks changed, left out, doubled and invented, each with the checksum that it should have."""
    if random.random() < 0.2:
        return blind(random, data)
    chunks, at = list[tuple[bytes, bytes]](), 8
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    for _ in range(random.choice((1, 1, 2, 3))):
        place = random.randrange(len(chunks))
        kind, body = chunks[place]
        what = random.random()
        if what < 0.3 and chunks[0][0] == b"IHDR":
            head = bytearray(chunks[0][1].ljust(13, b"\0"))
            if random.random() < 0.7:
                struct.pack_into(">I", head, random.choice((0, 4)), random.choice(EXTREMES) & 0xFFFFFFFF)
            else:
                head[random.randrange(8, 13)] = random.choice((0, 1, 2, 3, 4, 6, 8, 16, 32, 255))
            chunks[0] = (b"IHDR", bytes(head))
        elif what < 0.6:
            if kind in (b"IDAT", b"fdAT") and random.random() < 0.6:
                try:
                    body = zlib.compress(blind(random, zlib.decompress(body)))
                except zlib.error:
                    body = blind(random, body)
            else:
                body = blind(random, body)
            chunks[place] = (kind, body)
        elif what < 0.7:
            chunks.pop(place)
        elif what < 0.8:
            chunks.insert(random.randrange(len(chunks)), chunks[place])
        else:
            kind = random.choice((b"zTXt", b"iTXt", b"tEXt", b"iCCP", b"eXIf", b"tRNS", b"PLTE", b"acTL", b"fcTL", b"gAMA",
                                  b"pHYs", b"sRGB", b"abcd", b"IEND", b"bKGD", b"cHRM"))  # fmt: skip
            body = (
                b"a\0\0" + zlib.compress(bytes(random.choice((0, 99, 10**6))))
                if kind in (b"zTXt", b"iCCP")
                else bytes(random.randrange(256) for _ in range(random.choice((0, 1, 4, 26, 99))))
            )
            chunks.insert(random.randrange(1, len(chunks) + 1), (kind, body))
        if not chunks:
            break
    body = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return data[:8] + body


def tiff(random: Random, data: bytes) -> bytes:
    """Entries of the directory with other tags, types, counts and values; or blind."""
    if random.random() < 0.35 or len(data) < 8:
        return blind(random, data)
    found = bytearray(data)
    (start,) = struct.unpack_from("<I", data, 4)
    for _ in range(random.choice((1, 1, 2, 4))):
        if start + 2 > len(found):
            break
        (n,) = struct.unpack_from("<H", found, start)
        at = start + 2 + 12 * random.randrange(max(1, n))
        if at + 12 > len(found):
            break
        what = random.random()
        if what < 0.2:
            tags = (
                254,
                256,
                257,
                258,
                259,
                262,
                266,
                273,
                274,
                277,
                278,
                279,
                284,
                317,
                320,
                322,
                323,
                324,
                325,
                338,
                339,
                34675,
            )
            struct.pack_into("<H", found, at, random.choice(tags))
        elif what < 0.35:
            struct.pack_into("<H", found, at + 2, random.choice((0, 1, 2, 3, 4, 5, 7, 11, 12, 13, 16, 99)))
        elif what < 0.6:
            struct.pack_into("<I", found, at + 4, random.choice(EXTREMES) & 0xFFFFFFFF)
        elif what < 0.95:
            small = random.random() < 0.5
            value = random.choice((*range(10), 32773, 34712, 50000, 50001) if small else EXTREMES)
            struct.pack_into("<I", found, at + 8, value & 0xFFFFFFFF)
        else:
            struct.pack_into("<H", found, start, random.choice(EXTREMES) & 0xFFFF)
    return bytes(found)


def bmp(random: Random, data: bytes) -> bytes:
    """Fields of the header; or blind."""
    if random.random() < 0.3:
        return blind(random, data)
    found = bytearray(data.ljust(54, b"\0"))
    for _ in range(random.choice((1, 1, 2, 3))):
        at, size = random.choice(
            ((2, 4), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4), (34, 4), (46, 4), (50, 4))
        )
        pool = (
            (0, 1, 2, 3, 4, 8, 12, 16, 24, 32, 40, 52, 56, 64, 108, 124)
            if random.random() < 0.5
            else EXTREMES
        )
        found[at : at + size] = (random.choice(pool) % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(found)


# ---------------------------------------------------------------- sounds


def wav(random: Random, data: bytes) -> bytes:
    """Fields of the format and sizes of chunks; or blind."""
    if random.random() < 0.3:
        return blind(random, data)
    found = bytearray(data)
    places = [(4, 4)]
    form = data.find(b"fmt ")
    if form >= 0:
        places += [
            (form + 4, 4),
            (form + 8, 2),
            (form + 10, 2),
            (form + 12, 4),
            (form + 16, 4),
            (form + 20, 2),
            (form + 22, 2),
        ]
        places += [(form + 24, 2), (form + 26, 2)]
    places += [
        (data.find(name) + 4, 4) for name in (b"data", b"fact", b"ds64", b"LIST", b"PEAK") if name in data
    ]
    places += [(data.find(b"ds64") + 8 + 8 * at, 8) for at in range(3) if b"ds64" in data]
    for _ in range(random.choice((1, 1, 2, 3))):
        at, size = random.choice(places)
        pool = (
            (0, 1, 2, 3, 6, 7, 17, 34, 49, 85, 80, 0xFFFE, 8, 16, 24, 32, 64)
            if random.random() < 0.5
            else EXTREMES
        )
        found[at : at + size] = (random.choice(pool) % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(found)


def flac(random: Random, data: bytes) -> bytes:
    """Fields of STREAMINFO, further blocks; or blind."""
    if random.random() < 0.4 or len(data) < 42:
        return blind(random, data)
    found = bytearray(data)
    what = random.random()
    if what < 0.7:
        word = int.from_bytes(found[18:26], "big")
        rate, channels, bits, total = word >> 44, word >> 41 & 7, word >> 36 & 31, word & (1 << 36) - 1
        which = random.randrange(5)
        rate = random.choice((0, 1, 2, 8000, 655350, (1 << 20) - 1)) if which == 0 else rate
        channels = random.randrange(8) if which == 1 else channels
        bits = random.choice((0, 3, 7, 15, 23, 31)) if which == 2 else bits
        total = random.choice((*EXTREMES, 2**36 - 1)) % (1 << 36) if which >= 3 else total
        found[18:26] = (rate << 44 | channels << 41 | bits << 36 | total).to_bytes(8, "big")
    elif what < 0.85:
        found[8:12] = struct.pack(">HH", *(random.choice((0, 1, 15, 16, 4096, 65535)) for _ in range(2)))
    else:
        kind = random.choice((1, 2, 3, 4, 5, 6, 126))
        body = bytes(random.choice((0, 1, 8, 400)))
        found[4] &= 0x7F
        found[42:42] = bytes([kind]) + random.choice((len(body), 0xFFFFFF, 4)).to_bytes(3, "big") + body
    return bytes(found)


def ogg(random: Random, data: bytes) -> bytes:
    """A page changed and its checksum mended; or blind."""
    if random.random() < 0.2:
        return blind(random, data)
    pages = ogg_pages(data)
    for _ in range(random.choice((1, 1, 2))):
        place = random.randrange(len(pages))
        page, what = pages[place], random.random()
        if what < 0.6:
            at = min(len(page), 27 + (page[26] if len(page) > 26 else 0))
            pages[place] = page[:at] + blind(random, page[at:])[: len(page) - at].ljust(len(page) - at, b"\0")
        elif what < 0.8:
            head = bytearray(page)
            at, size = random.choice(((5, 1), (6, 8), (14, 4), (18, 4), (26, 1)))
            head[at : at + size] = (random.choice(EXTREMES) % (1 << 8 * size)).to_bytes(size, "little")
            pages[place] = bytes(head)
        elif what < 0.9:
            pages.insert(place, page)
        else:
            pages.pop(place)
        if not pages:
            break
    return b"".join(map(ogg_summed, pages))


# ---------------------------------------------------------------- tables and text


def parquet(random: Random, data: bytes) -> bytes:
    """The footer, its length, or the heads of pages; or blind."""
    if random.random() < 0.3 or len(data) < 12:
        return blind(random, data)
    (length,) = struct.unpack("<I", data[-8:-4])
    body, footer = data[: -8 - length], bytearray(data[-8 - length : -8])
    what = random.random()
    if what < 0.7 and footer:
        for _ in range(random.choice((1, 1, 2, 4))):
            at = random.randrange(len(footer))
            if random.random() < 0.5:
                footer[at] ^= 1 << random.randrange(8)
            elif random.random() < 0.5:
                footer[at] = random.choice(
                    (0, 1, 2, 0x15, 0x16, 0x18, 0x19, 0x1C, 0x26, 0x2C, 0x7F, 0x80, 0xFF)
                )
            else:  # a number of the compact protocol
                value, number = random.choice(EXTREMES), bytearray()
                while value > 127:
                    number.append(value & 127 | 128)
                    value >>= 7
                number.append(value)
                footer[at : at + random.choice((1, 2, len(number)))] = number
    elif what < 0.9:
        body = body[:4] + blind(random, body[4:])
    else:
        length = random.choice(EXTREMES) & 0xFFFFFFFF
        return body + bytes(footer) + struct.pack("<I", length) + b"PAR1"
    return body + bytes(footer) + struct.pack("<I", len(footer)) + b"PAR1"


def arrow(random: Random, data: bytes) -> bytes:
    """Numbers at their places in the metadata; or blind."""
    if random.random() < 0.4:
        return blind(random, data)
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        size = random.choice((2, 4, 8))
        at = random.randrange(8, max(9, len(found) - 8)) // size * size
        pool = (0, 1, 2, 4, 8, 16, 64) if random.random() < 0.4 else EXTREMES
        found[at : at + size] = (random.choice(pool) % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(found)


_CELLS = (
    "1", "2.5", "-3", "x", "", "NA", "?", '"', '""', '"a,b"', "inf", "1e400", "9" * 40, "0" * 30, "2020-01-31", "31.12.2020",
    "2020-01-31T10:00:00.123456Z", "2020-01-31T10:00+99:99", "0000-00-00", "00:00", "yes", "no", "\0", "\u00e4", "\U0001f40d", "1,5", "'", "+1",
    ".5", "5.", "1_000", "\u0661", "- 1", "true", "0x1", "1e5", "\u2028", "\x0c", "\x1a", "=A1", "a" * 300, "2020-01-31 ",
)  # fmt: skip


def delimited(random: Random, data: bytes) -> bytes:
    """A table made up of odd cells, in any encoding; or a blind change, packed files inside."""
    is_packed = data.startswith(b"\x1f\x8b")
    if is_packed and random.random() < 0.3:
        return blind(random, data)
    inner = gzip.decompress(data) if is_packed else data
    if random.random() < 0.5:
        inner = blind(random, inner)
    else:
        separator, end = random.choice(",,;\t|"), random.choice(("\n", "\n", "\r\n", "\r"))
        n_columns, n_rows = random.choice((1, 2, 3, 9, 200)), random.choice((0, 1, 2, 12, 30))
        cells = random.sample(_CELLS, random.choice((1, 2, 5, 12)))
        names = [
            random.choice((f"c{at}", f"c{at}", "id", "a", "", "1", '"', "Unnamed: 0"))
            for at in range(n_columns)
        ]
        columns = [random.choices(cells, k=n_rows) for _ in names]
        if random.random() < 0.2:
            columns[0] = [random.choice(_CELLS) * random.choice((1, 50, 2000)) for _ in range(n_rows)]
        lines = [separator.join(names), *(separator.join(row) for row in zip(*columns, strict=True))]
        if random.random() < 0.2 and len(lines) > 1:
            lines[random.randrange(len(lines))] += separator * random.choice((1, 2, 300))
        text = end.join(lines) + random.choice(("", end))
        inner = text.encode(
            random.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252")),
            "replace",
        )
    return packed(inner) if is_packed else inner


def labels(random: Random, data: bytes) -> bytes:
    """Odd labels; arrays as arrays."""
    if data.startswith(b"\x93NUMPY"):
        return npy(random, data)
    if data[:2] in (b"\0\0", b"\x1f\x8b"):
        return idx(random, data)
    if random.random() < 0.4:
        return blind(random, data)
    names = random.choice(
        (
            ("",) * 4,
            ("a.png,", "b.png,", "sub/c.png,", "d.png,"),
            ("../a.png,", "/etc/passwd,", "\\a,", "a,b,"),
        )
    )
    lines = [name + random.choice(_CELLS) * random.choice((1, 1, 1, 900)) for name in names]
    return (
        random.choice(("\n", "\r\n", "\r"))
        .join(lines)
        .encode(random.choice(("utf-8", "utf-16", "latin-1")), "replace")
    )


_VALUES = (
    "1", "-1", "0", "1e400", "-inf", "nan", "true", '""', "[]", "[[]]", "{}", "[1, 2]", '"a"', "2020-01-31", "00:00:00", "9" * 400,
    "0.5", "1e-400", "[0, 0]", '["a", 1]', "{ type = 'l1' }", "[{}]", '"dense"', '"l1"', "0x7fffffffffffffff", "1" * 5000,
    "[" * 90 + "]" * 90, "{a = " * 90 + "1" + "}" * 90, '"\\u0000"', '"\\U0010ffff"', "'''\n'''", "18446744073709551616",
)  # fmt: skip


def toml(random: Random, data: bytes) -> bytes:
    """Keys with other values, keys that are not there, tables in tables; or blind."""
    if random.random() < 0.4:
        return blind(random, data)
    lines = data.decode("utf-8").splitlines()
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines))
        key = lines[at].partition("=")[0]
        what = random.random()
        if what < 0.7 and "=" in lines[at]:
            lines[at] = f"{key}= {random.choice(_VALUES)}"
        elif what < 0.8:
            lines.insert(
                at,
                random.choice(
                    (
                        "[data]",
                        "[model.network]",
                        "[[training]]",
                        "[model.code.x]",
                        "[a]",
                        "[" * 500,
                        "x",
                        "type = 'x'",
                    )
                ),
            )
        elif what < 0.9:
            lines.insert(at, f"{random.choice(('type', 'size', 'k', 'types', 'memory', 'resize', 'labels', 'a.b.c', chr(34) * 2))} = "
                             f"{random.choice(_VALUES)}")  # fmt: skip
        else:
            lines.pop(at)
        if not lines:
            lines = [""]
    return "\n".join(lines).encode()


def journal(random: Random, data: bytes) -> bytes:
    """Lines with other values, and deep ones; or blind."""
    if random.random() < 0.6:
        return blind(random, data)
    values = (
        "[" * 5000 + "]" * 5000,
        '{"a":' * 3000,
        "NaN",
        "-Infinity",
        "1e999",
        "9" * 5000,
        '"\\ud800"',
        "null",
        "[]",
        "{}",
        '"x"',
        "true",
    )
    lines = data.splitlines()
    line = f'{{"time": {random.choice(values)}, "event": {random.choice(values)}, "epoch": {random.choice(values)}}}'
    lines.insert(random.randrange(len(lines) + 1), line.encode())
    return b"\n".join(lines)


def codes(random: Random, data: bytes) -> bytes:
    """By what the file is."""
    for start, how in ((b"\x93NUMPY", npy), (b"PK", npz), (b"PAR1", parquet)):
        if data.startswith(start):
            return how(random, data)
    return delimited(random, data) if random.random() < 0.2 else blind(random, data)


def model(random: Random, data: bytes) -> bytes:
    """The header's length and its JSON; or blind."""
    if random.random() < 0.4 or len(data) < 8:
        return blind(random, data)
    (length,) = struct.unpack("<Q", data[:8])
    header = blind(random, data[8 : 8 + length])
    said = len(header) if random.random() < 0.8 else random.choice(EXTREMES) & (2**64 - 1)
    return struct.pack("<Q", said) + header + data[8 + length :]


def archive(random: Random, data: bytes) -> bytes:
    """Contents and heads of frames, under true digests, index and foot; or blind."""
    from isthmus.codec.container import frames

    if random.random() < 0.4:
        return blind(random, data)
    at, id_, made = frames.START.size, frames.NO_ID, data[: frames.START.size]
    at_index = 0
    while (frame := frames.head_of(data[at:])) is not None:
        content = data[at + frames.HEAD.size : at + frames.HEAD.size + frame.n_bytes]
        at += frame.size
        chance = random.random()
        if chance < 0.2:
            content = blind(random, content)
        elif chance < 0.3:
            content = b"\0" + blind(random, _unpacked(content))
        if random.random() < 0.8:
            frame = frame._replace(n_bytes=len(content))
        if random.random() < 0.1:
            frame = frame._replace(first_row=abs(random.choice(EXTREMES)) % 2**64)
        if random.random() < 0.1:
            frame = frame._replace(n_rows=abs(random.choice(EXTREMES)) % 2**32)
        if random.random() < 0.05:
            frame = frame._replace(n_bytes=abs(random.choice(EXTREMES)) % 2**64)
        at_index = len(made) if frame.mark == frames.INDEX else at_index
        written, digest = frames.frame_bytes(frame, content, id_)
        made += written * random.choice((1, 1, 1, 1, 1, 1, 0, 2))
        id_ = digest if frame.mark == frames.HEADER else id_
    if random.random() < 0.1:
        at_index = abs(random.choice(EXTREMES)) % 2**64
    return made + frames.foot_bytes(at_index, len(made) + frames.FOOT.size, id_)


def _unpacked(content: bytes) -> bytes:
    from isthmus.codec.container.general import unpacked
    from isthmus.errors import ArtifactError

    try:
        return unpacked(content, 1 << 16)
    except ArtifactError:
        return content


def whole(files: Files) -> list[bytes]:
    """All files, for splices."""
    return list(files.values())

"""Hostile files made by hand, all under a megabyte: what promises or unpacks to a lot, goes deep, or lies."""

from __future__ import annotations

import bz2
import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable

import fuzz_seeds as seeds
import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet
from fuzz_seeds import Files, npy_bytes, packed, zipped

MEGABYTE = 1 << 20


def flushed(piece: bytes, times: int, wbits: int = -15, start: bytes = b"") -> bytes:
    """A deflate stream of a start and many equal pieces, made as fast as one piece."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * times + packer.flush()


def zip_of(name: str, stream: bytes, n_bytes: int) -> bytes:
    """A zip file of one member that is packed already; its checksum is wrong, which shows only at its end."""
    called = name.encode()
    facts = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(stream), n_bytes, len(called), 0)
    local = b"PK\x03\x04" + facts + called + stream
    central = b"PK\x01\x02" + struct.pack("<H", 20) + facts + bytes(14) + called
    central = central[:34] + struct.pack("<HHIIH", 0, 0, 0, 0, 0)[:12] + called
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


def npy_head(descr: str, shape: str, version: int = 1, length: int | None = None) -> bytes:
    """The header of an array."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", size) + text


def csv_bombs() -> Files:
    """Tables as text."""
    wide = ",".join(f"c{at}" for at in range(100_000))
    rows = "".join(f"r{at},{at % 7}.5\n" for at in range(40_000))
    return {
        "inflates.csv.gz": packed(b"1.5,2.5\n" * (1 << 17)) * 600,
        "zeros.csv.gz": packed(b"a,b\n1,2\n" + bytes(MEGABYTE)) * 700,
        "lines.csv.gz": packed(b"\n" * MEGABYTE) * 700,
        "columns.csv": (wide + "\n" + "1," * 99_999 + "1\n").encode(),
        "nameless.csv": (b"," * 400_000 + b"\n") * 2,
        "cell.csv": b'a,b\n1,2\n"' + b"x" * 900_000 + b'",1\n',
        "open.csv": b'a,b\n1,2\n3,"4' + b"\n5,6" * 200_000,
        "quotes.csv": b"a,b\n" + b'"' * 900_001 + b",1\n2,3\n",
        "digits.csv": b"a,b\n" + b"9" * 900_000 + b",1\n2,3\n",
        "zeros.csv": b"a,b\n1,2\n" * 1000 + bytes(500_000),
        "name.csv": b"x" * 900_000 + b",b\n1,2\n3,4\n",
        "lines.csv": b"a\n" + b"1\n" * 450_000,
        "words.csv": b"a,b\n" + b"".join(b"w%d,%d\n" % (at, at) for at in range(70_000)),
        "dates.csv": b"a,b\n"
        + b"".join(b"20%02d-01-%02d,1.5\n" % (at % 99, at % 40) for at in range(50_000)),
        "ids.csv": f"id,x\n{'i' * 400_000},1.5\n{rows}".encode(),
        "latin.csv": b"a,b\n" + "ü,1\n".encode("latin-1") * 200_000,
        "snakes.csv": ("a,b\n" + "\U0001f40d,1\n" * 120_000).encode(),
        "carriage.csv": b"a,b\r1,2\r" * 100_000,
        "separators.csv": b"a;b|c\td,e\n" * 80_000,
    }


def npy_bombs() -> Files:
    """Headers that lie."""
    heads = {
        "rows": ("<f8", f"({2**40}, 4)"),
        "overflow": ("<f8", f"({2**62}, {2**62})"),
        "beyond": ("<f8", f"({2**70}, 1)"),
        "negative": ("<f8", "(-1, 4)"),
        "empty": ("<f8", f"(0, {2**62})"),
        "nothing": ("|V0", f"({2**40}, 4)"),
        "texts": ("<U0", f"({2**40}, 4)"),
        "long": ("<U536870911", "(1, 1)"),
        "bool": ("|b1", "(4, 4)"),
        "quad": ("<f16", "(2, 2)"),
        "half": ("<f2", "(2, 2)"),
        "objects": ("|O", "(2, 2)"),
        "axes": ("<f8", f"({'1, ' * 70})"),
    }
    found = {f"{name}.npy": npy_head(*head) + bytes(64) for name, head in heads.items()}
    deep = b"(" * 9000 + b")" * 900
    found["deep.npy"] = b"\x93NUMPY\x01\0" + struct.pack("<H", len(deep)) + deep
    found["minus.npy"] = b"\x93NUMPY\x01\0" + struct.pack("<H", 9001) + b"-" * 9000 + b"1"
    found["header.npy"] = npy_head("<f8", "(1, 1)", 2, 0xFFFFFFFF) + bytes(900_000)
    found["pickle.npy"] = b"\x80\x04cos\nsystem\n(S'true'\ntR."
    return found


def npz_bombs() -> Files:
    """Members that unpack to a lot, and matrices with few values in many rows or columns."""
    stream = flushed(bytes(MEGABYTE), 800, start=npy_head("<f8", f"({800 * 1024}, 128)"))
    spaces = flushed(b" " * MEGABYTE, 800, start=npy_head("<f8", "(1, 1)", 2, 800 * MEGABYTE))
    texts = flushed(bytes(MEGABYTE), 600, start=npy_head("<U1", f"({150 * MEGABYTE},)"))
    found = {
        "inflates.npz": zip_of("x.npy", stream, 800 * MEGABYTE + 90),
        "header.npz": zip_of("x.npy", spaces, 800 * MEGABYTE + 90),
        "texts.npz": zip_of("x.npy", texts, 600 * MEGABYTE + 90),
    }
    one = {"data.npy": npy_bytes(np.ones(1)), "shape.npy": npy_bytes(np.array([2**31 - 1, 2**31 - 1]))}
    zero = npy_bytes(np.zeros(1, np.int64))
    coo = {**one, "format.npy": npy_bytes(np.array(b"coo")), "row.npy": zero, "col.npy": zero}
    found["coo.npz"] = zipped(coo)
    found["rows.npz"] = zipped({**coo, "shape.npy": npy_bytes(np.array([2**31 - 1, 2]))})
    found["columns.npz"] = zipped({**coo, "shape.npy": npy_bytes(np.array([2, 2**31 - 1]))})
    dia = {
        **one,
        "format.npy": npy_bytes(np.array(b"dia")),
        "data.npy": npy_bytes(np.ones((1, 1))),
        "offsets.npy": zero,
    }
    found["dia.npz"] = zipped(dia)
    pointers = {"indices.npy": zero, "indptr.npy": npy_bytes(np.array([0, 1, 1]))}
    csr = {
        **one,
        **pointers,
        "format.npy": npy_bytes(np.array(b"csr")),
        "shape.npy": npy_bytes(np.array([2, 2**40])),
    }
    found["csr.npz"] = zipped(csr)
    csc = {
        **one,
        **pointers,
        "format.npy": npy_bytes(np.array(b"csc")),
        "shape.npy": npy_bytes(np.array([2**33, 2])),
    }
    found["csc.npz"] = zipped(csc)
    found["out.npz"] = zipped(
        {**csr, "indices.npy": npy_bytes(np.array([2**45])), "shape.npy": npy_bytes(np.array([2, 4]))}
    )
    bsr = {**csr, "format.npy": npy_bytes(np.array(b"bsr")), "data.npy": npy_bytes(np.ones((1, 1, 1)))}
    found["bsr.npz"] = zipped(bsr)
    found["twice.npz"] = zipped({**csr, "indices.npy": npy_bytes(np.array([0, 0])), "data.npy": npy_bytes(np.ones(2)),
                                 "indptr.npy": npy_bytes(np.array([0, 2, 2])), "shape.npy": npy_bytes(np.array([2, 4]))})  # fmt: skip
    found["many.npz"] = zipped(
        {f"{at}.npy": npy_bytes(np.ones((2, 2))) for at in range(2500)}, zipfile.ZIP_STORED
    )
    found["objects.npz"] = zipped({"x.npy": npy_head("|O", "(2, 2)") + b"\x80\x04cos\nsystem\n(S'true'\ntR."})
    found["labels.npz"] = zipped(
        {"x.npy": npy_bytes(np.ones((2, 3))), "y.npy": npy_head("|O", "(2,)") + bytes(99)}
    )
    return found


def idx_bombs() -> Files:
    """Sides that lie."""

    def head(code: int, *sides: int) -> bytes:
        return bytes((0, 0, code, len(sides))) + b"".join(struct.pack(">I", side) for side in sides)

    start = packed(head(8, 800 * 1024, 1024))
    return {
        "inflates.gz": start + packed(bytes(MEGABYTE)) * 800,
        "promises.gz": packed(head(0x0E, 2**31, 2**31) + bytes(99)),
        "axes.idx": head(8, *[1] * 200) + b"\0",
        "nothing.idx": head(8, 0, *[2**32 - 1] * 9),
        "empty.idx": head(8, *[0] * 255),
        "empty.gz": packed(head(8, *[0] * 255)),
        "axes.gz": packed(head(8, *[1] * 200) + b"\0"),
        "rows.idx": head(0x0E, 2**32 - 1, 2**32 - 1) + bytes(99),
    }


# ---------------------------------------------------------------- pictures


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, bits: int, colour: int, *others: bytes, laced: int = 0, bytes_a_pixel: int = 4
) -> bytes:
    """A picture of zeros, as large as its header says but for a piece."""
    n_bytes = min(900 * MEGABYTE, (width * bytes_a_pixel + 1) * height)
    body = flushed(bytes(MEGABYTE), n_bytes // MEGABYTE + 1, 15)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, laced)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + b"".join(others)
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


def png_bombs() -> Files:
    """Pictures of as many pixels as are read, of more, and texts that unpack to a lot."""
    exif = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    text = chunk(b"zTXt", b"a\0\0" + flushed(bytes(MEGABYTE), 700, 15))
    profile = chunk(b"iCCP", b"a\0\0" + flushed(bytes(MEGABYTE), 700, 15))
    palette = chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(256))
    return {
        "most.png": png(8192, 8192, 8, 6),
        "deepest.png": png(8192, 8192, 16, 6, bytes_a_pixel=8),
        "laced.png": png(8192, 8192, 8, 6, laced=1),
        "turned.png": png(8192, 8192, 8, 6, exif),
        "grey.png": png(8192, 8192, 16, 0, exif, bytes_a_pixel=2),
        "pair.png": png(8192, 8192, 8, 4, bytes_a_pixel=2),
        "palette.png": png(8192, 8192, 8, 3, palette, exif, bytes_a_pixel=1),
        "bits.png": png(8192, 8192, 1, 0, bytes_a_pixel=1),
        "thin.png": png(1 << 26, 1, 8, 6),
        "more.png": png(8192, 8193, 8, 2),
        "most-sides.png": png(2**31 - 1, 2**31 - 1, 8, 6),
        "text.png": png(4, 4, 8, 2, text),
        "profile.png": png(4, 4, 8, 2, profile),
        "chunks.png": png(4, 4, 8, 2, chunk(b"tEXt", b"a\0b") * 50_000),
        "frames.png": png(4, 4, 8, 2, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
    }  # fmt: skip


def jpeg_bombs() -> Files:
    """Scans without end over a large picture, and sides that lie."""
    found = seeds.jpeg_files()
    steps = found["steps.jpg"]

    def sized(data: bytes, height: int, width: int) -> bytes:
        at = next(data.find(mark) for mark in (b"\xff\xc2", b"\xff\xc0") if mark in data)
        return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]

    first = steps.find(b"\xff\xda")
    scan = steps[first : steps.find(b"\xff", first + 14)]
    end = steps.rfind(b"\xff\xd9")
    many = steps[:end] + scan * ((900_000 - len(steps)) // len(scan)) + steps[end:]
    return {
        "scans.jpg": sized(many, 8192, 8191),
        "scans-small.jpg": many,
        "large.jpg": sized(steps, 8192, 8191),
        "cmyk.jpg": sized(found["cmyk.jpg"], 8192, 8191),
        "turned.jpg": sized(found["colour.jpg"], 8192, 8191),
        "larger.jpg": sized(steps, 65500, 65500),
        "marks.jpg": b"\xff\xd8" + b"\xff\xfe\0\x02" * 200_000 + steps[2:],
    }


def bmp_bombs() -> Files:
    """Sides and compressions that lie."""
    data = seeds.bmp_files()["P.bmp"]

    def sized(width: int, height: int, how: int = 0) -> bytes:
        return (
            data[:18] + struct.pack("<ii", width, height) + data[26:30] + struct.pack("<I", how) + data[34:]
        )

    return {
        "large.bmp": sized(8192, 8192),
        "packed.bmp": sized(8192, 8192, 1) + b"\xff\0" * 400_000,
        "delta.bmp": sized(8192, 8191, 1) + b"\0\x02\0\0" * 200_000,
        "down.bmp": sized(8192, -8192),
        "wide.bmp": sized(2**31 - 1, 1),
        "negative.bmp": sized(-(2**31), -(2**31)),
    }


def gif_bombs() -> Files:
    """Large screens, and frames without end."""
    data = seeds.gif_files()["moving.gif"]
    start = data.find(b",")
    frame = b",\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    return {
        "screen.gif": data[:6] + struct.pack("<HH", 65535, 65535) + data[10:],
        "large.gif": data[:6] + struct.pack("<HH", 8192, 8192) + data[10:],
        "frames.gif": data[:start] + frame * 60_000 + b";",
        "blocks.gif": data[:start] + b"!\xfe\x01a\0" * 180_000 + data[start:],
        "large-frame.gif": data[:start] + b",\0\0\0\0\0\x20\0\x20\0\x02\x02\x44\x01\0;",
    }


def _tiff(*entries: tuple[int, int, int, int], body: bytes = b"") -> bytes:
    """A TIFF of one page with entries (tag, type, count, value) and a body that begins at byte 1024."""
    listed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + listed + bytes(4)
    return head.ljust(1024, b"\0") + body


def tiff_bombs() -> Files:
    """Sides, strips, tiles and counts that lie."""

    def page(
        width: int,
        height: int,
        how: int = 8,
        *others: tuple[int, int, int, int],
        body: bytes = b"",
        rows: int | None = None,
    ) -> bytes:
        given = {entry[0] for entry in others}
        entries = [
            (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, how), (262, 3, 1, 1),
            (273, 4, 1, 1024), (277, 3, 1, 1), (278, 4, 1, height if rows is None else rows), (279, 4, 1, len(body)),
        ]  # fmt: skip
        return _tiff(*[entry for entry in entries if entry[0] not in given], *others, body=body)

    zeros = flushed(bytes(MEGABYTE), 64, 15)
    many = flushed(bytes(MEGABYTE), 700, 15)
    return {
        "large.tif": page(8192, 8192, body=zeros),
        "raw.tif": page(8192, 8192, 1, body=zeros),
        "strip.tif": page(64, 64, 8, body=many, rows=2**32 - 1),
        "promised.tif": page(64, 64, 1, (279, 4, 1, 2**31 - 1), body=bytes(9)),
        "more.tif": page(2**31 - 1, 2**31 - 1, body=zeros),
        "counts.tif": page(8, 8, 1, (273, 4, 2**30, 1024), (279, 4, 2**30, 1024), body=bytes(9999)),
        "samples.tif": page(64, 64, 8, (277, 3, 1, 65535), (258, 3, 65535, 1024), body=zeros),
        "tiles.tif": page(64, 64, 8, (322, 4, 1, 2**20), (323, 4, 1, 2**10), (324, 4, 1, 1024), (325, 4, 1, len(many)), body=many),
        "tile.tif": page(64, 64, 8, (322, 4, 1, 2**31), (323, 4, 1, 2**31), (324, 4, 1, 1024), (325, 4, 1, 9), body=many),
        "loop.tif": page(8, 8, 1, body=bytes(64))[:118] + struct.pack("<I", 8) * 3 + bytes(900),
        "text.tif": page(8, 8, 1, (270, 2, 2**31 - 1, 1024), body=bytes(64)),
        "exif.tif": page(8, 8, 1, (34665, 4, 1, 8), (330, 4, 1, 8), body=bytes(64)),
        "packbits.tif": page(8192, 8192, 32773, body=b"\x81\0" * 400_000),
        "lzw.tif": page(8192, 8192, 5, body=b"\x80\0" * 400_000),
        "fax.tif": page(2**26, 1, 4, (258, 3, 1, 1), body=b"\xff" * 1000),
        "deep.tif": page(8192, 8192, 8, (258, 3, 1, 16), body=flushed(bytes(MEGABYTE), 128, 15)),
        "float.tif": page(8192, 8192, 8, (258, 3, 1, 32), (339, 3, 1, 3), body=flushed(bytes(MEGABYTE), 256, 15)),
    }  # fmt: skip


def webp_bombs() -> Files:
    """Canvases that lie."""
    found = seeds.webp_files()

    def canvas(data: bytes, width: int, height: int) -> bytes:
        at = data.find(b"VP8X") + 12
        return (
            data[:at]
            + (width - 1).to_bytes(3, "little")
            + (height - 1).to_bytes(3, "little")
            + data[at + 6 :]
        )

    lossless = seeds.picture_bytes(seeds._picture("RGBA"), "WEBP", lossless=True)
    bits = int.from_bytes(lossless[21:25], "little") >> 28 << 28 | 16383 | 16383 << 14
    lossy = found["lossy.webp"]
    at = lossy.find(b"\x9d\x01\x2a") + 3
    frame = found["moving.webp"]
    start = frame.find(b"ANMF")
    (length,) = struct.unpack("<I", frame[start + 4 : start + 8])
    one = frame[start : start + 8 + length + length % 2]
    body = frame[8:start] + one * 3000
    return {
        "canvas.webp": canvas(frame, 16383, 16383),
        "largest.webp": canvas(frame, 1 << 24, 1 << 24),
        "lossless.webp": lossless[:21] + bits.to_bytes(4, "little") + lossless[25:],
        "lossy.webp": lossy[:at] + struct.pack("<HH", 16383, 16383) + lossy[at + 4 :],
        "frames.webp": b"RIFF" + struct.pack("<I", len(body)) + body,
    }


# ---------------------------------------------------------------- sounds


def wav_bombs() -> Files:
    """Rates, channels and sizes that lie."""
    data = seeds.wav_files()["pcm_16.wav"]

    def wave(
        rate: int, channels: int = 1, bits: int = 16, body: bytes = bytes(1600), said: int | None = None
    ) -> bytes:
        step = channels * bits // 8
        form = struct.pack("<HHIIHH", 1, channels, rate, rate * step & 0xFFFFFFFF, step & 0xFFFF, bits)
        size = len(body) if said is None else said
        return (b"RIFF" + struct.pack("<I", 36 + len(body)) + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data"
                + struct.pack("<I", size) + body)  # fmt: skip

    noise = np.random.default_rng(0).integers(0, 256, 900_000, np.uint8).tobytes()
    return {
        "slow.wav": wave(2, body=noise),
        "slowest.wav": wave(1, body=noise),
        "still.wav": wave(0, body=noise),
        "fast.wav": wave(2**31 - 1, body=noise),
        "fastest.wav": wave(2**32 - 1, body=noise),
        "channels.wav": wave(8000, 1024, 8, body=noise),
        "most-channels.wav": wave(8000, 65535, 8, body=noise),
        "none.wav": wave(8000, 0, body=noise),
        "said.wav": wave(8000, said=0xFFFFFFF0),
        "open.wav": wave(8000, said=0xFFFFFFFF),
        "chunks.wav": data[:12] + b"abcd\0\0\0\0" * 100_000 + data[12:],
        "list.wav": data[:12] + b"LIST" + struct.pack("<I", 2**31 - 1) + data[12:],
        "other.wav": b"FORM\0\0\xff\xffAIFFCOMM" + bytes(99),
        "caf.wav": b"caff\0\1\0\0desc" + bytes(99),
        "voc.wav": b"Creative Voice File\x1a\x1a\0\x0a\x01\x29\x11" + bytes(99),
        "au.wav": b".snd\0\0\0\x18\xff\xff\xff\xff\0\0\0\x03\0\0\0\x01\x7f\xff\xff\xff" + bytes(99),
        "text.wav": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(900_000),
    }  # fmt: skip


@functools.cache
def _silence(n_blocks: int = 8) -> bytes:
    """A FLAC of silence in the largest blocks."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(n_blocks * 65535, np.int16), 8000, format="FLAC")
    return buffer.getvalue()


def flac_bombs() -> Files:
    """Lengths that lie, and a great deal of silence."""
    data = seeds.flac_files()["mono.flac"]

    def told(data: bytes, *, rate: int | None = None, total: int | None = None) -> bytes:
        word = int.from_bytes(data[18:26], "big")
        word = word if total is None else word >> 36 << 36 | total
        word = word if rate is None else word & (1 << 44) - 1 | rate << 44
        return data[:18] + word.to_bytes(8, "big") + data[26:]

    silence = _silence()
    return {
        "longest.flac": told(data, total=2**36 - 1),
        "gigabyte.flac": told(data, total=2**28),
        "half.flac": told(data, total=2**27),
        "unknown.flac": told(data, total=0),
        "slow.flac": told(data, rate=1, total=2**30),
        "slow-gigabyte.flac": told(data, rate=2, total=2**27),
        "silence.flac": told(silence, total=2**26),
        "slow-silence.flac": told(silence, rate=3),
        "fast.flac": told(data, rate=655350),
    }


def sounds_bombs() -> Files:
    """Beside a file of 8,000 Hz one of which a lot would be made."""
    found = wav_bombs()
    return {name: found[name] for name in ("slow.wav", "slowest.wav", "fast.wav", "channels.wav")}


# ---------------------------------------------------------------- tables


def _groups(table: pa.Table, times: int, **how: object) -> bytes:
    """A Parquet file of equal row groups."""
    buffer = io.BytesIO()
    with arrow_parquet.ParquetWriter(buffer, table.schema, **how) as writer:
        for _ in range(times):
            writer.write_table(table)
    return buffer.getvalue()


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _deep_schema(depth: int) -> bytes:
    """A Parquet file without rows whose only column lies deep in groups of one member each."""
    group = b"\x35\x02\x18\x01a\x15\x02\0"  # optional, "a", one child
    leaf = b"\x15\x02\x25\x02\x18\x01a\0"  # int32, optional, "a"
    root = b"\x48\x01r\x15\x02\0"
    elements = root + group * depth + leaf
    footer = b"\x15\x02" + b"\x19\xfc" + _varint(depth + 2) + elements + b"\x16\0" + b"\x19\x0c" + b"\0"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


@functools.cache
def parquet_bombs() -> Files:
    """Runs, dictionaries, prefixes and pages that unpack to a lot, and schemas that go deep."""
    zeros = pa.table({"a": np.zeros(1 << 20), "b": np.zeros(1 << 20)})
    word = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["x" * 200_000]))
    words = pa.table({"a": word, "b": np.arange(100_000) % 7})
    text = pa.table({"a": pa.array(["x" * 200_000] * 1000), "b": np.arange(1000) / 3})
    lists = pa.table(
        {"a": pa.ListArray.from_arrays(pa.array([0, 1 << 22], pa.int32()), pa.array(np.zeros(1 << 22)))}
    )
    plain = words
    same = pa.table({"a": plain.column("a"), "b": plain.column("b")})
    wide = pa.table({f"c{at}": [1.5, 2.5] for at in range(3000)})
    nested = pa.array([1])
    for _ in range(60):
        nested = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), nested)
    return {
        "runs.parquet": _groups(zeros, 40),
        "dictionary.parquet": _groups(words, 4, store_schema=False),
        "typed.parquet": _groups(same, 4),
        "pages.parquet": _groups(text, 3, compression="zstd", use_dictionary=False),
        "prefixes.parquet": _groups(
            text,
            3,
            compression="none",
            use_dictionary=False,
            column_encoding={"a": "DELTA_BYTE_ARRAY", "b": "PLAIN"},
        ),
        "lists.parquet": _groups(lists, 16),
        "columns.parquet": seeds.parquet_bytes(wide),
        "nested.parquet": seeds.parquet_bytes(pa.table({"a": nested})),
        "deep.parquet": _deep_schema(300),
        "deeper.parquet": _deep_schema(20_000),
        "deepest.parquet": _deep_schema(100_000),
        "footer.parquet": b"PAR1" + bytes(64) + struct.pack("<I", 2**32 - 1) + b"PAR1",
    }


def _promised(data: bytes, n_bytes: int) -> bytes:
    """An Arrow file whose packed buffers all promise to unpack to so many bytes."""
    found = bytearray(data)
    at = -1
    while (at := data.find(b"\x28\xb5\x2f\xfd", at + 1)) >= 8:
        struct.pack_into("<q", found, at - 8, n_bytes)
    return bytes(found)


@functools.cache
def arrow_bombs() -> Files:
    """Buffers that unpack to a lot, columns without buffers, offsets that lead elsewhere."""
    plain = seeds.tables()["plain"]
    zeros = pa.table({"a": np.zeros(1 << 23), "b": np.zeros(1 << 23)})
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, zeros.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for _ in range(8):
            writer.write_table(zeros)
    inflates = buffer.getvalue()
    nothing = seeds.arrow_bytes(pa.table({"a": pa.nulls(1234567), "b": pa.nulls(1234567)}))
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2**31 - 2], pa.int32()), pa.array([1.5]))
    words = pa.table({"a": ["one", "two", "three"], "b": [1.5, 2.5, 3.5]})
    good = seeds.arrow_bytes(words)
    offsets = struct.pack("<iiii", 0, 3, 6, 11)
    nested = pa.array([1])
    for _ in range(60):
        nested = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), nested)
    bad_json = words.replace_schema_metadata({"pandas": "[" * 20_000})
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array(["x", "y"]))
    wild = seeds.arrow_bytes(pa.table({"a": coded, "b": [1.5, 2.5, 3.5]}))
    return {
        "inflates.arrow": inflates,
        "promises.arrow": _promised(seeds.arrow_bytes(plain, compression="zstd"), 2**40),
        "gigabytes.arrow": _promised(seeds.arrow_bytes(plain, compression="zstd"), 2**31),
        "negative.arrow": _promised(seeds.arrow_bytes(plain, compression="zstd"), -(2**40)),
        "nothing.arrow": nothing.replace(struct.pack("<q", 1234567), struct.pack("<q", 1 << 40)),
        "runs.arrow": seeds.arrow_bytes(pa.table({"a": runs})),
        "offsets.arrow": good.replace(offsets, struct.pack("<iiii", 0, 3, 6, 2**30)),
        "backwards.arrow": good.replace(offsets, struct.pack("<iiii", 0, -(2**30), 6, 11)),
        "letters.arrow": good.replace(b"onetwothree", b"\xff\xfe\xfdtwothree"),
        "codes.arrow": wild.replace(b"\x00\x01\x00\x00\x00\x00\x00\x00", b"\x00\x7f\x00\x00\x00\x00\x00\x00"),
        "nested.arrow": seeds.arrow_bytes(pa.table({"a": nested})),
        "pandas.arrow": seeds.arrow_bytes(bad_json),
        "pandas-list.arrow": seeds.arrow_bytes(words.replace_schema_metadata({"pandas": "[]"})),
        "pandas-none.arrow": seeds.arrow_bytes(words.replace_schema_metadata({"pandas": '{"index_columns": null}'})),
        "old.feather": b"FEA1" + bytes(64) + struct.pack("<I", 8) + b"FEA1",
        **{f"type-{at}.arrow": seeds.arrow_bytes(pa.table({"a": column, "b": [1.5, None, 2.5]}))
           for at, column in enumerate(_odd_columns())},
    }  # fmt: skip


def _odd_columns() -> Iterable[pa.Array]:
    """Columns of types that few people use, and values that Python cannot hold."""
    three = pa.array([1, 2, 3])
    yield pa.array([2**62, 0, -(2**62)], pa.timestamp("s"))
    yield pa.array([2**62] * 3, pa.timestamp("s"))
    yield pa.array([1, 2, 3], pa.timestamp("ns", "No/Where"))
    yield pa.array([1] * 3, pa.timestamp("ns", "No/Where"))
    yield pa.array([2**31 - 1] * 3, pa.int32()).cast(pa.date32())
    yield pa.array([2**62] * 3, pa.int64()).cast(pa.date64(), safe=False)
    yield pa.array([2**62] * 3, pa.duration("s"))
    yield pa.array([1, 2, 3], pa.time32("s"))
    yield pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval())
    yield pa.array([b"ab"] * 3, pa.binary(2))
    yield pa.array(["1e400", "2", "3"]).cast(pa.string_view())
    yield pa.array([10**70] * 3, pa.decimal256(76, 2))
    yield pa.array([float("nan")] * 3)
    yield pa.array([float("inf"), 1.0, 2.0], pa.float16())
    yield pa.array([{}] * 3, pa.struct([]))
    yield pa.UnionArray.from_sparse(pa.array([0, 0, 0], pa.int8()), [three])
    yield pa.UnionArray.from_dense(pa.array([0, 0, 0], pa.int8()), pa.array([0, 1, 2], pa.int32()), [three])
    yield pa.array([[1.0], [], None], pa.list_(pa.float64()))
    yield pa.array([None] * 3, pa.list_(pa.float64()))
    yield pa.array([[]] * 3, pa.list_(pa.float64(), 0))
    yield pa.array([[1], [2], [3]], pa.list_view(pa.int32()))
    yield pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * 3, pa.binary(16)))
    yield pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"] * 3))
    yield pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, 5], pa.int8()))
    yield pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((3, 2, 2), np.float32))
    yield pa.RunEndEncodedArray.from_arrays(pa.array([1, 3], pa.int32()), pa.array(["a", "b"]))
    yield pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array([1.5, float("nan")]))
    yield pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array([b"a", b"\xff"]))
    yield pa.DictionaryArray.from_arrays(pa.array([0, None, 0], pa.int8()), pa.array([None, "x"]))
    yield pa.array(["a\0b", "\ud7ff", "\U0010ffff"])
    yield pa.array([2**63, 2**64 - 1, 0], pa.uint64())


# ---------------------------------------------------------------- text


def label_bombs() -> Files:
    """Labels that go long."""
    return {
        "long.txt": b"a\nb\nc\n" + b"d" * 900_000 + b"\n",
        "digits.txt": b"1\n2\n3\n" + b"9" * 900_000 + b"\n",
        "many.txt": b"1\n" * 450_000,
        "commas.txt": b"," * 900_000,
        "quote.txt": b'"' + b"a\n" * 400_000,
        "zeros.txt": bytes(900_000),
        "outside.csv": b"../../../etc/passwd,x\n/etc/passwd,y\nb.png,z\na.png,w\n",
        "times.npy": npy_bytes(np.zeros(4, "M8[s]")),
        "records.npy": npy_bytes(np.zeros(4, [("a", "f4")])),
        "bools.npy": npy_bytes(np.zeros(4, bool)),
        "bytes.npy": npy_bytes(np.array([b"a", b"\xff", b"b", b"c"])),
        "shares.npy": npy_bytes(np.array([0.5, np.nan, np.inf, 1.0])),
        "texts.npy": npy_head("<U0", f"({2**40},)"),
        "promises.gz": packed(bytes((0, 0, 8, 1)) + struct.pack(">I", 2**30)) + packed(bytes(MEGABYTE)) * 800,
    }


def config_bombs() -> Files:
    """Depth and length."""
    return {
        "arrays.toml": b"x = " + b"[" * 100_000,
        "closed.toml": b"x = " + b"[" * 3000 + b"]" * 3000,
        "tables.toml": b"x = " + b"{a = " * 3000 + b"1" + b"}" * 3000,
        "dots.toml": b".".join([b"a"] * 20_000) + b" = 1\n",
        "header.toml": b"[" + b".".join([b"data"] * 20_000) + b"]\n",
        "keys.toml": b"[data.types]\n" + b"".join(b"k%d = 'count'\n" % at for at in range(5_500)),
        "sections.toml": b"".join(b"[a%d]\n" % at for at in range(15_000)),
        "repeated.toml": b"".join(b"[[data.a.b]]\n" for _ in range(9_000)),
        "long.toml": b"[data]\n" + b"x" * 120_000 + b" = 1\n",
        "value.toml": b"[data]\narray = '" + b"x" * 120_000 + b"'\n",
        "comment.toml": b"#" * 120_000,
        "number.toml": b"[training]\nepochs = " + b"9" * 120_000,
        "zeros.toml": bytes(120_000),
        "spaces.toml": b" " * 120_000 + b"x",
        "largest.toml": b"#" * 900_000,
        "escapes.toml": b'x = "' + b"\\u0041" * 20_000 + b'"',
    }


def journal_bombs() -> Files:
    """Depth and length."""
    return {
        "deep.jsonl": b"[" * 900_000,
        "objects.jsonl": b'{"a":' * 150_000,
        "digits.jsonl": b'{"a": ' + b"9" * 900_000 + b"}\n",
        "lines.jsonl": b"{}\n" * 300_000,
        "bad.jsonl": b"x\n" * 450_000,
    }


def code_bombs() -> Files:
    """Codes of many units, and files that hold none."""
    wide = ",".join(f"code_{at}" for at in range(60_000))
    empty = pa.table({"code": pa.array([], pa.list_(pa.float32()))})
    times = pa.table({"code_0": pa.array([1, 2], pa.timestamp("s")), "code_1": [1.0, 2.0]})
    same = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["code_0", "code_0"])
    found = {
        name: data for name, data in parquet_bombs().items() if name in ("runs.parquet", "lists.parquet")
    }
    renamed = _groups(pa.table({"code_0": np.zeros(1 << 20), "code_1": np.zeros(1 << 20)}), 40)
    labelled = pa.table({"code_0": [1.0, 2.0], "label": pa.array([[1], [2]])})
    return {
        **found,
        "runs-codes.parquet": renamed,
        "columns.csv": (wide + "\n" + "1," * 59_999 + "1\n").encode(),
        "cell.csv": b"code_0,label\n1," + b"x" * 900_000 + b"\n2,y\n",
        "labels.csv": b"code_0,label\n" + b"1," + b"x" * 100_000 + b"\n" + b"2,y\n" * 200_000,
        "short.csv": b"code_0,label\n1\n2\n",
        "nothing.csv": b"",
        "names.csv": b"code_0\n",
        "empty.parquet": seeds.parquet_bytes(empty),
        "times.parquet": seeds.parquet_bytes(times),
        "same.parquet": seeds.parquet_bytes(same),
        "labelled.parquet": seeds.parquet_bytes(labelled),
        "inflates.npz": zip_of("codes.npy", flushed(bytes(MEGABYTE), 800, start=npy_head("<f8", f"({800 * 1024}, 128)")),
                               800 * MEGABYTE + 90),
        "objects.npz": zipped({"codes.npy": npy_head("|O", "(2, 2)") + bytes(99)}),
    }  # fmt: skip


# ---------------------------------------------------------------- archives


def archive_bombs() -> Files:
    """Archives whose header or index unpacks to more than one may have, or tells of more than the file has."""
    from isthmus.codec.container import frames

    def archive(header: bytes, index: bytes, rows: bytes = b"", n_header: int | None = None) -> bytes:
        head = frames.Frame(frames.HEADER, "header", len(header) if n_header is None else n_header)
        first, id_ = frames.frame_bytes(head, header, frames.NO_ID)
        row, _ = frames.frame_bytes(frames.Frame(frames.ROWS, "raw", len(rows), 0, 2**32 - 1), rows, id_)
        begin = frames.START.pack(frames.MAGIC, 1) + first + row
        last, _ = frames.frame_bytes(frames.Frame(frames.INDEX, "index", len(index)), index, id_)
        return begin + last + frames.foot_bytes(len(begin), len(begin + last) + frames.FOOT.size, id_)

    zeros = b"\x03\xff\xff\xff\x07" + bz2.compress(bytes(2**24 - 1))
    more = b"\x03\xff\xff\xff\xff\x0f" + bz2.compress(bytes(10**8))
    deep = b"\0" + b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    return {
        "header.isth": archive(zeros, b""),
        "more-header.isth": archive(more, b""),
        "deep.isth": archive(deep, b""),
        "digits.isth": archive(b'\0{"a":' + b"9" * 10**6 + b"}", b""),
        "index.isth": archive(b"\0{}", zeros),
        "more-index.isth": archive(b"\0{}", more),
        "long-header.isth": archive(b"\0{}", b"", n_header=2**64 - 1),
        "heads.isth": archive(b"\0{}", b"", b"\xc5ROWraw".ljust(16, b"\0") * 20_000),
        "marks.isth": archive(b"\0{}", b"", b"\xc5ROW" * 100_000)[:-1],
    }

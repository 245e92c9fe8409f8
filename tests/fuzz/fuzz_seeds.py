"""Small real files of every format that isthmus reads, made by code: the same bytes every time."""

from __future__ import annotations

import functools
import gzip
import io
import json
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as arrow_feather
import pyarrow.parquet as arrow_parquet
import soundfile
from PIL import Image
from scipy import sparse

Files = dict[str, bytes]
"""File names, whose endings matter, and what the files hold."""
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The date of members of zip files, so that their bytes depend on nothing else."""


def _random() -> np.random.Generator:
    return np.random.default_rng(0)


def npy_bytes(array: Any, version: tuple[int, int] | None = None) -> bytes:
    """An array as ``numpy.save`` writes it."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), version=version, allow_pickle=False)
    return buffer.getvalue()


def zipped(members: Files, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file of members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, EARLIEST)
            info.compress_type = how
            archive.writestr(info, data)
    return buffer.getvalue()


def packed(data: bytes) -> bytes:
    """A gzip file."""
    return gzip.compress(data, mtime=0)


def csv_files() -> Files:
    """Tables as text."""
    heading = "age,score,ward,since,smoker,customer_id\n"
    rows = [
        f"{20 + 3 * at % 50},{at / 7:.3f},{'nsw'[at % 3]},20{at % 20 + 10}-0{1 + at % 9}-1{at % 9},{'yn'[at % 2]},c{at}"
        for at in range(24)
    ]
    good = heading + "\n".join(rows) + "\n"
    quoted = 'a,b\n"x, y",1\n"say ""so""",2.5\n,?\n"two\nlines",NA\n'
    german = good.replace(",", ";").replace(".", ",")
    return {
        "good.csv": good.encode(),
        "quoted.csv": quoted.encode(),
        "german.csv": german.encode(),
        "tabs.tsv": good.replace(",", "\t").encode(),
        "bars.txt": good.replace(",", "|").replace("\n", "\r\n").encode(),
        "wide.csv": ("\ufeff" + good).encode("utf-16"),
        "latin.csv": good.replace("w,", "S\xfcd,").encode("latin-1"),
        "mark.csv": b"\xef\xbb\xbf" + good.encode(),
        "packed.csv.gz": packed(good.encode()),
        "numbers.csv": b"x,y,z\n" + b"".join(b"%d,%d.5,1e%d\n" % (at, at, at) for at in range(9)),
        "one.csv": b"a\n1\n2\n\n3\n",
    }


def tables() -> dict[str, Any]:
    """Arrow tables of many types of columns."""
    n = 12
    random = _random()
    plain = pa.table(
        {
            "age": random.integers(20, 60, n),
            "score": random.normal(size=n),
            "ward": [None if at == 3 else "nsw"[at % 3] for at in range(n)],
            "smoker": [bool(at % 2) for at in range(n)],
            "since": pa.array(range(n), pa.date32()),
            "seen": pa.array([at * 10**9 for at in range(n)], pa.timestamp("us", "UTC")),
        }
    )
    lists = pa.table(
        {
            "embedding": [[float(at), 2.0, None] for at in range(n)],
            "fixed": pa.FixedSizeListArray.from_arrays(pa.array(random.normal(size=2 * n)), 2),
            "label": ["ab"[at % 2] for at in range(n)],
            "id": [f"r{at}" for at in range(n)],
        }
    )
    odd = pa.table(
        {
            "half": pa.array(random.normal(size=n).astype(np.float16)),
            "small": pa.array(range(n), pa.uint8()),
            "money": pa.array([f"{at}.25" for at in range(n)]).cast(pa.decimal128(9, 2)),
            "kind": pa.array(["x", "y", None] * (n // 3)).dictionary_encode(),
            "clock": pa.array(range(n), pa.time64("us")),
            "span": pa.array(range(n), pa.duration("s")),
            "bytes": pa.array([b"\xff\x00"] * n),
            "none": pa.nulls(n),
            "large": pa.array([f"word {at}" for at in range(n)], pa.large_string()),
            "nested": pa.array([{"a": at, "b": "c"} for at in range(n)]),
            "map": pa.array([[("k", at)] for at in range(n)], pa.map_(pa.string(), pa.int64())),
            "words": pa.array([["a", "b"]] * n),
        }
    )
    return {"plain": plain, "lists": lists, "odd": odd}


def parquet_bytes(table: Any, **how: Any) -> bytes:
    """A Parquet file."""
    buffer = io.BytesIO()
    arrow_parquet.write_table(table, buffer, **how)
    return buffer.getvalue()


def parquet_files() -> Files:
    """Parquet files of several encodings, most of them without compression so that mutations go deep."""
    found = {f"{name}.parquet": parquet_bytes(table, compression="none") for name, table in tables().items()}
    plain = tables()["plain"]
    found["snappy.parquet"] = parquet_bytes(plain, compression="snappy", row_group_size=5)
    found["zstd.parquet"] = parquet_bytes(plain, compression="zstd", data_page_version="2.0")
    found["delta.parquet"] = parquet_bytes(
        plain.select(["age", "ward", "score"]),
        compression="none",
        use_dictionary=False,
        column_encoding={
            "age": "DELTA_BINARY_PACKED",
            "ward": "DELTA_BYTE_ARRAY",
            "score": "BYTE_STREAM_SPLIT",
        },
    )
    return found


def arrow_bytes(table: Any, **options: Any) -> bytes:
    """An Arrow file."""
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def arrow_files() -> Files:
    """Arrow and Feather files."""
    found = {f"{name}.arrow": arrow_bytes(table) for name, table in tables().items()}
    found["zstd.arrow"] = arrow_bytes(tables()["plain"], compression="zstd")
    buffer = io.BytesIO()
    arrow_feather.write_feather(tables()["plain"], buffer)
    found["lz4.feather"] = buffer.getvalue()
    return found


def npy_files() -> Files:
    """Arrays."""
    random = _random()
    return {
        "rows.npy": npy_bytes(random.normal(size=(6, 5)).astype(np.float32)),
        "pictures.npy": npy_bytes(random.integers(0, 256, (3, 4, 4, 3), np.uint8)),
        "big.npy": npy_bytes(np.arange(12, dtype=">i2").reshape(3, 4)),
        "fortran.npy": npy_bytes(np.asfortranarray(random.normal(size=(4, 3)))),
        "second.npy": npy_bytes(random.normal(size=(2, 2)), (2, 0)),
        "third.npy": npy_bytes(random.normal(size=(2, 2)), (3, 0)),
        "texts.npy": npy_bytes(np.array([["a", "bc"], ["d", "e"]])),
    }


def sparse_bytes(matrix: Any, *, compressed: bool = True) -> bytes:
    """A sparse matrix as ``scipy.sparse.save_npz`` writes it."""
    buffer = io.BytesIO()
    sparse.save_npz(buffer, matrix, compressed=compressed)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return zipped(members, zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED)


def npz_files() -> Files:
    """Zip files of arrays, dense and sparse."""
    random = _random()
    rows = npy_bytes(random.normal(size=(6, 5)))
    dense = {"x.npy": rows, "y.npy": npy_bytes(np.arange(6) % 2)}
    two = {"first.npy": rows, "second.npy": npy_bytes(np.ones((2, 3), np.uint8))}
    matrix = sparse.random_array((6, 8), density=0.3, rng=0, format="csr")
    found = {
        "stored.npz": zipped(dense, zipfile.ZIP_STORED),
        "packed.npz": zipped(dense),
        "two.npz": zipped(two),
        "words.npz": zipped({"x.npy": rows, "labels.npy": npy_bytes(np.array(list("ababab")))}),
    }
    for kind in ("csr", "csc", "coo", "bsr", "dia"):
        found[f"{kind}.npz"] = sparse_bytes(matrix.asformat(kind), compressed=False)
    return found


def idx_bytes(array: Any, code: int = 0x08) -> bytes:
    """An IDX file."""
    sides = b"".join(struct.pack(">I", side) for side in array.shape)
    return bytes([0, 0, code, array.ndim]) + sides + array.tobytes()


def idx_files() -> Files:
    """IDX files, plain and packed."""
    random = _random()
    pictures = idx_bytes(random.integers(0, 256, (5, 4, 4), np.uint8))
    return {
        "images.idx3-ubyte": pictures,
        "packed.gz": packed(pictures),
        "floats.idx": idx_bytes(random.normal(size=(3, 4)).astype(">f4"), 0x0D),
    }


def _picture(mode: str, side: tuple[int, int] = (9, 7)) -> Image.Image:
    random = _random()
    bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "P": 1, "1": 1, "I;16": 1}[mode]
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 65536, side, np.uint16))
    values = random.integers(0, 256, (*side, bands), np.uint8)
    if mode in ("P", "1"):
        return Image.fromarray(values[..., 0]).convert(mode)
    return Image.fromarray(values[..., 0] if bands == 1 else values, mode if mode == "CMYK" else None)


def picture_bytes(picture: Image.Image, kind: str, **how: Any) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **how)
    return buffer.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def png_files() -> Files:
    """PNG of several modes."""
    found = {
        f"{mode.replace(';', '')}.png": picture_bytes(_picture(mode), "PNG")
        for mode in ("L", "LA", "RGB", "RGBA", "P", "1", "I;16")
    }
    found["turned.png"] = picture_bytes(_picture("RGB"), "PNG", exif=_exif())
    frames = [_picture("RGB"), _picture("RGB").rotate(180)]
    found["moving.png"] = picture_bytes(frames[0], "PNG", save_all=True, append_images=frames[1:])
    found["clear.png"] = picture_bytes(_picture("P"), "PNG", transparency=0, icc_profile=b"none" * 9)
    return found


def jpeg_files() -> Files:
    """JPEG, baseline and progressive."""
    return {
        "grey.jpg": picture_bytes(_picture("L"), "JPEG"),
        "colour.jpg": picture_bytes(_picture("RGB"), "JPEG", exif=_exif()),
        "steps.jpg": picture_bytes(_picture("RGB", (33, 17)), "JPEG", progressive=True),
        "cmyk.jpg": picture_bytes(_picture("CMYK"), "JPEG"),
    }


def bmp_files() -> Files:
    """BMP."""
    return {f"{mode}.bmp": picture_bytes(_picture(mode), "BMP") for mode in ("L", "RGB", "RGBA", "P", "1")}


def gif_files() -> Files:
    """GIF, still and moving."""
    frames = [_picture("P"), _picture("P").rotate(180)]
    return {
        "still.gif": picture_bytes(_picture("L"), "GIF"),
        "moving.gif": picture_bytes(
            frames[0], "GIF", save_all=True, append_images=frames[1:], transparency=0
        ),
    }


def tiff_files() -> Files:
    """TIFF of several compressions."""
    found = {
        f"{how}.tif": picture_bytes(_picture("RGB"), "TIFF", compression=how)
        for how in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg")
    }
    found["deep.tif"] = picture_bytes(_picture("I;16"), "TIFF")
    found["fax.tiff"] = picture_bytes(_picture("1", (32, 32)), "TIFF", compression="group4")
    frames = [_picture("L"), _picture("L").rotate(180)]
    found["pages.tif"] = picture_bytes(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    return found


def webp_files() -> Files:
    """WebP, with and without loss, and moving."""
    frames = [_picture("RGBA"), _picture("RGBA").rotate(180)]
    return {
        "lossy.webp": picture_bytes(_picture("RGB"), "WEBP"),
        "lossless.webp": picture_bytes(_picture("RGBA"), "WEBP", lossless=True, exif=_exif()),
        "moving.webp": picture_bytes(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
    }


def sound_bytes(kind: str, subtype: str | None = None, *, rate: int = 8000, channels: int = 1) -> bytes:
    """A tenth of a second of sound as a file."""
    n = rate // 10
    wave = 0.5 * np.sin(np.arange(n * channels) / 5.0).reshape(n, channels)
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def wav_files() -> Files:
    """WAV of several kinds of samples."""
    found = {
        f"{subtype.lower()}.wav": sound_bytes("WAV", subtype)
        for subtype in ("PCM_16", "PCM_U8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")
    }
    found["stereo.wav"] = sound_bytes("WAVEX", "PCM_16", channels=2)
    found["large.wav"] = sound_bytes("RF64", "PCM_16")
    return found


def flac_files() -> Files:
    """FLAC."""
    return {"mono.flac": sound_bytes("FLAC"), "stereo.flac": sound_bytes("FLAC", "PCM_24", channels=2)}


@functools.cache
def ogg_files() -> Files:
    """Vorbis and Opus; their serial numbers are set to 1, for encoders draw them."""
    return {
        "vorbis.ogg": _numbered(sound_bytes("OGG", "VORBIS")),
        "opus.ogg": _numbered(sound_bytes("OGG", "OPUS")),
    }


def mp3_files() -> Files:
    """MP3."""
    return {"mono.mp3": sound_bytes("MP3"), "stereo.mp3": sound_bytes("MP3", channels=2, rate=44100)}


def ogg_pages(data: bytes) -> list[bytes]:
    """The pages of an OGG file, as far as they can be told."""
    starts = [at for at in range(len(data)) if data.startswith(b"OggS", at)]
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def ogg_summed(page: bytes) -> bytes:
    """A page with the checksum that it should have."""
    if len(page) < 27:
        return page
    clear = page[:22] + bytes(4) + page[26:]
    crc = 0
    for byte in clear:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ _OGG_TABLE[(crc >> 24) ^ byte]
    return clear[:22] + struct.pack("<I", crc) + clear[26:]


def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(crc)
    return table


_OGG_TABLE = _ogg_table()


def _numbered(data: bytes) -> bytes:
    return b"".join(ogg_summed(page[:14] + struct.pack("<I", 1) + page[18:]) for page in ogg_pages(data))


def label_files() -> Files:
    """Labels of four rows."""
    return {
        "lines.txt": b"3\n1\n2\n1\n",
        "words.txt": b"label\ncat\ndog\ncat\nbird\n"[6:],
        "heading.txt": b"label\n3\n1\n2\n1\n",
        "names.csv": b"a.png,cat\nb.png,dog\nsub/c.png,cat\n./d.png,bird\n",
        "labels.npy": npy_bytes(np.arange(4)),
        "texts.npy": npy_bytes(np.array(list("abca"))),
        "floats.npy": npy_bytes(np.array([0.0, 1.0, 2.0, 1.0])),
        "labels.idx": idx_bytes(np.arange(4, dtype=np.uint8)),
        "labels.gz": packed(idx_bytes(np.arange(4, dtype=np.uint8))),
    }


def config_files() -> Files:
    """Descriptions of fits."""
    from isthmus.config import Config

    whole = Config.from_dict({"model": {"kind": "variational", "code_size": 4}})
    short = """\
[data]
types = { age = "count", "body.mass" = "continuous" }
[model]
kind = "denoising"
code_size = 8
penalties = [{ type = "l1", weight = 0.01 }]
[model.network]
type = "dense"
hidden_sizes = [64, 32]
[training]
epochs = 20
learning_rate = 1e-3
"""
    return {"whole.toml": whole.to_toml().encode(), "short.toml": short.encode()}


def journal_files() -> Files:
    """Journals of runs."""
    events = [
        {"time": "2025-01-31T12:00:00.125+00:00", "event": "begin", "n_epochs": 2, "n_rows": 9},
        {"time": "2025-01-31T12:00:01.125+00:00", "event": "epoch", "epoch": 1, "loss": 0.5},
        {
            "time": "2025-01-31T12:00:02.125+00:00",
            "event": "end",
            "reason": "\u00e4",
            "metrics": {"a": [None]},
        },
    ]
    lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    return {"journal.jsonl": lines.encode()}


def code_files() -> Files:
    """Codes as ``encode`` writes them."""
    codes = _random().normal(size=(5, 3)).astype(np.float32)
    columns = {
        "row": list("abcde"),
        **{f"code_{at}": codes[:, at] for at in range(3)},
        "label": list("xyxyx"),
    }
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    lists = pa.table({"code": pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel()), 3)})
    labels = npy_bytes(np.array(list("xyxyx")))
    return {
        "codes.npy": npy_bytes(codes),
        "codes.npz": zipped({"codes.npy": npy_bytes(codes), "labels.npy": labels}, zipfile.ZIP_STORED),
        "codes.csv": ("\n".join(lines) + "\n").encode(),
        "codes.parquet": parquet_bytes(pa.table(columns), compression="none"),
        "lists.parquet": parquet_bytes(lists, compression="none"),
    }


@functools.cache
def model_files() -> Files:
    """A model of three features."""
    import torch

    from isthmus import Autoencoder

    torch.set_num_threads(1)
    rows = _random().normal(size=(24, 3)).astype(np.float32)
    fitted = Autoencoder(2, hidden_sizes=[4], max_epochs=1, random_state=0, threads=1).fit(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        fitted.save(path)
        return {"model.safetensors": path.read_bytes()}


def archive_files() -> Files:
    """Archives of few blocks: one with sections, one without any rows, one that was not written to its end."""
    from isthmus.codec.container import ArchiveWriter

    with tempfile.TemporaryDirectory() as folder:
        whole, empty, begun = (Path(folder) / name for name in ("whole.isth", "empty.isth", "begun.isth"))
        sections = {"model": _random().bytes(300), "tables": b""}
        with ArchiveWriter(whole, {"kind": "array", "shape": [2]}, sections=sections) as out:
            for n_rows in (5, 5, 2):
                out.add("general", n_rows, _random().bytes(8 * n_rows))
            out.close({"verified": True})
        with ArchiveWriter(empty, {}) as out:
            out.close()
        with ArchiveWriter(begun, {"kind": "array"}) as torn:
            torn.add("raw", 3, b"abc")
        return {path.name: path.read_bytes() for path in (whole, empty)} | {
            "begun.isth": torn.part.read_bytes()
        }

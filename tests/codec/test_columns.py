import io
import itertools

import numpy as np
import pytest
import slow_columns
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.codec import columns as room
from isthmus.codec.columns import DTYPES, packed, unpacked
from isthmus.codec.container import general
from isthmus.errors import ArtifactError, DataError

ODD = [np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324, 1.5, -2.25, 0.1, 1e300]
RANDOM = np.random.default_rng(0)


def slow(found):
    """What the slow twin reads, as arrays."""
    return {
        name: column
        if isinstance(column, list)
        else np.array(column[2], np.uint64).astype(f"u{column[0][1]}").view(column[0]).reshape(column[1])
        for name, column in slow_columns.columns(packed(found)).items()
    }


def same(got, expected):
    """The same types, shapes and bits, whatever the byte order was."""
    assert list(got) == list(expected)
    for name, column in expected.items():
        if isinstance(column, list):
            assert got[name] == column
            continue
        there = got[name]
        assert there.dtype == column.dtype.newbyteorder("=")
        assert there.shape == column.shape
        assert there.astype(there.dtype.newbyteorder("<")).tobytes() == (
            column.tobytes()
            if column.dtype.newbyteorder("<") == column.dtype
            else column.byteswap().tobytes()
        )


@st.composite
def arrays(draw):
    dtype = np.dtype(draw(st.sampled_from("<>")) + draw(st.sampled_from(DTYPES)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7))
    if draw(st.booleans()) or dtype.kind == "b":
        return draw(hnp.arrays(dtype, shape))
    bits = draw(hnp.arrays(f"u{dtype.itemsize}", shape))  # NaN with any payload
    return bits.view(dtype)


@given(
    found=st.dictionaries(
        st.text(max_size=5), arrays() | st.lists(st.binary(max_size=5), max_size=9), max_size=4
    )
)
@example(found={"x": np.array([], ">f8"), "y": np.zeros((0, 3), "i2"), "": []})
@example(found={"lines": [b"one\n", b"\n", b"two\n"], "not": [b"a\nb\n", b"c"], "nor": [b"\n\n", b""]})
@example(found={"x": np.array([[2**63 - 1, -(2**63)], [-1, 0]])})
@example(found={"x": np.array([0, 2**64 - 1], np.uint64)})
@settings(deadline=None, max_examples=80)
def test_columns_come_back_bit_for_bit(found):
    same(unpacked(packed(found)), found)
    same(slow(found), found)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (1000,), (300, 4), (1, 50), (20, 3, 5), (2, 9, 8, 3), (1, 30, 2)])
def test_every_way_comes_back(dtype, shape, monkeypatch):
    smooth = np.cumsum(RANDOM.integers(-3, 4, shape), axis=0) / 4 + 100
    with np.errstate(all="ignore"):
        values = smooth.astype(dtype)
    n = values.size
    mixed = values.copy()
    if values.dtype.kind == "f":
        with np.errstate(all="ignore"):
            odd = np.array(ODD).astype(dtype)
        mixed.flat[RANDOM.integers(0, n, n // 20)] = odd[RANDOM.integers(0, len(ODD), n // 20)]
    noise = np.frombuffer(RANDOM.bytes(n * values.itemsize), values.dtype if dtype != "b1" else "u1").reshape(
        shape
    )
    constant = np.full(shape, values.flat[0])
    found = {"smooth": values, "mixed": mixed, "noise": noise, "constant": constant, "turned": values[::-1]}
    same(unpacked(packed(found)), found)
    same(slow(found), found)
    for turned, along in itertools.product((0, 1), range(6)):  # each way, whatever would be chosen
        few, many = [(turned, along % 3)], [(turned, along)]
        monkeypatch.setattr(room, "_ways", lambda whole, few=few, many=many: many if whole.ndim > 2 else few)
        monkeypatch.setattr(room, "_part", lambda data: room._number(len(data) + 1) + b"\0" + data)
        same(unpacked(packed(found)), found)
        if values.size < 1000:
            same(slow(found), found)


def test_no_column_is_larger_than_packed_whole():
    for values in (
        RANDOM.normal(size=(1000, 3)),
        RANDOM.integers(0, 256, 5000).astype(np.uint8),
        np.tile(RANDOM.bytes(1000), 4),
    ):
        column = np.frombuffer(values.tobytes(), np.uint8) if values.dtype.kind == "S" else values
        assert len(packed({"x": column})) <= len(general.packed(column.tobytes())) + 20


@pytest.mark.parametrize(
    ("values", "most"),
    [
        (np.arange(20_000), 200),  # steps of one
        (np.repeat(np.arange(10), 2_000), 300),
        (RANDOM.integers(0, 2, 20_000).astype(np.int64), 2_700),  # a bit each
        (RANDOM.integers(1000, 1016, 20_000), 11_500),  # half a byte each
        (np.round(RANDOM.uniform(0, 10, 20_000), 1), 18_500),  # 101 decimals, 6.7 bits each
        (np.where(RANDOM.uniform(size=20_000) < 0.01, np.nan, np.round(RANDOM.uniform(0, 10, 20_000), 1)), 19_000),
        ([b"%d\n" % i for i in range(1000, 3000)], 1300),
        ([b"red", b"green", b"blue"] * 5000, 300),
    ],
)  # fmt: skip
def test_what_has_order_becomes_small(values, most):
    assert len(packed({"x": values})) < most


def test_a_type_without_bits_of_its_own_is_refused():
    with pytest.raises(DataError, match="expected booleans, integers or floats of 16 to 64 bits"):
        packed({"x": np.array(["a"])})
    with pytest.raises(DataError, match="with 0 in 'x'"):
        packed({"x": np.array(1)})


def tune(n, channels, top):
    """Sound: two tones in a little noise."""
    at = np.arange(n)[:, None] / 40
    waves = np.sin(at * np.arange(1, channels + 1)) + 0.3 * np.sin(3.1 * at)
    return np.rint(0.6 * top * waves + RANDOM.normal(0, 3, (n, channels)))


@pytest.mark.parametrize(
    ("dtype", "top"), [("i2", 2**15), ("i4", 2**23), ("i8", 2**15), ("i4", 2**28), ("i2", 0)]
)
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_sound_comes_back(dtype, top, channels):
    samples = tune(4100, channels, top).astype(dtype)
    samples[:2, 0] = max(-(2**23), -top), max(0, min(2**23, top) - 1)
    found = {"sound": samples, "turned": samples[::-1], "windows": samples.reshape(41, 100, channels)}
    same(unpacked(packed(found)), found)
    same(slow({"sound": samples[:, :1]}), {"sound": samples[:, :1]})


def test_sound_is_as_small_as_flac_makes_it():
    soundfile = pytest.importorskip("soundfile")
    samples = tune(20_000, 1, 2**13).astype(np.int16)
    with soundfile.SoundFile(held := io.BytesIO(), "w", 16000, 1, "PCM_16", format="FLAC") as file:
        file.write(samples)
    data = packed({"sound": samples})
    assert len(data) <= len(held.getvalue())
    for place in range(12, len(data), 97):
        found = told(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])
        assert isinstance(found, dict) or len(found.splitlines()) == 1
    for place in range(0, 60):
        found = told(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert isinstance(found, dict) or len(found.splitlines()) == 1


SMALL = packed({
    "whole": np.arange(40).reshape(20, 2) ** 2,
    "bits": np.arange(64) % 2,
    "floats": np.array([*ODD, *np.arange(90) / 4]),
    "text": [b"one", b"two", b"two", b""] * 3,
    "lines": [b"one\n", b"two\n", b"\n"],
})  # fmt: skip


def told(data):
    """Columns, or one sentence."""
    try:
        return unpacked(data, most=1 << 20)
    except ArtifactError as error:
        return str(error)


def test_every_cut_is_told():
    for stop in range(len(SMALL)):
        with pytest.raises(ArtifactError):
            unpacked(SMALL[:stop])
    with pytest.raises(ArtifactError, match="more than its columns"):
        unpacked(SMALL + b"\0")


def test_no_flip_takes_memory_or_another_error():
    for place in range(len(SMALL)):
        for bit in range(8):
            changed = bytearray(SMALL)
            changed[place] ^= 1 << bit
            found = told(bytes(changed))
            assert isinstance(found, dict) or len(found.splitlines()) == 1


@given(data=st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_give_columns_or_one_sentence(data):
    found = told(data)
    assert isinstance(found, dict) or len(found.splitlines()) == 1


def test_a_small_file_cannot_take_more_memory_than_it_may():
    data = packed({"x": np.zeros(1 << 17)})
    assert len(data) < 100
    with pytest.raises(ArtifactError, match="are left"):
        unpacked(data, most=(1 << 20) - 1)
    assert unpacked(data, most=1 << 20)["x"].shape == (1 << 17,)
    words = packed({"x": [b"long" * 1000] * 1000})
    with pytest.raises(ArtifactError, match="are left"):
        unpacked(words, most=1 << 20)

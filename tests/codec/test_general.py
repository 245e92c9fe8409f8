"""General coders: everything comes back, small, and nothing that a stranger sends fills memory."""

from __future__ import annotations

import bz2
import lzma
import random
import tracemalloc
from contextlib import suppress

import pyarrow as pa
import pytest
import slow_reader
from hypothesis import example, given
from hypothesis import strategies as st

from isthmus.codec.container import general
from isthmus.codec.container.general import BZIP2, LZMA, RAW, ZSTD, packed, unpacked
from isthmus.errors import ArtifactError

random_ = random.Random(0)
DATA = {
    RAW: random_.randbytes(3000),
    ZSTD: b"isthmus " * 1000,
    LZMA: bytes(
        n * n // 50 % 256 if random_.random() < 0.9 else random_.randrange(256) for n in range(20_000)
    ),
    BZIP2: bytes(random_.choices(b"ab", (9, 1), k=20_000)),
}


def _parts(k: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=k).map(b"".join)


@given(st.binary(max_size=300) | st.tuples(_parts(5), st.integers(1, 300)).map(lambda p: p[0] * p[1]))
@example(b"")
@example(bytes(1 << 17))
@example(bytes(127))
@example(bytes(128))
def test_all_comes_back(data: bytes) -> None:
    small = packed(data)
    assert unpacked(small, len(data)) == data == slow_reader.unpack(small)
    assert len(small) <= len(data) + 1
    assert packed(data) == small


@pytest.mark.parametrize("method", DATA)
def test_each_method_is_chosen_and_read(method: int) -> None:
    data = DATA[method]
    small = packed(data)
    assert small[0] == method
    assert unpacked(small, len(data)) == data == slow_reader.unpack(small)


def test_never_larger_than_any_of_them() -> None:
    for data in DATA.values():
        others = (
            pa.Codec("zstd", compression_level=19).compress(data, asbytes=True),
            lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
            bz2.compress(data),
            data,
        )
        assert len(packed(data)) <= min(map(len, others)) + 4


@pytest.mark.parametrize("method", DATA)
def test_no_more_than_most_is_unpacked(method: int) -> None:
    data = DATA[method]
    with pytest.raises(ArtifactError, match=f"at most {len(data) - 1:,}, got some that become {len(data):,}"):
        unpacked(packed(data), len(data) - 1)


@pytest.mark.parametrize("method", [ZSTD, LZMA, BZIP2])
@pytest.mark.parametrize("told", [-1, 1])
def test_a_size_that_is_not_true_is_refused(method: int, told: int) -> None:
    data = DATA[method]
    small = packed(data)
    n_size = len(general._varint(len(data)))
    wrong = small[:1] + general._varint(len(data) + told) + small[1 + n_size :]
    with pytest.raises(ArtifactError, match="expected packed bytes, got a"):
        unpacked(wrong, 2 * len(data))


@pytest.mark.parametrize("method", [ZSTD, LZMA, BZIP2])
def test_what_is_cut_or_goes_on_is_refused(method: int) -> None:
    small = packed(DATA[method])
    for cut in {*range(1, 12), len(small) // 2, len(small) - 1}:
        with pytest.raises(ArtifactError, match="archive: expected packed bytes"):
            unpacked(small[:cut], 10**6)
    with pytest.raises(ArtifactError, match="expected packed bytes, got a"):
        unpacked(small + b"x", 10**6)


@pytest.mark.parametrize(
    "data", [b"", b"\x04\x01a", b"\x01", b"\x02\x05", b"\x02\x05\xff\0", b"\x01" + b"\xff" * 20]
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError, match="expected packed bytes"):
        unpacked(data, 100)


@given(st.sampled_from([ZSTD, LZMA, BZIP2]), st.data())
def test_any_change_is_refused_or_has_the_size(method: int, data: st.DataObject) -> None:
    changed = bytearray(packed(DATA[method]))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(ArtifactError):
        assert len(unpacked(bytes(changed), 30_000)) <= 30_000


@pytest.mark.parametrize("method", [BZIP2, LZMA])
def test_a_bomb_is_refused_before_it_bursts(method: int) -> None:
    bomb = bytes([method]) + general._varint(100)
    bomb += bz2.compress(bytes(10**7)) if method == BZIP2 else b"\3" + general._lzma(bytes(10**7))
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match="another size"):
            unpacked(bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()

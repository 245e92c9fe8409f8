"""Sizes as people write them, and what the machine has to spare."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import isthmus.memory as memory
from isthmus.config import Data
from isthmus.errors import ParameterError
from isthmus.memory import budget_of, default_budget, free_memory, parse_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2GB", 2 * 10**9),
        ("2 gb", 2 * 10**9),
        ("2G", 2 * 10**9),
        ("1.5GiB", 3 * 2**29),
        ("500MB", 5 * 10**8),
        (".5 TB", 5 * 10**11),
        ("1024kib", 2**20),
        ("3000000", 3_000_000),
        ("3000000B", 3_000_000),
        (10**9, 10**9),
    ],
)
def test_sizes(text: str | int, expected: int) -> None:
    assert parse_bytes(text) == expected
    assert budget_of(text) == expected


@pytest.mark.parametrize(
    "text", ["lots", "", "GB", "-2GB", "2XB", "nan", "1e9", "2GB2", "i", 1.5e9, None, True, "5%"]
)
def test_nonsense_is_told_in_one_sentence(text: Any) -> None:
    with pytest.raises(
        ParameterError, match=r"memory: expected a size such as '2GB', .* got .*\. Give one of these\.$"
    ):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["2", "999kB", 0, -1, "0GB"])
def test_less_than_a_megabyte_is_a_forgotten_unit(text: str | int) -> None:
    with pytest.raises(ParameterError, match=r"expected 1 MB or more, got .*Name a unit, as in '2GB'\."):
        parse_bytes(text)


def test_a_config_checks_it() -> None:
    assert Data(memory="2GB").memory == "2GB"
    assert Data(memory=10**9).memory == 10**9
    assert Data().memory == "auto"
    with pytest.raises(ParameterError, match=r"^data.memory: expected a size"):
        Data(memory="much")
    with pytest.raises(ParameterError, match=r"^data.memory: expected 1 MB or more"):
        Data(memory=7)


def test_the_default_is_a_power_of_two_below_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, expected in ((10**10, 2**32), (2**33, 2**32), (2**33 - 1, 2**31), (None, 2**31), (0, 10**6)):
        monkeypatch.setattr(memory, "free_memory", lambda free=free: free)
        assert default_budget() == expected == budget_of("auto")


def test_a_container_has_less_than_its_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("4000000000\n")
    (tmp_path / "memory.current").write_text("3500000000\n")
    (tmp_path / "memory.stat").write_text(
        "anon 1500000000\ninactive_file 1700000000\nactive_file 300000000\n"
    )
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_free_of_machine", lambda: 10**11)
    assert free_memory() == 2_500_000_000  # pages of files give way
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() == 10**11


class _Libc:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.mallinfo2 = lambda: SimpleNamespace(fordblks=2**26 + 1)

    def mallopt(self, parameter: int, value: int) -> int:
        self.asked.append((parameter, value))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.asked.append(("trim", pad))
        return 1


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> _Libc:
    noted = _Libc()
    monkeypatch.setattr(memory, "_glibc", lambda: noted)
    for name in memory._SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return noted


@pytest.mark.parametrize(("free", "kept"), [(2**34, 2**30), (2**28, 2**26), (None, 2**30)])
def test_freed_memory_is_kept_for_a_while_and_then_given_back(
    libc: _Libc, free: int | None, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    with memory.freed_memory_kept():
        assert libc.asked == [(-3, 2**25), (-1, kept), (-4, 0)]
    assert libc.asked[3:] == [(-4, 65536), (-1, 2**26), ("trim", 0)]


def test_inside_itself_it_changes_nothing_and_little_is_not_given_back(libc: _Libc) -> None:
    libc.mallinfo2 = lambda: SimpleNamespace(fordblks=2**26)
    with memory.freed_memory_kept():
        before = list(libc.asked)
        with memory.freed_memory_kept():
            assert libc.asked == before
        assert libc.asked == before
    assert libc.asked[3:] == [(-4, 65536), (-1, 2**26)]


def test_an_old_c_library_cannot_tell_what_it_has(libc: _Libc) -> None:
    del libc.mallinfo2
    with memory.freed_memory_kept():
        pass
    assert libc.asked[-1] == ("trim", 0)


@pytest.mark.skipif(memory._glibc() is None or not hasattr(memory._glibc(), "mallinfo2"), reason="of glibc")
def test_what_glibc_has_is_told() -> None:
    libc = memory._glibc()
    held = [bytearray(100_000) for _ in range(1000)]
    before = memory._free_of_libc(libc)
    del held[::2]
    assert 25_000_000 < memory._free_of_libc(libc) - before < 75_000_000


@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_"])
def test_settings_that_are_somebodys_stay(libc: _Libc, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "glibc.malloc.arena_max=8")
    with memory.freed_memory_kept():
        pass
    assert libc.asked == []


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with memory.freed_memory_kept():
        pass

    def refuse(_: object) -> None:
        raise TypeError

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    with memory.freed_memory_kept():
        pass


def test_what_lies_free_is_given_back_where_it_grew(libc: _Libc, monkeypatch: pytest.MonkeyPatch) -> None:
    held, now = [10**8], [1.0]
    monkeypatch.setattr(memory._Held, "__call__", lambda _: held[0])
    monkeypatch.setattr(memory.time, "monotonic", lambda: now[0])

    def is_given_back(after: float, bytes_now: int) -> bool:
        libc.asked.clear()
        now[0], held[0] = now[0] + after, bytes_now
        memory.gaps_given_back()
        return libc.asked == [("trim", 0)]

    assert not is_given_back(1, 10**9)  # nothing is kept
    with memory.freed_memory_kept():
        assert not is_given_back(1, 10**8)
        assert not is_given_back(1, 10**8 + 2**24)
        assert not is_given_back(0.01, 2 * 10**8)  # too soon
        assert is_given_back(1, 2 * 10**8)
        assert not is_given_back(0.01, 3 * 10**8)  # which is what is needed now
        assert not is_given_back(1, 3 * 10**8)
        assert is_given_back(1, 4 * 10**8)
        assert not is_given_back(1, 4 * 10**8)
        assert not is_given_back(1, 4 * 10**8 + 5 * 10**7)  # an eighth of what is held
        assert is_given_back(1, 4 * 10**8 + 5 * 10**7 + 1)
        assert not is_given_back(1, 0)  # nobody tells


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="of Linux")
def test_what_is_held_is_told() -> None:
    with (
        memory._Held() as told,
        mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held,
    ):  # of no heap's free blocks
        before = told()
        for place in range(0, len(held), mmap.PAGESIZE):
            held[place] = 1
        assert 40_000_000 < told() - before < 80_000_000


def test_where_nobody_tells_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_STATM", tmp_path / "nowhere")
    with memory._Held() as told:
        assert told() == 0
    monkeypatch.setattr(memory, "_STATM", tmp_path / "other")
    (tmp_path / "other").write_text("of another kind")
    with memory._Held() as told:
        assert told() == 0

"""How much memory rows may take: sizes as people write them, and what the machine has to spare."""

from __future__ import annotations

import ctypes
import math
import os
import re
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from isthmus.errors import ParameterError

SMALLEST = 10**6
"""Bytes of the smallest budget: blocks of fewer would be read one by one."""
SHARE_OF_FREE = 0.5
"""Of the memory that is free, what rows may take where nothing else is said."""
UNITS = {"": 1} | {f"{k}{i}": b**n for n, k in enumerate("KMGT", 1) for i, b in (("", 1000), ("I", 1024))}
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?|\.\d+)\s*(?P<unit>[KMGT]?I?)B?", re.IGNORECASE)
_CGROUP = Path("/sys/fs/cgroup")
_STATM, _STATM_LENGTH = Path("/proc/self/statm"), 256
"""Of Linux: pages of this process, and bytes that the line never has."""
_LIMITS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
"""Files of a container's limit, of what it uses, and of what that is made of, by the version of the interface."""


def parse_bytes(size: int | str, who: str = "memory") -> int:
    """The bytes that a size means: ``"2GB"``, ``"500 MB"``, ``"1.5GiB"``, or a plain number of bytes.

    Raises
    ------
    ParameterError
        Anything else, or less than a megabyte.

    Examples
    --------
    >>> parse_bytes("2GB"), parse_bytes("1.5 GiB"), parse_bytes(5_000_000)
    (2000000000, 1610612736, 5000000)
    """
    found = _SIZE.fullmatch(str(size).strip()) if isinstance(size, str) else None
    if found is not None and found["unit"].upper() in UNITS:
        number = int(float(found["number"]) * UNITS[found["unit"].upper()])
    elif isinstance(size, int) and not isinstance(size, bool):
        number = size
    else:
        raise ParameterError(
            f"{who}: expected a size such as '2GB', '500MB' or '1.5GiB', or 'auto', got {size!r}. Give one of these."
        )
    if not SMALLEST <= number < 2**63:
        raise ParameterError(
            f"{who}: expected {bytes_text(SMALLEST)} or more, got {size!r}, which is {number:,} bytes. "
            "Name a unit, as in '2GB'."
        )
    return number


def bytes_text(n_bytes: int) -> str:
    """Bytes as people write them, in three digits.

    >>> bytes_text(2_000_000_000), bytes_text(1_610_612_736), bytes_text(999)
    ('2 GB', '1.61 GB', '999 B')
    """
    value, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.3g} {unit}"


def free_memory() -> int | None:
    """Bytes that a program may still take: of the machine, or of the container it runs in; None if nobody tells."""
    known = [free for free in (_free_of_machine(), _free_of_container()) if free is not None]
    return max(SMALLEST, min(known)) if known else None


def default_budget() -> int:
    """Half of what is free, rounded down to a power of two, so that small changes decide nothing.

    >>> default_budget() >= 2**19
    True
    """
    free = free_memory()
    half = 2**31 if free is None else max(SMALLEST, int(SHARE_OF_FREE * free))
    return max(SMALLEST, 1 << (half.bit_length() - 1))


def budget_of(size: int | str) -> int:
    """The bytes of a size, or the default budget of ``"auto"``.

    >>> budget_of("2GB")
    2000000000
    """
    return default_budget() if size == "auto" else parse_bytes(size)


def _free_of_machine() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    with suppress(OSError, ValueError, AttributeError):  # elsewhere all that there is, free or not
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _free_of_container() -> int | None:
    """What is left of its limit; cached pages of files count as free, for they give way."""
    for limit, used, parts in _LIMITS:
        with suppress(OSError, ValueError, IndexError):
            most = int((_CGROUP / limit).read_text("ascii"))
            taken = int((_CGROUP / used).read_text("ascii"))
            lines = (line.split() for line in (_CGROUP / parts).read_text("ascii").splitlines())
            cached = {name: int(value) for name, value in lines}
            return max(0, most - taken + cached.get("inactive_file", 0) + cached.get("active_file", 0))
    return None


@contextmanager
def freed_memory_kept() -> Generator[None]:
    """Keep what is freed for what is asked for next, and give it back to the system at the end.

    The C library gives back what is free at the end of its memory, page by page, and is given it anew by the next
    step: a third of the time that convolutions take. Of large pictures each value of a layer is a block so large that
    it would have a mapping of its own, which is gone once it is freed: none has one while memory is kept. Of glibc
    alone, and not where its settings are somebody's. Inside itself it changes nothing.
    """
    libc = None if _is_kept or any(name in os.environ for name in _SETTINGS) else _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
    free = free_memory()
    libc.mallopt(_TRIM_THRESHOLD, _KEPT if free is None else min(_KEPT, free // 4))
    try:
        libc.mallopt(_MMAP_MAX, 0)
        with _Held() as held:
            _is_kept.append(_Kept(libc, held))
            yield
    finally:
        _is_kept.clear()
        libc.mallopt(_MMAP_MAX, _MMAPS)
        # As it sets it itself once a block of that size was freed.
        libc.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
        if _free_of_libc(libc) > _LEFT:
            libc.malloc_trim(0)


def gaps_given_back() -> None:
    """To be called between steps: what lies free is given back where it has become more, while freed memory is kept.

    Blocks of several sizes come and go with each step, and small ones that stay settle between them: now and then the
    C library cannot lay the next where the last one was, and takes ever more from the system.
    """
    for kept in _is_kept:
        kept.look()


class _Kept:
    """Looks a few times a second at what the process holds."""

    def __init__(self, libc: Any, held: _Held) -> None:
        self._libc, self._held, self._settled, self._next = libc, held, 0, 0.0

    def look(self) -> None:
        """Give back what is free if more is held than after the first steps, or after those that followed the last."""
        now = time.monotonic()
        if self._settled and now < self._next:
            return
        self._next, held = now + _EACH, self._held()
        if not self._settled:
            self._settled = held
        elif held > self._settled + max(_GROWN, self._settled // _PART):
            self._libc.malloc_trim(0)
            self._settled = 0  # the next step takes what it needs


class _Held:
    """Tells the bytes of this process that are no file's; 0 if nobody tells. A file that stays open is soon read."""

    def __enter__(self) -> Self:
        self._open, self._file = ExitStack(), None
        with suppress(OSError):
            self._file = self._open.enter_context(_STATM.open("rb", buffering=0))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def __call__(self) -> int:
        if self._file is not None:
            with suppress(OSError, ValueError, AttributeError):
                _, resident, shared, *_ = os.pread(self._file.fileno(), _STATM_LENGTH, 0).split()
                return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
        return 0


def _free_of_libc(libc: Any) -> float:
    """Bytes that the C library has and nobody uses; of an old one, which cannot tell, all there could be."""
    if not hasattr(libc, "mallinfo2"):
        return math.inf
    libc.mallinfo2.restype = _MallInfo
    return libc.mallinfo2().fordblks


class _MallInfo(ctypes.Structure):
    """What ``mallinfo2`` tells."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


_is_kept = list[_Kept]()
"""Holds one while freed memory is kept."""
_EACH, _GROWN, _PART = 0.05, 1 << 24, 8
"""Seconds from look to look, and bytes that are not worth the time to give them back between steps, of which one in so
many that are held is not either."""
_SETTINGS = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "MALLOC_TOP_PAD_",
    "GLIBC_TUNABLES",
)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""Numbers of mallopt's parameters."""
_MMAPS = 65_536
"""Mappings that glibc makes at most where nobody says otherwise."""
_LARGEST, _KEPT, _LEFT = 1 << 25, 1 << 30, 1 << 26
"""Bytes from which on a block has a mapping of its own, the most that glibc takes; bytes that may stay free, as far
as they are a quarter of what is free; and bytes that are not worth the time to give them back: the next training
would be given them anew."""


def _glibc() -> Any:
    try:
        libc = ctypes.CDLL(None)
        return libc if hasattr(libc, "gnu_get_libc_version") and hasattr(libc, "mallopt") else None
    except (OSError, TypeError):  # Windows has no such thing
        return None

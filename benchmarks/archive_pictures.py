"""The coder that sees what is around each value: bytes of held-out pictures, and pictures a second on two cores."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.coding.coders import Coder, Plain, smallest
from isthmus.codec.coding.context_coder import COLUMN, ContextCoder
from isthmus.training.callbacks import Callback
from isthmus.workflows.archive_pictures import fitted_context

Pixels = NDArray[np.uint8]
N_PROCESSES = 2
_coders: list[Coder] = [Plain()]


class Found(NamedTuple):
    """What was measured, all of it by whole blocks and two processes."""

    n_bytes: int
    n_bytes_of_model: int
    fitted: float
    """Seconds."""
    encoded: float
    """Pictures a second, by the coder alone."""
    decoded: float
    kept: float
    """Pictures a second, read back and held against what general coders make, as compress does it."""


def _begin(section: bytes) -> None:
    _coders.append(ContextCoder.of_section(section))


def _ready(_: int) -> None:
    time.sleep(0.2)


def _packed(block: Pixels) -> bytes:
    payload = _coders[-1].packed({COLUMN: block})
    assert payload is not None
    return payload


def _unpacked(payload: bytes, n: int) -> Pixels:
    found = _coders[-1].unpacked(payload, n)[COLUMN]
    assert isinstance(found, np.ndarray)
    return found


def _kept(block: Pixels) -> bytes:
    return smallest(_coders, [{COLUMN: block}], len(block))[1]


def context(training: Pixels, test: Pixels, block: int, seconds: float) -> Found:
    """Blocks of ``test`` with what was learned from ``training`` in about so many seconds."""
    begin = time.perf_counter()
    coder = fitted_context(training, seconds, lambda epochs, seconds: None, nullcontext(Callback()))
    fitted = time.perf_counter() - begin
    assert isinstance(coder, ContextCoder)
    section = coder.section()
    blocks = [test[start : start + block] for start in range(0, len(test), block)]
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    with ProcessPoolExecutor(
        N_PROCESSES, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(section,)
    ) as pool:
        list(pool.map(_ready, range(2 * N_PROCESSES)))
        times = [time.perf_counter()]
        payloads = list(pool.map(_packed, blocks))
        times.append(time.perf_counter())
        back = list(pool.map(_unpacked, payloads, map(len, blocks)))
        times.append(time.perf_counter())
        list(pool.map(_kept, blocks))
        times.append(time.perf_counter())
    assert all((found == rows).all() for found, rows in zip(back, blocks, strict=True))
    encoded, decoded, kept = (len(test) / taken for taken in np.diff(times))
    return Found(sum(map(len, payloads)), len(section), fitted, encoded, decoded, kept)

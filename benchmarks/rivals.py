"""What others make of the same data: general coders, the specialist of each kind of data, a Bayesian network.

Specialists are used where they are installed (``pip install -r benchmarks/peers.txt``); none of them is part of
isthmus. All figures are bytes, of data that come back exactly, or within the error that is stated.
"""

from __future__ import annotations

import bz2
import importlib
import itertools
import lzma
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import gammaln

SHARES = (1.0, 0.1, 0.01)
"""Of a symbol's count before any is seen, of which each column takes the best."""
CLASSES = (256, 32, 12, 6)
"""Into how many classes of equal size a parent of many values is cut, of which each column takes the best."""


def general(blocks: Sequence[bytes]) -> dict[str, int]:
    """General coders at their best."""
    zstd = pa.Codec("zstd", compression_level=19)
    coders: dict[str, Callable[[bytes], bytes]] = {
        "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
        "bz2": bz2.compress,
        "zstd": lambda data: zstd.compress(data, asbytes=True),
    }
    return {name: sum(len(coder(block)) for block in blocks) for name, coder in coders.items()}


def sheet(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures ``(n, height, width)`` side by side, as square as they go; the rest of the sheet is black."""
    n, height, width = pictures.shape[:3]
    across = int(np.ceil(np.sqrt(n)))
    down = -(-n // across)
    whole = np.zeros((down * across, height, width), np.uint8)
    whole[:n] = pictures.reshape(n, height, width)
    return whole.reshape(down, across, height, width).swapaxes(1, 2).reshape(down * height, across * width)


def of_pictures(blocks: Sequence[NDArray[np.uint8]]) -> dict[str, int]:
    """Sheets of the pictures of each block, exactly."""
    codecs = _imagecodecs()
    if codecs is None:
        return {}
    coders: dict[str, Callable[[NDArray[np.uint8]], bytes]] = {
        "JPEG XL": lambda block: codecs.jpegxl_encode(block, lossless=True, effort=9),
        "WebP": lambda block: codecs.webp_encode(np.stack([block] * 3, axis=-1), lossless=True),
        "PNG": lambda block: codecs.png_encode(block, level=9),
    }
    return {name: sum(len(coder(sheet(block))) for block in blocks) for name, coder in coders.items()}


def of_numbers(columns: Sequence[NDArray[np.float64]], errors: Sequence[float]) -> dict[str, int]:
    """Columns within an error each: SZ3, zfp; and pcodec on the grid of such an error."""
    found = dict[str, int]()
    pairs = list(zip(columns, errors, strict=True))
    if (codecs := _imagecodecs()) is not None:
        if codecs.SZ3.available:
            found["SZ3"] = sum(
                len(codecs.sz3_encode(column, mode="abs", abs=error)) for column, error in pairs
            )
        found["zfp"] = sum(len(codecs.zfp_encode(column, level=error, mode="a")) for column, error in pairs)
    try:
        pcodec: Any = importlib.import_module("pcodec")
    except ImportError:
        return found
    config = pcodec.ChunkConfig(compression_level=12)
    grids = [
        np.floor((column - column.min()) / (2 * error) + 0.5).astype(np.int32) for column, error in pairs
    ]
    found["grid + pcodec"] = sum(len(pcodec.standalone.simple_compress(grid, config)) for grid in grids)
    return found


def bayesian_network(columns: Sequence[NDArray[np.integer]]) -> float:
    """Bytes of whole columns by a network in which each has at most two parents among those before it.

    Nothing is sent of the network: each column is coded by counts that grow as it is read (Dirichlet priors, whose
    code length does not depend on the order of rows), and takes the best of all parents, classes of these and priors
    by looking at all rows. So no real coder of this kind is as small, with columns in this order.
    """
    places = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in columns]
    parents = [[_classes(place, n) for n in CLASSES] for place in places]
    bits = 0.0
    for child, place in enumerate(places):
        found = [_bits(place, np.zeros_like(place))]
        found += [_bits(place, own) for one in range(child) for own in parents[one]]
        for one, other in itertools.combinations(range(child), 2):
            for own, beside in itertools.product(parents[one], parents[other]):
                found.append(_bits(place, own.astype(np.int64) * (int(beside.max()) + 1) + beside))
        bits += min(found)
    return bits / 8


def _classes(place: NDArray[np.integer], n: int) -> NDArray[np.integer]:
    """Numbers of the classes of equal size that values lie in; the values themselves where they are few."""
    if place.max() < n:
        return place
    ranks = np.argsort(np.argsort(place, kind="stable"), kind="stable")
    first_of_value = np.full(place.max() + 1, len(place))
    np.minimum.at(first_of_value, place, ranks)
    return np.unique(first_of_value[place] * n // len(place), return_inverse=True)[1].reshape(-1)


def _bits(child: NDArray[np.integer], context: NDArray[np.integer]) -> float:
    """The shortest code length of a column by counts within each context."""
    n_symbols = int(child.max()) + 1
    _, contexts = np.unique(context, return_inverse=True)
    cells, counts = np.unique(contexts.reshape(-1).astype(np.int64) * n_symbols + child, return_counts=True)
    totals = np.bincount(cells // n_symbols, weights=counts)

    def length(share: float) -> float:
        before = (gammaln(totals + share * n_symbols) - gammaln(share * n_symbols)).sum()
        return float(before - (gammaln(counts + share) - gammaln(share)).sum()) / np.log(2)

    return min(map(length, SHARES))


def _imagecodecs() -> Any:
    try:
        return importlib.import_module("imagecodecs")
    except ImportError:
        return None

"""Networks in whole numbers as bytes: a header in JSON, then their arrays."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

from isthmus.codec.frozen.bytes import Reader, packed
from isthmus.codec.frozen.layers import Affine, Layer, Rectifier, Table, Whole
from isthmus.codec.frozen.maps import Convolution, Pool, Residual, Spread, Swap, Windows
from isthmus.errors import ArtifactError, ParameterError
from isthmus.shapes import Shape, n_values, shape_text

MAGIC = b"isFN"
VERSION = 1
HEAD = struct.Struct("<4sBI")
"""Magic, version, bytes of the header."""

N_DIGEST = 16
"""Bytes of SHA-256 that are kept."""

LARGEST_HEADER = 2**20
MOST_NUMBERS = 2**25
"""Numbers in all arrays of a file together."""
MOST_VALUES = 2**22
"""Of one row, in any layer."""
MOST_SIDE = 2**22
"""Of a map."""
MOST_TAPS = 2**16
"""Of a kernel."""
LARGEST = 2**45
"""Magnitude of any value."""


class Ends(NamedTuple):
    """What goes in and comes out, and in which units."""

    input_shape: Shape
    """Of one row."""
    output_shape: Shape
    input_scale: float | tuple[float, ...]
    """Value = whole number / scale; one for all inputs, or one each."""
    output_bits: int
    """Value = whole number / 2^output_bits."""
    input_low: int
    """Least of the numbers that the network was frozen with."""
    input_high: int
    """Largest of them; the self-test's inputs lie between both."""
    input_limit: int
    """Inputs are held within ``[-input_limit, input_limit]``."""


def written(ends: Ends, layers: Sequence[Layer], outcome: bytes) -> bytes:
    """Header, arrays (those that two layers share stand once), the self-test's outcome, a digest of all this."""
    arrays: dict[bytes, int] = {}
    told = [_told(layer, arrays) for layer in layers]
    document = {**ends._asdict(), "layers": told}
    header = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    data = HEAD.pack(MAGIC, VERSION, len(header)) + header + b"".join(arrays) + outcome
    return data + digest(data)


def _told(layer: Layer, arrays: dict[bytes, int]) -> dict[str, Any]:
    """What the header says of a layer, whose arrays are put to the others."""
    facts = layer.facts()
    if isinstance(layer, Residual):
        facts["layers"] = [_told(inner, arrays) for inner in layer.layers]
    data = b"".join(packed(array.ravel()) for array in layer.arrays())
    if data in arrays:
        facts["as"] = arrays[data]
    elif data:
        arrays[data] = len(arrays)
    return facts


def check_chain(ends: Ends, layers: Sequence[Layer]) -> int:
    """The largest number of values between two layers; those that do not lead from input to output are refused."""
    sizes = [n_values(ends.input_shape)]
    for layer in layers:
        sizes.append(layer.size(sizes[-1]))
        if sizes[-1] > MOST_VALUES:
            raise ParameterError(
                f"frozen network: a layer must give at most {MOST_VALUES:,} values, got {sizes[-1]:,}. "
                "Freeze a network of smaller maps."
            )
    if not layers or sizes[-1] != n_values(ends.output_shape):
        raise ParameterError(
            f"frozen network: its layers must give outputs of shape {shape_text(ends.output_shape)}, got "
            f"{sizes[-1]} values. Put layers together that fit."
        )
    return max(sizes)


def digest(data: bytes) -> bytes:
    """The first bytes of SHA-256."""
    return hashlib.sha256(data).digest()[:N_DIGEST]


def read(data: bytes) -> tuple[Ends, list[Layer], bytes]:
    """What :func:`written` was given.

    Raises
    ------
    ArtifactError
        For other bytes, or a network too large.
    """
    try:
        return _read(data)
    except (ValueError, RecursionError) as error:
        bad_text = isinstance(error, (json.JSONDecodeError, UnicodeDecodeError, RecursionError))
        why = "its header is no JSON" if bad_text else str(error).removeprefix("frozen network: ")
        raise ArtifactError(
            f"frozen network: expected the bytes of a network in whole numbers, but {why}. "
            "They are damaged, or another program's; take the archive from its source again."
        ) from None


def _read(data: bytes) -> tuple[Ends, list[Layer], bytes]:
    reader = Reader(data[:-N_DIGEST])
    magic, version, n_header = HEAD.unpack(reader.take(HEAD.size))
    if magic != MAGIC:
        raise ValueError("its first bytes are others")
    if version != VERSION:
        raise ValueError(f"its format is {version}, and this isthmus reads format {VERSION}")
    if digest(data[:-N_DIGEST]) != data[-N_DIGEST:]:
        raise ValueError("its digest is another")
    if n_header > LARGEST_HEADER:
        raise ValueError(f"its header is longer than {LARGEST_HEADER:,} bytes")
    header = _Facts(json.loads(reader.take(n_header).decode()))
    ends = _ends(header)
    layers = _layers(header, _Arrays(reader), ends.input_limit)
    check_chain(ends, layers)
    outcome = reader.take(N_DIGEST)
    if reader.n_left:
        raise ValueError(f"{reader.n_left:,} bytes more follow")
    return ends, layers, outcome


def _layers(told: _Facts, arrays: _Arrays, within: int) -> list[Layer]:
    found = list[Layer]()
    for item in told.items("layers"):
        facts = _Facts(item)
        kind = facts["kind"]
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"it has a layer of the unknown kind {str(kind)[:40]!r}")
        arrays.begin(facts)
        found.append(KINDS[kind](facts, arrays, within))
        within = found[-1].limit
    return found


@final
class _Facts:
    """An object of the header, of whose entries each is what it must be."""

    def __init__(self, told: Any) -> None:
        if not isinstance(told, dict):
            raise ValueError("its header lacks an object")
        self._told: dict[str, Any] = told

    def __contains__(self, name: str) -> bool:
        return name in self._told

    def __getitem__(self, name: str) -> Any:
        if name not in self._told:
            raise ValueError(f"its header lacks {name!r}")
        return self._told[name]

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number within both."""
        value = self[name]
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}, got {str(value)[:40]}")
        return value

    def items(self, name: str) -> list[Any]:
        """A list."""
        value = self[name]
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list, got {str(value)[:40]}")
        return value

    def limit(self) -> int:
        """The largest magnitude that a layer gives."""
        return self.whole("limit", 1, LARGEST)

    def pair(self, name: str, low: int, most: int = MOST_VALUES) -> tuple[int, int]:
        """Two whole numbers, a height and a width."""
        sizes = self.items(name)
        if len(sizes) != 2 or not all(type(n) is int and low <= n <= MOST_SIDE for n in sizes):
            raise ValueError(
                f"{name} must be two whole numbers from {low} to {MOST_SIDE}, got {str(sizes)[:40]}"
            )
        if sizes[0] * sizes[1] > most:
            raise ValueError(f"{name} must hold at most {most:,} positions, got {sizes[0] * sizes[1]:,}")
        return sizes[0], sizes[1]

    def shape(self, name: str) -> Shape:
        """Sizes, at least 1 each."""
        sizes = self.items(name)
        if not all(type(n) is int and 1 <= n <= MOST_VALUES for n in sizes) or len(sizes) > 8:
            raise ValueError(f"{name} must be a shape, got {str(sizes)[:40]}")
        if n_values(tuple(sizes)) > MOST_VALUES:
            raise ValueError(
                f"{name} must hold at most {MOST_VALUES:,} values, got {n_values(tuple(sizes)):,}"
            )
        return tuple(sizes)


@final
class _Arrays:
    """The arrays of one layer after the other: those that follow, or those of an earlier layer again."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._n = reader, 0
        self._groups: list[list[Whole]] = []
        self._again: list[Whole] | None = None
        self._is_new = True

    def begin(self, facts: _Facts) -> None:
        """Another layer, which says if it has the arrays of an earlier one."""
        self._again = None
        if "as" in facts:
            self._again = list(self._groups[facts.whole("as", 0, len(self._groups) - 1)])
        self._is_new = True

    def take(self, *shape: int) -> Whole:
        """The layer's next array."""
        n = math.prod(shape)
        if self._again is not None:
            if not self._again or self._again[0].size != n:
                raise ValueError("two of its layers share arrays that do not fit both")
            return self._again.pop(0).reshape(shape)
        self._n += n
        if self._n > MOST_NUMBERS:
            raise ValueError(f"it has more than {MOST_NUMBERS:,} weights")
        values = self._reader.numbers(n)
        if self._is_new:
            self._groups.append([])
            self._is_new = False
        self._groups[-1].append(values)
        return values.reshape(shape)


def _ends(header: _Facts) -> Ends:
    scale = header["input_scale"]
    shape = header.shape("input_shape")
    scales = scale if isinstance(scale, list) else [scale]
    good = all(type(s) in (int, float) and 0 < s < math.inf for s in scales)
    if not good or (isinstance(scale, list) and len(scale) != n_values(shape)):
        raise ValueError(f"input_scale must be positive, one number or one an input, got {str(scale)[:40]}")
    limit = header.whole("input_limit", 1, LARGEST)
    low = header.whole("input_low", -limit, limit)
    return Ends(
        shape,
        header.shape("output_shape"),
        tuple(map(float, scales)) if isinstance(scale, list) else float(scale),
        header.whole("output_bits", -64, 64),
        low,
        header.whole("input_high", low, limit),
        limit,
    )


def _affine(facts: _Facts, arrays: _Arrays, within: int) -> Layer:
    n_in, n_out = facts.whole("in", 1, MOST_VALUES), facts.whole("out", 1, MOST_VALUES)
    weight = arrays.take(n_out, n_in)
    return Affine(weight, arrays.take(n_out), arrays.take(n_out), facts.limit(), within)


def _rectifier(facts: _Facts, arrays: _Arrays, within: int) -> Layer:
    return Rectifier(within)


def _table(facts: _Facts, arrays: _Arrays, within: int) -> Layer:
    n = facts.whole("n", 2, 2**20)
    if n % 2:
        raise ValueError(f"a table must have an even number of segments, got {n}")
    width, fraction = facts.whole("width", -64, 64), facts.whole("fraction", 0, 64)
    return Table(arrays.take(n + 1), width, fraction, facts.limit(), within)


def _convolution(facts: _Facts, arrays: _Arrays, within: int) -> Layer:
    kernel = facts.pair("kernel", 1, MOST_TAPS)
    n_in, n_out = facts.whole("in", 1, MOST_VALUES), facts.whole("out", 1, MOST_VALUES)
    windows = Windows(
        facts.pair("size_in", 1),
        facts.pair("size_out", 1),
        kernel,
        facts.pair("stride", 1, MOST_TAPS),
        facts.pair("before", -MOST_TAPS, MOST_TAPS),
        transposed=facts["kind"] == "transposed_convolution",
    )
    weight = arrays.take(n_out, kernel[0] * kernel[1], n_in)
    return Convolution(windows, weight, arrays.take(n_out), arrays.take(n_out), facts.limit(), within)


def _swap(facts: _Facts, arrays: _Arrays, within: int) -> Layer:
    return Swap(facts.pair("shape", 1), within)


def _spread(facts: _Facts, arrays: _Arrays, within: int) -> Layer:
    lines, columns = facts.pair("size_out", 1)
    channels = facts.whole("channels", 1, MOST_VALUES)
    return Spread(facts.pair("size_in", 1), channels, arrays.take(lines), arrays.take(columns), within)


def _pool(facts: _Facts, arrays: _Arrays, within: int) -> Layer:
    channels, mean = facts.whole("channels", 1, MOST_VALUES), facts["kind"] == "average_pool"
    return Pool(facts.pair("size_in", 1), channels, facts.pair("window", 1), within, mean=mean)


def _residual(facts: _Facts, arrays: _Arrays, within: int) -> Layer:
    return Residual(_layers(facts, arrays, within), facts.limit())


KINDS: dict[str, Callable[[_Facts, _Arrays, int], Layer]] = {
    "affine": _affine,
    "relu": _rectifier,
    "table": _table,
    "convolution": _convolution,
    "transposed_convolution": _convolution,
    "swap": _swap,
    "spread": _spread,
    "average_pool": _pool,
    "max_pool": _pool,
    "residual": _residual,
}

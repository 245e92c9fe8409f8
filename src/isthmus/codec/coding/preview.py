"""Columns that come back approximately: a few whole numbers a row, and a decoder in whole numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from isthmus.codec import columns as plain
from isthmus.codec.coding.coders import Coder
from isthmus.codec.coding.distributions import Tables
from isthmus.codec.coding.stack import WHOLE, Ints, Stack, pop_numbers, push_numbers
from isthmus.codec.columns import Column, Columns
from isthmus.codec.frozen.layers import Layer
from isthmus.codec.frozen.maps import Residual
from isthmus.codec.frozen.network import FrozenNetwork
from isthmus.errors import ArtifactError
from isthmus.shapes import Shape, n_values

CODED = "\0"
"""The name of what the decoder is given, beside the columns that are left over: no column of a content has it."""
ODD, OWN = "\0odd", "\0own"
"""Beginnings of the names of places that are kept exactly, and of what stands there."""
TEXTS = "texts"
"""The type of a column of words that are texts."""
MOST_VALUES, MOST_SYMBOLS = 1 << 28, 1 << 24
"""Of a block."""
MOST_WORK = 1 << 40
"""Codes of a block times numbers of the decoder."""
MOST_MASS = 1 << 24
"""Of a unit's symbols together."""
MOST_COUNT = 1 << 16
"""Symbols of a unit."""
FARTHEST, MOST_PLACE = 1 << 62, 1 << 53
"""Whole numbers are below the first; those that become floats are not beyond the second."""
MOST_POINT = 1100
FINE = 16
"""Bits below what a unit of the decoder's outputs is worth, that values have at least where they can."""
_AT_A_TIME = 1 << 20
"""Values that are decoded at a time."""

Encode = Callable[[Mapping[str, Column]], Ints]
"""Of columns of the parts, equally long, the symbols of each row, or of each of its tiles: ``(n, size)``."""


@dataclass(frozen=True)
class Part:
    """A column that the decoder's outputs become.

    Parameters
    ----------
    name
        Of the column.
    dtype
        Of its values: NumPy's code, such as ``"u1"``, or ``"texts"``.
    shape
        Of a row of the column, channels last as files have it.
    model_shape
        Of what the decoder gives at once, channels last: a row, perhaps with an axis of 1 more, or a tile of it.
    n_words
        Of a column of words, as many as there are: each has an output, and the largest of them counts. 0 of numbers.
    link
        Of numbers: ``"logistic"`` where outputs are logits.
    low, high
        Between which whole numbers are held before they become values.
    """

    name: str
    dtype: str
    shape: Shape
    model_shape: Shape
    n_words: int = 0
    link: Literal["none", "logistic"] = "none"
    low: int = 0
    high: int = 0

    @property
    def n_outputs(self) -> int:
        """Of the decoder, that are this part's."""
        return self.n_words or n_values(self.model_shape)

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles of a row, down and across: they begin at its upper left corner, the last ones reach over the edge."""
        if self.n_words or n_values(self.shape) == n_values(self.model_shape):
            return 1, 1
        return -(-self.shape[0] // self.model_shape[0]), -(-self.shape[1] // self.model_shape[1])

    @property
    def fits(self) -> bool:
        """Whether what is said of it can be."""
        sides = (*self.shape, *self.model_shape)
        if any(side < 1 for side in sides) or len(self.shape) > 8 or not 1 <= len(self.model_shape) <= 8:
            return False
        if max(n_values(self.shape), n_values(self.model_shape), self.n_words) > MOST_VALUES:
            return False
        if self.n_words:
            return not self.shape and self.n_words > 1 and (self.dtype == TEXTS or _kind(self.dtype) in "iu")
        if self.dtype == TEXTS or _kind(self.dtype) not in "iuf":
            return False
        if n_values(self.shape) != n_values(self.model_shape):
            whole = (*self.shape, 1) if len(self.shape) == 2 else self.shape
            if len(whole) != 3 or len(self.model_shape) != 3 or whole[2] != self.model_shape[2]:
                return False
        lowest, highest = ends_of(self.dtype)
        return lowest <= self.low <= self.high <= highest

    def tiles(self, rows: NDArray[Any]) -> NDArray[Any]:
        """What the model sees of rows ``(n, *shape)``: ``(n * tiles, *model_shape)``; edges are repeated beyond."""
        down, across = self.grid
        if (down, across) == (1, 1):
            return rows.reshape(len(rows), *self.model_shape)
        height, width, channels = self.model_shape
        whole = rows.reshape(len(rows), *self.shape[:2], channels)
        over = down * height - self.shape[0], across * width - self.shape[1]
        whole = np.pad(whole, ((0, 0), (0, over[0]), (0, over[1]), (0, 0)), mode="edge")
        cut = whole.reshape(len(rows), down, height, across, width, channels).swapaxes(2, 3)
        return cut.reshape(-1, height, width, channels)

    def joined(self, tiles: NDArray[Any]) -> NDArray[Any]:
        """Rows of their tiles."""
        down, across = self.grid
        n = len(tiles) // (down * across)
        if (down, across) == (1, 1):
            return np.ascontiguousarray(tiles).reshape(n, *self.shape)
        height, width, channels = self.model_shape
        cut = tiles.reshape(n, down, across, height, width, channels).swapaxes(2, 3)
        whole = cut.reshape(n, down * height, across * width, channels)
        return np.ascontiguousarray(whole[:, : self.shape[0], : self.shape[1]]).reshape(n, *self.shape)


@dataclass(frozen=True)
class Meaning:
    """What whole outputs o of numbers mean: ``q / 2^point`` with ``q = start + (factor o + 2^(shift - 1) >> shift)``.

    Parameters
    ----------
    factor, shift, start, point
        One each for all outputs, or one for each; ``point`` is at most 0 where values are integers.
    """

    factor: Ints
    shift: Ints
    start: Ints
    point: Ints

    @classmethod
    def of(cls, scale: NDArray[Any], start: NDArray[Any], dtype: str, bits: int, limit: int) -> Meaning:
        """For ``start + scale * o / 2^bits``.

        Parameters
        ----------
        scale, start
            In the unit of the values, one or one an output.
        dtype
            Of the values.
        bits
            After the point of outputs.
        limit
            Of the magnitude of outputs.
        """
        scale, start = np.broadcast_arrays(np.asarray(scale, np.float64), np.asarray(start, np.float64))
        point = np.minimum(FINE - _exponent(scale), 50 - _exponent(start))
        point = np.clip(point, -MOST_POINT, MOST_POINT if _kind(dtype) == "f" else 0)
        room = 60 - limit.bit_length()
        shift = np.clip(min(24, room) - _exponent(scale) - point + bits, 1, 61)
        exponent = (shift + point - bits).astype(np.int32)
        factor = np.clip(np.rint(np.ldexp(scale, exponent)), -(2.0**room), 2.0**room)
        begin = np.rint(np.ldexp(start, point.astype(np.int32)))
        return cls(factor.astype(np.int64), shift, begin.astype(np.int64), point)

    def check(self, part: Part, limit: int) -> None:
        """Refuse what leaves the whole numbers of 64 bits.

        Raises
        ------
        ValueError
            It would, or is of other outputs.
        """
        if self.factor.shape not in ((1,), (part.n_outputs,)):
            raise ValueError("meanings of other outputs")
        if self.shift.min() < 1 or self.shift.max() > 61 or np.abs(self.point).max() > MOST_POINT:
            raise ValueError("meanings of other numbers")
        most = max(abs(int(self.factor.min())), abs(int(self.factor.max()))) * limit + (1 << 60)
        if most >= FARTHEST or max(abs(int(self.start.min())), abs(int(self.start.max()))) >= FARTHEST:
            raise ValueError("numbers of more than 64 bits")
        if _kind(part.dtype) != "f" and (self.point.max() > 0 or self.point.min() < -60):
            raise ValueError("integers with a point")

    def values(self, outputs: Ints, part: Part) -> NDArray[Any]:
        """Values of the part, as the outputs stand."""
        whole = self.start + (self.factor * outputs + (1 << self.shift - 1) >> self.shift)
        if _kind(part.dtype) != "f":
            lowest, highest = -(-part.low >> -self.point), part.high >> -self.point
            inside = np.clip(whole, lowest, highest) << -self.point
            return np.where(whole > highest, part.high, np.where(whole < lowest, part.low, inside)).astype(
                part.dtype
            )
        np.clip(whole, part.low, part.high, out=whole)
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(whole.astype(np.float64), -self.point.astype(np.int32)).astype(part.dtype)


@dataclass(frozen=True)
class Alphabet:
    """The symbols of each unit of a code, and how likely they are.

    Parameters
    ----------
    firsts
        Of each unit its first symbol; the others follow each other.
    masses
        Of each unit the masses of its symbols, at least 1 each and at most 2^24 together.
    """

    firsts: Ints
    masses: Sequence[Ints]

    @cached_property
    def counts(self) -> Ints:
        """Symbols of each unit."""
        return np.array([len(masses) for masses in self.masses], np.int64)

    @cached_property
    def n_halvings(self) -> int:
        """That lead to a symbol."""
        return int(self.counts.max() - 1).bit_length()

    @cached_property
    def below(self) -> Ints:
        """The mass below each symbol, ``(size, 2^n_halvings + 1)``; beyond the last one 1 more for each."""
        found = np.ones((len(self.masses), (1 << self.n_halvings) + 1), np.int64)
        found[:, 0] = 0
        for unit, masses in enumerate(self.masses):
            found[unit, 1 : len(masses) + 1] = masses
        return found.cumsum(axis=1)

    def cumulative(self, numbers: Ints) -> Ints:
        """The mass below numbers ``(n, size)`` of symbols."""
        return self.below[np.arange(len(self.masses)), numbers]


@final
class PreviewCoder(Coder):
    """A quantised code for some columns, from which a decoder makes them again, approximately.

    Parameters
    ----------
    parts
        The columns that it knows, in the order of the decoder's outputs; one alone if that is cut into tiles.
    meanings
        Of each part of numbers; None of words.
    words
        Of each part whose words are texts; empty of others.
    alphabet
        Of the code.
    decoder
        From symbols to outputs.
    encode
        What finds the symbols. An archive holds none: what is read from one codes nothing.
    """

    id: ClassVar[str] = "preview"

    def __init__(
        self,
        parts: Sequence[Part],
        meanings: Sequence[Meaning | None],
        words: Sequence[Sequence[bytes]],
        alphabet: Alphabet,
        decoder: FrozenNetwork,
        encode: Encode | None = None,
    ) -> None:
        self.parts, self.meanings, self.words = tuple(parts), tuple(meanings), tuple(map(tuple, words))
        self.alphabet, self.decoder, self._encode = alphabet, decoder, encode
        self._numbers = {part.name: number for number, part in enumerate(self.parts)}
        self._n_tiles = math.prod(self.parts[0].grid)
        n_outputs = self._n_tiles * n_values(decoder.output_shape)
        self.most_rows = min(
            MOST_SYMBOLS // (self._n_tiles * len(alphabet.masses)),
            MOST_VALUES // max(n_outputs, sum(n_values(part.shape) for part in self.parts)),
            MOST_WORK // (self._n_tiles * max(1, _n_numbers(decoder.layers))),
        )
        """Of a block."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns that come back approximately."""
        return tuple(self._numbers)

    # ---------------------------------------------------------------- the section

    def section(self) -> bytes:
        """Parts, decoder and alphabet."""
        held: Columns = {
            "parts": [json.dumps([asdict(part) for part in self.parts], separators=(",", ":")).encode()],
            "networks": [self.decoder.to_bytes()],
            "firsts": self.alphabet.firsts,
            "counts": self.alphabet.counts,
            "masses": np.concatenate(self.alphabet.masses).astype(np.uint32),
        }
        for number, (meaning, words) in enumerate(zip(self.meanings, self.words, strict=True)):
            if meaning is not None:
                held[f"meaning {number}"] = np.stack(
                    [meaning.factor, meaning.shift, meaning.start, meaning.point]
                )
            if words:
                held[f"words {number}"] = list(words)
        return plain.packed(held)

    @classmethod
    def of_section(cls, data: bytes) -> PreviewCoder:
        """The coder that a section was written from; it decodes alone."""
        try:
            held = plain.unpacked(data)
            (told,) = held["parts"]
            parts = [_part(each) for each in json.loads(told)]
            (network,) = held["networks"]
            decoder = FrozenNetwork.from_bytes(bytes(network))
            alphabet = _alphabet(held, n_values(decoder.input_shape))
            meanings = [_meaning(held, number, part, decoder) for number, part in enumerate(parts)]
            words = [_words(held, number, part) for number, part in enumerate(parts)]
            if n_values(decoder.output_shape) != sum(part.n_outputs for part in parts):
                raise ValueError("parts that are not its decoder's")
            is_tiled = any(part.grid != (1, 1) for part in parts)
            if not parts or len({part.name for part in parts}) != len(parts) or (is_tiled and len(parts) > 1):
                raise ValueError("parts that do not fit each other")
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise ArtifactError(
                f"archive: expected the decoder of a preview, got none ({str(error)[:100]}); take another copy of it."
            ) from None
        return cls(parts, meanings, words, alphabet, decoder)

    def check(self) -> None:
        """The decoder's self-test."""
        self.decoder.check()

    # ---------------------------------------------------------------- blocks

    def packed(self, columns: Columns) -> bytes | None:
        """Its columns as codes, others beside; None where one of its own is missing, or is another."""
        n = self._n_entries(columns)
        if self._encode is None or n is None or n > self.most_rows:
            return None
        held: Columns = {CODED: [n.to_bytes(4, "little") + self._coded(columns)]}
        for name, column in columns.items():
            if name not in self._numbers:
                held[name] = column
                continue
            held[name] = []  # where it stands among the others
            odd = self._odd(self._numbers[name], column)
            if len(odd):
                held[ODD + name] = odd
                held[OWN + name] = (
                    [column[place] for place in odd.tolist()]
                    if isinstance(column, list)
                    else column.ravel()[odd]
                )
        return plain.packed(held)

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        """The columns, approximately, in their order."""
        held = plain.unpacked(payload)
        coded = held.pop(CODED, None)
        if not isinstance(coded, list) or len(coded) != 1 or len(coded[0]) < 4 or len(coded[0]) % 4:
            raise _damaged("no codes")
        n, words = int.from_bytes(coded[0][:4], "little"), np.frombuffer(coded[0][4:], "<u4")
        if n > min(n_rows, self.most_rows):
            raise _damaged(f"codes of {n:,} rows of {n_rows:,}")
        found, made = Columns(), self._made(words.astype(np.uint32), n)
        for name, column in held.items():
            if name in self._numbers:
                found[name] = _with_own(made[name], held.get(ODD + name), held.get(OWN + name))
            elif not name.startswith(CODED):
                found[name] = column
        return found

    def _n_entries(self, columns: Columns) -> int | None:
        """How many rows the parts have; None where they do not go with the columns."""
        lengths = set[int]()
        for part in self.parts:
            column = columns.get(part.name)
            if part.dtype == TEXTS:
                if not isinstance(column, list):
                    return None
            elif not isinstance(column, np.ndarray) or (column.dtype, column.shape[1:]) != (
                np.dtype(part.dtype),
                part.shape,
            ):
                return None
            lengths.add(len(column))
        return lengths.pop() if len(lengths) == 1 else None

    def _odd(self, number: int, column: Column) -> Ints:
        """Places of what no decoder gives: numbers that are not finite, words that it does not know."""
        part = self.parts[number]
        if isinstance(column, list):
            known = set(self.words[number])
            return np.array([place for place, text in enumerate(column) if text not in known], np.int64)
        if part.n_words:
            return np.flatnonzero((column < 0) | (column >= part.n_words))
        if _kind(part.dtype) == "f":
            return np.flatnonzero(~np.isfinite(column))
        return np.zeros(0, np.int64)

    def _coded(self, columns: Columns) -> bytes:
        assert self._encode is not None
        symbols = self._encode({name: columns[name] for name in self._numbers}) - self.alphabet.firsts
        numbers = np.clip(symbols, 0, self.alphabet.counts - 1)
        stack = Stack(np.zeros(0, np.uint32))
        push_numbers(stack, numbers, self.alphabet.cumulative, self.alphabet.n_halvings)
        return stack.words().astype("<u4").tobytes()

    def _made(self, words: NDArray[np.uint32], n: int) -> Columns:
        """The columns of the parts, of the words of a stack."""
        shape = n * self._n_tiles, len(self.alphabet.masses)
        numbers = pop_numbers(Stack.opened(words), shape, self.alphabet.cumulative, self.alphabet.n_halvings)
        symbols = np.minimum(numbers, self.alphabet.counts - 1) + self.alphabet.firsts
        some = max(1, _AT_A_TIME // n_values(self.decoder.output_shape))
        pieces = [self._decoded(symbols[start : start + some]) for start in range(0, len(symbols), some)]
        pieces = pieces or [self._decoded(symbols)]
        found = Columns()
        for number, part in enumerate(self.parts):
            joined = np.concatenate([piece[number] for piece in pieces])
            if part.dtype == TEXTS:
                found[part.name] = [self.words[number][place] for place in joined.tolist()]
            else:
                found[part.name] = joined.astype(part.dtype) if part.n_words else part.joined(joined)
        return found

    def _decoded(self, symbols: Ints) -> list[NDArray[Any]]:
        """Of each part what some symbols become: numbers of words, or values of rows or tiles, channels last."""
        outputs = self.decoder(symbols.astype(np.float64)).reshape(len(symbols), -1).astype(np.int64)
        found, start = list[NDArray[Any]](), 0
        for part, meaning in zip(self.parts, self.meanings, strict=True):
            some = outputs[:, start : start + part.n_outputs]
            start += part.n_outputs
            if meaning is None:
                found.append(some.argmax(axis=1))
                continue
            if part.link == "logistic":
                some = Tables.made().ones(some, self.decoder.output_bits)
            *places, n_channels = part.model_shape
            values = meaning.values(some, part).reshape(len(some), n_channels, *places)
            found.append(np.moveaxis(values, 1, -1))
        return found


def limit_of(decoder: FrozenNetwork, link: str) -> int:
    """Of the magnitude of what a meaning is given."""
    return WHOLE if link == "logistic" else decoder.output_limit


def ends_of(dtype: str) -> tuple[int, int]:
    """Between which whole numbers of a type's values are held; of floats before they are divided."""
    if _kind(dtype) == "f":
        return -MOST_PLACE, MOST_PLACE
    info = np.iinfo(dtype)
    return max(int(info.min), 1 - FARTHEST), min(int(info.max), FARTHEST - 1)


def _n_numbers(layers: Sequence[Layer]) -> int:
    """Of all arrays of layers."""
    inner = sum(_n_numbers(layer.layers) for layer in layers if isinstance(layer, Residual))
    return inner + sum(array.size for layer in layers for array in layer.arrays())


def _kind(dtype: str) -> str:
    return np.dtype(dtype).kind


def _exponent(values: NDArray[np.float64]) -> Ints:
    """Of each the power of two that it is below."""
    return np.frexp(values)[1].astype(np.int64)


def _with_own(column: Column, odd: Any, own: Any) -> Column:
    """A column with what was kept exactly in its places."""
    if odd is None and own is None:
        return column
    n = len(column) if isinstance(column, list) else column.size
    if not isinstance(odd, np.ndarray) or odd.ndim != 1 or odd.dtype.kind not in "iu":
        raise _damaged("places that are none")
    if own is None or len(own) != len(odd) or (len(odd) and (odd.min() < 0 or odd.max() >= n)):
        raise _damaged("places of other values")
    if isinstance(column, list):
        if not isinstance(own, list):
            raise _damaged("numbers for texts")
        for place, text in zip(odd.tolist(), own, strict=True):
            column[place] = text
    else:
        if not isinstance(own, np.ndarray) or own.dtype != column.dtype or own.ndim != 1:
            raise _damaged("values of another type")
        column.flat[odd] = own
    return column


def _part(told: Any) -> Part:
    part = Part(**told)
    part = replace(part, shape=tuple(part.shape), model_shape=tuple(part.model_shape))
    whole = (*part.shape, *part.model_shape, part.n_words, part.low, part.high)
    if not all(type(value) is int and abs(value) < FARTHEST for value in whole):
        raise ValueError("parts that are none")
    if not isinstance(part.name, str) or part.name.startswith(CODED) or not isinstance(part.dtype, str):
        raise ValueError("parts without a name")
    if part.link not in ("none", "logistic") or (part.dtype != TEXTS and part.dtype not in plain.DTYPES):
        raise ValueError("parts of something else")
    if not part.fits:
        raise ValueError("parts of other values")
    return part


def _alphabet(held: Columns, size: int) -> Alphabet:
    firsts, counts, masses = (np.asarray(held[name]) for name in ("firsts", "counts", "masses"))
    if any(each.dtype.kind not in "iu" or each.ndim != 1 for each in (firsts, counts, masses)):
        raise ValueError("symbols that are none")
    if (
        not size
        or len(firsts) != size
        or len(counts) != size
        or counts.min() < 1
        or counts.max() > MOST_COUNT
    ):
        raise ValueError("symbols of another code")
    counts, firsts, masses = (each.astype(np.int64) for each in (counts, firsts, masses))
    n_halvings = int(counts.max() - 1).bit_length()
    if counts.sum() != len(masses) or size << n_halvings > MOST_SYMBOLS or np.abs(firsts).max() >= 1 << 31:
        raise ValueError("symbols of other masses")
    split = np.split(masses, np.cumsum(counts)[:-1])
    if masses.min() < 1 or masses.max() > MOST_MASS or max(int(each.sum()) for each in split) > MOST_MASS:
        raise ValueError("masses that are none")
    return Alphabet(firsts, split)


def _meaning(held: Columns, number: int, part: Part, decoder: FrozenNetwork) -> Meaning | None:
    if part.n_words:
        return None
    told = np.asarray(held[f"meaning {number}"])
    if told.dtype != np.int64 or told.ndim != 2 or len(told) != 4 or not told.shape[1]:
        raise ValueError("meanings that are none")
    meaning = Meaning(*told)
    meaning.check(part, limit_of(decoder, part.link))
    return meaning


def _words(held: Columns, number: int, part: Part) -> list[bytes]:
    if part.dtype != TEXTS:
        return []
    words = held[f"words {number}"]
    if not isinstance(words, list) or len(words) != part.n_words:
        raise ValueError("words that are none")
    return words


def _damaged(what: str) -> ArtifactError:
    return ArtifactError(f"archive: expected a block of a preview, got {what}; take another copy of it.")

"""Cells of a text table as typed values that give the very same text again, and those that do not beside them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.codec.contents.base import fact, unfit
from isthmus.sources.delimited import GAPS

Values = NDArray[Any] | list[bytes]
GAP_CELLS = frozenset(gap.encode() for gap in GAPS)
MOST_WORDS = 4096
"""Words of a column of categories."""
_MOST_WORD_BYTES = 1 << 16
_LEAST_SHARE = 0.9
"""Of the cells that are no gaps, so many give their text back where a column is typed."""
_MOST_DIGITS = 15
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_PADDED = re.compile(rb"\d+")
_TIME = re.compile(rb"\d{4}-\d\d-\d\d(?:.\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?")
_TIMES = {10: "D", 16: "m", 19: "s", 23: "ms", 26: "us"}
"""Units of dates and times by the length of their text."""


class Cells(ABC):
    """A type of cells."""

    kind: ClassVar[str]
    power: int | None = None
    """Of numbers the power of ten of their unit."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What JSON keeps of it."""

    @abstractmethod
    def read(self, cells: Sequence[bytes]) -> tuple[Values, list[int]]:
        """Values of cells, and the places of those that do not come back from theirs, which is any."""

    @abstractmethod
    def write(self, values: Values) -> list[bytes]:
        """Cells of values.

        Raises
        ------
        ArtifactError
            Values of another type.
        """

    @abstractmethod
    def arrow(self, values: Values, gaps: NDArray[np.bool_]) -> Any:
        """Values as an Arrow array."""

    @classmethod
    @abstractmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Cells:
        """The type that gave these facts."""


@final
class Text(Cells):
    """Cells as they are, quotes included."""

    kind = "text"

    def facts(self) -> dict[str, Any]:
        """Nothing more."""
        return {}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Text:
        """Text."""
        return cls()

    def read(self, cells: Sequence[bytes]) -> tuple[Values, list[int]]:
        """The cells."""
        return list(cells), []

    def write(self, values: Values) -> list[bytes]:
        """The cells."""
        if not isinstance(values, list):
            raise unfit("numbers where texts were promised")
        return values

    def arrow(self, values: Values, gaps: NDArray[np.bool_]) -> Any:
        """The cells without their quotes."""
        return texts_of(self.write(values), gaps)


@final
class Number(Cells):
    """Whole numbers and decimals: ``digits`` behind the point, kept as whole numbers of the last digit's unit.

    Parameters
    ----------
    digits
        Behind the point.
    style
        ``"fixed"`` has all digits, ``"short"`` no zeros at the end and no point without digits, ``"point"`` at least
        one digit behind the point.
    width
        Digits that whole numbers are filled up to with zeros before them.
    """

    kind = "number"

    def __init__(self, digits: int, style: str, width: int = 0) -> None:
        if (
            not 0 <= digits <= _MOST_DIGITS
            or style not in ("fixed", "short", "point")
            or not 0 <= width <= 18
        ):
            raise unfit(f"numbers of {digits} digits in style {style[:20]!r}")
        self._digits, self._style, self._width = digits, style, width
        self.power = digits

    def facts(self) -> dict[str, Any]:
        """Its parameters."""
        return {"digits": self._digits, "style": self._style, "width": self._width}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Number:
        """From its parameters."""
        return cls(fact(facts, "digits", int), fact(facts, "style", str), fact(facts, "width", int))

    def read(self, cells: Sequence[bytes]) -> tuple[Values, list[int]]:
        """The numbers times a power of ten, ``(n,)`` int64; odd ones are as the one before."""
        digits, last = self._digits, 0
        values, odd = np.empty(len(cells), np.int64), list[int]()
        write = self._writer()
        for place, cell in enumerate(cells):
            try:
                before, _, after = cell.partition(b".")
                value = int(before + after) * 10 ** (digits - len(after)) if len(after) <= digits else 0
                if write(value) == cell and -(1 << 63) <= value < 1 << 63:
                    last = value
                else:
                    odd.append(place)
            except ValueError:
                odd.append(place)
            values[place] = last
        return values, odd

    def write(self, values: Values) -> list[bytes]:
        """The numbers in their style."""
        return list(map(self._writer(), _whole(values, np.int64).tolist()))

    def _writer(self) -> Callable[[int], bytes]:
        digits, least = self._digits, self._digits + 1
        if not digits:
            form = b"%%0%dd" % self._width if self._width else b"%d"
            return lambda value: form % value

        def write(value: int) -> bytes:
            text = b"%0*d" % (least + (value < 0), value)
            whole, after = text[:-digits], text[-digits:]
            if self._style != "fixed":
                after = after.rstrip(b"0") or (b"0" if self._style == "point" else b"")
            return whole + b"." + after if after else whole

        return write

    def arrow(self, values: Values, gaps: NDArray[np.bool_]) -> Any:
        """Whole numbers as int64, decimals as float64."""
        whole = _whole(values, np.int64)
        return pa.array(whole if not self._digits else whole / 10.0**self._digits, mask=gaps)


@final
class Float(Cells):
    """Floats of 64 bits, written in as few digits as tell them apart, as Python does."""

    kind = "float"
    power = 0

    def facts(self) -> dict[str, Any]:
        """Nothing more."""
        return {}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Float:
        """Floats."""
        return cls()

    def read(self, cells: Sequence[bytes]) -> tuple[Values, list[int]]:
        """The floats; odd ones are as the one before."""
        values, odd, last = np.empty(len(cells)), list[int](), 0.0
        for place, cell in enumerate(cells):
            try:
                value = float(cell)
                if repr(value).encode() == cell:
                    last = value
                else:
                    odd.append(place)
            except ValueError:
                odd.append(place)
            values[place] = last
        return values, odd

    def write(self, values: Values) -> list[bytes]:
        """The shortest text of each."""
        return [repr(value).encode() for value in _whole(values, np.float64).tolist()]

    def arrow(self, values: Values, gaps: NDArray[np.bool_]) -> Any:
        """As they are."""
        return pa.array(_whole(values, np.float64), mask=gaps)


@final
class Time(Cells):
    """Dates and times in ISO 8601 without a zone, as whole numbers of their unit since 1970.

    Parameters
    ----------
    unit
        NumPy's word: ``"D"``, ``"m"``, ``"s"``, ``"ms"`` or ``"us"``.
    between
        What stands between date and time of day.
    """

    kind = "time"

    def __init__(self, unit: str, between: str) -> None:
        if unit not in _TIMES.values() or between not in ("T", " "):
            raise unfit(f"times in {unit[:20]!r} with {between[:20]!r}")
        self._unit, self._between = unit, between

    def facts(self) -> dict[str, Any]:
        """Its parameters."""
        return {"unit": self._unit, "between": self._between}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Time:
        """From its parameters."""
        return cls(fact(facts, "unit", str), fact(facts, "between", str))

    def read(self, cells: Sequence[bytes]) -> tuple[Values, list[int]]:
        """Units since 1970, ``(n,)`` int64; odd ones are as the one before."""
        length = next(n for n, unit in _TIMES.items() if unit == self._unit)
        good = np.array([len(cell) == length and _TIME.fullmatch(cell) is not None for cell in cells], bool)
        values, odd = np.zeros(len(cells), np.int64), list(map(int, np.flatnonzero(~good)))
        with suppress(ValueError):
            values[good] = self._numbers([cell for cell, is_good in zip(cells, good, strict=True) if is_good])
            return _filled(values, odd), odd
        values[:] = 0
        for place in np.flatnonzero(good).tolist():
            try:
                values[place] = self._numbers([cells[place]])[0]
            except ValueError:
                odd.append(place)
        return _filled(values, odd), sorted(odd)

    def _numbers(self, cells: list[bytes]) -> NDArray[np.int64]:
        texts = np.array([cell.decode("ascii") for cell in cells], str)
        numbers = (
            texts.astype(f"datetime64[{self._unit}]").astype(np.int64) if cells else np.empty(0, np.int64)
        )
        if self.write(numbers) != cells:
            raise ValueError("another text")
        return numbers

    def write(self, values: Values) -> list[bytes]:
        """The times; numbers beyond the years of four digits give some text or other."""
        numbers = _whole(values, np.int64)
        texts = np.datetime_as_string(numbers.view(f"datetime64[{self._unit}]")).tolist()
        return [text.replace("T", self._between).encode() for text in texts]

    def arrow(self, values: Values, gaps: NDArray[np.bool_]) -> Any:
        """As dates or timestamps."""
        numbers = _whole(values, np.int64)
        try:
            if self._unit == "D":
                return pa.array(numbers.view("datetime64[D]"), pa.date32(), mask=gaps)
            unit = "s" if self._unit == "m" else self._unit
            return pa.array(numbers * (60 if self._unit == "m" else 1), mask=gaps).cast(pa.timestamp(unit))
        except pa.ArrowException:
            raise unfit("times that are none") from None


@final
class Words(Cells):
    """One of some words, as its number.

    Parameters
    ----------
    words
        All of them, the most frequent first.
    """

    kind = "words"

    def __init__(self, words: Sequence[bytes]) -> None:
        if not 0 < len(words) <= MOST_WORDS or len(set(words)) < len(words):
            raise unfit(f"{len(words)} words")
        self.words = list(words)
        self._dtype = np.dtype(np.uint8 if len(words) <= 256 else np.uint16)
        self._places = {word: place for place, word in enumerate(words)}

    def facts(self) -> dict[str, Any]:
        """The words, each byte a character."""
        return {"words": [word.decode("latin-1") for word in self.words]}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Words:
        """From the words."""
        words: list[Any] = fact(facts, "words", list)
        try:
            return cls([word.encode("latin-1") for word in words])
        except (AttributeError, UnicodeEncodeError):
            raise unfit("words that are no texts") from None

    def read(self, cells: Sequence[bytes]) -> tuple[Values, list[int]]:
        """Numbers of words; those of new ones are 0."""
        places = self._places
        values = np.array([places.get(cell, -1) for cell in cells], np.int32)
        odd = np.flatnonzero(values < 0)
        values[odd] = 0
        return values.astype(self._dtype), odd.tolist()

    def write(self, values: Values) -> list[bytes]:
        """The words."""
        numbers = _whole(values, self._dtype)
        if numbers.max(initial=0) >= len(self.words):
            raise unfit("a word that is not there")
        return [self.words[number] for number in numbers.tolist()]

    def arrow(self, values: Values, gaps: NDArray[np.bool_]) -> Any:
        """The words as texts."""
        return texts_of(self.write(values), gaps)


_KINDS: dict[str, type[Cells]] = {cells.kind: cells for cells in (Text, Number, Float, Time, Words)}


def cells_from(facts: Mapping[str, Any]) -> Cells:
    """The type of cells that gave these facts.

    Raises
    ------
    ArtifactError
        None did.
    """
    kind = fact(facts, "type", str)
    if kind not in _KINDS:
        raise unfit(f"cells of type {kind[:60]!r}")
    return _KINDS[kind].from_facts(facts)


def facts_of(cells: Cells) -> dict[str, Any]:
    """What JSON keeps of a type of cells."""
    return {"type": cells.kind, **cells.facts()}


def typed(cells: Sequence[bytes]) -> Cells:
    """The type that gives the text of most cells back.

    >>> typed([b"1.50", b"", b"-12.25"]).facts(), typed([b"b", b"a", b"b", b"b"]).facts()
    ({'digits': 2, 'style': 'fixed', 'width': 0}, {'words': ['b', 'a']})
    """
    counts = Counter(cells)
    there = {cell: n for cell, n in counts.items() if cell not in GAP_CELLS}
    total = sum(there.values())
    for guess in _guesses(list(there)):
        odd = guess.read(list(there))[1]
        names = list(there)
        if sum(there[names[place]] for place in odd) <= (1 - _LEAST_SHARE) * total:
            return guess
    words = [word for word, _ in counts.most_common()]
    if (
        0 < 2 * len(words) <= len(cells)
        and len(words) <= MOST_WORDS
        and sum(map(len, words)) <= _MOST_WORD_BYTES
    ):
        return Words(words)
    return Text()


def _guesses(cells: list[bytes]) -> list[Cells]:
    """Types that cells look like, the closest first."""
    found = list[Cells]()
    if not cells:
        return found
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
    if 2 * len(numbers) >= len(cells):
        digits = max(len(cell.partition(b".")[2]) for cell in numbers)
        if not digits:
            padded = any(len(cell) > 1 and cell[:1] == b"0" for cell in numbers)
            width = len(numbers[0]) if padded and len(numbers[0]) <= 18 else 0
            found.append(Number(0, "fixed", width))
        else:
            few = _few_digits(numbers)
            found += [Number(few, style) for style in ("fixed", "short", "point") if few <= _MOST_DIGITS]
    if not found or found[0].facts()["digits"]:
        found.append(Float())
    length, between = len(cells[0]), cells[0][10:11].decode("latin-1") or "T"
    if length in _TIMES and between in "T " and cells[0][4:5] == b"-":
        found.append(Time(_TIMES[length], between))
    return found


def _few_digits(numbers: list[bytes]) -> int:
    """Digits behind the point that nearly all numbers make do with."""
    lengths = sorted(len(cell.partition(b".")[2]) for cell in numbers)
    return lengths[int(0.98 * (len(lengths) - 1))] if lengths[-1] > 9 else lengths[-1]


def texts_of(cells: Sequence[bytes], gaps: NDArray[np.bool_]) -> Any:
    """Cells as an Arrow array of texts, without their quotes; what is no UTF-8 is read as Latin-1."""
    texts = list[str | None]()
    for cell, is_gap in zip(cells, gaps.tolist(), strict=True):
        inner = cell[1:-1].replace(b'""', b'"') if len(cell) > 1 and cell[:1] == cell[-1:] == b'"' else cell
        try:
            texts.append(None if is_gap else inner.decode())
        except UnicodeDecodeError:
            texts.append(inner.decode("latin-1"))
    return pa.array(texts, pa.string())


def _whole(values: Values, dtype: Any) -> NDArray[Any]:
    if not isinstance(values, np.ndarray) or values.dtype != dtype or values.ndim != 1:
        raise unfit(f"values that are no {np.dtype(dtype)}")
    return values


def _filled(values: NDArray[np.int64], odd: list[int]) -> NDArray[np.int64]:
    """Odd values as the one before."""
    good = np.ones(len(values), bool)
    good[odd] = False
    return values[np.maximum.accumulate(np.where(good, np.arange(len(values)), 0))] if len(values) else values

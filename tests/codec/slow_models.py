"""Blocks that were coded with a model, read as docs/archive.md says in Python's whole numbers, decision by decision."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

from slow_columns import columns, decimal, whole_numbers
from slow_networks import SlowNetwork, shifted

ONE = 1 << 64
WHOLE = 1 << 16
MASS = 1 << 24
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)

Below = Callable[[int], int]
"""The mass below a number."""


class SlowStack:
    """The stack of the specification; ``words`` are those that a coder begins with."""

    def __init__(self, words: list[int]) -> None:
        self.words, self.state = [*words, 1], 0
        self._fill()

    @classmethod
    def stored(cls, data: bytes) -> SlowStack:
        """As it stands in a block."""
        stack = cls.__new__(cls)
        stack.words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
        stack.state = 0
        stack._fill()
        return stack

    def _fill(self) -> None:
        while self.words and self.state < 1 << 32:
            self.state = self.state << 32 | self.words.pop()

    @staticmethod
    def _part(decision: int, ones: int) -> tuple[int, int]:
        zero = (WHOLE - ones) * (MASS - 2) // WHOLE + 1
        return (zero, MASS - zero) if decision else (0, zero)

    def push(self, decision: int, ones: int) -> None:
        start, n = self._part(decision, ones)
        if self.state >> 40 >= n:
            self.words.append(self.state & 0xFFFFFFFF)
            self.state >>= 32
        self.state = (self.state // n << 24) + start + self.state % n

    def pop(self, ones: int) -> int:
        place = self.state & 0xFFFFFF
        decision = int(place >= self._part(1, ones)[0])
        start, n = self._part(decision, ones)
        self.state = (self.state >> 24) * n + place - start
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return decision

    def all_words(self) -> list[int]:
        state, words = self.state, [*self.words]
        while state:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        return words

    def pop_numbers(self, below: list[Below], n_bits: int) -> list[int]:
        """A number below ``2**n_bits`` for each distribution: the highest bits of all, then the next ones."""
        starts = [0] * len(below)
        for bit in reversed(range(n_bits)):
            for at, mass in enumerate(below):
                starts[at] += self.pop(share(mass, starts[at], 1 << bit)) << bit
        return starts

    def push_numbers(self, numbers: list[int], below: list[Below], n_bits: int) -> None:
        """What `pop_numbers` gives back."""
        for bit in range(n_bits):
            for number, mass in zip(reversed(numbers), reversed(below), strict=True):
                start = number >> bit + 1 << bit + 1
                self.push(number >> bit & 1, share(mass, start, 1 << bit))


def share(below: Below, u: int, n: int) -> int:
    """The share of the second half of the stretch from u with halves of n."""
    low, middle, high = below(u), below(u + n), below(u + 2 * n)
    mass = high - low
    return max(1, min(WHOLE - 1, ((high - middle) * WHOLE + mass // 2) // mass))


# ------------------------------------------------------------------ tables


def powers(first: int, factor: int, n: int) -> list[int]:
    found = [first]
    while len(found) < n:
        found.append(found[-1] * factor // ONE)
    return found


class Tables:
    """All of them."""

    def __init__(self) -> None:
        n = 3072
        e = powers(ONE, 18374827034086858297, n + 1)
        low = [each * ONE // (ONE + each) for each in reversed(e)]
        both = low + [ONE - each for each in reversed(low[:-1])]
        w = powers(18446603336758065835, 18446462600880313685, n)
        b = [ONE]
        for each in w:
            b.append(b[-1] * each // ONE)
        a = [0]
        for i in reversed(range(n)):
            a.append(a[-1] + b[i] + b[i + 1])
        a += [2 * a[n] - each for each in reversed(a[:n])]
        self.exponents = [each * MASS // ONE for each in reversed(e)]
        self.logistic = [each * MASS // ONE for each in both]
        self.shares = [max(1, min(WHOLE - 1, each * WHOLE // ONE)) for each in both]
        self.normal = [MASS * each // a[-1] for each in a]
        self.steps = [each >> 34 for each in powers(ONE, 17664662643191237676, 320)]

    def place(self, edge: int, mean: int, scale: int, point: int) -> int:
        return held(((edge - mean) * self.steps[scale] >> point + 14) + 3072, 0, 6144)


@cache
def tables() -> Tables:
    return Tables()


def held(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def scale_number(log: int, point: int) -> int:
    return held((1512775 * log + (1 << point + 15) >> point + 16) + 128, 0, 319)


def open_ended(entry: Callable[[int], int], n: int) -> Below:
    return lambda x: 0 if x <= 0 else MASS + n if x >= n else entry(x) + x


def normal(mean: int, scale: int, point: int) -> Below:
    """Of a unit of a code: below each cell of 1/16, from -8 on."""
    known = tables()

    def entry(cell: int) -> int:
        return known.normal[known.place(cell - 128 << point - 4, mean, scale, point)]

    return open_ended(entry, 256)


def exponents(logits: list[int], point: int) -> list[int]:
    """Of logarithms, beside the largest."""
    largest = max(logits)
    return [tables().exponents[max(0, shifted(logit - largest, point - 8) + 3072)] for logit in logits]


def logistic(facts: dict[str, Any], said: list[list[int]], n_levels: int, point: int) -> Below:
    """Of a level, given what the network says: logarithms of weights if there are several, means, log scales."""
    *logits, means, logs = said
    ends, known = facts["log_scale_ends"], tables()
    scales = [scale_number(held(log, *ends) + facts["log_levels"], point) for log in logs]
    centres = [mean * (n_levels - 1) + (1 << point - 1) for mean in means]
    weights = exponents(logits[0], point) if logits else [1]

    def entry(level: int) -> int:
        masses = (
            weight * known.logistic[known.place(level << point, centre, scale, point)]
            for weight, centre, scale in zip(weights, centres, scales, strict=True)
        )
        return sum(masses) // sum(weights)

    return open_ended(entry, n_levels)


# ------------------------------------------------------------------ bits-back


def steps_of(payload: bytes, n_rows: int) -> tuple[list[int], SlowStack]:
    """Rows of each step, and the stack."""
    n_steps = int.from_bytes(payload[:4], "little")
    sizes = [STEPS[byte] for byte in payload[4 : 4 + n_steps]]
    if sizes:
        sizes[-1] = n_rows - sum(sizes[:-1])
    return sizes, SlowStack.stored(payload[4 + n_steps :])


class CodeOfStep:
    """The code of the rows of a step, popped as the prior has it."""

    def __init__(self, stack: SlowStack, n: int, units: int) -> None:
        self.units = units
        self.code = stack.pop_numbers([normal(0, 128, 4)] * (n * units), 8)
        rows = [self.code[row * units : (row + 1) * units] for row in range(n)]
        self.places = [[2 * c + 1 - 256 for c in row] for row in rows]

    def give_back(self, stack: SlowStack, seen: list[list[int]], encoder: SlowNetwork) -> None:
        """Push it as the posterior has it, of which ``seen`` are the means and logarithms of variances."""
        point, units = encoder.header["output_bits"], self.units
        back = [
            normal(row[unit], scale_number(row[units + unit], point + 1), point)
            for row in seen
            for unit in range(units)
        ]
        stack.push_numbers(self.code, back, 8)


class BitsBack:
    """The section ``model`` of the codec ``bits-back``."""

    def __init__(self, section: bytes) -> None:
        model = columns(section)
        self.facts = json.loads(model["facts"][0])
        self.encoder, self.decoder = (SlowNetwork(each) for each in model["networks"])
        self.encoder.check()
        self.decoder.check()
        self.type, (self.n_levels,), self.levels = model["levels"]
        inputs = model["inputs"]
        width = inputs[1][1]
        read = [packed_float(bits, inputs[0]) for bits in inputs[2]]
        self.inputs = [read[level * width : (level + 1) * width] for level in range(self.n_levels)]
        self.n_units = math.prod(self.decoder.header["input_shape"])

    def columns(self, payload: bytes, n_rows: int) -> dict[str, Any]:
        sizes, stack = steps_of(payload, n_rows)
        rows = list[list[int]]()
        for n in reversed(sizes):
            rows = self._step(stack, n) + rows
        *places, n_channels = self.facts["sample_shape"]
        n = math.prod(places)
        bits = [
            self.levels[min(row[channel * n + place], self.n_levels - 1)]
            for row in rows
            for place in range(n)
            for channel in range(n_channels)
        ]
        return {"values": (self.type, (n_rows, *self.facts["shape"]), bits)}

    def _step(self, stack: SlowStack, n: int) -> list[list[int]]:
        code = CodeOfStep(stack, n, self.n_units)
        said = self.decoder(code.places)
        point = self.decoder.header["output_bits"]
        if self.facts["likelihood"] == "binary":
            shares = [
                [tables().shares[held(shifted(v, point - 8) + 3072, 0, 6144)] for v in row] for row in said
            ]
            found = [[stack.pop(ones) for ones in row] for row in shares]
        else:
            below = [each for row in said for each in self._levels(row, point)]
            n_bits = (self.n_levels - 1).bit_length()
            numbers, size = stack.pop_numbers(below, n_bits), len(below) // n
            found = [numbers[row * size : (row + 1) * size] for row in range(n)]
        code.give_back(stack, self.encoder([self._seen(row) for row in found]), self.encoder)
        return found

    def _levels(self, said: list[int], point: int) -> list[Below]:
        """A distribution for each value of a row, channels first."""
        n_mixtures, n_channels = self.facts["n_mixtures"], self.facts["sample_shape"][-1]
        n_parts = 2 if n_mixtures == 1 else 3
        n = math.prod(self.facts["shape"]) // n_channels
        found = list[Below]()
        for channel in range(n_channels):
            for place in range(n):
                parts = [
                    [
                        said[((channel * n_parts + part) * n_mixtures + k) * n + place]
                        for k in range(n_mixtures)
                    ]
                    for part in range(n_parts)
                ]
                found.append(logistic(self.facts, parts, self.n_levels, point))
        return found

    def _seen(self, row: list[int]) -> list[int]:
        return [self.inputs[level][place % len(self.inputs[level])] for place, level in enumerate(row)]


# ------------------------------------------------------------------ context


class Context:
    """The section ``model`` of the codec ``context``."""

    def __init__(self, section: bytes) -> None:
        model = columns(section)
        self.facts = json.loads(model["facts"][0])
        self.networks = [SlowNetwork(each) for each in model["networks"]]
        for network in self.networks:
            network.check()
        self.type, (self.n_levels,), self.levels = model["levels"]
        self.tables = list[list[list[int]]]()
        for name in ("lines", "columns"):
            kind, (n, width), bits = model[name]
            whole = whole_numbers(bits, kind)
            self.tables.append([whole[at * width : (at + 1) * width] for at in range(n)])
        marked = self.facts["marked"]
        self.others = [level for level in range(self.n_levels) if level not in marked]

    def columns(self, payload: bytes, n_rows: int) -> dict[str, Any]:
        height, width, n_channels = self.facts["picture"]
        slope, stack = self.facts["slope"], SlowStack.stored(payload)
        found = [dict[tuple[int, int, int], int]() for _ in range(n_rows)]
        for wave in range(width + slope * (height - 1)):
            places = [(y, wave - slope * y) for y in range(height) if 0 <= wave - slope * y < width]
            for channel in range(n_channels):
                here = [(row, y, x, channel) for y, x in places for row in found]
                for (row, *place), number in zip(here, self._numbers(stack, here), strict=True):
                    row[place[0], place[1], place[2]] = number
        order = [(y, x, c) for y in range(height) for x in range(width) for c in range(n_channels)]
        bits = [self.levels[row[place]] for row in found for place in order]
        return {"values": (self.type, (n_rows, *self.facts["shape"]), bits)}

    def _numbers(
        self, stack: SlowStack, here: list[tuple[dict[tuple[int, int, int], int], int, int, int]]
    ) -> list[int]:
        """Of an array of numbers, each in a row at a line, a column and a channel."""
        if not here:
            return []
        network, known = self.networks[here[0][3]], list[int | None]([None] * len(here))
        point = network.header["output_bits"]
        read = [self._read(*place) for place in here]
        said = network([values for values, _ in read])
        for at, mark in enumerate(self.facts["marked"]):
            for place, row in enumerate(said):
                share = tables().shares[held(shifted(row[at], point - 8) + 3072, 0, 6144)]
                if known[place] is None and stack.pop(share):
                    known[place] = mark
        left = [place for place, number in enumerate(known) if number is None]
        if len(self.others) == 1:
            return [self.others[0] if number is None else number for number in known]
        m, first = self.facts["n_mixtures"], len(self.facts["marked"])
        below = list[Below]()
        for place in left:
            parts = [said[place][first + part * m : first + (part + 1) * m] for part in range(3)]
            means = [
                held(mean + (read[place][1] << point) // self._range, -4 << point, 4 << point)
                for mean in parts[1]
            ]
            below.append(logistic(self.facts, [parts[0], means, parts[2]], len(self.others), point))
        popped = stack.pop_numbers(below, (len(self.others) - 1).bit_length())
        for place, number in zip(left, popped, strict=True):
            known[place] = self.others[min(number, len(self.others) - 1)]
        return [number for number in known if number is not None]

    @property
    def _range(self) -> int:
        return (self.n_levels - 1) * self.facts["step"]

    def _read(
        self, row: dict[tuple[int, int, int], int], y: int, x: int, channel: int
    ) -> tuple[list[int], int]:
        """What the network is given, and the guess above what the lowest level is read as."""
        common, step, n_channels = self.facts["common"], self.facts["step"], self.facts["picture"][2]

        def at(up: int, right: int, of: int) -> int:
            return (row.get((y - up, x + right, of), common) - common) * step

        def plane(of: int) -> int:
            left, above, corner = at(0, -1, of), at(1, 0, of), at(1, -1, of)
            return held(left + above - corner, min(left, above), max(left, above))

        values = [at(up, right, of) for up, right in self.facts["offsets"] for of in range(n_channels)]
        values += [at(0, 0, of) for of in range(channel)]
        low, guess = -common * step, 0
        if len(self.others) > 1:
            guess = plane(channel)
            if channel:
                last = channel - 1
                guess = held(guess + at(0, 0, last) - plane(last), low, low + self._range)
            values.append(guess)
        return [*values, *self.tables[0][y], *self.tables[1][x]], guess - low


# ------------------------------------------------------------------ chain


class Fields:
    """Columns that a model knows by symbols."""

    fields: list[dict[str, Any]]

    def values(self, rows: list[list[int]], kept: dict[str, Any]) -> dict[str, Any]:
        """All columns of a block, of the symbols of its rows and what is kept beside them."""
        number, found = {field["name"]: at for at, field in enumerate(self.fields)}, {}
        for name, column in kept.items():
            if name in number:
                found[name] = self._values(number[name], [row[number[name]] for row in rows], kept)
            elif not name.startswith("\0"):
                found[name] = column
        return found

    def _values(self, at: int, symbols: list[int], kept: dict[str, Any]) -> Any:
        field, low = self.fields[at], [0] * len(symbols)
        if f"\0low{field['name']}" in kept:
            low = kept[f"\0low{field['name']}"][2]
        others = kept.get(f"\0other{field['name']}", [])
        left = iter(others if isinstance(others, list) else others[2])
        is_other = [symbol >= n_known(field) for symbol in symbols]
        if field["dtype"] == "texts":
            texts = [text.encode("latin-1") for text in field["texts"]]
            return [next(left) if odd else texts[at] for odd, at in zip(is_other, symbols, strict=True)]
        known = (
            self._bits(field, symbol, lower) if not odd else next(left)
            for odd, symbol, lower in zip(is_other, symbols, low, strict=True)
        )
        return field["dtype"], (len(symbols),), list(known)

    @staticmethod
    def _bits(field: dict[str, Any], symbol: int, lower: int) -> int:
        """Of a value, as an unsigned integer."""
        words, dtype = field["words"], field["dtype"]
        value = words[symbol] if words else (symbol << field["n_bits"]) + lower + field["first"]
        return decimal(value, field["digits"], dtype) if dtype[0] == "f" else value % (1 << 8 * int(dtype[1]))


class Chain(Fields):
    """The section ``model`` of the codec ``chain``."""

    def __init__(self, section: bytes) -> None:
        model = columns(section)
        self.fields = json.loads(model["fields"][0])
        self.networks = [SlowNetwork(each) for each in model["networks"]]
        for network in self.networks:
            network.check()
        self.places = list[list[list[int]]]()
        for at in range(len(self.fields)):
            kind, (n, width), bits = model[f"places {at}"]
            whole = whole_numbers(bits, kind)
            self.places.append([whole[symbol * width : (symbol + 1) * width] for symbol in range(n)])

    def columns(self, payload: bytes, n_rows: int) -> dict[str, Any]:
        kept = columns(payload)
        (words,) = kept["\0"]
        stack, rows = SlowStack.stored(words), [list[int]() for _ in range(n_rows)]
        for at, field in enumerate(self.fields):
            n_symbols = n_known(field) + 1
            seen = [
                [place for k, symbol in enumerate(row) for place in self.places[k][symbol]] or [0]
                for row in rows
            ]
            point, below = self.networks[at].header["output_bits"], list[Below]()
            for said in self.networks[at](seen):
                m = field["n_mixtures"]
                if m:
                    parts = [said[part * m : (part + 1) * m] for part in range(3)]
                    below.append(logistic(field, parts, n_symbols, point))
                else:
                    below.append(logits(said, point))
            found = stack.pop_numbers(below, (n_symbols - 1).bit_length())
            rows = [[*row, symbol] for row, symbol in zip(rows, found, strict=True)]
        return self.values(rows, kept)


def n_known(field: dict[str, Any]) -> int:
    """Symbols of a field, the last one aside."""
    return len(field["texts"]) or len(field["words"]) or field["n_ranges"]


def logits(said: list[int], point: int) -> Below:
    """Of a symbol with a logit each."""
    sums = [0]
    for mass in exponents(said, point):
        sums.append(sums[-1] + mass)
    return lambda x: sums[min(x, len(said))] + x


def packed_float(bits: int, kind: str) -> int:
    """A whole number that stands as a float."""
    import struct

    value = struct.unpack({"f4": "<f", "f8": "<d"}[kind], bits.to_bytes(int(kind[1]), "little"))[0]
    assert value == int(value)
    return int(value)


# ------------------------------------------------------------------ latent-table


class LatentTable(Fields):
    """The section ``model`` of the codec ``latent-table``."""

    def __init__(self, section: bytes) -> None:
        model = columns(section)
        self.fields = json.loads(model["fields"][0])
        self.encoder, self.decoder = (SlowNetwork(each) for each in model["networks"])
        self.encoder.check()
        self.decoder.check()
        self.edges, self.inputs = list[list[int]](), list[list[list[int]]]()
        for at in range(len(self.fields)):
            kind, _, bits = model[f"edges {at}"]
            self.edges.append(whole_numbers(bits, kind))
            kind, (n, width), bits = model[f"inputs {at}"]
            whole = whole_numbers(bits, kind)
            self.inputs.append([whole[symbol * width : (symbol + 1) * width] for symbol in range(n)])
        self.n_units = self.decoder.header["input_shape"][0]

    def columns(self, payload: bytes, n_rows: int) -> dict[str, Any]:
        kept = columns(payload)
        (coded,) = kept["\0"]
        sizes, stack = steps_of(coded, n_rows)
        rows = list[list[int]]()
        for n in reversed(sizes):
            code = CodeOfStep(stack, n, self.n_units)
            found = self._rows(stack, self.decoder(code.places), n)
            code.give_back(stack, self.encoder([self._seen(row) for row in found]), self.encoder)
            rows = found + rows
        return self.values(rows, kept)

    def _rows(self, stack: SlowStack, said: list[list[int]], n: int) -> list[list[int]]:
        point, fields = self.decoder.header["output_bits"], list(enumerate(self.fields))
        is_other = [[stack.pop(field["others"]) for field in self.fields] for _ in range(n)]
        found = [[n_known(field) for field in self.fields] for _ in range(n)]
        numbers = [
            (row, at) for row in range(n) for at, _ in fields if self.edges[at] and not is_other[row][at]
        ]
        most = max((n_known(field) for at, field in fields if self.edges[at]), default=1)
        below = [self._number(said[row], at, point) for row, at in numbers]
        for (row, at), symbol in zip(numbers, stack.pop_numbers(below, (most - 1).bit_length()), strict=True):
            found[row][at] = symbol
        for at, field in fields:
            if not self.edges[at]:
                some = [row for row in range(n) if not is_other[row][at]]
                of = [[said[row][place] if place >= 0 else 0 for place in field["outputs"]] for row in some]
                popped = stack.pop_numbers(
                    [logits(each, point) for each in of], (n_known(field) - 1).bit_length()
                )
                for row, symbol in zip(some, popped, strict=True):
                    found[row][at] = symbol
        return found

    def _number(self, said: list[int], at: int, point: int) -> Below:
        field, edges, known = self.fields[at], self.edges[at], tables()
        mean, n = held(said[field["outputs"][0]], -(1 << 31), 1 << 31), n_known(field)
        return open_ended(lambda x: known.normal[known.place(edges[x], mean, field["scale"], point)], n)

    def _seen(self, row: list[int]) -> list[int]:
        seen = [0] * self.encoder.header["input_shape"][0]
        for at, symbol in enumerate(row):
            own = self.inputs[at][symbol]
            seen[self.fields[at]["place"] : self.fields[at]["place"] + len(own)] = own
        return seen

"""Blocks of a preview read as docs/archive.md says, value by value, in plain Python: what another program would do."""

import json
import math
import struct

from slow_columns import CODES, columns, product, signed
from slow_networks import SlowNetwork


class Popped:
    """The stack of the page, of which decisions are popped."""

    def __init__(self, words):
        self.words, self.state = list(words), 0
        self.fill()

    def fill(self):
        while self.state < 1 << 32 and self.words:
            self.state = (self.state << 32) + self.words.pop()

    def pop(self, ones):
        zero = (65536 - ones) * ((1 << 24) - 2) // 65536 + 1
        place = self.state % (1 << 24)
        decision, start, n = (1, zero, (1 << 24) - zero) if place >= zero else (0, 0, zero)
        self.state = (self.state >> 24) * n + place - start
        if self.state < 1 << 32 and self.words:
            self.state = (self.state << 32) + self.words.pop()
        return decision


def shares():
    """The table of the page."""
    falling = [1 << 64]
    for _ in range(3072):
        falling.append(falling[-1] * 18374827034086858297 >> 64)
    at = [falling[i] * (1 << 64) // ((1 << 64) + falling[i]) for i in range(3072, -1, -1)]
    at += [(1 << 64) - below for below in at[-2::-1]]
    return [min(max(65536 * below >> 64, 1), 65535) for below in at]


def whole(column):
    kind, _, bits = column
    return [signed(value, int(kind[1])) if kind[0] == "i" else value for value in bits]


class SlowPreview:
    """Read from the section; called with a payload it gives the parts' rows: lists of values, or texts."""

    def __init__(self, section):
        held = columns(section)
        self.parts = json.loads(held["parts"][0])
        self.decoder = SlowNetwork(held["networks"][0])
        self.firsts, self.counts = whole(held["firsts"]), whole(held["counts"])
        masses, self.below = whole(held["masses"]), []
        for count in self.counts:
            self.below.append([0])
            for mass in masses[:count]:
                self.below[-1].append(self.below[-1][-1] + mass)
            masses = masses[count:]
        self.n_halvings = (max(self.counts) - 1).bit_length()
        self.meanings = [
            None if part["n_words"] else (held[f"meaning {i}"][1][1], whole(held[f"meaning {i}"]))
            for i, part in enumerate(self.parts)
        ]
        self.words = [held.get(f"words {i}") for i in range(len(self.parts))]

    def __call__(self, payload):
        held = columns(payload)
        coded = held["\0"][0]
        n = struct.unpack("<I", coded[:4])[0]
        stack = Popped(struct.unpack(f"<{len(coded) // 4 - 1}I", coded[4:]))
        grid = self.grid(self.parts[0])
        outputs = self.decoder(self.symbols(stack, n * product(grid)))
        found = {}
        for i, part in enumerate(self.parts):
            size = part["n_words"] or product(part["model_shape"])
            rows = [self.values(i, row[:size]) for row in outputs]
            outputs = [row[size:] for row in outputs]
            if not part["n_words"]:
                rows = self.joined(part, rows, n)
            found[part["name"]] = self.kept(part["name"], rows, held)
        return found

    def columns(self, payload, n_rows):
        """All columns of a block, arrays as (type, shape, bits of the values)."""
        held, made = columns(payload), self(payload)
        found = {}
        for name, column in held.items():
            part = next((part for part in self.parts if part["name"] == name), None)
            if part is not None:
                found[name] = made[name] if part["dtype"] == "texts" else self.bits(part, made[name])
            elif not name.startswith("\0"):
                found[name] = column
        return found

    def bits(self, part, rows):
        code, width = "<" + CODES[part["dtype"]], int(part["dtype"][1])
        flat = [value for row in rows for value in (row if isinstance(row, list) else [row])]
        data = [int.from_bytes(struct.pack(code, value), "little") for value in flat]
        assert all(value < 1 << 8 * width for value in data)
        return part["dtype"], (len(rows), *part["shape"]), data

    def symbols(self, stack, n):
        starts = [[0] * len(self.counts) for _ in range(n)]
        half = 1 << self.n_halvings
        while half > 1:
            half //= 2
            for code in starts:
                for unit, start in enumerate(code):
                    low, middle, high = (self.mass(unit, start + k * half) for k in range(3))
                    ones = ((high - middle) * 65536 + (high - low) // 2) // (high - low)
                    code[unit] += half * stack.pop(min(max(ones, 1), 65535))
        return [
            [
                first + min(at, count - 1)
                for at, first, count in zip(code, self.firsts, self.counts, strict=True)
            ]
            for code in starts
        ]

    def mass(self, unit, x):
        count = self.counts[unit]
        return self.below[unit][min(x, count)] + max(x - count, 0)

    def grid(self, part):
        shape, tile = part["shape"], part["model_shape"]
        if part["n_words"] or product(shape) == product(tile):
            return (1, 1)
        return -(-shape[0] // tile[0]), -(-shape[1] // tile[1])

    def values(self, i, outputs):
        part = self.parts[i]
        if part["n_words"]:
            at = outputs.index(max(outputs))
            return self.words[i][at] if part["dtype"] == "texts" else at
        point = self.decoder.header["output_bits"]
        if part["link"] == "logistic":
            table = shares()
            at = [(v >> point - 8 if point >= 8 else v << 8 - point) + 3072 for v in outputs]
            outputs = [table[min(max(place, 0), 6144)] for place in at]
        width, numbers = self.meanings[i]
        found = []
        for place, v in enumerate(outputs):
            factor, shift, start, point = (numbers[k * width + (place if width > 1 else 0)] for k in range(4))
            q = start + ((factor * v + (1 << shift - 1)) >> shift)
            code = CODES[part["dtype"]]
            q = min(max(q if code in "efd" else q << -point, part["low"]), part["high"])
            found.append(
                struct.unpack(code, struct.pack(code, math.ldexp(q, -point)))[0] if code in "efd" else q
            )
        channels = part["model_shape"][-1]
        places = len(found) // channels
        return [found[c * places + place] for place in range(places) for c in range(channels)]

    def joined(self, part, tiles, n):
        down, across = self.grid(part)
        if (down, across) == (1, 1):
            return tiles
        height, width, channels = part["model_shape"]
        rows = []
        for row in range(n):
            some = tiles[row * down * across : (row + 1) * down * across]
            rows.append(
                [
                    some[y // height * across + x // width][(y % height * width + x % width) * channels + c]
                    for y in range(part["shape"][0])
                    for x in range(part["shape"][1])
                    for c in range(channels)
                ]
            )
        return rows

    def kept(self, name, rows, held):
        if f"\0odd{name}" not in held:
            return rows
        own = held[f"\0own{name}"]
        if not isinstance(own, list):
            kind, _, bits = own
            data = b"".join(value.to_bytes(int(kind[1]), "little") for value in bits)
            own = struct.unpack(f"<{len(bits)}{CODES[kind]}", data)
        for place, value in zip(whole(held[f"\0odd{name}"]), own, strict=True):
            if isinstance(rows[0], list):
                rows[place // len(rows[0])][place % len(rows[0])] = value
            else:
                rows[place] = value
        return rows

"""Networks in whole numbers from docs/archive-networks.md alone: Python's own integers, no float, no NumPy."""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib

MASK = 2**64 - 1


class SlowNetwork:
    """Read from bytes; called with rows of whole numbers."""

    def __init__(self, data: bytes) -> None:
        assert hashlib.sha256(data[:-16]).digest()[:16] == data[-16:]
        magic, version, n_header = struct.unpack("<4sBI", data[:9])
        assert (magic, version) == (b"isFN", 1)
        self.header = json.loads(data[9 : 9 + n_header])
        self.rest, self.outcome = data[9 + n_header : -32], data[-32:-16]
        self.layers: list[tuple[dict, list[list[int]]]] = []
        for facts in self.header["layers"]:
            if "as" in facts:
                self.layers.append((facts, self.layers[facts["as"]][1]))
            else:
                self.layers.append((facts, [self._numbers(n) for n in sizes(facts)]))
        assert not self.rest

    def _numbers(self, n: int) -> list[int]:
        n_lower, n_packed = struct.unpack("<BI", self.rest[:5])
        upper = zlib.decompress(self.rest[5 : 5 + n_packed])
        n_bytes = -(-n * n_lower // 8)
        bits = int.from_bytes(self.rest[5 + n_packed : 5 + n_packed + n_bytes], "big")
        bits >>= 8 * n_bytes - n * n_lower
        self.rest = self.rest[5 + n_packed + n_bytes :]
        values = []
        for i in range(n):
            lower = bits >> (n - 1 - i) * n_lower & (1 << n_lower) - 1
            values.append(((upper[i] ^ 128) - 128 << n_lower) + lower)
        return values

    def __call__(self, rows: list[list[int]]) -> list[list[int]]:
        return [self._row(row) for row in rows]

    def _row(self, row: list[int]) -> list[int]:
        limit = self.header["input_limit"]
        a = [max(-limit, min(limit, v)) for v in row]
        for facts, arrays in self.layers:
            a = LAYERS[facts["kind"]](facts, arrays, a)
        return a

    def probes(self) -> list[list[int]]:
        n = math.prod(self.header["input_shape"])
        limit = self.header["input_limit"]
        ranges = (self.header["input_low"], self.header["input_high"]), (-limit, limit)
        values = []
        for i in range(17 * n):
            z = (i + 1) * 0x9E3779B97F4A7C15 & MASK
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
            z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
            low, high = ranges[i // n % 2]
            values.append(low + (z >> 32) % (high - low + 1))
        return [values[i * n : (i + 1) * n] for i in range(17)]

    def check(self) -> None:
        found = b"".join(struct.pack("<q", v) for row in self(self.probes()) for v in row)
        assert hashlib.sha256(found).digest()[:16] == self.outcome


def sizes(facts: dict) -> list[int]:
    if facts["kind"] == "affine":
        return [facts["out"] * facts["in"], facts["out"], facts["out"]]
    return [facts["n"] + 1] if facts["kind"] == "table" else []


def shifted(value: int, bits: int) -> int:
    """floor(value / 2^bits)"""
    return value >> bits if bits >= 0 else value << -bits


def affine(facts: dict, arrays: list[list[int]], a: list[int]) -> list[int]:
    weight, bias, shift = arrays
    n, limit = facts["in"], facts["limit"]
    found = []
    for o in range(facts["out"]):
        total = sum(w * v for w, v in zip(weight[o * n : (o + 1) * n], a, strict=True)) + bias[o]
        found.append(max(-limit, min(limit, shifted(total, shift[o]))))
    return found


def relu(facts: dict, arrays: list[list[int]], a: list[int]) -> list[int]:
    return [max(0, v) for v in a]


def table(facts: dict, arrays: list[list[int]], a: list[int]) -> list[int]:
    (knots,), half, limit = arrays, facts["n"] // 2, facts["limit"]
    width, found = facts["width"], []
    for v in a:
        i = max(0, min(facts["n"] - 1, shifted(v, width) + half))
        down = max(width, 0)  # v and the segment's start in units of 2^-down segments
        inside = shifted(v, width - down) - (i - half << down)
        value = (knots[i] << down) + (knots[i + 1] - knots[i]) * inside
        found.append(max(-limit, min(limit, value >> down + facts["fraction"])))
    return found


LAYERS = {"affine": affine, "relu": relu, "table": table}

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
        self.groups: list[list[list[int]]] = []
        self.layers = self._layers(self.header["layers"])
        assert not self.rest

    def _layers(self, told: list[dict]) -> list[tuple[dict, list]]:
        found = []
        for facts in told:
            if facts["kind"] == "residual":
                found.append((facts, self._layers(facts["layers"])))
            elif "as" in facts:
                found.append((facts, self.groups[facts["as"]]))
            else:
                arrays = [self._numbers(n) for n in sizes(facts)]
                self.groups += [arrays] if arrays else []
                found.append((facts, arrays))
        return found

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
        return run(self.layers, a)

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


def run(layers: list[tuple[dict, list]], a: list[int]) -> list[int]:
    for facts, arrays in layers:
        if facts["kind"] == "residual":
            more, limit = run(arrays, a), facts["limit"]
            a = [max(-limit, min(limit, v + w)) for v, w in zip(a, more, strict=True)]
        else:
            a = LAYERS[facts["kind"]](facts, arrays, a)
    return a


def sizes(facts: dict) -> list[int]:
    if "convolution" in facts["kind"]:
        return [facts["out"] * math.prod(facts["kernel"]) * facts["in"], facts["out"], facts["out"]]
    if facts["kind"] == "spread":
        return list(facts["size_out"])
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


def at(a: list[int], size: list[int], channels: int, y: int, x: int, c: int) -> int:
    """A value of a map; zero beyond its edges."""
    inside = 0 <= y < size[0] and 0 <= x < size[1]
    return a[(y * size[1] + x) * channels + c] if inside else 0


def convolution(facts: dict, arrays: list[list[int]], a: list[int]) -> list[int]:
    weight, bias, shift = arrays
    (kh, kw), (sy, sx), (by, bx) = facts["kernel"], facts["stride"], facts["before"]
    n_in, limit, found = facts["in"], facts["limit"], []
    for y in range(facts["size_out"][0]):
        for x in range(facts["size_out"][1]):
            for o in range(facts["out"]):
                total = bias[o]
                for ty in range(kh):
                    for tx in range(kw):
                        if facts["kind"] == "convolution":
                            iy, ix = y * sy + ty - by, x * sx + tx - bx
                        else:
                            (iy, ry), (ix, rx) = divmod(y + by - ty, sy), divmod(x + bx - tx, sx)
                            if ry or rx:
                                continue
                        for c in range(n_in):
                            w = weight[((o * kh + ty) * kw + tx) * n_in + c]
                            total += w * at(a, facts["size_in"], n_in, iy, ix, c)
                found.append(max(-limit, min(limit, shifted(total, shift[o]))))
    return found


def swap(facts: dict, arrays: list[list[int]], a: list[int]) -> list[int]:
    n, m = facts["shape"]
    return [a[i * m + j] for j in range(m) for i in range(n)]


def spread(facts: dict, arrays: list[list[int]], a: list[int]) -> list[int]:
    n = facts["channels"]
    return [at(a, facts["size_in"], n, y, x, c) for y in arrays[0] for x in arrays[1] for c in range(n)]


def pool(facts: dict, arrays: list[list[int]], a: list[int]) -> list[int]:
    (height, width), (wy, wx), n = facts["size_in"], facts["window"], facts["channels"]
    found = []
    for y in range(0, height, wy):
        for x in range(0, width, wx):
            places = [(i, j) for i in range(y, min(y + wy, height)) for j in range(x, min(x + wx, width))]
            for c in range(n):
                held = [a[(i * width + j) * n + c] for i, j in places]
                share = (2**17 + len(held)) // (2 * len(held))
                found.append(
                    sum(held) * share + 2**15 >> 16 if facts["kind"] == "average_pool" else max(held)
                )
    return found


LAYERS |= {"convolution": convolution, "transposed_convolution": convolution, "swap": swap, "spread": spread}
LAYERS |= {"max_pool": pool, "average_pool": pool}

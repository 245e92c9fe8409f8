"""Columns read as docs/archive.md says, value by value, in plain Python: what another program would do."""

import io
import struct

from slow_reader import unpack

TYPES = ["b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
CODES = dict(zip(TYPES, "?BbHhIiQqefd", strict=True))


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        assert self.at <= len(self.data)
        return self.data[self.at - n : self.at]

    def byte(self):
        return self.take(1)[0]

    def count(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value += (byte % 128) << shift
            shift += 7
            if byte < 128:
                return value

    def part(self):
        return unpack(self.take(self.count()))


def product(shape):
    n = 1
    for side in shape:
        n *= side
    return n


def values(data, kind, shape):
    """Bits of the values as unsigned integers, in order."""
    width, n = int(kind[1]), product(shape)
    way = data.byte()
    if way == 0:
        plain = data.part()
        return [int.from_bytes(plain[i * width : (i + 1) * width], "little") for i in range(n)]
    if way == 3:
        return decimals(data, kind, shape)
    if way == 4:
        return sound(data, kind, shape)
    if way == 5:
        return filtered(data, kind, shape)
    how = data.byte()
    n_planes = data.byte() if way == 1 else 1
    base = int.from_bytes(data.take(8), "little")
    if way == 1:
        planes = [data.part() for _ in range(n_planes)]
        stored = [sum(plane[i] << 8 * k for k, plane in enumerate(planes)) for i in range(n)]
    else:
        bits = data.part()
        stored = [bits[i // 8] >> (7 - i % 8) & 1 for i in range(n)]
    turned, along = how % 2, how // 2
    rows, places = shape[0], n // shape[0]
    if turned:
        stored = [stored[place * rows + row] for row in range(rows) for place in range(places)]
    modulus = 1 << 8 * width
    if along == 0:
        return [(value + base) % modulus for value in stored]
    found = [value // 2 if value % 2 == 0 else -(value + 1) // 2 for value in stored]
    if along == 1:
        summed(found, (rows, places), 0)
    elif along == 2:
        summed(found, (rows, places), 1)
    else:
        for axis in {3: [1], 4: [2], 5: [1, 2]}[along]:
            summed(found, shape, axis)
    return [value % modulus for value in found]


def summed(found, shape, axis):
    step = product(shape[axis + 1 :])
    for i in range(len(found)):
        if i // step % shape[axis]:
            found[i] += found[i - step]


def signed(value, width):
    return value - (1 << 8 * width) if value >> (8 * width - 1) else value


def whole_numbers(bits, kind):
    """Integers of a type, of their bits."""
    return [signed(value, int(kind[1])) for value in bits] if kind[0] == "i" else bits


def decimal(q, digits, kind):
    """Bits of a float that is q / 10^digits."""
    return int.from_bytes(struct.pack("<" + CODES[kind], float(q) / 10.0**digits), "little")


def decimals(data, kind, shape):
    digits = data.byte()
    whole = [signed(value, 8) for value in values(data, "i8", shape)]
    found = [decimal(q, digits, kind) for q in whole]
    n_odd = data.count()
    if n_odd:
        steps, bits = values(data, "i8", (n_odd,)), values(data, f"u{kind[1]}", (n_odd,))
        place = 0
        for step, value in zip(steps, bits, strict=True):
            place += step
            found[place] = value
    return found


def sound(data, kind, shape):
    import soundfile

    n_bits = data.byte()
    frames, _ = soundfile.read(io.BytesIO(data.take(data.count())), dtype="int32", always_2d=True)
    assert frames.shape == (product(shape[:-1]), shape[-1])
    return [(int(value) >> (32 - n_bits)) % (1 << 8 * int(kind[1])) for value in frames.ravel()]


def filtered(data, kind, shape):
    from slow_models import SlowStack, open_ended, tables

    n_bits, m, order = data.byte(), data.byte(), data.byte()
    n_frames, n_channels = shape[-2:]
    starts = list(range(0, n_frames, 16384))
    lengths = [min(16384, n_frames - start) for start in starts] * product(shape[:-2])
    n_spans = -(-lengths[0] // 256)
    width = (order + 1) * n_channels
    told = values(data, "i4", (len(lengths), n_channels * width))
    coefficients = whole_numbers(told, "i4")
    scales = values(data, "u1", (len(lengths), n_spans * n_channels))
    low, stack = data.take(data.count()), SlowStack.stored(data.take(data.count()))

    own = [
        scales[(stretch * n_spans + frame // 256) * n_channels + channel]
        for stretch, length in enumerate(lengths)
        for frame in range(length)
        for channel in range(n_channels)
    ]
    n_low = [max(0, scale // 4 - 14) for scale in own]

    def mass(scale, b):
        def entry(x):
            place = tables().place(2 * x, (1 << m) + (b == 0), 4 * (scale - 4 * b), 1)
            return tables().logistic[place]

        return open_ended(entry, 1 << m)

    below = [mass(scale, b) for scale, b in zip(own, n_low, strict=True)]
    left = list[int]()
    for start in range(0, len(below), 1 << 18):
        left += stack.pop_numbers(below[start : start + (1 << 18)], m)
    left = [(number - (1 << m - 1)) << b for number, b in zip(left, n_low, strict=True)]
    at = 0
    for bit in reversed(range(max(n_low))):
        for sample, b in enumerate(n_low):
            if b > bit:
                left[sample] += (low[at // 8] >> (7 - at % 8) & 1) << bit
                at += 1

    found, rest = list[int](), iter(left)
    for stretch, length in enumerate(lengths):
        samples = [0] * (order * n_channels)
        for _ in range(length):
            seen = samples[len(samples) - order * n_channels :] + [0] * n_channels
            for channel in range(n_channels):
                first = (stretch * n_channels + channel) * width
                own = coefficients[first : first + width]
                total = sum(a * x for a, x in zip(own, seen, strict=True))
                value = next(rest) + (total + (1 << 14) >> 15)
                value = (value + (1 << n_bits - 1)) % (1 << n_bits) - (1 << n_bits - 1)
                seen[order * n_channels + channel] = value
                samples.append(value)
        found += samples[order * n_channels :]
    return [value % (1 << 8 * int(kind[1])) for value in found]


def texts(data, n):
    if not n:
        return []
    lengths, joined, at, found = values(data, "u8", (n,)), Bytes(data.part()), 0, []
    for length in lengths:
        found.append(joined.take(length))
        at += length
    assert at == len(joined.data)
    return found


def columns(data):
    """By name: texts, or (type, shape, bits of the values)."""
    data, found = Bytes(data), {}
    for _ in range(data.count()):
        name = data.take(data.count()).decode()
        kind = data.byte()
        if kind == 12:
            n, way = data.count(), data.byte()
            if way == 0:
                found[name] = texts(data, n)
            elif way == 2:
                last, n_bytes = data.take(1), data.count()
                joined = data.part()
                assert (len(joined), joined[-1:]) == (n_bytes, last)
                found[name] = [line + last for line in joined[:-1].split(last)]
            else:
                words = texts(data, data.count())
                found[name] = [words[place] for place in values(data, "u4", (n,))]
        else:
            shape = tuple(data.count() for _ in range(data.byte()))
            found[name] = TYPES[kind], shape, values(data, TYPES[kind], shape)
    assert data.at == len(data.data)
    return found

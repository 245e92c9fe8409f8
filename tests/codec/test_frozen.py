"""Networks in whole numbers: exact everywhere, and near the networks of real numbers."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isthmus.codec.frozen import file as frozen_file
from isthmus.codec.frozen import layers as frozen_layers
from isthmus.codec.frozen import network as frozen
from isthmus.codec.frozen.bytes import Reader, packed
from isthmus.codec.frozen.file import HEAD, N_DIGEST, digest
from isthmus.codec.frozen.layers import Affine, Table
from isthmus.codec.frozen.modules import freeze
from isthmus.codec.frozen.network import FrozenNetwork
from isthmus.config.parts.activations import Activation
from isthmus.errors import ArtifactError, DataError, ParameterError
from isthmus.networks.base import Ends, Network
from isthmus.networks.dense import Dense

torch.set_num_threads(1)

# Loaded by its path: tests are no package.
_spec = importlib.util.spec_from_file_location("slow_networks", Path(__file__).with_name("slow_networks.py"))
assert _spec is not None
assert _spec.loader is not None
slow_networks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(slow_networks)

CHANCE = np.random.default_rng


def dense(activation: Activation = "selu", hidden=(30, 20), tied: bool = False, seed: int = 0) -> Network:
    """Between 12 inputs and a code of 6, with a mean and a scale each unless tied."""
    network = Dense(Ends((3, 4), 6 if tied else 12, 6, (3, 4)), hidden, activation, tied).double()
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            scale = 1.5 / parameter.shape[-1] ** 0.5 if parameter.ndim == 2 else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=source, dtype=torch.float64) * scale)
    return network


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """Whole numbers from 0 to 255, ``(n, 3, 4)``."""
    return CHANCE(seed).integers(0, 256, size=(n, 3, 4)).astype(np.float64)


def codes(n: int, seed: int = 0) -> np.ndarray:
    """On a grid of 1/8, in whole numbers."""
    return np.rint(CHANCE(seed).normal(size=(n, 6)) * 8)


def real(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        outputs = module(torch.from_numpy(x))
    return (outputs[0] if isinstance(outputs, tuple) else outputs).numpy()


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())


# ------------------------------------------------------------------ near the real network


@pytest.mark.parametrize("activation", get_args(Activation))
def test_outputs_are_those_of_the_real_network_within_a_thousandth_of_their_spread(activation) -> None:
    network = dense(activation)
    encoder = freeze(network.encoder, pictures(500) / 255, 255, weight_bits=12)
    x = pictures(300, seed=1)
    assert relative(encoder(x) / encoder.output_scale, real(network.encoder, x / 255)) < 1e-3
    decoder = freeze(network.decoder, codes(500) / 8, 8, weight_bits=12)
    h = codes(300, seed=1)
    found = decoder(h) / decoder.output_scale
    assert found.shape == (300, 3, 4)
    assert relative(found, real(network.decoder, h / 8)) < 1e-3


@pytest.mark.parametrize("hidden", [(), (30,)])
def test_a_tied_decoder_is_frozen_with_the_weights_that_it_borrows(hidden) -> None:
    network = dense("tanh", hidden, tied=True)
    decoder = freeze(network.decoder, codes(300) / 8, 8, weight_bits=12)
    h = codes(100, seed=1)
    assert relative(decoder(h) / decoder.output_scale, real(network.decoder, h / 8)) < 1e-3


def test_a_bit_less_doubles_the_error() -> None:
    network, h = dense("relu"), codes(500, seed=1)
    expected = real(network.decoder, h / 8)
    errors = []
    for bits in (6, 8, 10):
        decoder = freeze(network.decoder, codes(500) / 8, 8, weight_bits=bits)
        errors.append(relative(decoder(h) / decoder.output_scale, expected))
    assert errors[0] < 0.05
    assert 2.5 < errors[0] / errors[1] < 6
    assert 2.5 < errors[1] / errors[2] < 6


def test_making_errors_good_beats_rounding_each_weight_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = dense("relu")
    # Inputs that move together, as those of pictures do: 6 code units on a plane.
    h = np.rint(CHANCE(3).normal(size=(1000, 2)) @ CHANCE(4).normal(size=(2, 6)) * 8)
    expected = real(network.decoder, h[500:] / 8)

    def error() -> float:
        decoder = freeze(network.decoder, h[:500] / 8, 8, weight_bits=6)
        return relative(decoder(h[500:]) / decoder.output_scale, expected)

    good = error()
    monkeypatch.setattr("isthmus.codec.frozen.rounding.MOST_INPUTS", 0)
    assert good < 0.7 * error()


def test_each_input_may_have_its_own_scale() -> None:
    network = dense("gelu", (20,))
    scale = np.array([1.0, 8.0, 255.0, 1000.0] * 3).reshape(3, 4)
    x = CHANCE(0).normal(size=(400, 3, 4))
    encoder = freeze(network.encoder, x, scale, weight_bits=12)
    whole = np.rint(x * scale)
    assert encoder.input_scale == tuple(scale.ravel())
    assert relative(encoder(whole) / encoder.output_scale, real(network.encoder, whole / scale)) < 1e-3
    assert FrozenNetwork.from_bytes(encoder.to_bytes()).input_scale == encoder.input_scale


@pytest.mark.parametrize("size", [1e-6, 1e-2, 1e3, 1e6])
@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
def test_scales_follow_the_values(size: float, activation: Activation) -> None:
    network = dense(activation)
    with torch.no_grad():
        for layer in network.encoder.layers[:2]:
            layer.bias.mul_(size)
        network.encoder.layers[0].weight.mul_(size)
        network.encoder.layers[2].bias.zero_()
    sample = pictures(300) / 255
    expected = real(network.encoder, sample)
    bits = int(np.clip(np.ceil(12 - np.log2(expected.std())), 0, 30))
    encoder = freeze(network.encoder, sample, 255, weight_bits=12, output_bits=bits)
    assert relative(encoder(sample * 255) / encoder.output_scale, expected) < 2e-3


# ------------------------------------------------------------------ exact


@settings(max_examples=25, deadline=None)
@given(
    activation=st.sampled_from(get_args(Activation)),
    hidden=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    bits=st.integers(4, 24),
    output_bits=st.integers(0, 30),
    seed=st.integers(0, 100),
)
def test_a_slow_reader_in_pythons_integers_finds_the_same_numbers(
    activation, hidden, bits, output_bits, seed
) -> None:
    network = dense(activation, hidden, seed=seed)
    encoder = freeze(
        network.encoder, pictures(20, seed) / 255, 255, weight_bits=bits, output_bits=output_bits
    )
    slow = slow_networks.SlowNetwork(encoder.to_bytes())
    # Beyond the sample and beyond the limit, too.
    rows = np.concatenate([pictures(5, seed + 1), CHANCE(seed).integers(-(2**30), 2**30, size=(5, 3, 4))])
    expected = slow(rows.reshape(10, -1).astype(np.int64).tolist())
    assert encoder(rows).astype(np.int64).tolist() == expected
    slow.check()


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    encoder = freeze(dense().encoder, pictures(100) / 255, 255)
    rows = pictures(1500)
    together = encoder(rows)
    for size in (1, 2, 7, 128, 511, 513):
        found = np.concatenate([encoder(rows[i : i + size]) for i in range(0, 1500, size)])
        assert found.tobytes() == together.tobytes()
    assert not np.signbit(together[together == 0]).any()


def test_kinds_of_numbers_do_not_matter_and_rows_are_left_as_they_are() -> None:
    encoder = freeze(dense().encoder, pictures(100) / 255, 255)
    rows = pictures(9)
    before, expected = rows.copy(), encoder(rows)
    for kind in (np.uint8, np.int16, np.int32, np.uint64, np.float32, ">f8", ">i4"):
        np.testing.assert_array_equal(encoder(rows.astype(kind)), expected)
    np.testing.assert_array_equal(encoder(np.asfortranarray(rows)), expected)
    np.testing.assert_array_equal(encoder(rows.tolist()), expected)
    np.testing.assert_array_equal(encoder(rows > 100), encoder((rows > 100).astype(np.float64)))
    np.testing.assert_array_equal(rows, before)
    assert encoder(rows[:0]).shape == (0, 12)


def test_what_is_no_whole_number_has_a_stated_result() -> None:
    encoder = freeze(dense().encoder, pictures(100) / 255, 255)
    limit = float(encoder.ends.input_limit)
    odd = np.full((5, 3, 4), [np.nan, np.inf, -np.inf, 3.9])
    stated = np.full((5, 3, 4), [-limit, limit, -limit, 3.0])
    np.testing.assert_array_equal(encoder(odd), encoder(stated))


PROGRAM = """
import hashlib, sys
import numpy as np
from isthmus.codec.frozen.network import FrozenNetwork
network = FrozenNetwork.from_bytes(sys.stdin.buffer.read())
network.check()
rows = np.random.default_rng(0).integers(0, 256, size=(700, 784))
outputs = [network(rows), network(rows[:33]), network(rows[:1])]
assert "torch" not in sys.modules
print(hashlib.sha256(b"".join(o.tobytes() for o in outputs)).hexdigest())
"""

MACHINES = [
    {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
    {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"},
    {"OPENBLAS_CORETYPE": "SkylakeX"},
    {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
]


def outcomes(data: bytes, environment: dict[str, str]) -> set[str]:
    found = set[str]()
    for machine in MACHINES:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=data,
            env={**environment, "OMP_NUM_THREADS": "1", **machine},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        found.add(done.stdout.decode())
    return found


def wide(seed: int = 0) -> FrozenNetwork:
    network = Dense(Ends((784,), 100, 50, (784,)), (200,), "selu")
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=source) / parameter.shape[-1] ** 0.5)
    return freeze(network.encoder, CHANCE(0).integers(0, 256, size=(300, 784)) / 255, 255)


def test_one_hash_under_every_instruction_set_and_number_of_threads(environment: dict[str, str]) -> None:
    assert len(outcomes(wide().to_bytes(), environment)) == 1


def test_the_drill_of_machines_can_fail(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """With sums beyond 2^53 the machines differ: what the freezer refuses is what matters."""
    monkeypatch.setattr(frozen_layers, "check_sums", lambda *_: None)
    weight = CHANCE(0).integers(-(2**44), 2**44, size=(100, 784))
    layer = Affine(weight, np.zeros(100, np.int64), np.full(100, 13), limit=2**45, within=255)
    data = FrozenNetwork(frozen_file.Ends((784,), (100,), 1.0, 0, 0, 255, 255), [layer]).to_bytes()
    program = PROGRAM.replace(
        "network = ",
        "from isthmus.codec.frozen import layers; layers.check_sums = lambda *_: None\nnetwork = ",
    ).replace("network.check()", "")
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", program)
    assert len(outcomes(data, environment)) > 1


# ------------------------------------------------------------------ refused


def test_sums_that_could_be_inexact_are_refused() -> None:
    most = (2**53 - 1) // 1000
    one = np.ones(1, np.int64)
    Affine(np.array([[most - 1, 1]]), one, one, 5, within=1000)
    with pytest.raises(ParameterError, match="2\\^53"):
        Affine(np.array([[most, -1]]), one, one, 5, within=1000)
    with pytest.raises(ParameterError, match="2\\^53"):
        Affine(np.array([[0, 0]]), one * 2**53, one, 5, within=1000)
    with pytest.raises(ParameterError, match="2\\^53"):
        Affine(np.array([[-(2**63), 0]]), one, one, 5, within=1)
    with pytest.raises(ParameterError, match="2\\^53"):
        Table(np.array([0, 2**40, 2**42]), 3, 0, 5, within=2**20)


def test_what_cannot_be_frozen_is_refused_in_one_sentence() -> None:
    network, sample = dense(), pictures(5) / 255
    with pytest.raises(ParameterError, match="got Sequential"):
        freeze(nn.Sequential(), sample)
    with pytest.raises(DataError, match="12 values, got 7"):
        freeze(network.encoder, np.zeros((3, 7)))
    with pytest.raises(DataError, match="at least one row"):
        freeze(network.encoder, sample[:0])
    with pytest.raises(DataError, match="NaN"):
        freeze(network.encoder, sample * np.nan)
    for scale in (0, -1, np.inf, np.nan):
        with pytest.raises(ParameterError, match="positive and finite"):
            freeze(network.encoder, sample, scale)
    with pytest.raises(ParameterError, match="one for each of 3 x 4"):
        freeze(network.encoder, sample, np.ones(7))
    with pytest.raises(ParameterError, match="coarser input_scale"):
        freeze(network.encoder, sample, 1e30)
    with pytest.raises(ParameterError, match="weight_bits"):
        freeze(network.encoder, sample, weight_bits=25)
    with torch.no_grad():
        network.encoder.layers[1].weight[0, 0] = torch.nan
    with pytest.raises(ParameterError, match="finite"):
        freeze(network.encoder, sample)


@pytest.mark.parametrize("shape", [(), (12,), (2, 12), (2, 4, 3), (2, 3, 4, 1)])
def test_rows_of_another_shape_are_refused(shape) -> None:
    with pytest.raises(DataError, match="3 x 4"):
        freeze(dense().encoder, pictures(5) / 255, 255)(np.zeros(shape))


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_sample_that_never_moves_and_dead_units_can_be_frozen(value: float) -> None:
    network = dense("relu")
    with torch.no_grad():
        network.encoder.layers[0].weight[3] = 0.0
        network.encoder.layers[1].weight.zero_()
        network.encoder.layers[1].bias.zero_()
    sample = np.full((3, 3, 4), value)
    encoder = freeze(network.encoder, sample, 10)
    found = encoder(sample * 10) / encoder.output_scale
    np.testing.assert_allclose(found, real(network.encoder, sample), atol=1e-3)


# ------------------------------------------------------------------ bytes


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(2**61), 2**61), max_size=30), st.integers(0, 61))
def test_numbers_come_back(values: list[int], down: int) -> None:
    array = np.array(values, np.int64) >> down
    reader = Reader(packed(array))
    np.testing.assert_array_equal(reader.numbers(len(array)), array)
    assert reader.n_left == 0


def test_bytes_come_back_and_are_few() -> None:
    network = wide()
    data = network.to_bytes()
    again = FrozenNetwork.from_bytes(data)
    rows = CHANCE(1).integers(0, 256, size=(40, 784))
    assert again(rows).tobytes() == network(rows).tobytes()
    assert again.to_bytes() == data
    assert again.ends == network.ends
    assert again.output_limit == network.output_limit
    n_weights = 784 * 200 + 200 * 100
    assert 8 * len(data) < 9.5 * n_weights  # 10 bits a weight, less what their distribution saves


def test_tables_that_two_layers_share_stand_once() -> None:
    one = freeze(dense("selu", (30,)).encoder, pictures(100) / 255, 255).to_bytes()
    three = freeze(dense("selu", (30, 30, 30)).encoder, pictures(100) / 255, 255).to_bytes()
    assert len(three) - len(one) < 2 * (30 * 31 * 2 + 200)


def test_any_damage_is_refused() -> None:
    data = freeze(dense("selu", (2,)).encoder, pictures(20) / 255, 255).to_bytes()
    for n in range(0, len(data), 7):
        with pytest.raises(ArtifactError):
            FrozenNetwork.from_bytes(data[:n])
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(ArtifactError) as caught:
            FrozenNetwork.from_bytes(bytes(flipped))
        assert "\n" not in str(caught.value)
    with pytest.raises(ArtifactError):
        FrozenNetwork.from_bytes(data + b"\0")


def forged(data: bytes, change) -> bytes:
    """Other headers under a digest that is right."""
    magic, version, n = HEAD.unpack(data[: HEAD.size])
    header = json.loads(data[HEAD.size : HEAD.size + n])
    change(header)
    text = json.dumps(header).encode()
    body = HEAD.pack(magic, version, len(text)) + text + data[HEAD.size + n : -N_DIGEST]
    return body + digest(body)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.pop("layers"),
        lambda h: h.update(layers=[]),
        lambda h: h.update(layers={}),
        lambda h: h.update(layers=[7]),
        lambda h: h.update(input_shape=[2**40]),
        lambda h: h.update(input_shape=[2**20, 2**20]),
        lambda h: h.update(input_shape=[-1, -12]),
        lambda h: h.update(input_shape="12"),
        lambda h: h.update(input_shape=[True, 12]),
        lambda h: h.update(input_shape=[13]),
        lambda h: h.update(output_shape=[13]),
        lambda h: h.update(input_scale=0),
        lambda h: h.update(input_scale=float("nan")),
        lambda h: h.update(input_scale=[1.0]),
        lambda h: h.update(input_limit=2**52),
        lambda h: h.update(input_low=9, input_high=3),
        lambda h: h.update(output_bits=1.5),
        lambda h: h["layers"][0].update(kind="exec"),
        lambda h: h["layers"][0].update(kind=["affine"]),
        lambda h: h["layers"][0].update({"in": 2**22, "out": 2**22}),
        lambda h: h["layers"][0].update({"in": 13}),
        lambda h: h["layers"][0].update({"as": 0}),
        lambda h: h["layers"][1].update({"as": 0}),
        lambda h: h["layers"][1].update({"n": 2**40}),
        lambda h: h["layers"][1].update({"n": 3}),
        lambda h: h["layers"][1].update({"width": 10**9}),
        lambda h: h["layers"].pop(),
        lambda h: h["layers"].append({"kind": "relu", "as": -1}),
    ],
)
def test_hostile_headers_are_refused_in_one_line(change) -> None:
    data = freeze(dense("selu", (2,)).encoder, pictures(20) / 255, 255).to_bytes()
    with pytest.raises(ArtifactError) as caught:
        FrozenNetwork.from_bytes(forged(data, change))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_deep_nesting_is_refused() -> None:
    text = b"[" * 10**5
    body = HEAD.pack(b"isFN", 1, len(text)) + text
    with pytest.raises(ArtifactError, match="no JSON"):
        FrozenNetwork.from_bytes(body + digest(body))


def test_a_machine_that_computes_otherwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    network = FrozenNetwork.from_bytes(wide().to_bytes())
    network.check()

    def rough(self: Affine, a: np.ndarray) -> np.ndarray:
        return frozen_layers.clamped(
            (a.astype(np.float32) @ self._weight.astype(np.float32)).astype(np.float64),
            self._bias,
            self.limit,
        )

    monkeypatch.setattr(Affine, "__call__", rough)
    with pytest.raises(ArtifactError, match="self-test"):
        network.check()


def test_a_machine_that_errs_on_single_rows_alone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    network = wide()
    right = Affine.__call__
    monkeypatch.setattr(Affine, "__call__", lambda self, a: right(self, a) + (len(a) == 1))
    with pytest.raises(ArtifactError, match="self-test"):
        network.check()


def test_the_self_tests_inputs_are_of_the_samples_range() -> None:
    network = freeze(dense().encoder, pictures(100) / 255, 255)
    probes = network._probes()
    assert 0 <= probes[::2].min() < 9 < 246 < probes[::2].max() <= 255
    limit = network.ends.input_limit
    assert -limit <= probes[1::2].min() < -0.9 * limit < 0.9 * limit < probes[1::2].max() <= limit
    assert len(probes) == frozen.N_PROBES

"""A fitted model through its file: bit-equal, the same bytes everywhere, and refused where it is absurd."""

from __future__ import annotations

import copy
import json
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from torch import nn

from isthmus.artifact import FittedModel, file, open_model, save_model
from isthmus.config.catalogue import Custom
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.corruptions import GaussianNoise, Masking
from isthmus.config.parts.likelihoods import Bernoulli, Gaussian, SquaredError
from isthmus.config.parts.networks import Conv2d, Dense, Transformer
from isthmus.config.parts.penalties import L1, L2, Contractive, WeightDecay
from isthmus.errors import ArtifactError
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)

PICTURES = (5, 4, 2)
CODES = [DeterministicCode(), DeterministicCode("relu"), DeterministicCode("sigmoid"), GaussianCode(0.5)]
LIKELIHOODS = [Bernoulli(), SquaredError(), Gaussian(0.3), Gaussian("learned")]
PENALTIES = [L1(0.1), L2(0.01), WeightDecay(1e-3), Contractive(0.1), L1(0.2)]
TINY = {"code_size": 1, "shape": (2,)}


class Halve(nn.Module):
    """A module of one number, which has no axis."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("count", torch.tensor(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def pair(n_in: int, n_pre_code: int, size: int, shape: tuple[int, ...], width: int = 3) -> Callable[[], Any]:
    def factory() -> tuple[nn.Module, nn.Module]:
        encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(n_in, width), nn.BatchNorm1d(width), nn.Linear(width, n_pre_code)
        )
        decoder = nn.Sequential(nn.Linear(size, n_in), Halve(), nn.Unflatten(1, shape))
        return encoder, decoder

    return factory


@st.composite
def chosen(draw: st.DrawFn) -> dict[str, Any]:
    """A combination of parts, and with which factories it is made."""
    size, code = draw(st.integers(1, 4)), draw(st.sampled_from(CODES))
    pictures = draw(st.booleans())
    networks = ["dense", "transformer", "custom", *(["conv2d"] if pictures else [])]
    network = draw(st.sampled_from(networks))
    shape, first = (PICTURES, (2, 5, 4)) if pictures else ((6,), (6,))
    n_in = int(np.prod(shape))
    factory = pair(n_in, 2 * size if isinstance(code, GaussianCode) else size, size, first)
    networks = {
        "dense": Dense(tuple(draw(st.lists(st.integers(1, 5), max_size=2)))),
        "conv2d": Conv2d((3, 2), kernel_size=draw(st.integers(2, 4))),
        "transformer": Transformer(draw(st.integers(1, 4)), 4, draw(st.integers(1, 2)), 2),
        "custom": Custom("net"),
    }
    n_penalties = draw(st.integers(0, 3))
    return {
        "shape": shape,
        "parts": {"net": factory} if network == "custom" else None,
        "seed": draw(st.integers(0, 2**32 - 1)),
        "columns": None if pictures or draw(st.booleans()) else tuple("abcdef"),
        "code_size": size,
        "network": networks[network],
        "code": code,
        "likelihood": draw(st.sampled_from(LIKELIHOODS)),
        "corruption": draw(st.sampled_from([None, Masking(0.3), GaussianNoise(0.2)])),
        "penalties": tuple(draw(st.permutations(PENALTIES))[:n_penalties]),
    }


def assert_equal(one: FittedModel, other: FittedModel) -> None:
    """Bit for bit, in what is stored and in what is computed."""
    assert other.config == one.config
    assert other.scaling.to_state()[0] == one.scaling.to_state()[0]
    assert other.scaling.shift.tobytes() == one.scaling.shift.tobytes()
    assert other.scaling.scale.tobytes() == one.scaling.scale.tobytes()
    state, found = one.module.state_dict(), other.module.state_dict()
    assert list(found) == list(state)
    for name, value in state.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        assert torch.equal(found[name], value)
    assert one.baseline is not None
    assert other.baseline is not None
    assert np.array_equal(other.baseline.mean, one.baseline.mean)
    assert np.array_equal(other.baseline.components, one.baseline.components)
    for name in ("metrics", "epochs", "best_epoch", "notes"):
        assert getattr(other, name) == getattr(one, name)
    assert not other.module.training
    x = Randomness(1).uniform((5, *one.module.sample_shape))
    with torch.no_grad():
        assert torch.equal(other.module.reconstruct(x), one.module.reconstruct(x))
        if not any(isinstance(part, Contractive) for part in one.config.model.penalties):
            assert torch.equal(other.module.objective(x, 3).loss, one.module.objective(x, 3).loss)


@settings(max_examples=60)
@given(chosen())
def test_any_combination_of_parts_comes_back_bit_for_bit(make: Any, choice: dict[str, Any]) -> None:
    model = make(**choice)
    if any(parameter.ndim == 0 for parameter in model.module.parameters()):
        with torch.no_grad():
            for parameter in model.module.parameters():
                parameter.add_(0.1)
    data = model.to_bytes()
    again = FittedModel.from_bytes(data, parts=choice["parts"])
    assert_equal(model, again)
    assert again.to_bytes() == data == model.to_bytes()


def test_a_model_without_baseline_and_trained_ones_come_back(make: Any, tmp_path: Path) -> None:
    model = make()
    model.baseline, model.metrics, model.epochs, model.notes = None, {}, [], ()
    save_model(model, tmp_path / "m")
    again = open_model(tmp_path / "m")
    assert again.baseline is None
    assert again.to_bytes() == model.to_bytes()


def test_bytes_depend_on_neither_path_nor_clock(make: Any, tmp_path: Path) -> None:
    save_model(make(), tmp_path / "one")
    (tmp_path / "folder").mkdir()
    save_model(make(), tmp_path / "folder" / "model.safetensors")
    data = (tmp_path / "one").read_bytes()
    assert (tmp_path / "folder" / "model.safetensors").read_bytes() == data
    assert str(tmp_path).encode() not in data
    assert open_model(tmp_path / "folder").to_bytes() == data
    assert open_model(str(tmp_path / "one")).to_bytes() == data


SCRIPT = """
import hashlib, numpy as np, torch
torch.set_num_threads(1)
from isthmus.config import Config
from isthmus.sources import ArraySource
from isthmus.workflows.fit import fit
rows = (np.arange(60.0).reshape(12, 5) ** 1.5) % 7
config = Config.from_dict({
    "model": {"kind": "sparse", "code_size": 2, "network": {"hidden_sizes": [4]},
              "penalties": [{"type": "l2"}, {"type": "l1"}, {"type": "l1"}]},
    "training": {"epochs": 1, "seed": 3, "threads": 1},
})
model, _ = fit(ArraySource(rows, columns=list("vwxyz")), config)
print(hashlib.sha256(model.to_bytes()).hexdigest())
"""


def test_bytes_do_not_depend_on_the_process(
    process: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = process("python", "-c", SCRIPT, PYTHONHASHSEED="271", cwd=tmp_path)
    assert done.stderr == ""
    exec(SCRIPT, {})  # here the seed of hashes is another
    assert len(done.stdout.strip()) == 64
    assert capsys.readouterr().out == done.stdout


# ------------------------------------------------------------------ damage


def refused(data: bytes, match: str = "m", parts: Any = None) -> str:
    with pytest.raises(ArtifactError, match=match) as caught:
        FittedModel.from_bytes(data, "m.safetensors", parts)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_truncation_of_a_model_is_refused(make: Any) -> None:
    data = make(**TINY).to_bytes()
    for length in range(0, len(data)):
        refused(data[:length])


def test_flipped_bits_of_a_model_are_refused(make: Any) -> None:
    data = make(**TINY).to_bytes()
    positions = np.random.default_rng(0).integers(0, len(data), 500)
    for position in [*range(100), *positions.tolist()]:
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        if data[max(0, position - 5) : position + 1].find(b"u") >= 0:
            continue  # a letter of \u00f6 may be written large
        refused(bytes(changed))


# ------------------------------------------------------------------ forgery: the digest fits, the contents are absurd


def forged(model: FittedModel, path: tuple[Any, ...] = (), value: Any = None, **tensors: Any) -> bytes:
    """The model's bytes with one value of its document, or some tensors, replaced (None: left out)."""
    document, found = file.from_bytes(model.to_bytes(), "m")
    document = copy.deepcopy(document)
    if path:
        inner: Any = document
        for step in path[:-1]:
            inner = inner[step]
        if value is ...:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
    for name, tensor in tensors.items():
        key = name.replace("__", ".")
        if tensor is None:
            del found[key]
        else:
            found[key] = np.asarray(tensor)
    return file._packed(document, found)


HUGE = 10**9
MODEL, NETWORK = ("config", "model"), ("config", "model", "network")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*MODEL, "code_size"), HUGE),
        ((*MODEL, "code_size"), 10**18),
        ((*MODEL, "code_size"), 10**30),
        ((*MODEL, "code_size"), 3),
        ((*MODEL, "code_size"), 0),
        ((*MODEL, "code_size"), "auto"),
        ((*MODEL, "code_size"), "two"),
        ((*NETWORK, "hidden_sizes"), [HUGE]),
        ((*NETWORK, "hidden_sizes"), [HUGE, HUGE]),
        ((*NETWORK, "hidden_sizes"), [10**30]),
        ((*NETWORK, "hidden_sizes"), [1] * 50_000),
        ((*NETWORK, "hidden_sizes"), "auto"),
        ((*NETWORK, "hidden_sizes"), [-1]),
        ((*NETWORK, "type"), "conv2d"),
        ((*NETWORK, "type"), "os:system"),
        ((*NETWORK, "type"), "isthmus.networks.dense:Dense"),
        ((*NETWORK, "type"), "none"),
        ((*NETWORK, "type"), None),
        ((*NETWORK, "type"), ["dense"]),
        (NETWORK, "os:system"),
        ((*MODEL, "likelihood"), {"type": "os:system"}),
        ((*MODEL, "likelihood"), {"type": "gaussian", "scale": "learned"}),
        ((*MODEL, "likelihood"), "auto"),
        ((*MODEL, "code"), {"type": "gaussian"}),
        ((*MODEL, "code"), {"type": "builtins:eval"}),
        ((*MODEL, "corruption"), {"type": "subprocess.Popen"}),
        ((*MODEL, "penalties"), [{"type": "posix:system", "weight": 1}]),
        ((*MODEL, "kind"), "os:system"),
        ((*MODEL, "unknown"), 1),
        (("config",), {}),
        (("config",), []),
        (("config", "model"), []),
        (("config",), ...),
        (("scaling",), ...),
        (("scaling",), {}),
        (("metrics",), ...),
        (("metrics",), []),
        (("epochs",), {}),
        (("epochs",), [1]),
        (("best_epoch",), "1"),
        (("notes",), "note"),
        (("notes",), [1]),
        (("scaling", "method"), "os:system"),
        (("scaling", "schema"), []),
        (("scaling", "schema", "kind"), "words"),
        (("scaling", "schema", "kind"), ["vectors"]),
        (("scaling", "schema", "kind"), "pictures"),
        (("scaling", "schema", "dtype"), "object"),
        (("scaling", "schema", "dtype"), "os:system"),
        (("scaling", "schema", "dtype"), ["uint8"]),
        (("scaling", "schema", "sample_shape"), [HUGE]),
        (("scaling", "schema", "sample_shape"), [10**30]),
        (("scaling", "schema", "sample_shape"), [-3]),
        (("scaling", "schema", "sample_shape"), [3.0]),
        (("scaling", "schema", "sample_shape"), []),
        (("scaling", "schema", "sample_shape"), 3),
        (("scaling", "schema", "sample_shape"), "3"),
        (("scaling", "schema", "value_range"), [0]),
        (("scaling", "schema", "value_range"), ["a", "b"]),
        (("scaling", "schema", "value_range"), [0, float("inf")]),
        (("scaling", "schema", "columns"), ["a"]),
        (("scaling", "schema", "columns"), [1, 2, 3]),
        (("scaling", "schema", "columns"), "abc"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_absurd_documents_are_refused_before_memory_is_taken(
    make: Any, path: tuple[Any, ...], value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = forged(make(), path, value)
    only_small_modules(monkeypatch)
    tracemalloc.start()
    try:
        message = refused(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 50e6
    assert len(message) < 1000


def only_small_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no module of more than a thousand numbers take memory."""
    to_empty = nn.Module.to_empty

    def watched(module: nn.Module, **options: Any) -> nn.Module:
        assert sum(parameter.numel() for parameter in module.parameters()) < 1000
        return to_empty(module, **options)

    monkeypatch.setattr(nn.Module, "to_empty", watched)


ONES = np.ones
WEIGHT = "module__network__encoder__layers__0__weight"


@pytest.mark.parametrize(
    "tensors",
    [
        {WEIGHT: None},
        {WEIGHT: ONES((3, 2), np.float32)},
        {WEIGHT: ONES((2, 3, 1), np.float32)},
        {WEIGHT: ONES((6,), np.float32)},
        {WEIGHT: ONES((), np.float32)},
        {WEIGHT: ONES((2, 3), np.float64)},
        {WEIGHT: ONES((2, 3), np.float16)},
        {WEIGHT: ONES((2, 3), np.int64)},
        {WEIGHT: ONES((2, 3), bool)},
        {"module__network__encoder__layers__7__weight": ONES(3, np.float32)},
        {"module__other": ONES(3, np.float32)},
        {"scaling__shift": None},
        {"scaling__shift": ONES(3, np.float32)},
        {"scaling__shift": ONES(2)},
        {"scaling__shift": np.array([0.0, np.nan, 0.0])},
        {"scaling__scale": np.zeros(3)},
        {"scaling__scale": np.array([1.0, np.inf, 1.0])},
        {"scaling__scale": -ONES(3)},
        {"baseline__mean": None},
        {"baseline__components": None},
        {"baseline__more": ONES(3, np.float32)},
        {"baseline__mean": ONES(2, np.float32)},
        {"baseline__mean": ONES(3)},
        {"baseline__components": ONES((2, 2), np.float32)},
        {"baseline__components": ONES((), np.float32)},
        {"baseline__components": ONES(3, np.float32)},
        {"baseline__components": ONES((2, 3), np.int32)},
    ],
    ids=str,
)
def test_tensors_that_do_not_fit_are_refused(make: Any, tensors: dict[str, Any]) -> None:
    refused(forged(make(), **tensors))


def test_nothing_large_is_built_for_a_picture_model(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(PICTURES, network=Conv2d((2,)))
    only_small_modules(monkeypatch)
    for path, value in (
        ((*NETWORK, "channels"), [HUGE]),
        ((*NETWORK, "channels"), [2] * 100_000),
        ((*NETWORK, "channels"), []),
        ((*NETWORK, "kernel_size"), HUGE),
        ((*NETWORK, "kernel_size"), 1),
        ((*NETWORK, "stride"), HUGE),
        (("scaling", "schema", "sample_shape"), [HUGE, HUGE, 2]),
        (("scaling", "schema", "sample_shape"), [5, 4, HUGE]),
        (("scaling", "schema", "sample_shape"), [5, 4]),
    ):
        refused(forged(model, path, value))


def test_a_wrong_weight_is_named_with_both_shapes(make: Any) -> None:
    message = refused(forged(make(), **{WEIGHT: ONES((3, 2), np.float32)}))
    assert "float32 of shape (2, 3) for network.encoder.layers.0.weight" in message
    assert "float32 of shape (3, 2)" in message
    assert "nothing" in refused(forged(make(), **{WEIGHT: None}))


def test_a_name_outside_the_catalogue_is_named(make: Any) -> None:
    assert "unknown network 'os:system'" in refused(forged(make(), (*NETWORK, "type"), "os:system"))


def test_a_newer_format_and_foreign_files_are_refused(make: Any, tmp_path: Path) -> None:
    data = json.dumps({"format": file.FORMAT + 1})
    path = tmp_path / "m.safetensors"
    for written, match in (
        (save({}, metadata={"isthmus": data}), f"{file.FORMAT + 1}.*Install a newer isthmus"),
        (save({"w": ONES(3)}, metadata={"format": "pt"}), "it holds no isthmus model"),
        (b"", "it has 0 bytes"),
    ):
        path.write_bytes(written)
        with pytest.raises(ArtifactError, match=match) as caught:
            open_model(path)
        assert str(caught.value).startswith(str(path))


def test_a_folder_without_a_model_and_a_path_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"got a folder without model\.safetensors"):
        open_model(tmp_path)
    for name in ("missing", "x" * 300, "nul\0byte"):
        with pytest.raises(ArtifactError, match="cannot be read") as caught:
            open_model(tmp_path / name)
        assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ parts of the user's own


def test_a_missing_part_is_named(make: Any) -> None:
    parts = {"my-net": pair(3, 2, 2, (3,))}
    model = make(parts=parts, network=Custom("my-net"))
    data = model.to_bytes()
    assert_equal(model, FittedModel.from_bytes(data, parts=parts))
    for given_parts in (None, {}, {"other": parts["my-net"]}):
        assert "parts={'my-net': factory}" in refused(data, "part of its author's own, 'my-net'", given_parts)


def test_a_part_of_another_shape_is_refused(make: Any) -> None:
    data = make(parts={"net": pair(3, 2, 2, (3,))}, network=Custom("net")).to_bytes()
    message = refused(data, "encoder.module.1", {"net": pair(3, 2, 2, (3,), width=4)})
    assert "the parts that it was fitted with" in message

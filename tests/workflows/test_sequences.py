"""Sequences from end to end: read, scaled a channel, learned, rebuilt, kept, drawn, written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import Autoencoder, Config, Conv1d, Conv2d, Data, Model
from isthmus.cli.main import run
from isthmus.errors import ArtifactError, DataError, ParameterError
from isthmus.evaluation.evaluate import report_data
from isthmus.evaluation.metrics import measure
from isthmus.evaluation.report import render_report
from isthmus.inference import Inference
from isthmus.preprocessing import Scaling
from isthmus.schema import Schema
from isthmus.sources import ArraySource
from isthmus.workflows.open_data import open_data

torch.set_num_threads(1)

SMALL = Conv1d((4,), 3, 2, down="max_pool", up="unpool", switches=True)


def waves(n: int = 60, steps: int = 11, channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    phase, t = rng.uniform(0, 6, (n, 1, channels)), np.arange(steps)[None, :, None]
    return np.sin(0.7 * t + phase) * 10.0 ** np.arange(channels) + 3


# Reading --------------------------------------------------------------------------------------


def test_what_arrays_are_under_each_kind() -> None:
    flat, cube = np.zeros((5, 12)), np.zeros((5, 6, 2))
    shapes = {
        ("sequences", 2, None): (12, 1),
        ("sequences", 2, (12,)): (12, 1),
        ("sequences", 2, (6, 2)): (6, 2),
        ("sequences", 3, None): (6, 2),
        ("sequences", 3, (6, 2)): (6, 2),
        ("vectors", 3, None): (12,),
        ("pictures", 3, None): (6, 2, 1),
        ("auto", 3, None): (6, 2, 1),
        ("pictures", 2, (6, 2)): (6, 2, 1),
    }
    for (kind, n_axes, shape), expected in shapes.items():
        source = ArraySource(flat if n_axes == 2 else cube, sample_shape=shape, row_kind=kind)
        assert source.schema.sample_shape == expected
        assert kind in ("auto", source.schema.kind)
        assert source.read(slice(0, 2)).shape == (2, *expected)


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((5, 4, 3, 2)), {"row_kind": "sequences"}, r"expected sequences \(rows, steps\) or"),
        (
            np.zeros((5, 12)),
            {"row_kind": "sequences", "sample_shape": (5, 2)},
            "5 x 2 does not fit rows of 12",
        ),
        (np.zeros((5, 12)), {"row_kind": "pictures"}, "expected pictures, got vectors 12; give sample_shape"),
        (
            np.zeros((5, 4, 3)),
            {"row_kind": "vectors", "sample_shape": (4, 3)},
            "expected vectors, got pictures",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(array, options, message) -> None:
    with pytest.raises(DataError, match=message):
        ArraySource(array, **options)


def test_a_network_of_sequences_says_what_the_rows_are() -> None:
    assert Config(model=Model(network="conv1d")).data.row_kind == "sequences"
    assert Config(model=Model(network="conv2d")).data.row_kind == "auto"
    asked = Config(data=Data(row_kind="vectors"), model=Model(network="conv1d"))
    assert asked.data.row_kind == "vectors"
    with pytest.raises(ParameterError, match=r"Conv2d: expected pictures .* rows of shape 2 x 11"):
        Autoencoder(2, network=Conv2d((4,)), row_kind="sequences", random_state=0).fit(waves())
    with pytest.raises(ParameterError, match=r"Conv1d: expected sequences .* rows of shape 22\."):
        Autoencoder(2, network=SMALL, row_kind="vectors", random_state=0).fit(waves())


def test_pictures_are_no_sequences() -> None:
    with pytest.raises(ParameterError, match=r"data\.row_kind: mnist-test holds pictures, got 'sequences'"):
        open_data("mnist-test", Data(row_kind="sequences"))


def test_a_file_stays_a_map(tmp_path: Path) -> None:
    np.save(tmp_path / "waves.npy", waves())
    source = open_data(str(tmp_path / "waves.npy"), Data(row_kind="sequences"))
    assert isinstance(source.read(slice(0, 3)).base, np.memmap | np.ndarray)
    assert source.schema == Schema("sequences", (11, 2), "float64")
    assert Schema.from_dict(source.schema.to_dict()) == source.schema
    with pytest.raises(ArtifactError, match="sequences, pictures or tables"):
        Schema.from_dict({**source.schema.to_dict(), "sample_shape": (11,)})


# Scaling --------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(2, 9), st.integers(1, 7), st.integers(1, 3), st.sampled_from(["standardise", "range"]))
def test_each_channel_is_scaled_by_itself(n, steps, channels, method) -> None:
    rng = np.random.default_rng(n + 10 * steps)
    X = rng.normal(size=(n, steps, channels)) * 10.0 ** np.arange(channels) + 100
    weights = rng.integers(1, 4, n)
    source = ArraySource(X, row_kind="sequences")
    scaling = Scaling.fit(source, np.arange(n), weights, method=method)
    assert scaling.model_shape == (channels, steps)
    u = scaling.to_model(X)
    repeated = np.repeat(X, weights, axis=0)
    if method == "standardise":
        expected = (X - repeated.mean(axis=(0, 1))) / repeated.std(axis=(0, 1))
    else:
        low, high = X.min(axis=(0, 1)), X.max(axis=(0, 1))
        expected = (X - low) / (high - low)
    np.testing.assert_allclose(u, np.moveaxis(expected, -1, 1), rtol=1e-5, atol=1e-5)
    extent = np.abs(X).max(axis=(0, 1))  # float32 keeps so many digits of it, and fewer of a value near 0
    np.testing.assert_allclose(scaling.to_data(u) / extent, X / extent, rtol=0, atol=1e-6)
    again = Scaling.from_state(*scaling.to_state())
    assert np.array_equal(again.to_model(X), u)


def test_auto_standardises_and_leaves_bytes_their_range() -> None:
    X = waves()
    assert Scaling.fit(ArraySource(X, row_kind="sequences"), np.arange(60)).method == "standardise"
    # Two channels that reach both ends of the table share a unit as columns, never as channels.
    bounded = np.clip(X, 0, 1)
    assert Scaling.fit(ArraySource(bounded, row_kind="sequences"), np.arange(60)).method == "standardise"
    data = ArraySource((X * 10).clip(0, 255).astype(np.uint8), row_kind="sequences")
    scaling = Scaling.fit(data, np.arange(60))
    assert (scaling.method, scaling.shift.tolist(), scaling.scale.tolist()) == ("range", [0.0], [255.0])


@pytest.mark.parametrize("method", ["standardise", "range"])
def test_a_constant_channel_is_centred_and_told(method) -> None:
    X = np.concatenate([waves(channels=1), np.full((60, 11, 1), 5.0)], axis=2)
    scaling = Scaling.fit(ArraySource(X, row_kind="sequences"), np.arange(60), method=method)
    assert scaling.notes == ("1 of 2 channels are constant (1): centred, not scaled.",)
    assert not scaling.to_model(X)[:, 1].any()


# Learning -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> Autoencoder:
    return Autoencoder(3, network=SMALL, max_epochs=3, random_state=0).fit(waves())


def test_an_estimator_takes_sequences_in_every_shape(fitted: Autoencoder, tmp_path: Path) -> None:
    X = waves()
    flat = X.reshape(60, -1)
    codes = fitted.transform(X)
    assert fitted.module_.sample_shape == (2, 11)
    assert fitted.config_.data.row_kind == "sequences"
    assert np.array_equal(codes, fitted.transform(flat))
    assert fitted.reconstruct(X).shape == flat.shape
    fitted.save(tmp_path / "waves.safetensors")
    opened = Autoencoder.open(tmp_path / "waves.safetensors")
    assert np.array_equal(opened.transform(X), codes)
    again = Autoencoder(3, network=SMALL, sample_shape=(11, 2), max_epochs=3, random_state=0).fit(flat)
    assert np.array_equal(again.transform(X), codes)
    one = Autoencoder(2, network="conv1d", max_epochs=1, random_state=0).fit(X[..., 0])
    assert one.module_.sample_shape == (1, 11)
    with pytest.raises(DataError, match="expected rows of shape 11 x 2, got 2 x 11"):
        fitted.transform(np.moveaxis(X, 1, 2))


def test_a_sequence_does_not_depend_on_its_place(fitted: Autoencoder) -> None:
    X = np.concatenate([waves(), waves() + 0.3, waves() - 0.2])
    order = np.random.default_rng(0).permutation(len(X))
    assert np.array_equal(fitted.transform(X)[order], fitted.transform(X[order]))
    assert np.array_equal(fitted.reconstruct(X)[order], fitted.reconstruct(X[order]))


def test_errors_with_and_without_the_switches_stand_apart(fitted: Autoencoder) -> None:
    X, model = waves(), fitted._model
    source = ArraySource(X, row_kind="sequences")
    measured = measure(Inference(model), source)
    x = torch.from_numpy(model.scaling.to_model(X))
    with torch.no_grad():
        for with_context, found in ((False, measured.errors), (True, measured.context_errors)):
            rebuilt = model.module.reconstruct(x, with_context=with_context)
            expected = (x - rebuilt).square().flatten(1).sum(dim=1).numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-4)
    values = measured.to_dict()
    assert values["error_with_context"]["sse"] != values["error"]["sse"]
    assert values["error_with_context"]["mse"] == pytest.approx(values["error_with_context"]["sse"] / 22)
    assert "error_with_context" in model.metrics
    plain = Autoencoder(2, network=SMALL.replace(switches=False), max_epochs=1, random_state=0).fit(X)
    assert "error_with_context" not in plain.metrics_


def test_a_report_draws_a_curve_a_channel(fitted: Autoencoder) -> None:
    page = render_report(
        report_data(fitted._model, ArraySource(waves(), row_kind="sequences"), title="Waves")
    )
    assert all(f"trace-{role}-{channel}" in page for role in ("best", "worst") for channel in (0, 1))
    assert "step by step in data units, channel under channel" in page
    assert "squared error per sequence" in page
    assert "PCA is no measure of it" in page


# At the command line --------------------------------------------------------------------------


def test_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = str(tmp_path / "waves.npy"), str(tmp_path / "m.safetensors")
    np.save(data, waves())
    way = ["down=max_pool", "up=unpool", "switches=true", "channels=[4,6]", "kernel_size=3", "stride=2"]
    settings = [word for each in ["type=conv1d", *way] for word in ("--set", f"model.network.{each}")]
    options = ["--run", str(tmp_path / "run"), "--epochs", "1", "--code-size", "2", "--seed", "0"]
    assert run(["fit", data, *settings, *options, "-o", model]) == 0
    assert "with context" in capsys.readouterr().out
    assert run(["info", model]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "encoder convolution, max_pool, kernel 3, stride 2: 4 x 6, each sees 4" in said
    assert "convolution, max_pool, kernel 3, stride 2: 6 x 3, each sees 10" in said
    assert "decoder unpool, convolution, kernel 3, stride 2: 4 x 6 unpool, convolution" in said
    assert "sequences 11 x 2, float64; scaling standardise" in said
    assert run(["info", model, "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["architecture"]
    assert [stage["output"] for stage in stages] == [[4, 6], [6, 3], [4, 6], [2, 11]]
    assert [stage["receptive_field"] for stage in stages] == [[4], [10], None, None]
    assert run(["reconstruct", model, data, "-o", str(tmp_path / "rebuilt.npy")]) == 0
    assert np.load(tmp_path / "rebuilt.npy").shape == (60, 11, 2)
    assert run(["reconstruct", model, data, "-o", str(tmp_path / "rebuilt.png")]) == 2
    assert "rows that are sequences 11 x 2 go into a .npy file" in capsys.readouterr().err

"""A fitted model over rows: neighbours never matter, and people get their own units back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isthmus.artifact import FittedModel
from isthmus.config import Config, Model
from isthmus.config.catalogue import Custom
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.likelihoods import Bernoulli, SquaredError
from isthmus.config.parts.networks import Conv2d, Dense, Transformer
from isthmus.errors import DataError
from isthmus.evaluation.metrics import measure
from isthmus.inference import Inference
from isthmus.inference.rows import BATCH
from isthmus.model.build import build
from isthmus.numerics.threads import torch_threads
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.sources.subset import Subset

torch.set_num_threads(1)

ROWS = 2 * BATCH + 9


def inference(rows: np.ndarray, parts: Any = None, **chosen: Any) -> Inference:
    """A model of random weights on rows."""
    chosen = {"code_size": 3, "network": Dense((9,)), "likelihood": SquaredError(), **chosen}
    source, model = ArraySource(rows), Model(**chosen)
    scaling = Scaling.fit(source, np.arange(len(rows)))
    module = build(model, scaling.model_shape, seed=0, parts=parts)
    return Inference(FittedModel(Config(model=model), scaling, module))


def vectors(width: int) -> np.ndarray:
    return np.random.default_rng(width).normal(3, 2, (ROWS, width)).astype(np.float32)


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (ROWS, *shape), dtype=np.uint8)


MODELS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "one value": (vectors(1), {"code_size": 1, "network": Dense(())}),
    "one unit": (vectors(7), {"code_size": 1, "network": Dense(())}),
    "odd widths": (vectors(13), {"network": Dense((17, 5)), "code": DeterministicCode("tanh")}),
    "wide": (vectors(257), {"code_size": 31, "network": Dense((129,))}),
    "wider than the rows": (
        vectors(3),
        {"code_size": 8, "network": Dense((64, 33)), "code": DeterministicCode("relu")},
    ),
    "gaussian": (vectors(10), {"code": GaussianCode(), "network": Dense((16,))}),
    "conv2d": (pictures(9, 7, 3), {"network": Conv2d((5, 6))}),
    "one channel": (pictures(8, 8, 1), {"network": Conv2d((8,)), "likelihood": Bernoulli()}),
    "tokens": (vectors(13), {"network": Transformer(1, 10, 1, 1)}),
    "shared tokens": (vectors(9), {"network": Transformer(2, 6, 1, 2, 1.5)}),
    "patches": (pictures(9, 7, 3), {"network": Transformer(3, 30, 1, 3, 1.5)}),
    "gaussian conv2d": (pictures(6, 6, 2), {"network": Conv2d((4,)), "code": GaussianCode(), "code_size": 2}),
}
BUILT = {name: inference(rows, **chosen) for name, (rows, chosen) in MODELS.items()}


def everything(model: Inference, rows: np.ndarray) -> dict[str, np.ndarray]:
    """All that is computed a row."""
    source = ArraySource(rows)
    measured = measure(model, source)
    found = {
        "codes": model.encode(source),
        "reconstructions": model.reconstruct_model_units(source),
        "data units": model.reconstruct(source),
        "errors": measured.errors,
        "losses": measured.losses,
        "decoded": model.decode(model.encode(source)),
    }
    mean, scale = model.code_distribution(source)
    rates = model.rate_per_unit(source)
    return {
        **found,
        "mean": mean,
        **({} if scale is None or rates is None else {"scale": scale, "rates": rates}),
    }


WHOLE = {name: everything(BUILT[name], rows) for name, (rows, _) in MODELS.items()}


@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.parametrize("name", MODELS)
def test_a_row_does_not_depend_on_the_rows_beside_it(name: str, data: st.DataObject) -> None:
    """Any choice of rows, in any order and number, repeated or not: the same bits for each."""
    n = data.draw(st.sampled_from([1, 2, 3, 7, BATCH - 1, BATCH, BATCH + 1, ROWS]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    repeated = data.draw(st.booleans())
    chosen = np.random.default_rng(seed).choice(ROWS, n, replace=repeated)
    found = everything(BUILT[name], MODELS[name][0][chosen])
    assert found.keys() == WHOLE[name].keys()
    for what, values in found.items():
        assert values.tobytes() == WHOLE[name][what][chosen].tobytes(), what


@pytest.mark.parametrize(
    ("name", "threads"),
    [*((name, 1) for name in MODELS), ("odd widths", 2), ("gaussian conv2d", 2), ("patches", 2)],
)
def test_a_row_does_not_depend_on_its_place(name: str, threads: int) -> None:
    """One row in every place of two batches: equal bits in all of them."""
    with torch_threads(threads):
        found = everything(BUILT[name], MODELS[name][0][[4] * (2 * BATCH)])
    for what, values in found.items():
        assert (values == values[:1]).all(), what


@pytest.mark.parametrize("n_in", [1, 2, 3, 5, 6, 7, 9, 13, 18, 33, 66, 129])
def test_no_width_lets_the_place_of_a_row_matter(n_in: int) -> None:
    """MKL's narrow products do, where rows do not begin at multiples of 16 bytes."""
    row = vectors(n_in)[[4] * BATCH]
    for size in range(1, 13):
        model = inference(vectors(n_in)[:20], code_size=size, network=Dense(()))
        codes = model.encode(ArraySource(row))
        assert (codes == codes[:1]).all()
        assert len(np.unique(model.decode_model_units(codes), axis=0)) == 1


def test_modules_of_the_user_are_no_exception() -> None:
    rows = vectors(13)
    layers = {
        "pair": lambda: (nn.Sequential(nn.Linear(13, 17), nn.ReLU(), nn.Linear(17, 3)), nn.Linear(3, 13))
    }
    model = inference(rows, layers, network=Custom("pair"))
    whole = model.encode(ArraySource(rows)), model.reconstruct(ArraySource(rows))
    for chosen in ([8], [7, 8], list(range(ROWS))[::-1]):
        assert model.encode(ArraySource(rows[chosen])).tobytes() == whole[0][chosen].tobytes()
        assert model.reconstruct(ArraySource(rows[chosen])).tobytes() == whole[1][chosen].tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_a_row_does_not_depend_on_what_the_others_hold(name: str) -> None:
    rows = MODELS[name][0][:5].copy()
    rows[1:] = 255 if rows.dtype == np.uint8 else 1e4
    assert BUILT[name].encode(ArraySource(rows))[0].tobytes() == WHOLE[name]["codes"][0].tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_batches_give_what_the_module_gives(name: str) -> None:
    model, rows = BUILT[name], MODELS[name][0]
    with torch.no_grad():
        x = torch.from_numpy(model.model.scaling.to_model(rows))
        code = model.module.encode(x)
        np.testing.assert_allclose(WHOLE[name]["codes"], code.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            WHOLE[name]["reconstructions"], model.module.reconstruct(x).numpy(), rtol=1e-4, atol=1e-5
        )
    assert WHOLE[name]["codes"].shape == (ROWS, model.code_size)
    assert WHOLE[name]["data units"].dtype == rows.dtype


@pytest.mark.parametrize("name", ["odd widths", "wide", "gaussian conv2d"])
def test_the_number_of_threads_changes_last_bits_at_most(name: str) -> None:
    with torch_threads(2):
        found = everything(BUILT[name], MODELS[name][0])
    for what in ("codes", "reconstructions", "errors"):
        np.testing.assert_allclose(found[what], WHOLE[name][what], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_stored_code_decodes_to_the_reconstruction(name: str) -> None:
    whole = WHOLE[name]
    assert whole["decoded"].tobytes() == whole["data units"].tobytes()
    assert np.array_equal(whole["mean"], whole["codes"])


def test_a_gaussian_code_has_a_scale_and_a_rate() -> None:
    model, rows = BUILT["gaussian"], MODELS["gaussian"][0]
    with torch.no_grad():
        pre_code, _ = model.module.encoder(torch.from_numpy(model.model.scaling.to_model(rows)))
    mean, log_variance = pre_code.numpy().astype(np.float64).T.reshape(2, 3, ROWS).transpose(0, 2, 1)
    found = WHOLE["gaussian"]
    np.testing.assert_allclose(found["scale"], np.exp(log_variance / 2), rtol=1e-5)
    np.testing.assert_allclose(
        found["rates"], (mean**2 + np.exp(log_variance) - 1 - log_variance) / 2, rtol=1e-4, atol=1e-6
    )
    assert BUILT["wide"].code_distribution(ArraySource(vectors(257)))[1] is None
    assert BUILT["wide"].rate_per_unit(ArraySource(vectors(257))) is None


def test_bytes_are_rounded_and_clipped() -> None:
    """A linear model whose decoder is set by hand: reconstructions of any size, as bytes."""
    rows = np.random.default_rng(0).integers(0, 256, (20, 4), dtype=np.uint8)
    model = inference(rows, code_size=1, network=Dense(()))
    scaling = model.model.scaling
    with torch.no_grad():
        layer = model.module.decoder.layers[-1]  # type: ignore[index, union-attr]
        layer.weight[:] = 1.0
        layer.bias[:] = 0.0
    wanted = np.array([-50.0, 0.4, 0.6, 99.5, 100.5, 254.6, 300.0])
    codes = ((wanted - scaling.shift) / scaling.scale)[:, None]
    found = model.decode(codes)
    assert found.dtype == np.uint8
    in_model_units = model.decode_model_units(codes)[:, 0].astype(np.float64)
    expected = np.clip(np.rint(in_model_units * scaling.scale + scaling.shift), 0, 255)
    assert np.array_equal(found[:, 0], expected)
    assert found[[0, 1, 2, 5, 6], 0].tolist() == [0, 0, 1, 255, 255]
    assert found[3, 0] in (99, 100)
    assert found[4, 0] in (100, 101)


@pytest.mark.parametrize("shape", [(4, 6), (4, 8), (4, 7, 1, 1)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    model = inference(vectors(7))
    for verb in (model.encode, model.reconstruct, model.code_distribution, model.rate_per_unit):
        with pytest.raises(
            DataError, match=r"^ArraySource: expected vectors 7, float32, got .*\. Give rows"
        ) as caught:
            verb(ArraySource(np.random.default_rng(0).random(shape)))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("codes", "match"),
    [
        (np.zeros((4, 2)), r"expected codes of shape \(rows, 3\), got \(4, 2\)"),
        (np.zeros((4, 4)), r"got \(4, 4\)"),
        (np.zeros(3), r"got \(3,\)"),
        (np.zeros((1, 4, 3)), r"got \(1, 4, 3\)"),
        (np.full((4, 3), np.nan), "expected finite codes"),
        (np.full((4, 3), np.inf), "expected finite codes"),
        (np.full((4, 3), 1e300), "more than float32 holds"),
        (np.full((4, 3), "a"), "expected codes that are numbers, got <U1"),
        (np.full((4, 3), None), "expected codes that are numbers, got object"),
        (np.full((4, 3), 1j), "expected codes that are numbers, got complex128"),
    ],
    ids=str,
)
def test_codes_that_cannot_be_decoded_are_refused(codes: np.ndarray, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        inference(vectors(7)).decode(codes)
    assert "\n" not in str(caught.value)


def test_codes_of_any_number_type_and_layout_decode_alike() -> None:
    model = inference(vectors(7))
    codes = np.random.default_rng(0).integers(-3, 4, (5, 3))
    expected = model.decode(codes)
    for dtype in ("float64", "float32", "float16", "int8"):
        assert np.array_equal(model.decode(np.asfortranarray(codes.astype(dtype))), expected)
    assert model.decode(np.zeros((0, 3))).shape == (0, 7)
    many = np.random.default_rng(0).normal(size=(ROWS, 3))
    for given_as in (many[::-1], np.asfortranarray(many)[::-1]):
        assert model.decode(given_as).tobytes() == model.decode(many)[::-1].tobytes()


@pytest.mark.parametrize("name", ["encoder", "code"])
def test_a_module_left_in_training_mode_is_put_right(name: str) -> None:
    """Wholly, or a part of it that knows the difference: before anything passes through it."""
    source = ArraySource(vectors(7))
    model = inference(vectors(7)).model
    expected = Inference(model).encode(source)
    model.module.train()
    assert not any(part.training for part in Inference(model).module.modules())
    parts = {"encoder": nn.Sequential(model.module.network.encoder, Noisy()), "code": model.module.code}
    parts[name].train()
    if name == "encoder":
        model.module.network.encoder = FirstOf(parts[name])
    assert np.array_equal(Inference(model).encode(source), expected)
    assert not parts[name].training


class Noisy(nn.Module):
    """Gives what it is given, in training something else."""

    def forward(self, found: tuple[torch.Tensor, None]) -> tuple[torch.Tensor, None]:
        return (found[0] + 1, None) if self.training else found


class FirstOf(nn.Module):
    """A part that a user has put around another."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part
        self.eval()
        part.train()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        found: tuple[torch.Tensor, None] = self.part(x)
        return found


@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (-np.inf, "infinity")])
def test_a_row_that_is_not_finite_is_named_by_its_source_and_its_own_number(value: float, what: str) -> None:
    rows = vectors(4)
    told = inference(rows)
    rows[BATCH + 104, 2] = value
    for source in (ArraySource(rows, who="x.npy"), Subset(ArraySource(rows, who="x.npy"), np.arange(ROWS))):
        with pytest.raises(
            DataError, match=rf"^x\.npy: .* got {what} in row {BATCH + 104}, column 2; remove"
        ):
            told.encode(source)

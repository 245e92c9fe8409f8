"""Parts drawn at random from the whole catalogue, through the whole way: fit, save, open, use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isthmus import Autoencoder
from isthmus.config.catalogue import CATALOGUE
from isthmus.config.parts import codes, networks
from isthmus.errors import ParameterError
from isthmus.model.build import build

torch.set_num_threads(1)

SHAPES: dict[str, tuple[int, ...]] = {"vectors": (7,), "pictures": (5, 6, 2), "sequences": (9, 2)}
NETWORKS: dict[str, list[Any]] = {
    "vectors": [networks.Dense((6,)), networks.Dense((6,), tied=True), networks.Transformer(1, 8, 1, 2)],
    "pictures": [
        networks.Dense((6,)),
        networks.Conv2d((3,)),
        networks.Conv2d((3,), 2, 2, down="max_pool", up="unpool", switches=True),
        networks.Conv2d((3,), up="resize", residual=1),
        networks.Transformer(3, 8, 1, 2),
    ],
    "sequences": [networks.Conv1d((3,), 4, 2), networks.Transformer(2, 8, 1, 2), networks.Dense((6,))],
}
PENALTIES = sorted(CATALOGUE["penalty"])
CORRUPTIONS = [None, *sorted(CATALOGUE["corruption"])]
CODES = [
    *(entry.description() for entry in CATALOGUE["code"].values()),
    codes.DeterministicCode("sigmoid", noise=0.1, final_noise=0.0),
    codes.GaussianCode(beta=2.0, warm_up_share=0.5, free_bits=0.1),
    codes.GaussianCode(n_draws=3),
]


@st.composite
def choices(draw: Any) -> tuple[str, dict[str, Any]]:
    kind = draw(st.sampled_from(sorted(SHAPES)))
    return kind, {
        "network": draw(st.sampled_from(NETWORKS[kind])),
        "code": draw(st.sampled_from(CODES)),
        "likelihood": draw(st.sampled_from(sorted(CATALOGUE["likelihood"]))),
        "corruption": draw(st.sampled_from(CORRUPTIONS)),
        "penalties": tuple(draw(st.lists(st.sampled_from(PENALTIES), max_size=2, unique=True))),
    }


@settings(max_examples=30)
@given(choices(), st.integers(0, 1000))
@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
def test_any_parts_are_fitted_kept_and_used(
    tmp_path_factory: pytest.TempPathFactory, choice: tuple[str, dict[str, Any]], seed: int
) -> None:
    kind, parts = choice
    X = np.random.default_rng(seed).random((24, *SHAPES[kind])).astype(np.float32)
    model = Autoencoder(
        3, **parts, row_kind=kind, max_epochs=2, batch_size=8, scaling="range", random_state=seed, threads=1
    )
    refusal = None
    try:
        model.fit(X)
    except ParameterError as error:
        refusal = str(error)
    if refusal is not None:
        # Before the first step, in one sentence that names what does not go together.
        assert not hasattr(model, "module_")
        assert "\n" not in refusal
        assume(False)
    h = model.transform(X)
    assert h.shape == (24, 3)
    np.testing.assert_array_equal(h, model.transform(X))
    rebuilt = model.inverse_transform(h)
    assert np.isfinite(rebuilt).all()
    np.testing.assert_array_equal(rebuilt, model.reconstruct(X))
    path: Path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model.save(path)
    again = Autoencoder.open(path)
    np.testing.assert_array_equal(again.transform(X), h)
    np.testing.assert_array_equal(again.inverse_transform(h), rebuilt)
    if model.module_.code.rate_per_unit(torch.zeros(1, model.module_.code.n_inputs(3))) is not None:
        new = model.sample(4, random_state=seed)
        assert new.shape == (4, int(np.prod(SHAPES[kind])))
        np.testing.assert_array_equal(new, again.sample(4, random_state=seed))
    _every_weight_can_learn(model)


def _every_weight_can_learn(model: Autoencoder) -> None:
    """Each parameter has a gradient, for some weights to begin with: rectified units may begin dead."""
    shape = model.module_.sample_shape
    x = torch.rand(16, *shape, generator=torch.Generator().manual_seed(0))
    missing = {name for name, _ in model.module_.named_parameters()}
    for seed in range(8):
        module = build(model.config_.model, shape, seed=seed).train()
        module.objective(x, 0).loss.backward()
        missing -= {
            name for name, p in module.named_parameters() if p.grad is not None and bool(p.grad.any())
        }
    assert not missing

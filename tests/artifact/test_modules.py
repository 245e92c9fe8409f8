"""A model file as a torch module: the whole and its halves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import isthmus
from isthmus.artifact import save_model
from isthmus.artifact.modules import open_module
from isthmus.config.catalogue import Custom
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.likelihoods import Bernoulli, Gaussian
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.errors import ArtifactError, UnknownNameError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.halves import DecoderModule, EncoderModule
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)

MODELS: dict[str, dict[str, Any]] = {
    "linear": {},
    "dense": {"network": Dense((4, 3)), "code": DeterministicCode("relu"), "code_size": 5},
    "gaussian": {"network": Dense((4,)), "code": GaussianCode(), "likelihood": Gaussian("learned")},
    "pictures": {"shape": (6, 5, 3), "network": Conv2d((4, 3)), "likelihood": Bernoulli()},
    "gaussian pictures": {"shape": (6, 5, 1), "network": Conv2d((4,)), "code": GaussianCode()},
}


@pytest.fixture(params=MODELS)
def saved(request: pytest.FixtureRequest, make: Any, tmp_path: Path) -> tuple[Any, Path]:
    model = make(**MODELS[request.param])
    save_model(model, tmp_path / "model.safetensors")
    return model, tmp_path / "model.safetensors"


def test_the_halves_are_the_whole(saved: tuple[Any, Path]) -> None:
    model, path = saved
    whole = open_module(path)
    encoder, decoder = open_module(path, half="encoder"), open_module(path, half="decoder")
    assert (type(whole), type(encoder), type(decoder)) == (AutoencoderModule, EncoderModule, DecoderModule)
    x = Randomness(0).uniform((4, *whole.sample_shape))
    with torch.no_grad():
        code = encoder(x)
        assert torch.equal(code, whole.encode(x))
        assert torch.equal(code, model.module.encode(x))
        assert torch.equal(decoder(code), whole.decode(code))
        assert torch.equal(decoder(code), whole(x))
        assert torch.equal(decoder(code), model.module.reconstruct(x))
    assert code.shape == (4, decoder.code_size)
    assert encoder.sample_shape == whole.sample_shape
    assert not any(module.training for module in (whole, encoder, decoder))


def test_a_half_keeps_its_own_weights_alone(saved: tuple[Any, Path]) -> None:
    _, path = saved
    whole, encoder, decoder = (
        open_module(path),
        *(open_module(path, half=half) for half in ("encoder", "decoder")),
    )
    names = {name.removeprefix("network.") for name in whole.state_dict()}
    halves = [set(half.state_dict()) for half in (encoder, decoder)]
    assert not halves[0] & halves[1]
    assert halves[0] | halves[1] == names


def test_the_public_name_opens_a_run_folder_too(saved: tuple[Any, Path]) -> None:
    _, path = saved
    one, other = isthmus.open(path.parent), isthmus.open(str(path))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_an_opened_module_trains_on(saved: tuple[Any, Path]) -> None:
    module = open_module(saved[1])
    module.objective(Randomness(0).uniform((4, *module.sample_shape)), step=0).loss.backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_an_unknown_half_is_refused_before_the_file_is_read() -> None:
    with pytest.raises(UnknownNameError, match="unknown half 'encode'; did you mean"):
        open_module("missing", half="encode")  # type: ignore[call-overload]


def test_a_missing_custom_part_is_named(make: Any, tmp_path: Path) -> None:
    def factory() -> tuple[nn.Module, nn.Module]:
        return nn.Linear(3, 2), nn.Linear(2, 3)

    model = make(parts={"mine": factory}, network=Custom("mine"))
    path = tmp_path / "m.safetensors"
    save_model(model, path)
    for half in (None, "encoder", "decoder"):
        with pytest.raises(
            ArtifactError, match=r"part of its author's own, 'mine'.*parts=\{'mine': factory\}"
        ):
            open_module(path, half=half)
    x = Randomness(0).uniform((4, 3))
    found = open_module(path, parts={"mine": factory})
    assert torch.equal(found(x), model.module(x))

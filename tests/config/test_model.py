"""A choice of parts, by description, by name and by table."""

from __future__ import annotations

import pytest

from isthmus.config import Model
from isthmus.config.catalogue import CATALOGUE, Custom, part_from, part_name, part_to_dict, target_of
from isthmus.config.parts.codes import DeterministicCode, GaussianCode, QuantisedCode
from isthmus.config.parts.corruptions import GaussianNoise, Masking
from isthmus.config.parts.likelihoods import Bernoulli
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.config.parts.penalties import L1, L2, Contractive
from isthmus.config.recipes import RECIPES, denoising, sparse, variational
from isthmus.errors import ParameterError, UnknownNameError

NAMES = [(family, name) for family, entries in CATALOGUE.items() for name in entries]


@pytest.mark.parametrize(("family", "name"), NAMES)
def test_every_name_leads_to_a_part_and_back(family: str, name: str) -> None:
    part = part_from(family, name)
    assert part is not None
    assert part_name(part) == name
    assert part_from(family, part_to_dict(part)) == part
    assert target_of(part) == CATALOGUE[family][name].target


def test_names_descriptions_and_tables_agree() -> None:
    by_name = Model(
        network="conv2d", code="gaussian", likelihood="bernoulli", corruption="masking", penalties="l1"
    )
    by_part = Model(
        network=Conv2d(), code=GaussianCode(), likelihood=Bernoulli(), corruption=Masking(), penalties=(L1(),)
    )
    by_table = Model(
        network={"type": "conv2d"},
        code={"type": "gaussian", "beta": 1.0},
        likelihood={"type": "bernoulli"},
        corruption={"type": "masking"},
        penalties=[{"type": "l1"}],
    )
    assert by_name == by_part == by_table


def test_none_is_no_corruption_and_no_penalty() -> None:
    assert Model(corruption="none").corruption is None
    assert Model(penalties=["none"]).penalties == ()
    assert Model(penalties=L2(0.1)).penalties == (L2(0.1),)


@pytest.mark.parametrize("family", ["network", "code", "likelihood"])
def test_what_every_model_has_cannot_be_left_out(family: str) -> None:
    with pytest.raises(ParameterError, match=f"Model: {family} cannot be 'none'"):
        Model(**{family: "none"})


def test_a_part_of_another_family_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"corruption must be one of Masking, .*GaussianNoise.*, got L1"):
        Model(corruption=L1())
    with pytest.raises(ParameterError, match="network"):
        Model(network=Masking())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"penalties": ["l3"]},
            r"unknown penalty 'l3'; did you mean 'l1' or 'l2'\? Known: contractive, .*l1",
        ),
        ({"corruption": "maskin"}, "unknown corruption 'maskin'; did you mean 'masking'"),
        ({"network": {"type": "conv3d"}}, "unknown network 'conv3d'; did you mean 'conv1d'"),
        ({"kind": "denoisin"}, "unknown kind 'denoisin'; did you mean 'denoising'"),
        ({"codesize": 3}, "unknown key 'codesize'; did you mean 'code' or 'code_size'"),
        ({"network": {"type": "dense", "hidden": [3]}}, "unknown key 'hidden'"),
        ({"corruption": {"hidden_share": 0.5}}, "a corruption needs its name under 'type'"),
        ({"code": 3}, "code must be a name, a description or a table with 'type', got 3"),
        ({"code_size": 0}, r"Model: code_size must be in \[1, inf\), got 0"),
    ],
)
def test_a_wrong_table_is_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises((ParameterError, UnknownNameError), match=sentence) as caught:
        Model.from_dict(values)
    assert "\n" not in str(caught.value)


def test_an_unknown_kind_is_refused_at_construction() -> None:
    with pytest.raises(UnknownNameError, match="unknown kind 'denoised'"):
        Model(kind="denoised")


def test_a_kind_chooses_parts() -> None:
    assert Model.from_dict({"kind": "sparse"}) == sparse()
    assert sparse(0.5).penalties == (L1(0.5),)
    assert sparse().code == DeterministicCode("relu")
    assert denoising(GaussianNoise(0.1)).corruption == GaussianNoise(0.1)
    assert variational(beta=4).code == GaussianCode(4.0)
    assert RECIPES["contractive"]().penalties == (Contractive(0.1),)
    assert RECIPES["convolutional"]().network == Conv2d()
    assert RECIPES["basic"]() == Model()
    assert RECIPES["quantised"]().code == QuantisedCode(0.1)


def test_keys_go_over_the_kind() -> None:
    model = Model.from_dict({"kind": "variational", "code": {"beta": 4.0}, "network": {"hidden_sizes": [8]}})
    assert model.code == GaussianCode(4.0)
    assert model.network == Dense((8,))
    assert Model.from_dict({"kind": "sparse", "penalties": []}).penalties == ()
    assert Model.from_dict({"kind": "denoising", "corruption": "none"}).corruption is None


def test_a_part_of_ones_own_has_a_name_alone() -> None:
    model = Model(network=Custom("my-net"), penalties=(Custom("mine"),))
    assert model.to_dict()["network"] == {"type": "custom:my-net"}
    assert Model.from_dict(model.to_dict()) == model


def test_defaults_hide_no_penalty() -> None:
    model = Model()
    assert model.penalties == ()
    assert model.corruption is None
    assert model.code == DeterministicCode("identity")

"""The whole config: TOML out and in, settings laid over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.config import Config, Data, Model, Training
from isthmus.config.config import apply_settings, read_toml
from isthmus.config.parts import activations, codes, corruptions, likelihoods, networks, penalties
from isthmus.config.recipes import RECIPES
from isthmus.errors import ParameterError, SourceError, UnknownNameError

SIZES = st.integers(1, 10**6)
WEIGHTS = st.floats(0, 1e300)
SHARES = st.floats(0, 1, exclude_max=True)
ABOVE_0 = st.floats(0, 1e300, exclude_min=True)
ACTIVATIONS = st.sampled_from(get_args(activations.Activation))


def auto(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.just("auto"), strategy)


NETWORKS = st.one_of(
    st.builds(networks.Dense, auto(st.lists(SIZES, max_size=4).map(tuple)), ACTIVATIONS),
    st.integers(1, 6).flatmap(
        lambda stride: st.builds(
            networks.Conv2d,
            auto(st.lists(SIZES, max_size=3).map(tuple)),
            st.integers(stride, 9),
            st.just(stride),
            ACTIVATIONS,
        )
    ),
    st.builds(
        networks.Conv1d,
        auto(st.lists(SIZES, max_size=3).map(tuple)),
        down=st.just("max_pool"),
        up=st.sampled_from(get_args(networks.Up)),
        switches=st.booleans(),
        residual=st.integers(0, 3),
    ),
    st.builds(
        networks.Transformer,
        auto(SIZES),
        st.sampled_from([8, 64, "auto"]),
        st.integers(1, 9),
        st.sampled_from([1, 4, "auto"]),
        ABOVE_0,
    ),
)
CODES = st.one_of(
    st.builds(codes.DeterministicCode, ACTIVATIONS),
    st.builds(codes.GaussianCode, WEIGHTS),
    st.builds(codes.QuantisedCode, ABOVE_0, ABOVE_0, st.integers(1, 100), st.floats(0, 1)),
)
LIKELIHOODS = st.one_of(
    st.just(likelihoods.Bernoulli()),
    st.just(likelihoods.SquaredError()),
    st.builds(likelihoods.Gaussian, st.one_of(ABOVE_0, st.just("learned"))),
    st.builds(likelihoods.DiscretisedLogistic, st.integers(2, 65_536), st.integers(1, 100)),
)
CORRUPTIONS = st.one_of(
    st.none(),
    st.builds(corruptions.Masking, SHARES, st.none() | SHARES, SHARES, st.booleans()),
    st.builds(corruptions.GaussianNoise, WEIGHTS, st.none() | WEIGHTS),
    st.builds(corruptions.SaltAndPepper, SHARES, st.none() | SHARES, st.just(-1.5), WEIGHTS),
    st.builds(corruptions.SaltAndPepper, SHARES),
    st.builds(corruptions.Block, SHARES, st.none() | SHARES, SHARES),
)
PENALTIES = st.one_of(
    st.builds(penalties.L1, WEIGHTS),
    st.builds(penalties.L2, WEIGHTS),
    st.builds(penalties.WeightDecay, WEIGHTS),
    st.builds(penalties.Contractive, WEIGHTS, st.sampled_from(["auto", "exact", "estimate"])),
)
MODELS = st.builds(
    Model,
    kind=st.sampled_from(sorted(RECIPES)),
    code_size=auto(SIZES),
    network=NETWORKS,
    code=CODES,
    likelihood=auto(LIKELIHOODS),
    corruption=CORRUPTIONS,
    penalties=st.lists(PENALTIES, max_size=4).map(tuple),
)
DATA = st.builds(
    Data,
    scaling=st.sampled_from(["auto", "standardise", "range", "raw"]),
    sample_shape=st.none() | st.lists(SIZES, min_size=1, max_size=3).map(tuple),
    resize=st.none() | st.tuples(SIZES, SIZES),
    types=st.none()
    | st.dictionaries(st.text(), st.sampled_from(["count", "category", "ignore"]), max_size=3),
)
TRAININGS = st.builds(
    Training,
    epochs=auto(SIZES),
    batch_size=auto(SIZES),
    micro_batch=auto(SIZES),
    learning_rate=auto(ABOVE_0),
    schedule=st.sampled_from(["cosine", "constant"]),
    warm_up_share=SHARES,
    weight_decay=WEIGHTS,
    gradient_clip=st.none() | ABOVE_0,
    validation_share=SHARES,
    patience=st.none() | auto(st.floats(0, 1, exclude_min=True)),
    seed=st.none() | st.integers(0, 2**32 - 1),
    device=st.sampled_from(["auto", "cpu", "cuda", "mps"]),
    threads=auto(SIZES),
    precision=st.sampled_from(["float32", "bfloat16"]),
)
CONFIGS = st.builds(Config, data=DATA, model=MODELS, training=TRAININGS)


@settings(max_examples=60)
@given(CONFIGS)
def test_any_config_survives_toml(config: Config) -> None:
    assert Config.from_toml(config.to_toml()) == config
    assert Config.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_every_recipe_survives_toml(kind: str) -> None:
    config = Config(model=RECIPES[kind]())
    assert Config.from_toml(config.to_toml()) == config
    assert Config.from_dict({"model": {"kind": kind}}) == config


def test_every_default_is_explicit() -> None:
    values = Config().to_dict()
    assert set(values["training"]) == set(Training().get_params())
    assert set(values["model"]) == set(Model().get_params())
    assert values["training"]["seed"] == "none"


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        ("model = ", ParameterError, "is not valid TOML"),
        ("[modle]\n", UnknownNameError, "unknown section 'modle'; did you mean 'model'"),
        ("model = 3", ParameterError, r"\[model\] must be a table of keys, got 3"),
        ("[training]\nepoch = 3", UnknownNameError, "Training: unknown key 'epoch'; did you mean 'epochs'"),
        ("[training]\nepochs = 0", ParameterError, r"Training: epochs must be in \[1, inf\), got 0"),
    ],
)
def test_a_wrong_document_is_one_sentence(text: str, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        Config.from_toml(text)


def test_read_toml(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[training]\nepochs = 3\n", "utf-8")
    assert read_toml(path) == {"training": {"epochs": 3}}
    with pytest.raises(SourceError, match=r"cannot be read: No such file.*Give a TOML file"):
        read_toml(tmp_path / "none.toml")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match="it is not UTF-8 text"):
        read_toml(path)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("training.epochs=20", {"training": {"epochs": 20}}),
        ("training.learning_rate=1e-3", {"training": {"learning_rate": 0.001}}),
        ("training.device=cpu", {"training": {"device": "cpu"}}),
        (" training.schedule = constant ", {"training": {"schedule": "constant"}}),
        ("model.network.hidden_sizes=[512, 256]", {"model": {"network": {"hidden_sizes": [512, 256]}}}),
        (
            "model.penalties=[{type='l1', weight=0.1}]",
            {"model": {"penalties": [{"type": "l1", "weight": 0.1}]}},
        ),
        ("data.types.age=category", {"data": {"types": {"age": "category"}}}),
        ("data.types.chest pain=ignore", {"data": {"types": {"chest pain": "ignore"}}}),
        ("data.types.'a.b=c'=count", {"data": {"types": {"a.b=c": "count"}}}),
        ('data.types."a.b" = date', {"data": {"types": {"a.b": "date"}}}),
    ],
)
def test_apply_settings(setting: str, expected: dict[str, Any]) -> None:
    assert apply_settings({}, [setting]) == expected


def test_settings_go_over_values_and_leave_them_alone() -> None:
    values = {"model": {"network": "conv2d", "code_size": 3}}
    laid = apply_settings(values, ["model.network.kernel_size=3", "model.code_size=8", "model.code_size=9"])
    assert laid == {"model": {"network": {"type": "conv2d", "kernel_size": 3}, "code_size": 9}}
    assert values == {"model": {"network": "conv2d", "code_size": 3}}
    whole = apply_settings(
        {"model": {"corruption": {"type": "masking", "hidden_share": 0.5}}}, ["model.corruption=none"]
    )
    assert Config.from_dict(whole).model.corruption is None


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("training.epochs", "expected KEY=VALUE, got 'training.epochs'"),
        ("=3", "expected KEY=VALUE"),
        ("epochs=3", "unknown section 'epochs'"),
        ("trainig.epochs=3", "unknown section 'trainig'; did you mean 'training'"),
        ("model.code_size.x=3", "goes into code_size, which is no table"),
    ],
)
def test_a_wrong_setting_is_one_sentence(setting: str, sentence: str) -> None:
    with pytest.raises((ParameterError, UnknownNameError), match=sentence):
        apply_settings({"model": {"code_size": 3}}, [setting])


def test_copies_with_some_parameters_set() -> None:
    config = Config()
    assert config.with_training(epochs=3).training == Training(epochs=3)
    assert config.with_model(code_size=3).model == Model(code_size=3)
    assert config.with_data(scaling="raw").data == Data(scaling="raw")
    assert config == Config()


def test_a_config_tells_its_format_and_is_read_without() -> None:
    text = Config().to_toml()
    assert text.startswith("format = 1\n")
    assert Config.from_toml(text) == Config.from_toml(text.replace("format = 1\n", "")) == Config()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "format = 2\n[future]\n",
            r"is of config format 2, and this isthmus, [0-9.]+, reads up to 1\. Install a newer",
        ),
        ("format = 0", "format must be a whole number from 1 on, got 0"),
        ("format = true", "got True"),
        ("format = '1'", "got '1'"),
    ],
)
def test_what_is_of_another_format_is_told(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError, match=match) as caught:
        read_toml(path)
    assert str(path) in str(caught.value)

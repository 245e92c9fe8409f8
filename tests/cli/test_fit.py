"""``isthmus fit``: what it writes, what it prints, and which setting wins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.artifact import open_model
from isthmus.cli.settings import read_config
from isthmus.config import Config
from isthmus.config.parts.codes import DeterministicCode
from isthmus.config.parts.penalties import L1
from isthmus.journal import read_journal
from isthmus.training.progress import ProgressBar

Command = Callable[..., Any]
Quick = tuple[str, ...]


def test_a_model_alone(place: Path, isthmus: Command, quick: Quick, contents: Callable[[Path], Any]) -> None:
    before = set(contents(place))
    done = isthmus("fit", "pictures.npy", "-o", "new.safetensors", *quick)
    assert done.status == 0, done.err
    assert set(contents(place)) - before == {"new.safetensors"}
    assert done.err == ""  # no progress bar where stderr is no terminal
    for text in ("40 pictures 8 x 8 x 1, uint8", "36 to learn from, 4 for validation", "8-", "new.safetensors",
                 "3 units", "against PCA", "mean"):  # fmt: skip
        assert text.rstrip("-") in done.out


def test_json_is_the_only_thing_on_stdout(place: Path, isthmus: Command, quick: Quick) -> None:
    done = isthmus("fit", "pictures.npy", "-o", "new.safetensors", *quick, "--json")
    assert (done.status, done.err) == (0, "")
    found = done.json
    assert {
        "model",
        "run",
        "config",
        "metrics",
        "best_epoch",
        "epochs",
        "reason",
        "seconds",
        "notes",
        "resume",
    } == set(found) - set(found["metrics"])
    assert {key: found[key] for key in found["metrics"]} == found["metrics"]
    assert (found["model"], found["run"]) == ("new.safetensors", None)
    assert found["metrics"]["rows"] == 4
    assert found["metrics"]["error"]["mse"] == pytest.approx(found["metrics"]["error"]["sse"] / 64)
    assert (
        {"sse", "mse"}
        == set(found["metrics"]["baselines"]["pca"])
        == set(found["metrics"]["baselines"]["mean"])
    )
    assert found["metrics"] == open_model("new.safetensors").metrics
    assert Config.from_dict(found["config"]) == open_model("new.safetensors").config


def test_the_same_command_gives_the_same_bytes(place: Path, isthmus: Command) -> None:
    command = (
        "fit",
        "pictures.npy",
        "--epochs",
        "2",
        "--code-size",
        "3",
        "--set",
        "model.network.hidden_sizes=[8]",
    )
    for name, seed in (("one", "0"), ("two", "0"), ("other", "1")):
        assert isthmus(*command, "--seed", seed, "-o", f"{name}.safetensors").status == 0
    one, two, other = (Path(f"{name}.safetensors").read_bytes() for name in ("one", "two", "other"))
    assert one == two
    assert one != other


def test_a_run_folder_is_made_and_counted(place: Path, isthmus: Command, quick: Quick) -> None:
    for number in ("01", "02"):
        done = isthmus("fit", "pictures.npy", *quick, "--json")
        assert done.status == 0, done.err
        assert Path(done.json["run"]).as_posix() == f"runs/pictures-basic-{number}"
    folder = Path("runs/pictures-basic-01")
    assert {path.name for path in folder.iterdir()} == {
        "config.toml", "environment.json", "journal.jsonl", "model.safetensors", "report.html", "run.json"
    }  # fmt: skip
    assert isthmus("info", folder).status == 0


def test_a_run_can_be_repeated_from_its_config(place: Path, isthmus: Command, quick: Quick) -> None:
    assert isthmus("fit", "pictures.npy", "--run", "first", "-o", "m.safetensors", *quick).status == 0
    assert Path("m.safetensors").read_bytes() == Path("first/model.safetensors").read_bytes()
    plan = Config.from_toml(Path("first/config.toml").read_text("utf-8")).training
    assert "auto" not in str(plan.replace(micro_batch=1))  # which memory decides, should it run out
    assert (
        isthmus("fit", "pictures.npy", "--config", "first/config.toml", "-o", "again.safetensors").status == 0
    )
    again, first = open_model("again.safetensors"), open_model("m.safetensors")
    assert (again.config, again.metrics) == (first.config, first.metrics)
    for name, weights in first.module.state_dict().items():
        assert torch.equal(again.module.state_dict()[name], weights), name


def test_what_a_run_notes(place: Path, isthmus: Command, quick: Quick) -> None:
    assert isthmus("fit", "pictures.npy", "--run", "first", *quick).status == 0
    events = read_journal(Path("first/journal.jsonl"))
    assert [event["event"] for event in events] == ["begin", "epoch", "end", "note", "measured"]
    assert events[3]["text"].startswith("No better than the mean")  # after one epoch
    assert events[1]["training"]["loss"] > 0
    found = json.loads(Path("first/environment.json").read_text("utf-8"))
    assert {"isthmus", "python", "torch", "numpy", "platform", "threads", "device"} <= set(found)
    assert "<html" in Path("first/report.html").read_text("utf-8")


def test_force_replaces(place: Path, isthmus: Command, quick: Quick) -> None:
    assert isthmus("fit", "pictures.npy", "--run", "first", *quick).status == 0
    assert isthmus("fit", "pictures.npy", "--run", "first", *quick).status == 2
    assert isthmus("fit", "pictures.npy", "--run", "first", "--force", *quick).status == 0
    assert len(read_journal(Path("first/journal.jsonl"))) == 5


def test_an_interrupted_fit_is_kept(
    place: Path, isthmus: Command, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: ProgressBar, epoch: Any) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "epoch", interrupt)
    done = isthmus("fit", "pictures.npy", "--run", "first", *quick[2:], "--epochs", "50")
    assert done.status == 130
    assert "interrupted after 2 whole epochs" in done.out
    assert read_journal(Path("first/journal.jsonl"))[-2]["reason"] == "interrupted"
    assert isthmus("encode", "first", "pictures.npy", "-o", "c.npy").status == 0


def test_interrupted_before_the_training(
    place: Path, isthmus: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("isthmus.workflows.run.prepare", interrupt)
    done = isthmus("fit", "pictures.npy")
    assert (done.status, done.out, done.err) == (
        130,
        "",
        "isthmus: interrupted; only what was complete by then is written.\n",
    )
    assert not Path("runs").exists()


def test_a_failed_run_leaves_no_empty_folder(
    place: Path, isthmus: Command, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = isthmus("fit", "table.npy", "--run", "first", *quick, "--set", "training.learning_rate=1e30",
                   "--set", "training.gradient_clip=none")  # fmt: skip
    assert done.status == 2
    assert "not finite" in done.err
    assert not Path("first").exists()


def test_validation_rows_of_their_own(place: Path, isthmus: Command, quick: Quick) -> None:
    done = isthmus(
        "fit", "pictures.npy", "--validation", "labelled.npz", "-o", "n.safetensors", *quick, "--json"
    )
    assert done.json["metrics"]["rows"] == 20


def test_flat_rows_as_pictures(place: Path, isthmus: Command, quick: Quick) -> None:
    np.save("flat.npy", np.load("pictures.npy").reshape(40, 64))
    done = isthmus(
        "fit", "flat.npy", "-o", "n.safetensors", *quick, "--set", "data.sample_shape=[8,8]", "--json"
    )
    assert done.status == 0, done.err
    assert isthmus("encode", "n.safetensors", "flat.npy", "-o", "flat-codes.npy").status == 0
    assert isthmus("encode", "n.safetensors", "pictures.npy", "-o", "codes.npy").status == 0
    np.testing.assert_array_equal(np.load("codes.npy"), np.load("flat-codes.npy"))


def test_flags_win_over_the_file_and_settings_over_flags(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[model]\nkind = 'denoising'\ncode_size = 4\n[training]\nepochs = 7\nseed = 1\n", "utf-8")
    config = read_config(file, code_size=5, epochs=8, settings=["training.epochs=9", "training.patience=0.5"])
    assert (config.model.kind, config.model.code_size) == ("denoising", 5)
    assert (config.training.epochs, config.training.seed, config.training.patience) == (9, 1, 0.5)
    assert config.model.corruption is not None


@pytest.mark.parametrize("flags", [{"kind": "sparse"}, {"settings": ["model.kind=sparse"]}], ids=str)
def test_a_kind_replaces_the_recipe_of_the_file(tmp_path: Path, flags: dict[str, Any]) -> None:
    """A run's config.toml spells every part out; a new kind must not be its label alone."""
    file = tmp_path / "c.toml"
    file.write_text(Config.from_dict({"model": {"kind": "denoising", "code_size": 4}}).to_toml(), "utf-8")
    model = read_config(file, **flags).model
    assert (model.kind, model.code_size, model.corruption) == ("sparse", 4, None)
    assert (model.code, model.penalties) == (DeterministicCode("relu"), (L1(0.01),))


def test_settings_refine_the_kind() -> None:
    model = read_config(None, kind="sparse", settings=["model.code.activation=sigmoid"]).model
    assert (model.code, model.penalties) == (DeterministicCode("sigmoid"), (L1(0.01),))

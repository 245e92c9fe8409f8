"""Files that were made once are read for ever, as they were read then."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

torch.set_num_threads(1)

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "golden.py"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden = _script()
FILES = [
    pytest.param(folder, path.name, id=f"{folder.name}/{path.name}")
    for folder in golden.sets()
    for path in sorted(folder.iterdir())
    if path.name != "expected.npz"
]


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_a_file_is_read_as_when_it_was_made(folder: Path, name: str) -> None:
    assert golden.differences(folder, name) == []


def test_every_file_of_a_set_has_values_that_it_is_compared_with() -> None:
    for folder in golden.sets():
        with np.load(folder / "expected.npz") as expected:
            told = {key.partition("/")[0] for key in expected}
        assert told == {path.name for path in folder.iterdir()} - {"expected.npz"}


def test_the_last_set_has_a_file_of_every_reader() -> None:
    last = golden.sets()[-1]
    assert {path.name for path in last.iterdir()} == {*golden.READERS, "expected.npz"}


def test_another_value_is_told(tmp_path: Path) -> None:
    folder = golden.sets()[-1]
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    shutil.copy(folder / "detector.safetensors", tmp_path / "basic.safetensors")
    assert any("codes" in line for line in golden.differences(tmp_path, "basic.safetensors"))
    text = (tmp_path / "config.toml").read_text(encoding="utf-8").replace("0.25", "0.5")
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    assert golden.differences(tmp_path, "config.toml") == [
        "config.toml: model.corruption.hidden_share is array('0.5', dtype='<U3') and was array('0.25', dtype='<U4')"
    ]


def test_a_set_is_never_made_over_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(golden, "SETS", tmp_path)
    monkeypatch.setattr(golden, "MAKERS", (made.append,))
    monkeypatch.setattr(golden, "READERS", {})
    (tmp_path / "004").mkdir()
    assert golden.make() == tmp_path / "005"
    assert made == [tmp_path / "005"]
    assert golden.make() == tmp_path / "006"

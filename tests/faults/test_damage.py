"""A short form of the drill of damaged files, and that it can fail."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from isthmus.sources import npz

torch.set_num_threads(1)


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("damage", Path(__file__).with_name("damage.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["damage"] = module
    spec.loader.exec_module(module)
    return module


damage = _module()
PROTECTED = [kind for kind in damage.kinds() if kind not in damage.UNCHECKED]


@pytest.mark.parametrize("kind", damage.kinds())
def test_a_damaged_file_is_told_or_read_as_if_it_were_whole(kind: str) -> None:
    found = damage.damage_drill(kind, 60, seed=3)
    assert found.wrong == []
    assert found.refused + found.read + found.changed >= 100
    assert found.changed == 0 or kind in damage.UNCHECKED


def test_the_kinds_without_a_check_are_known() -> None:
    assert set(damage.UNCHECKED) < set(damage.kinds())
    assert len(PROTECTED) >= 17


@pytest.mark.parametrize("kind", damage.CHECKS)
def test_the_drill_finds_wrong_values_without_the_digest(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for room, name in damage.CHECKS.values():  # as they are, and so given back
        module = importlib.import_module(room)
        monkeypatch.setattr(module, name, getattr(module, name))
    damage.undigested(kind)
    assert any("other values" in line for line in damage.damage_drill(kind, 500, seed=0).wrong)


def test_the_drill_finds_lost_arrays_without_a_look_at_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"codes", "labels", "scale", "rows"}

    def first(self: Any, path: Path, archive: Any) -> None:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        self._path, self._archive = path, archive
        self._members = {name: member for name, member in members.items() if name in known}

    monkeypatch.setattr(npz.Npz, "__init__", first)
    assert damage.damage_drill("codes.npz", 800, seed=0).wrong

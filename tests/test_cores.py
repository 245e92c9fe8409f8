"""Cores that a process may use."""

from __future__ import annotations

import os

import pytest

from isthmus.cores import n_cores


def test_cores_are_those_that_the_process_was_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert n_cores() == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    assert n_cores() == 64

"""How long a model of pictures is fitted: what is planned for some seconds."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from isthmus.codec.coding.context_fit import (
    WORK_OF_A_MIXTURE,
    WORK_OF_A_STEP,
    facts_of,
    levels_of,
    work_of_a_row,
)
from isthmus.training.callbacks import Callback
from isthmus.workflows import archive_pictures
from isthmus.workflows.archive_pictures import fitted_context


def planned(rows: np.ndarray, seconds: float) -> tuple[int, float]:
    found = list[tuple[int, float]]()
    fitted_context(rows, seconds, lambda *plan: found.append(plan), nullcontext(Callback()))
    return found[0]


def test_a_fit_fills_its_seconds_with_steps_and_what_is_done_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).integers(0, 9, (640, 6, 6)).astype(np.uint8)
    levels = levels_of(rows)
    assert levels is not None
    facts = facts_of(rows, levels)
    a_step = 128 * work_of_a_row(facts, 9, 640)  # 128 pictures are a step, of 16 places each
    assert facts.n_mixtures
    shapes = [(len(facts.offsets) + 1 + 12, 32), (32, 32), (32, len(facts.marked) + 3 * facts.n_mixtures)]
    n_weights = sum(n_in * n_out + n_out for n_in, n_out in shapes)
    assert a_step == pytest.approx(WORK_OF_A_STEP + 2048 * (3 * n_weights + WORK_OF_A_MIXTURE))
    monkeypatch.setattr(archive_pictures, "RATE", 5 * a_step)  # so many steps a second, and 5 are an epoch
    assert planned(rows, 3.4) == (3, pytest.approx(3))
    assert planned(rows, 0) == (1, pytest.approx(1))

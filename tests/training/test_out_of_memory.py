"""A fit whose activations do not fit into the address space ends as one that has room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FIT = """
import json, os, sys
import numpy as np, torch
from isthmus.config import Model, Training
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.corruptions import Masking
from isthmus.config.parts.networks import Conv2d
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.training import micro
from isthmus.training.loop import Trainer
from isthmus.training.rows import TensorRows

torch.set_num_threads(1)
room, path, halves, free_bits = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "halves", float(sys.argv[4])
if not halves:
    micro.is_out_of_memory = lambda error: False
x = Randomness(0).uniform((4096, 1, 24, 24))
described = Model(
    code_size=4, network=Conv2d((16, 32)), code=GaussianCode(free_bits=free_bits), likelihood="squared_error",
    corruption=Masking(0.3),
)
module = build(described, (1, 24, 24), seed=0)
module.objective(x[:8], 0).loss.backward()
if room:
    import resource
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + room * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
plan = Training(epochs=2, batch_size=4096, learning_rate=0.002, patience=None, seed=0, device="cpu", threads=1)
try:
    history = Trainer(module, plan).fit(TensorRows(x))
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
else:
    np.savez(path, **{name: value.numpy() for name, value in module.state_dict().items()})
    losses = [epoch.training["loss"] for epoch in history.epochs]
    print(json.dumps({"notes": history.notes, "losses": losses}))
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits as Linux knows them")


def fit(room: int, path: Path, how: str = "halves", *, free_bits: float = 0.0) -> dict[str, Any]:
    """In a process of its own, with ``room`` MiB left, or without a limit."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", FIT, str(room), str(path), how, str(free_bits)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_parts_become_smaller_and_the_result_stays(tmp_path: Path) -> None:
    free = fit(0, tmp_path / "free.npz")
    assert not free["notes"]
    limited = fit(160, tmp_path / "limited.npz")
    assert "error" not in limited, limited
    assert len(limited["notes"]) >= 2
    assert all(note.startswith("Memory ran out in step ") for note in limited["notes"])
    np.testing.assert_allclose(limited["losses"], free["losses"], rtol=1e-6)
    with np.load(tmp_path / "free.npz") as expected, np.load(tmp_path / "limited.npz") as found:
        for name in expected.files:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_without_halving_it_fails(tmp_path: Path) -> None:
    assert "memory ran out beside the steps" in fit(160, tmp_path / "none.npz", "whole")["error"]


def test_terms_of_whole_batches_say_so(tmp_path: Path) -> None:
    said = fit(160, tmp_path / "none.npz", free_bits=0.1)["error"]
    assert said.startswith(
        "TrainingError: training: memory ran out in step 1, and its batch of 4,096 rows cannot"
    )
    assert "free_bits of the code Gaussian needs all rows of a batch at once." in said

"""What starts at once: neither ``import isthmus`` nor any ``--help`` waits for a heavy library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

HEAVY = ("torch", "sklearn", "scipy", "matplotlib", "pandas", "polars")
SHOW = f"import sys; print('heavy:', *[name for name in {HEAVY!r} if name in sys.modules])"
HELP = f"""
import sys
from isthmus.cli.main import run

sys.argv = ["isthmus", *sys.argv[1:]]
try:
    status = run()
except SystemExit as stop:
    status = stop.code
assert not status, status
{SHOW}
"""
REFUSED = HELP.replace("assert not status", "assert status == 2")
VERBS = ("fit", "info", "encode", "decode", "reconstruct", "sample", "interpolate", "report", "demo")

Process = Callable[..., "CompletedProcess[str]"]


def output(process: Process, code: str, *arguments: str) -> tuple[str, str]:
    """What ``code`` prints in a fresh interpreter, and the heavy libraries loaded at its end."""
    done = process("python", "-c", code, *arguments)
    assert done.returncode == 0, done.stderr
    text, _, heavy = done.stdout.rpartition("heavy:")
    return text, heavy.strip()


def test_the_measure_sees_a_heavy_import(process: Process) -> None:
    assert output(process, f"import scipy\n{SHOW}") == ("", "scipy")


def test_import_is_light(process: Process) -> None:
    assert output(process, f"import isthmus; dir(isthmus)\n{SHOW}") == ("", "")


@pytest.mark.parametrize("arguments", [["--version"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_is_light(process: Process, arguments: list[str]) -> None:
    text, heavy = output(process, HELP, *arguments)
    assert heavy == ""
    assert text


def test_help_lists_every_verb(process: Process) -> None:
    text, heavy = output(process, HELP, "--help")
    assert heavy == ""
    assert [verb for verb in VERBS if verb not in text.split()] == []


@pytest.mark.parametrize("arguments", [["fit", "nowhere.csv"], ["compare", "nowhere"]], ids=" ".join)
def test_a_wrong_path_is_told_before_torch_is_imported(process: Process, arguments: list[str]) -> None:
    _, heavy = output(process, REFUSED, *arguments)
    assert "torch" not in heavy.split()


def test_an_archive_needs_no_torch(process: Process) -> None:
    loaded = "print('constriction' in sys.modules or 'pyarrow' in sys.modules)"
    code = f"import sys, isthmus.codec.container, isthmus.codec.container.general\n{loaded}\n{SHOW}"
    assert output(process, code) == ("False\n", "")


def test_rows_of_an_archive_need_no_torch(process: Process, tmp_path: Path) -> None:
    path = str(tmp_path / "a.isth")
    code = (
        f"import numpy as np, sys, isthmus\nisthmus.compress(np.arange(40), {path!r})\n"
        f"with isthmus.open_archive({path!r}) as rows:\n    print(rows[3:5].tolist())\n"
        "print('torch' in sys.modules)"
    )
    assert process("python", "-c", code).stdout.split() == ["[3,", "4]", "False"]


UNUSED = ("sklearn.mixture", "sklearn.cluster", "sklearn.decomposition", "sklearn", "scipy.stats")
FIT = f"""
import sys
from isthmus.cli.main import run

sys.argv = ["isthmus", "fit", *sys.argv[1:], "--epochs", "1", "--seed", "0", "--json"]
assert not run()
print('heavy:', *[name for name in {UNUSED!r} if name in sys.modules])
"""


def test_a_fit_needs_no_scikit_learn(process: Process, tmp_path: Path) -> None:
    rows, model = tmp_path / "rows.npy", tmp_path / "a.safetensors"
    np.save(rows, np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32))
    text, heavy = output(process, FIT, str(rows), "-o", str(model))
    assert heavy == ""
    assert text


def test_an_estimator_needs_no_mixtures(process: Process) -> None:
    code = (
        "import sys, numpy as np, isthmus\nrows = np.random.default_rng(0).normal(size=(200, 8))\n"
        "isthmus.Autoencoder(2, max_epochs=1, random_state=0).fit(rows).transform(rows[:1])\n"
        f"print('heavy:', *[name for name in {UNUSED[:3]!r} if name in sys.modules])"
    )
    assert output(process, code) == ("", "")


COMPILER = ("torch._dynamo", "sympy")


@pytest.mark.parametrize("network", [{"type": "dense"}, {"type": "conv2d"}, {"type": "transformer"}])
@pytest.mark.parametrize("kind", ["basic", "contractive", "variational"])
def test_a_fit_needs_nothing_of_the_compiler(process: Process, kind: str, network: dict[str, str]) -> None:
    """PyTorch imports it for every optimiser, flop counter and module made of nothing: a second and 70 MB."""
    code = f"""
import sys, numpy as np
from isthmus.config import Config
from isthmus.sources.arrays import ArraySource
from isthmus.workflows.fit import fit
rows = np.random.default_rng(0).random((40, 8, 8, 1)).astype(np.float32)
config = {{"model": {{"kind": {kind!r}, "code_size": 2, "network": {network!r}}}, "training": {{"epochs": 1}}}}
fit(ArraySource(rows, sample_shape=(8, 8, 1)), Config.from_dict(config))
print([name for name in {COMPILER!r} if name in sys.modules])
"""
    done = process("python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"

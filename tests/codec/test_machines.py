"""Archives are read, and with a model that is given written, to the same bytes by every machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import golden_archives
import pytest
import slow_contents

PROGRAM = Path(__file__).with_name("machine.py")
SSE = {
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
AVX2 = {
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
AVX512 = {
    "OPENBLAS_CORETYPE": "SkylakeX",
    "ATEN_CPU_CAPABILITY": "avx512",
    "MKL_ENABLE_INSTRUCTIONS": "AVX512",
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
}
ONE, TWO = ({f"{name}_NUM_THREADS": n for name in ("OMP", "MKL", "OPENBLAS")} for n in ("1", "2"))
MACHINES = {"sse": SSE | ONE, "avx2": AVX2 | TWO, "avx512": AVX512 | ONE}


def on(machine: str, folder: Path, environment: dict[str, str], *words: str) -> dict[str, Any]:
    """What a machine found."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), machine, *words],
        env={**environment, **MACHINES[machine]},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_machine_reads_and_writes_the_same(tmp_path: Path, environment: dict[str, str]) -> None:
    """Two fit a model too, which is another one on each; what is coded with it is read by the ones after them."""
    (tmp_path / "columns.csv").write_text(golden_archives.columns(300), newline="\n")
    found = {
        name: on(name, tmp_path, environment, *(() if name == "avx512" else ("fit",))) for name in MACHINES
    }
    last = found["avx512"]
    for one in found.values():
        assert {key: value for key, value in one.items() if key != "others"} == {
            key: value for key, value in last.items() if key != "others"
        }
    assert list(last["others"]) == ["fitted-avx2", "fitted-sse"]
    assert last["others"]["fitted-avx2"] == last["others"]["fitted-sse"]
    text = (tmp_path / "columns.csv").read_bytes()
    assert all(slow_contents.read(tmp_path / f"{name}.isth") == text for name in last["others"])


def test_the_drill_of_machines_can_fail(tmp_path: Path, environment: dict[str, str]) -> None:
    """A sum of real numbers in place of whole ones, and the self-tests off."""
    found = [on(name, tmp_path, environment, "spoilt") for name in MACHINES]
    assert len({json.dumps(one) for one in found}) > 1


@pytest.mark.parametrize("name", ["bits-back-levels", "chain"])
def test_a_machine_that_computes_otherwise_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import isthmus
    from isthmus.codec.frozen.network import FrozenNetwork

    own = FrozenNetwork.__call__
    monkeypatch.setattr(FrozenNetwork, "__call__", lambda self, a: own(self, a) + 1)
    with pytest.raises(isthmus.errors.ArtifactError, match="self-test"):
        isthmus.open_archive(golden_archives.PLACE / f"{name}.isth")

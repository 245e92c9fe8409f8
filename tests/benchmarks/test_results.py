"""What make bench-quick says of its ratios: worse beyond the noise, better, the same, of another machine."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

Found = dict[str, Any]


@pytest.fixture(scope="module")
def results(repository: Path) -> Any:
    path = repository / "benchmarks" / "speed" / "results.py"
    spec = importlib.util.spec_from_file_location("speed_results", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def found(values: list[float], *, more_is_better: bool = True) -> Found:
    ratio = {"values": values, "floor": 1.0, "aim": 1.5, "more_is_better": more_is_better, "unit": ""}
    machine = {"processor": "P", "cores": 2, "torch": "2.13.0", "instructions": "AVX2", "load_before": 0.1}
    machine |= {"date": "2026-11-30", "memory_gb": 8.0, "system": "Linux", "python": "3.11.7"}
    machine |= {"square_gflops": 100.0, "copied_gb_a_second": 20.0, "clock": "the clock"}
    task = {
        "words": "Work.",
        "taken": {"isthmus": [1.0, 1.1, 1.2]},
        "threads": {"isthmus": 1},
        "units": {"isthmus": "s"},
        "facts": {},
    }
    task |= {
        "errors": {"isthmus": 3.25},
        "ratios": {"over plain": ratio},
        "rates": {"isthmus": [50.0, "rows/s"]},
    }
    return {
        "form": "quick",
        "machine": machine,
        "peers": {"pythae": "0.1.2"},
        "tasks": {"dense": task},
        "failed": {},
    }


@pytest.mark.parametrize("more_is_better", [True, False])
def test_a_change_counts_where_no_round_reaches_those_of_before(results: Any, more_is_better: bool) -> None:
    low, high = found([1.0, 1.1, 1.2]), found([1.3, 1.35, 1.4])
    for each in (low, high):
        each["tasks"]["dense"]["ratios"]["over plain"]["more_is_better"] = more_is_better
    worse, better = results.compared(low, high)
    assert (len(worse), len(better)) == ((1, 0) if more_is_better else (0, 1))
    assert "1.1 (1 to 1.2), it was 1.35 (1.3 to 1.4)" in (worse or better)[0]
    worse, better = results.compared(high, low)
    assert (len(worse), len(better)) == ((0, 1) if more_is_better else (1, 0))


@pytest.mark.parametrize(
    ("now", "why"),
    [([0.8, 0.85, 1.05], "a round reaches those of before"), ([0.96, 0.97, 0.98], "less than 5 %")],
)
def test_noise_is_no_change(results: Any, now: list[float], why: str) -> None:
    assert results.compared(found(now), found([1.0, 1.01, 1.02])) == ([], []), why


def test_tasks_of_one_run_alone_are_left_out(results: Any) -> None:
    other = found([9.0, 9.0, 9.0])
    other["tasks"]["conv"] = other["tasks"].pop("dense")
    assert results.compared(found([1.0, 1.0, 1.0]), other) == ([], [])


def test_other_machines_are_told_apart(results: Any) -> None:
    then = found([1.0])
    now = copy.deepcopy(then)
    assert results.differences(now, then) == []
    now["machine"]["cores"] = 8
    assert results.differences(now, then) == ["cores 8, not 2"]


def test_the_table_holds_medians_verdicts_and_errors(results: Any, tmp_path: Path) -> None:
    text = results.table(found([0.9, 0.8, 0.95]))
    assert "| dense | over plain | 0.9 | 0.8 to 0.95 | 1 | 1.5 | below the floor |" in text
    assert "| isthmus | 1 | 1.1 s | 45.45 rows/s | 3.25 |" in text
    assert "Preliminary" not in text
    busy = found([0.9])
    busy["machine"]["load_before"] = 3.0
    assert "**Preliminary**" in results.table(busy)
    assert results.write(busy, tmp_path) == tmp_path / "2026-11-30.json"
    assert sorted(each.suffix for each in tmp_path.iterdir()) == [".json", ".md", ".png"]


def test_results_are_compared_with_those_of_such_a_machine(results: Any, tmp_path: Path) -> None:
    """Two processors of one maker can have one name and half of each other's speed."""
    old, new, other = found([1.0]), found([2.0]), found([3.0])
    new["machine"]["date"] = "2026-12-02"
    other["machine"] |= {"date": "2026-12-02", "processor": "Q"}
    assert results.kept(tmp_path, old) is None
    names = [results.write(each, tmp_path).name for each in (old, new, other, new)]
    assert names == ["2026-11-30.json", "2026-12-02.json", "2026-12-02-2.json", "2026-12-02.json"]
    assert results.kept(tmp_path, old) == new
    assert results.kept(tmp_path, other) == other
    old["machine"]["processor"] = "R"
    assert results.kept(tmp_path, old) == other

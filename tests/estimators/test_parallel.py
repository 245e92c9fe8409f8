"""Several fits at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score

from isthmus import Autoencoder, parallel_fits
from isthmus.cores import n_cores
from isthmus.errors import IsthmusError, ParameterError, ProcessError
from isthmus.estimators import forked, parallel
from isthmus.estimators.forked import ForkedProcesses

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")

X = np.random.default_rng(0).normal(size=(1500, 12)).astype(np.float32)
QUICK: dict[str, Any] = {"max_epochs": 2, "random_state": 0, "device": "cpu"}


class Ended(BaseEstimator):
    """An estimator whose process is killed."""

    def fit(self, X: Any, y: Any = None) -> Ended:
        os.kill(os.getpid(), signal.SIGKILL)
        return self

    def score(self, X: Any, y: Any = None) -> float:
        return 0.0


def test_a_search_ends_in_the_same_bits_as_one_after_the_other() -> None:
    grid = {"n_components": [1, 2], "learning_rate": [1e-3, 1e-2]}
    search = GridSearchCV(Autoencoder(**QUICK), grid, cv=2, error_score="raise")
    one_by_one = search.fit(X).cv_results_["mean_test_score"]
    with parallel_fits(2):
        at_once = search.fit(X).cv_results_["mean_test_score"]
    assert np.array_equal(one_by_one, at_once)


def test_processes_are_not_left_waiting_for_threads_that_a_fork_leaves_behind() -> None:
    script = """
        import torch
        from joblib import Parallel, delayed
        from isthmus import parallel_fits
        from isthmus.training.threads import training_threads

        def product(_):
            with training_threads(2):
                a = torch.ones(700, 700)
                return int((a @ a).mean()), torch.get_num_threads()

        torch.set_num_threads(2)
        torch.ones(700, 700) @ torch.ones(700, 700)
        with parallel_fits(2):
            print(Parallel()(delayed(product)(i) for i in range(3)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == str([(700, 1)] * 3), done.stderr


def test_a_process_has_one_core_and_no_more_processes_of_its_own() -> None:
    def seen(_: int) -> tuple[int, int, bool]:
        return n_cores(), ForkedProcesses().effective_n_jobs(4), os.getpid() != parent

    parent = os.getpid()
    with parallel_fits(2):
        assert Parallel()(delayed(seen)(i) for i in range(4)) == [(1, 1, True)] * 4
    assert torch.get_num_threads() >= 1


def test_large_arrays_are_had_by_the_fork_and_later_ones_by_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    first, later = np.arange(20_000.0), np.arange(30_000.0)
    packed: list[int] = []
    own = forked._Shared.packed

    def measured(self: Any, job: Any) -> bytes:
        packed.append(len(job_packed := own(self, job)))
        return job_packed

    monkeypatch.setattr(forked._Shared, "packed", measured)
    with parallel_fits(2):
        sums = Parallel()(delayed(np.sum)(a) for a in [first, first, later, first])
    assert sums == [first.sum(), first.sum(), later.sum(), first.sum()]
    assert [size > 100_000 for size in packed] == [False, False, True, False]


def test_what_a_fit_raises_is_raised() -> None:
    with parallel_fits(2), pytest.raises(IsthmusError, match="n_components"):
        cross_val_score(Autoencoder(n_components=-1, **QUICK), X, cv=2, error_score="raise")


def test_a_process_that_is_killed_is_told() -> None:
    with parallel_fits(2), pytest.raises(ProcessError, match="ended from outside"):
        cross_val_score(Ended(), X, cv=4)


def test_ctrl_c_ends_all_processes() -> None:
    script = """
        import os, time
        from joblib import Parallel, delayed
        from isthmus import parallel_fits

        def wait(i):
            print(os.getpid(), flush=True)
            time.sleep(60)

        with parallel_fits(2):
            Parallel()(delayed(wait)(i) for i in range(4))
    """
    for ending in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        workers = [int(process.stdout.readline()) for _ in range(2)]
        process.send_signal(ending)
        process.wait(30)
        deadline = time.monotonic() + 15
        while any(_is_there(worker) for worker in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(_is_there(worker) for worker in workers)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def _is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("n_jobs", [0, True, 1.5, None])
def test_what_is_no_number_of_processes_is_refused(n_jobs: Any) -> None:
    with pytest.raises(ParameterError, match="n_jobs"), parallel_fits(n_jobs):
        pass


def test_where_nothing_can_be_forked_joblib_starts_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not parallel._can_fork()
    monkeypatch.setattr(sys, "platform", "linux")
    assert parallel._can_fork()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert not parallel._can_fork()

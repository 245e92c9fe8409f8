"""Several fits at once: processes for scikit-learn's searches that need not begin by importing everything.

joblib starts its processes as new programs, each of which imports PyTorch and scikit-learn for seconds, which is
longer than many a small model trains. A fork has them already, and the rows too, without a copy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
from joblib import parallel_config

from isthmus.errors import ParameterError
from isthmus.estimators.forked import ForkedProcesses


@contextmanager
def parallel_fits(n_jobs: int = -1) -> Generator[None]:
    """Fit several models at once wherever scikit-learn does: in searches, cross-validation and ensembles.

    Fits run in forked processes of one thread each, which have the rows and all modules from the start. Small models
    end in the same bits as one after the other; larger ones, which would have been given several threads
    (``training.threads`` tells how many a fit had), in the same up to rounding. Where processes cannot be forked - on
    Windows and macOS, and once CUDA is in use - they are joblib's own ``"loky"``.

    Parameters
    ----------
    n_jobs
        Processes, at least 1, or as many as there are cores (-1), or one fewer (-2), and so on.

    Raises
    ------
    ParameterError
        ``n_jobs`` is no such number.
    ProcessError
        Within the search, where a process was ended from outside.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from isthmus import Autoencoder, parallel_fits
    >>> grid = {"n_components": [1, 2], "learning_rate": [1e-3, 1e-2]}
    >>> search = GridSearchCV(Autoencoder(max_epochs=2, random_state=0), grid, cv=2)
    >>> with parallel_fits(2):
    ...     _ = search.fit(load_iris().data)
    >>> search.best_params_["n_components"]
    2
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)) or n_jobs == 0:
        raise ParameterError(
            f"parallel_fits: expected n_jobs of at least 1, or -1 for all cores, got {n_jobs!r}. Try -1."
        )
    backend = ForkedProcesses() if _can_fork() else "loky"
    with parallel_config(backend, n_jobs=int(n_jobs)):
        yield


def _can_fork() -> bool:
    if sys.platform in ("darwin", "win32") or not hasattr(os, "fork"):
        return False
    torch = sys.modules.get("torch")
    return torch is None or not torch.cuda.is_initialized()

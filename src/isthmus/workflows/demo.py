"""The demonstration: a dense and a convolutional autoencoder beside PCA on bundled digits."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.artifact import FittedModel
from isthmus.config import Config
from isthmus.evaluation.metrics import measure
from isthmus.inference import Inference
from isthmus.sources import bundled
from isthmus.training.callbacks import Callback
from isthmus.workflows.fit import fit

KINDS = {"dense": "basic", "convolutional": "convolutional"}
"""What each model is called, and its recipe."""
REPORTED = "convolutional"
CODE_SIZE = 32
SEED = 0


@dataclass(frozen=True, slots=True)
class DemoModel:
    """One model of the demonstration."""

    name: str
    model: FittedModel
    seconds: float
    metrics: dict[str, Any]
    """On the test rows."""


def run_demo(
    report: Path,
    *,
    epochs: int | None = None,
    watch: Callable[[str], AbstractContextManager[Callback]],
    done: Callable[[DemoModel], None],
) -> list[DemoModel]:
    """Fit both models with default settings, measure them on other digits, and write a report.

    Parameters
    ----------
    report
        Where the page about the convolutional model goes.
    epochs
        At most so many, for a quick try; None lets the data decide.
    watch
        Gives, for a model's name, what watches its training.
    done
        Told of each model as soon as it is measured.
    """
    from isthmus.evaluation.evaluate import report_data
    from isthmus.evaluation.report import write_report

    train, test = bundled("mnist-train"), bundled("mnist-test")
    found: list[DemoModel] = []
    for name, kind in KINDS.items():
        config = Config.from_dict(
            {"model": {"kind": kind, "code_size": CODE_SIZE}, "training": {"seed": SEED}}
        )
        if epochs is not None:
            config = config.with_training(epochs=epochs)
        start = time.perf_counter()
        with watch(name) as watcher:
            model, history = fit(train, config, callbacks=[watcher])
        if history.reason == "interrupted":
            raise KeyboardInterrupt
        seconds = time.perf_counter() - start
        found.append(DemoModel(name, model, seconds, measure(Inference(model), test).to_dict()))
        done(found[-1])
    shown = next(each for each in found if each.name == REPORTED)
    title = f"A {REPORTED} autoencoder of handwritten digits"
    write_report(report_data(shown.model, test, title=title), report)
    return found

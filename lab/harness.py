"""What the experiments have in common: settings, results that survive an interruption, the page.

An experiment is a script with an :class:`Experiment` and a function ``run(lab)``. What ``run`` wraps
in :meth:`Lab.once` is kept as soon as it is done, so that an interrupted experiment goes on where it
stopped. ``python lab/harness.py`` runs them all, as many at once as there are cores, and writes the page.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import torch
from matplotlib.figure import Figure

from isthmus.artifact import FittedModel, open_model, save_model
from isthmus.config import Config, Training
from isthmus.inference import Inference
from isthmus.shapes import n_values
from isthmus.sources import ArraySource, Source, bundled, open_source
from isthmus.workflows.classify import class_logits, fit_classifier
from isthmus.workflows.fit import fit

HERE = Path(__file__).parent
RESULTS = HERE / "results"
QUICK_RESULTS = HERE.parent / "build" / "lab-quick"
WORK = HERE.parent / "build" / "lab-work"
"""What an interrupted run goes on with, pictures and points too: kept here, not part of the results."""
MODELS = HERE.parent / "build" / "lab-models"
"""Fitted models that a run may go on with: kept here, not part of the results."""
MOST_NUMBERS = 40
"""Numbers of a list that a result file takes."""
PAGE = HERE.parent / "docs" / "lab.md"
ORDER = HERE / "order.txt"
INK, ACCENT, SECOND, THIRD = "#1f2a37", "#0f766e", "#b45309", "#6d28d9"
"""One colour a meaning: data and baselines, ours, a second model, a third."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is asked, and what would answer it."""

    name: str
    title: str
    claim: str
    """The sentence or the published figure that it is put beside."""
    minutes: float
    """How long it takes on one core."""
    data: str = ""
    """What it needs beside the package: ``"mnist"``, ``"audio"``, or nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One number of a result, beside what it is measured against."""

    what: str
    ours: str
    beside: str = ""
    """The baseline or the published figure."""
    floor: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an experiment found."""

    figures: Sequence[Finding]
    text: str = ""
    """What it shows, in a sentence or two."""


class Lab:
    """The bench that an experiment works at: settings, files, results kept.

    Parameters
    ----------
    experiment
        What is asked.
    quick
        Whether to run a short form that shows the code works; its numbers are no results.
    folder
        The data folder handed over for ``experiment.data``, if any.
    """

    def __init__(self, experiment: Experiment, quick: bool, folder: Path | None, fresh: bool = False) -> None:
        self.experiment, self.quick, self.folder = experiment, quick, folder
        self.results, work = (QUICK_RESULTS, QUICK_RESULTS / "work") if quick else (RESULTS, WORK)
        self.results.mkdir(parents=True, exist_ok=True)
        work.mkdir(parents=True, exist_ok=True)
        self._work = work / f"{experiment.name}.json"
        self._fresh = fresh
        self._kept: dict[str, Any] = (
            json.loads(self._work.read_text()) if self._work.exists() and not fresh else {}
        )

    def once(self, key: str, work: Callable[[], Any]) -> Any:
        """The result of ``work``, or the one kept under ``key`` by an earlier run. Plain numbers and lists."""
        if key not in self._kept:
            start = time.perf_counter()
            value = work()
            self._kept[key] = {"value": value, "seconds": round(time.perf_counter() - start, 1)}
            _write(self._work, self._kept, indent=None)
            print(f"  {key}: {_short(value)} ({self._kept[key]['seconds']:.0f} s)", flush=True)
        return self._kept[key]["value"]

    def model(self, key: str, work: Callable[[], Inference]) -> Inference:
        """The model that ``work`` fits, or the one kept under ``key``, so that more can be asked of it."""
        if self.quick:
            return work()
        path = MODELS / f"{self.experiment.name}, {key}.safetensors"
        if path.exists() and not self._fresh:
            return Inference(open_model(path))
        begin = time.perf_counter()
        inference = work()
        path.parent.mkdir(parents=True, exist_ok=True)
        save_model(inference.model, path)
        print(f"  {key}: fitted ({time.perf_counter() - begin:.0f} s)", flush=True)
        return inference

    def pick(self, full: Any, quick: Any) -> Any:
        """The full setting, or the one of the short form."""
        return quick if self.quick else full

    def seeds(self, n: int = 3) -> range:
        """Seeds 0 to n - 1; the first alone in the short form."""
        return range(1 if self.quick else n)

    def mnist(self) -> tuple[Source, Source]:
        """Training and test digits: the 60,000 and 10,000 of the folder, or the bundled 8,000 and 2,000."""
        if self.folder is None:
            return bundled("mnist-train"), bundled("mnist-test")
        return tuple(  # type: ignore[return-value]
            open_source(
                next(self.folder.glob(f"{part}-images*")), labels=next(self.folder.glob(f"{part}-labels*"))
            )
            for part in ("train", "t10k")
        )

    def labelled_digits(self, n: int, n_validation: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Pixels in [0, 1] and labels: ``n`` training rows, others to choose by, and all test rows.

        Rows 0 to n of a fixed permutation of the training digits, as in the variants of MNIST with
        10,000 training rows (Vincent et al. 2010, table 3); fewer where there are fewer.
        """
        training, test = self.mnist()
        n = min(n, len(training) - n_validation)
        order = np.random.RandomState(0).permutation(len(training))
        return {
            "training": _pixels(training, order[:n]),
            "validation": _pixels(training, order[n : n + n_validation]),
            "test": _pixels(test, np.arange(self.pick(len(test), 300))),
        }

    def figure(self, figure: Figure) -> None:
        """Keep the picture."""
        figure.savefig(
            self.results / f"{self.experiment.name}.png", dpi=110, facecolor="white", bbox_inches="tight"
        )

    def finish(self, outcome: Outcome) -> None:
        """Keep the outcome, and say it."""
        _write(
            self.results / f"{self.experiment.name}.json",
            {
                "experiment": asdict(self.experiment),
                "figures": [asdict(one) for one in outcome.figures],
                "text": outcome.text,
                "seconds": round(sum(one["seconds"] for one in self._kept.values())),
                "machine": f"one core of {os.cpu_count()}, {platform.machine()}, torch {torch.__version__}",
                "date": time.strftime("%Y-%m-%d"),
                "kept": {key: _numbers(one["value"]) for key, one in self._kept.items()},
            },
            indent=1,
        )
        for one in outcome.figures:
            print(f"  {one.what}: {one.ours}" + (f"   [{one.beside}]" if one.beside else "") + _mark(one))


def start(
    experiment: Experiment, run: Callable[[Lab], Outcome], arguments: Sequence[str] | None = None
) -> None:
    """Run one experiment as a script."""
    parser = argparse.ArgumentParser(description=f"{experiment.title}. {experiment.claim}")
    parser.add_argument("--quick", action="store_true", help="a short form: shows that it runs, no results")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs kept")
    if experiment.data:
        parser.add_argument(
            "--data", type=Path, default=_folder(experiment.data), help=f"folder of {experiment.data}"
        )
    chosen = parser.parse_args(arguments)
    lab = Lab(experiment, chosen.quick, getattr(chosen, "data", None), chosen.fresh)
    print(
        f"{experiment.name}: about {experiment.minutes:g} minutes on one core"
        + (", short form" * chosen.quick)
    )
    lab.finish(run(lab))


def mean_and_spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean of several seeds, with the lowest and the highest."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def train(
    x: np.ndarray | Source, model: dict[str, Any], training: dict[str, Any], scaling: str = "raw"
) -> Inference:
    """A model fitted to all rows, ready to use; parts and settings as in a config."""
    source = ArraySource(x) if isinstance(x, np.ndarray) else x
    settings = {"validation_share": 0.0, "seed": 0, "start": "random", **training}
    config = Config.from_dict({"data": {"scaling": scaling}, "model": model, "training": settings})
    return Inference(fit(source, config)[0])


def fine_tuned(
    model: FittedModel, rows: tuple[np.ndarray, np.ndarray], rate: float, epochs: int, seed: int
) -> Callable[[tuple[np.ndarray, np.ndarray]], float]:
    """Put ten classes on a model's codes and train head and encoder; gives the error in % of rows and labels."""
    classes = np.unique(rows[1])
    plan = Training(epochs=epochs, batch_size=100, learning_rate=rate, validation_share=0.0, seed=seed)
    classifier = fit_classifier(
        model,
        ArraySource(rows[0]),
        np.searchsorted(classes, rows[1]),
        classes,
        plan,
        encoder_learning_rate=rate,
    )[0]

    def error(others: tuple[np.ndarray, np.ndarray]) -> float:
        found = classes[class_logits(classifier, ArraySource(others[0])).argmax(axis=1)]
        return float(100 * np.mean(found != others[1]))

    return error


# ---------------------------------------------------------------- all of them, and the page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short form of each: shows that they run")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs kept")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    parser.add_argument(
        "--at-once", type=int, default=os.cpu_count(), help="experiments side by side, each on one core"
    )
    chosen = parser.parse_args()
    names = ORDER.read_text().split()
    failed = (
        []
        if chosen.page
        else _run_all(names, ["--quick"] * chosen.quick + ["--fresh"] * chosen.fresh, chosen.at_once)
    )
    if not chosen.quick:
        PAGE.write_text(page([RESULTS / f"{name}.json" for name in names]))
        print(f"Wrote {PAGE.relative_to(HERE.parent)}")
    if failed:
        sys.exit(f"lab: failed: {', '.join(failed)}")


def _run_all(names: Sequence[str], options: Sequence[str], n_at_once: int) -> list[str]:
    """Run the experiments side by side, the longest first, each in one thread; the names of those that failed."""
    about = {name: _experiment(name) for name in names}
    needs = {name: one.data for name, one in about.items() if one.data and _folder(one.data) is None}
    missing = {} if "--quick" in options else needs
    for name, data in missing.items():
        print(f"{name}: left out, it needs {data.upper()}=FOLDER")
    rest = sorted(about.keys() - missing.keys(), key=lambda name: (-about[name].minutes, name))
    with ThreadPoolExecutor(n_at_once) as pool:
        done = pool.map(lambda name: _run(name, options), rest)
        return [name for name, ended in zip(rest, done, strict=True) if not ended]


def _experiment(name: str) -> Experiment:
    """What a script asks, without running it."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EXPERIMENT


def _run(name: str, options: Sequence[str]) -> bool:
    """Run one script in a process of its own and pass on its lines; whether it came to its end."""
    one_core = {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, str(HERE / f"{name}.py"), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **one_core}
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line.rstrip() if line.startswith(name) else f"{name}: {line.strip()}", flush=True)
    return process.returncode == 0


def page(paths: Sequence[Path]) -> str:
    """The page of results: each experiment beside its sentence, with the command that repeats it."""
    parts = [
        "# The lab: every sentence as an experiment\n\n"
        "Each experiment stands beside the sentence or the published figure that it is about. All errors are of "
        "held-out data unless a line says otherwise. `make lab` runs them all, one on each core (five hours on two; "
        "digits and sounds are not part of the package: `make lab MNIST=FOLDER AUDIO=FOLDER`), `make lab-quick` a "
        "short form of each in minutes. An interrupted run goes on where it stopped. This page is written by the run.\n"
    ]
    for path in paths:
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        if "experiment" not in found:
            continue
        about = found["experiment"]
        picture = RESULTS / f"{about['name']}.png"
        data = f" --data {about['data'].upper()}" if about["data"] else ""
        parts.append(f"## {about['title']}\n\n> {about['claim']}\n")
        parts.append("| figure | ours | beside | floor | met |\n|---|---|---|---|---|")
        for one in found["figures"]:
            met = {None: "", True: "yes", False: "**no**"}[one["met"]]
            parts.append(f"| {one['what']} | {one['ours']} | {one['beside']} | {one['floor']} | {met} |")
        parts.append("")
        if found["text"]:
            parts.append(f"{found['text']}\n")
        if picture.exists():
            parts.append(f"![{about['title']}](../lab/results/{picture.name})\n")
        parts.append(
            f"`python lab/{about['name']}.py{data}`: {found['seconds'] / 60:.1f} minutes, {found['machine']}, "
            f"{found['date']}.\n"
        )
    return "\n".join(parts)


def _pixels(source: Source, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    assert source.labels is not None
    x = source.read(rows).reshape(len(rows), n_values(source.schema.sample_shape)).astype(np.float32) / 255
    return x, np.asarray(source.labels)[rows]


def _folder(data: str) -> Path | None:
    given = os.environ.get(data.upper())
    return Path(given) if given else None


def _mark(one: Finding) -> str:
    return "" if one.met is None else f"   floor {one.floor}: {'met' if one.met else 'NOT MET'}"


def _write(path: Path, values: dict[str, Any], indent: int | None) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(values, indent=indent) + "\n")
    part.replace(path)


def _numbers(value: Any) -> Any:
    """A result without its pictures and points: lists of many numbers, or of lists, are left out."""
    if isinstance(value, dict):
        kept = {key: _numbers(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one is not None}
    if not isinstance(value, list):
        return value
    short = len(value) <= MOST_NUMBERS and not any(isinstance(one, (list, dict)) for one in value)
    return value if short else None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 100 else text[:97] + "..."


if __name__ == "__main__":
    main()

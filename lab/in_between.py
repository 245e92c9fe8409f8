"""What lies between two digits: midpoints of codes, judged by a classifier and by the nearest data."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from harness import Experiment, Finding, Lab, Outcome, mean_and_spread, start, train
from matplotlib import pyplot as plt
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from isthmus.exploration.interpolation import path_between
from isthmus.sources import ArraySource, bundled

EXPERIMENT = Experiment(
    name="in_between",
    title="Variational: what lies between two codes is a digit too",
    claim="The rate draws the codes of all rows together, without gaps, so that what lies between two of them "
    "decodes to something plausible; a plain autoencoder's code has gaps.",
    minutes=5,
)
CODE_SIZE, STEPS = 8, 9
PATHS = {"autoencoder": "linear", "variational": "spherical"}
"""Each model's own: codes that are N(0, I) have norms that straight lines leave; a plain code has no centre to turn
about. Both are measured on both."""
KINDS = {"autoencoder": {"type": "deterministic"}, "variational": {"type": "gaussian"}}


def pixels(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Bundled digits in [0, 1], ``(rows, 784)``, and what they are."""
    source = bundled(name)
    rows = source.read(slice(0, len(source))).reshape(len(source), -1) / np.float32(255)
    assert source.labels is not None
    return rows, np.asarray(source.labels)


class Judge:
    """Two judges that know nothing of any autoencoder: a classifier, and the training digits."""

    def __init__(self, n: int) -> None:
        self.rows, labels = (part[:n] for part in pixels("mnist-train"))
        self.network = MLPClassifier(
            (256,), alpha=1e-2, max_iter=25, tol=0, n_iter_no_change=25, random_state=0
        )
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            self.network.fit(self.rows, labels)

    def __call__(self, pictures: np.ndarray) -> list[float]:
        """Mean probability of the likeliest digit, and mean distance to the nearest training digit."""
        squares = (self.rows**2).sum(axis=1) - 2 * pictures @ self.rows.T
        nearest = np.sqrt(squares.min(axis=1) + (pictures**2).sum(axis=1))
        return [float(self.network.predict_proba(pictures).max(axis=1).mean()), float(nearest.mean())]


def pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """``n`` pairs of test digits that show different digits."""
    chance, labels = np.random.default_rng(0), pixels("mnist-test")[1]
    first, second = chance.integers(len(labels), size=(2, 8000))
    differ = labels[first] != labels[second]
    return first[differ][:n], second[differ][:n]


def measured(lab: Lab, judge: Judge, kind: str, seed: int) -> dict[str, Any]:
    """The judges on midpoints and on reconstructions, and walks between some of the pairs."""
    test = pixels("mnist-test")[0]
    inference = train(
        judge.rows,
        {
            "code_size": CODE_SIZE,
            "network": {"type": "dense", "hidden_sizes": lab.pick([256, 128], [32])},
            "code": KINDS[kind],
            "likelihood": "bernoulli",
        },
        {"epochs": lab.pick(40, 2), "batch_size": 100, "learning_rate": 1e-3, "seed": seed},
    )
    codes = inference.encode(ArraySource(test))
    a, b = pairs(lab.pick(1000, 100))

    def between(i: int, n_steps: int, path: Any) -> np.ndarray:
        return path_between(codes[a[i]], codes[b[i]], n_steps, path)

    middles = {path: np.stack([between(i, 3, path)[1] for i in range(len(a))]) for path in PATHS.values()}
    walks = [inference.decode(between(i, STEPS, PATHS[kind])) for i in range(5)]
    return {
        "midpoints": {path: judge(inference.decode(middle)) for path, middle in middles.items()},
        "reconstructions": judge(inference.decode(codes[a])),
        "walks": np.round(np.array(walks), 2).tolist(),
    }


def run(lab: Lab) -> Outcome:
    judge = Judge(lab.pick(8000, 800))
    test = pixels("mnist-test")[0]
    a, b = pairs(lab.pick(1000, 100))
    digits = lab.once("test digits", lambda: judge(test[a]))
    blends = lab.once("blended pixels", lambda: judge((test[a] + test[b]) / 2))
    found = {
        kind: [
            lab.once(f"{kind}, seed {seed}", lambda k=kind, s=seed: measured(lab, judge, k, s))
            for seed in lab.seeds()
        ]
        for kind in KINDS
    }  # fmt: skip
    findings = []
    for number, (what, digit) in enumerate(
        (("confidence of a classifier", 3), ("distance to the nearest digit", 2))
    ):
        each = {
            (kind, path): [one["midpoints"][path][number] for one in several]
            for kind, several in found.items()
            for path in PATHS.values()
        }
        plain, ours = (each[kind, path] for kind, path in PATHS.items())
        rebuilt = {
            kind: np.mean([one["reconstructions"][number] for one in several])
            for kind, several in found.items()
        }
        findings += [
            Finding(
                f"{what}, variational midpoints",
                mean_and_spread(ours, digit),
                f"autoencoder {mean_and_spread(plain, digit)}",
                "ahead at each seed, on each one's own path",
                None
                if lab.quick
                else all((v < p) if number else (v > p) for v, p in zip(ours, plain, strict=True)),
            ),
            Finding(
                f"{what}, paths the other way round",
                f"variational, linear {mean_and_spread(each['variational', 'linear'], digit)}",
                f"autoencoder, spherical {mean_and_spread(each['autoencoder', 'spherical'], digit)}",
            ),
            Finding(
                f"{what}, reconstructions",
                ", ".join(f"{kind} {value:.{digit}f}" for kind, value in rebuilt.items()),
                f"test digits {digits[number]:.{digit}f}, blended pixels {blends[number]:.{digit}f}",
            ),
        ]
    lab.figure(strips(found, test))
    return Outcome(
        findings,
        "Midpoints of the codes of 1,000 pairs of different test digits, 8 units, 8,000 training digits, three seeds; "
        "the two models differ in nothing but the code's distribution. The variational path turns about the prior's "
        "centre (spherical), the plain one is straight; the rows with the paths the other way round tell how much of "
        "the difference is the path's. The classifier, a network of 256 rectified units, has seen real digits alone. "
        "Smooth pictures are nearer to their neighbours than real digits are, whoever paints them: read the distance "
        "beside the reconstructions'.",
    )


def strips(found: dict[str, list[dict[str, Any]]], test: np.ndarray) -> plt.Figure:
    """Walks between five pairs, each model's under the other's, the real digits at both ends."""
    figure, axes = plt.subplots(10, STEPS + 2, figsize=(8.6, 8.2))
    a, b = pairs(5)
    for pair in range(5):
        for row, kind in enumerate(KINDS):
            line = axes[2 * pair + row]
            walk = np.array(found[kind][0]["walks"][pair])
            for axis, picture in zip(line, [test[a[pair]], *walk, test[b[pair]]], strict=True):
                axis.imshow(picture.reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
            line[0].set_ylabel(kind, rotation=0, ha="right", va="center", fontsize=8)
    for place, title in ((0, "a digit"), (1 + STEPS // 2, "midpoint"), (STEPS + 1, "another")):
        axes[0, place].set_title(title, fontsize=8)
    return figure


if __name__ == "__main__":
    start(EXPERIMENT, run)

"""Draw the picture of docs/recipes/classifier.md: accuracy against the number of labels.

python scripts/classifier_picture.py docs/images/classifier.png    (three draws of labels: minutes)
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from isthmus import AutoencoderClassifier, DenoisingAutoencoder

LABELS = (50, 100, 200, 500, 1_168)
COLOURS = {
    "fine-tuned": "#0072b2",
    "frozen encoder": "#56b4e9",
    "the same network, not pretrained": "#009e73",
    "logistic regression on pixels": "#d55e00",
}
Rows = NDArray[np.float64]


def main(target: str) -> None:
    """Pretrain once on all training rows without labels; then learn from more and more labels."""
    X, y = load_digits(return_X_y=True)
    train, test, known, truth = train_test_split(X / 16, y, test_size=0.35, random_state=0)
    settings = {"hidden_sizes": (256,), "random_state": 0, "threads": 1}
    pretrained = DenoisingAutoencoder(32, **settings).fit(train)
    untrained = DenoisingAutoencoder(32, max_epochs=1, learning_rate=1e-12, **settings).fit(train)
    found: dict[str, list[list[float]]] = {name: [] for name in COLOURS}
    for n in LABELS:
        scores = [accuracies(n, seed, pretrained, untrained, train, known, test, truth) for seed in range(3)]
        for name in COLOURS:
            found[name].append([one[name] for one in scores])
        print(n, {name: round(float(np.mean(values[-1])), 3) for name, values in found.items()}, flush=True)
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, colour in COLOURS.items():
        scores_of = np.array(found[name])
        axes.plot(LABELS, scores_of.mean(axis=1), "o-", color=colour, label=name)
        axes.fill_between(LABELS, scores_of.min(axis=1), scores_of.max(axis=1), color=colour, alpha=0.15)
    axes.set(xscale="log", xlabel="labels", ylabel="accuracy on 629 held-out digits")
    axes.set_xticks(LABELS, [f"{n:,}" for n in LABELS])
    axes.minorticks_off()
    axes.legend(frameon=False)
    figure.savefig(target, dpi=150, metadata={"Software": None})


def accuracies(
    n: int,
    seed: int,
    pretrained: DenoisingAutoencoder,
    untrained: DenoisingAutoencoder,
    train: Rows,
    known: Rows,
    test: Rows,
    truth: Rows,
) -> dict[str, float]:
    """Of each way, from the first n labels of a random order."""
    few = np.random.default_rng(seed).permutation(len(train))[:n]

    def score(encoder: DenoisingAutoencoder, *, frozen: bool) -> float:
        model = AutoencoderClassifier(encoder, frozen=frozen, random_state=seed)
        return float(model.fit(train[few], known[few]).score(test, truth))

    plain = LogisticRegression(max_iter=5_000).fit(train[few], known[few])
    return {
        "fine-tuned": score(pretrained, frozen=False),
        "frozen encoder": score(pretrained, frozen=True),
        "the same network, not pretrained": score(untrained, frozen=False),
        "logistic regression on pixels": float(plain.score(test, truth)),
    }


if __name__ == "__main__":
    main(sys.argv[1])

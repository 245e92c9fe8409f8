"""Draw the picture of the variational recipe: new digits, and the way from one digit to another.

python scripts/variational_picture.py docs/images/variational.png    (trains for a minute)
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure

from isthmus import Autoencoder, Bernoulli, GaussianCode
from isthmus.sources import bundled

SIDE, N_NEW, N_STEPS = 28, 20, 10


def main(target: str) -> None:
    """Train on the bundled digits, draw new ones, and walk between two that were held out."""
    train, test = bundled("mnist-train"), bundled("mnist-test")
    X = np.asarray(train.read(slice(0, len(train))))[..., 0]
    model = Autoencoder(
        12,
        hidden_sizes=(400,),
        code=GaussianCode(warm_up_share=0.25),
        likelihood=Bernoulli(sampled=True),
        max_epochs=30,
        learning_rate=3e-3,
        random_state=0,
    ).fit(X)
    new = model.sample(N_NEW, random_state=0).reshape(2, -1, SIDE, SIDE)
    labels = np.asarray(test.labels)
    digits = np.asarray(test.read(slice(0, len(test))))[..., 0]
    ends = [(3, 8, 3), (1, 7, 0)]  # digits, and which example of each
    paths = [
        model.interpolate(digits[labels == a][which], digits[labels == b][which], n_steps=N_STEPS).reshape(
            -1, SIDE, SIDE
        )
        for a, b, which in ends
    ]
    figure = Figure(figsize=(6.4, 3.0), dpi=200, facecolor="white")
    rows = [
        ("new", new[0]),
        ("", new[1]),
        *((f"{a} to {b}", path) for (a, b, _), path in zip(ends, paths, strict=True)),
    ]
    for at, (name, images) in enumerate(rows):
        axes = figure.add_axes((0.12, 0.76 - at * 0.245, 0.87, 0.225))
        gap = np.full((SIDE, 2), 255)
        strip = [part for image in images for part in (255 - image, gap)]
        axes.imshow(np.concatenate(strip[:-1], axis=1), cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        figure.text(0.01, 0.87 - at * 0.245, name, va="center", fontsize=9)
    figure.savefig(target, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])

"""A linear autoencoder, started at random and trained by our loop, beside PCA.

Baldi and Hornik (1989): its optimum spans the principal subspace. Reported: squared error of an
example on training and held-out rows, and the distance ``||P - P_pca||_F`` of the orthogonal
projectors on the decoder's column space and on the principal axes: 0 where they agree, at most
``sqrt(2 k)``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder
from isthmus.sources import open_source


def compare(name: str, train: NDArray, test: NDArray, unit: float, model: Autoencoder) -> None:
    start = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - start
    x, y = train.reshape(len(train), -1) / unit, test.reshape(len(test), -1) / unit
    pca = PCA(model.n_components_, svd_solver="covariance_eigh").fit(x)
    n = x.shape[1]
    ours = [-model.score(rows) * n for rows in (train, test)]
    theirs = [
        np.square(pca.inverse_transform(pca.transform(rows)) - rows).sum(axis=1).mean() for rows in (x, y)
    ]
    decoder = model.module_.decoder.layers[0].weight.detach().numpy().astype(np.float64)
    basis, _ = np.linalg.qr(decoder)
    distance = np.linalg.norm(basis @ basis.T - pca.components_.T @ pca.components_)
    print(
        f"{name:8} {model.n_components_:3}  train {ours[0]:.4f} (PCA {theirs[0]:.4f})  "
        f"held out {ours[1]:.4f} (PCA {theirs[1]:.4f})  projectors {distance:.4f}  {seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the four MNIST files")
    options = parser.parse_args()
    linear = {
        "hidden_sizes": (),
        "likelihood": "squared_error",
        "start": "random",
        "learning_rate": 1e-2,
        "validation_share": 0.0,
        "random_state": 0,
    }
    digits = load_digits().data
    train, test = train_test_split(digits, test_size=0.35, random_state=0)
    compare("digits", train, test, 16, Autoencoder(8, max_epochs=300, **linear))
    train, test = (
        open_source(options.data / f"{part}-images-idx3-ubyte.gz").read(slice(0, 60_000))
        for part in ("train", "t10k")
    )
    compare(
        "MNIST",
        train,
        test,
        255,
        Autoencoder(30, max_epochs=80, batch_size=500, **linear),
    )


if __name__ == "__main__":
    main()

"""Rate against distortion on the digits that come along: a quantised code beside PCA's coefficients.

Each beta is one training of ``QuantisedCode(beta)`` under squared error on 8,000 digits; bits and squared
error a picture are those of 2,000 others. Bits are the ideal code length of the symbols under the
distribution that was learned, which an ANS coder comes within a thousandth of; beside it what zstd, level
19, makes of the same symbols. PCA: the scores of the training rows' axes, rounded to multiples of one
step, their bytes unit by unit through zstd; of all numbers of components and steps the fewest bits that
reach the model's error. Neither count has the model or the axes in it.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from isthmus import Autoencoder, QuantisedCode
from isthmus.sources.bundled import bundled

COMPONENTS = (4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96)
STEPS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 3.4, 4.0)


def digits(name: str) -> NDArray[np.uint8]:
    source = bundled(name)
    return np.asarray(source.read(slice(0, len(source))), np.uint8)


def zstd_bits(symbols: NDArray[np.int64]) -> float:
    """Bits a row of whole numbers, unit by unit, as bytes where they fit, through zstd."""
    kind = np.int8 if np.abs(symbols).max() < 128 else np.int16
    packed = pa.Codec("zstd", compression_level=19).compress(symbols.T.astype(kind).tobytes(), asbytes=True)
    return 8 * len(packed) / len(symbols)


def pca_curve(train: NDArray[np.float64], test: NDArray[np.float64]) -> list[tuple[float, float, int, float]]:
    """(bits, squared error, components, step) of every choice."""
    mean = train.mean(axis=0)
    axes = np.linalg.svd(train - mean, full_matrices=False)[2]
    found = list[tuple[float, float, int, float]]()
    for k in COMPONENTS:
        scores = (test - mean) @ axes[:k].T
        for step in STEPS:
            symbols = np.rint(scores / step).astype(np.int64)
            rebuilt = mean + step * symbols @ axes[:k]
            found.append((zstd_bits(symbols), float(np.square(test - rebuilt).sum(axis=1).mean()), k, step))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--betas", type=float, nargs="+", default=[0.4, 0.1, 0.025])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--code-size", type=int, default=32)
    options = parser.parse_args()
    train, test = digits("mnist-train"), digits("mnist-test")
    flat = [x.reshape(len(x), -1) / 255 for x in (train, test)]
    curve = pca_curve(*flat)
    print("| beta | bits a picture | squared error | by zstd | PCA + zstd at that error | units | seconds |")
    print("|---|---|---|---|---|---|---|")
    for beta in options.betas:
        start = time.perf_counter()
        model = Autoencoder(
            options.code_size, code=QuantisedCode(beta), likelihood="squared_error", hidden_sizes=(512, 256),
            max_epochs=options.epochs, patience=None, random_state=0, threads=1,
        ).fit(train)  # fmt: skip
        seconds = time.perf_counter() - start
        with torch.inference_mode():
            x = torch.from_numpy(flat[1]).float().reshape(-1, *model.module_.sample_shape)
            pre_code, _ = model.module_.encoder(x)
            rates = model.module_.code.rate_per_unit(pre_code)
            h = model.module_.code.mean(pre_code)
            symbols = model.module_.code.symbols(h).numpy()  # type: ignore[operator]
            error = (model.module_.decode(h) - x).square().flatten(1).sum(dim=1).mean().item()
        assert rates is not None
        bits, used = rates.sum(dim=1).mean().item() / math.log(2), int((rates.mean(dim=0) > 0.01).sum())
        reached = [each for each in curve if each[1] <= error]
        beside = "out of reach"
        if reached:
            best = min(reached)
            beside = f"{best[0]:.0f} ({best[2]} components, step {best[3]:g})"
        print(
            f"| {beta:g} | {bits:.1f} | {error:.2f} | {zstd_bits(symbols):.0f} | {beside} | {used} | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

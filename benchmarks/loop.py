"""Rows per second of our loop beside the plain hand-written PyTorch loop, in turn, as ratios.

Same layers, same weights to begin with, same data, batch size and fused optimiser. The plain loop
holds its data as one float tensor and does nothing else; it is given its best thread count.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from isthmus.config import Config, Model, Training
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.networks.convolution import ConvTranspose2d
from isthmus.networks.linear import FromMaps, Linear, ToMaps
from isthmus.preprocessing import Scaling
from isthmus.sources import bundled
from isthmus.sources.arrays import ArraySource
from isthmus.training.loop import Trainer
from isthmus.training.rows import SourceRows
from isthmus.workflows.fit import prepare


class Case(NamedTuple):
    """A model and how it is trained."""

    network: Dense | Conv2d
    batch: int
    epochs: int
    code_size: int = 32
    is_table: bool = False
    """Made rows of 30 numbers and squared error, instead of digits and log loss."""


CASES = {
    "table 30-64-8-64-30": Case(Dense((64,)), 64, 8, 8, is_table=True),
    "dense 784-512-256-32": Case(Dense((512, 256)), 64, 4),
    "dense 784-1000-500-250-32": Case(Dense((1000, 500, 250)), 256, 4),
    "dense 784-64-32": Case(Dense((64,)), 64, 8),
    "conv 1-32-64": Case(Conv2d((32, 64)), 64, 1),
}


def table(n_rows: int = 10_000) -> ArraySource:
    """Rows of 30 numbers that lie near a curved sheet."""
    chance = np.random.default_rng(0)
    hidden = chance.normal(size=(n_rows, 6))
    bent = np.concatenate([hidden, np.sin(2 * hidden)], axis=1) @ chance.normal(size=(12, 30))
    return ArraySource((bent + 0.1 * chance.normal(size=bent.shape)).astype(np.float32))


def plain_model(module: nn.Module, network: Dense | Conv2d) -> nn.Module:
    """The same layers, with the same weights, as anybody would write them."""
    encoder, decoder = module.network.encoder, module.network.decoder
    if isinstance(network, Dense):
        layers = [nn.Flatten()]
        for part in (encoder, decoder):
            for layer in part.layers[:-1]:
                layers += [layer, nn.SiLU()]
            layers.append(part.layers[-1])
        return _as_of_torch(nn.Sequential(*layers, nn.Unflatten(1, module.sample_shape)))
    layers = []
    for convolution in encoder.convolutions:
        layers += [convolution, nn.SiLU()]
    layers += [nn.Flatten(), encoder.to_code, decoder.from_code, nn.Unflatten(1, decoder.start_shape)]
    for convolution in decoder.convolutions:
        layers += [nn.SiLU(), convolution]
    return _as_of_torch(nn.Sequential(*layers))


OF_TORCH = {Linear: nn.Linear, FromMaps: nn.Linear, ToMaps: nn.Linear, ConvTranspose2d: nn.ConvTranspose2d}


def _as_of_torch(model: nn.Module) -> nn.Module:
    """A copy whose layers multiply as torch does."""
    model = copy.deepcopy(model)
    for layer in model.modules():
        if type(layer) in OF_TORCH:
            layer.__class__ = OF_TORCH[type(layer)]
    return model


def plain_loop(
    model: nn.Module, x: torch.Tensor, batch: int, epochs: int, loss: nn.Module, rate: float = 1e-3
) -> float:
    """Rows per second of the loop that everybody writes; ``loss`` sums over values."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, fused=True)
    start = time.perf_counter()
    for _ in range(epochs):
        for indices in torch.randperm(len(x), device=x.device).split(batch):
            rows = x[indices]
            optimiser.zero_grad()
            (loss(model(rows), rows) / len(rows)).backward()
            optimiser.step()
    return epochs * len(x) / (time.perf_counter() - start)


def our_loop(module: nn.Module, rows: SourceRows, plan: Training, epochs: int) -> float:
    """Rows per second of ours: bytes in memory, schedule, clipping, terms and all."""
    trainer = Trainer(copy.deepcopy(module), plan.replace(epochs=epochs))
    start = time.perf_counter()
    trainer.fit(rows)
    return epochs * len(rows) / (time.perf_counter() - start)


def best_threads(model: nn.Module, x: torch.Tensor, batch: int, loss: nn.Module) -> int:
    """The thread count at which the plain loop is fastest."""
    speeds = {}
    for n in range(1, torch.get_num_threads() + 1):
        torch.set_num_threads(n)
        plain_loop(copy.deepcopy(model), x[:2048], batch, 1, loss)
        speeds[n] = plain_loop(copy.deepcopy(model), x[:2048], batch, 1, loss)
    return max(speeds, key=lambda n: speeds[n])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    digits = bundled("mnist-train")
    n_threads = torch.get_num_threads()
    print(
        f"{'model':28} {'batch':>5} {'threads':>15} {'plain rows/s':>13} {'ours rows/s':>12} {'ours / plain':>20}"
    )
    for name, (network, batch, epochs, code_size, is_table) in CASES.items():
        source = table() if is_table else digits
        likelihood = "squared_error" if is_table else "bernoulli"
        config = Config(
            model=Model(code_size=code_size, network=network, likelihood=likelihood),
            training=Training(batch_size=batch, learning_rate=1e-3, validation_share=0.0, seed=0),
        )
        prepared = prepare(source, config)
        rows = SourceRows(prepared.training.source, prepared.model.scaling)
        model = plain_model(prepared.model.module, network)
        scaling: Scaling = prepared.model.scaling
        x = torch.from_numpy(scaling.to_model(prepared.training.source.read(slice(0, len(rows)))))
        torch.set_num_threads(n_threads)
        loss = nn.MSELoss(reduction="sum") if is_table else nn.BCEWithLogitsLoss(reduction="sum")
        threads = best_threads(model, x, batch, loss)
        torch.set_num_threads(threads)
        plan = prepared.model.config.training
        pairs = []
        for _ in range(rounds + 1):
            theirs = plain_loop(copy.deepcopy(model), x, batch, epochs, loss)
            pairs.append((theirs, our_loop(prepared.model.module, rows, plan, epochs)))
        theirs, ours = (statistics.median(column) for column in zip(*pairs[1:], strict=True))
        ratios = sorted(b / a for a, b in pairs[1:])
        spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(
            f"{name:28} {batch:5} {f'{threads} and {plan.threads}':>15} {theirs:13,.0f} {ours:12,.0f} {spread:>20}"
        )


if __name__ == "__main__":
    main()

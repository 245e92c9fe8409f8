"""Whether a second layer of codes saves bits: -ELBO of variational autoencoders with one and with two, side by side.

    python benchmarks/two_layers.py --data FOLDER [--epochs 20]

One layer: p(z) p(x | z). Two: p(w) p(z | w) p(x | z), inferred by q(z | x) q(w | z) (Bit-Swap, Kingma et al. 2019),
with the same networks between x and z. What bits-back takes is -ELBO and some hundred bits a block; FOLDER has MNIST's
files, whose test rows are held out. Pixels are drawn as zeros and ones by their shade, once; grey ones have a
discretised logistic each.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.likelihoods.discretised_logistic import DiscretisedLogistic
from isthmus.sources import open_source

HIDDEN, Z, W, BATCH = 400, 40, 20, 256


def network(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, n_out)
    )


def log_normal(z: Tensor, mean: Tensor | float, log_scale: Tensor) -> Tensor:
    return (-(((z - mean) * torch.exp(-log_scale)) ** 2) / 2 - log_scale - math.log(2 * math.pi) / 2).sum(
        dim=1
    )


class Codes(nn.Module):
    """One layer of codes, or two."""

    def __init__(self, n_layers: int, *, is_grey: bool) -> None:
        super().__init__()
        self.encoder, self.decoder = network(784, 2 * Z), network(Z, 784 * (2 if is_grey else 1))
        self.levels = DiscretisedLogistic(256, 1) if is_grey else None
        self.up, self.down = (network(Z, 2 * W), network(W, 2 * Z)) if n_layers == 2 else (None, None)

    def forward(self, x: Tensor) -> Tensor:
        """-ELBO of each row, in nats, by one draw."""
        z, log_q = self.draw(self.encoder(2 * x - 1))
        zero = torch.zeros(())
        if self.up is None or self.down is None:
            log_p = log_normal(z, 0.0, zero)
        else:
            w, of_w = self.draw(self.up(z))
            mean, log_scale = self.down(w).chunk(2, dim=1)
            log_p, log_q = log_normal(z, mean, log_scale) + log_normal(w, 0.0, zero), log_q + of_w
        outputs = self.decoder(z)
        if self.levels is None:
            distortion = F.binary_cross_entropy_with_logits(outputs, x, reduction="none").sum(dim=1)
        else:
            distortion = self.levels(outputs, x)
        return distortion + log_q - log_p

    @staticmethod
    def draw(said: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = said.chunk(2, dim=1)
        z = mean + torch.exp(log_scale) * torch.randn_like(mean)
        return z, log_normal(z, mean, log_scale)


def bits(n_layers: int, train: Tensor, test: Tensor, epochs: int, *, is_grey: bool, seed: int) -> float:
    """Bits a pixel of held-out rows."""
    torch.manual_seed(seed)
    model = Codes(n_layers, is_grey=is_grey)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    n_steps = epochs * (len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=n_steps, pct_start=0.1)
    for _ in range(epochs):
        for rows in torch.randperm(len(train)).split(BATCH)[: len(train) // BATCH]:
            optimiser.zero_grad()
            model(train[rows]).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1000.0)
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        nats = torch.cat([model(part) for part in test.split(1000) for _ in range(4)])
    return float(nats.double().mean()) / math.log(2) / 784


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=["binary", "grey"], choices=["binary", "grey"])
    given = parser.parse_args()
    train, test = (
        np.asarray(open_source(given.data / f"{part}-images-idx3-ubyte.gz").read(slice(None))).reshape(
            -1, 784
        )
        for part in ("train", "t10k")
    )
    for what in given.only:
        is_grey, chance = what == "grey", np.random.default_rng(0)
        rows = [
            torch.from_numpy(
                (each / 255 if is_grey else chance.random(each.shape) * 255 < each).astype(np.float32)
            )
            for each in (train, test)
        ]
        for n_layers in (1, 2):
            begin = time.process_time()
            found = [
                bits(n_layers, *rows, given.epochs, is_grey=is_grey, seed=seed) for seed in range(given.seeds)
            ]
            spent = time.process_time() - begin
            print(
                f"{what:7} {n_layers} layer{'s' if n_layers > 1 else ' '}  "
                f"{' '.join(f'{each:.4f}' for each in found)} bits a pixel, {spent:.0f} s of a core",
                flush=True,
            )


if __name__ == "__main__":
    main()

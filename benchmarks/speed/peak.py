"""The most memory that an epoch of one of two takes above its imports: ``python -m speed.peak isthmus FILE``."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from memory import Peak, anonymous_bytes
from torch import nn

BATCH = 128
WIDTHS = (784, 512, 256, 32, 256, 512, 784)


def ours(path: Path) -> None:
    from isthmus.config import Config, Model, Training
    from isthmus.config.parts.networks import Dense
    from isthmus.sources import open_source
    from isthmus.workflows.fit import fit

    model = Model(code_size=32, network=Dense((512, 256)), likelihood="squared_error")
    training = Training(
        epochs=1, batch_size=BATCH, seed=0, device="cpu", start="random", validation_share=0.0
    )
    fit(open_source(path), Config(model=model, training=training))


def theirs(path: Path, folder: Path) -> None:
    from speed.peers import pythae as ready

    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in itertools.pairwise(WIDTHS):
        layers += [nn.Linear(a, b), nn.SiLU()]
    layers[-1] = nn.Unflatten(1, (1, 28, 28))
    encoder, decoder = nn.Sequential(*layers[:6]), nn.Sequential(*layers[7:])
    x = torch.from_numpy(np.load(path)).float().div_(255).unsqueeze(1)
    ready(encoder, decoder, x, BATCH, 1, folder)()()


def main() -> None:
    who, path = sys.argv[1], Path(sys.argv[2])
    import isthmus.workflows.fit  # noqa: F401

    if who == "pythae":
        import pythae.trainers  # noqa: F401
    torch.zeros(1)
    before = anonymous_bytes()
    with Peak() as peak, tempfile.TemporaryDirectory() as folder:
        if who == "pythae":
            theirs(path, Path(folder))
        else:
            ours(path)
    print(json.dumps({"peak": peak.bytes - before}))


if __name__ == "__main__":
    main()

"""What else people wait for: reading files, saving and opening a model, an importance-weighted bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from isthmus.artifact import open_model, save_model
from isthmus.config import Config, Model, Training
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.networks import Dense
from isthmus.evaluation.evidence import evidence
from isthmus.inference import Inference
from isthmus.sources import ArraySource, bundled, open_source
from isthmus.workflows.fit import prepare
from speed.harness import Contestant, Options, Ratio, Task, over
from speed.training import begun

N_ROWS, N_PICTURES, SIDE = 200_000, 500, 64
N_EVALUATED, N_DRAWS = 512, 50


def reading(options: Options) -> Task:
    """Files as they lie on a disk that has just been read, to arrays."""
    folder, chance = options.folder, np.random.default_rng(0)
    table = pd.DataFrame(chance.normal(size=(N_ROWS, 8)).round(4), columns=[f"x{i}" for i in range(8)])
    table["count"] = chance.integers(0, 1000, N_ROWS)
    table["word"] = np.array(["red", "green", "blue", "none of these"])[chance.integers(0, 4, N_ROWS)]
    table["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(chance.integers(0, 2000, N_ROWS), unit="D")
    table.to_csv(folder / "table.csv", index=False)
    table.to_parquet(folder / "table.parquet")
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(N_PICTURES):
        noise = chance.integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8)
        Image.fromarray(noise).resize((SIDE, SIDE)).save(pictures / f"{number:04}.png")

    def ours(path: Path) -> int:
        source = open_source(path)
        return len(source.read(slice(0, len(source))))

    def by_hand() -> Any:
        return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in sorted(pictures.iterdir())])

    rivals: dict[str, tuple[Path, Callable[[], Any]]] = {
        "CSV": (folder / "table.csv", partial(pd.read_csv, folder / "table.csv", parse_dates=["day"])),
        "Parquet": (folder / "table.parquet", partial(pd.read_parquet, folder / "table.parquet")),
        "PNG": (pictures, by_hand),
    }
    return Task(
        "reading",
        f"A table of {N_ROWS:,} rows of eleven columns (numbers, a count, words, days) from CSV and Parquet, beside "
        f"pandas, which is told the column of days and makes no numbers of words; {N_PICTURES} PNG of {SIDE} x {SIDE} "
        "beside Pillow in a loop.",
        [
            contestant
            for name, (path, theirs) in rivals.items()
            for contestant in (
                Contestant(f"isthmus, {name}", lambda p=path: partial(ours, p), 2),
                Contestant(f"by hand, {name}", lambda t=theirs: t, 2),
            )
        ],
        [Ratio(f"over by hand, {name}", over(f"by hand, {name}", f"isthmus, {name}")) for name in rivals],
        rounds=(3, 5),
    )


def keeping(options: Options) -> Task:
    """A model's file with all that it takes to use it, and its checks; torch's has weights alone."""
    model = begun(Dense((512, 256)), 128, 1).prepared.model
    file, weights = options.folder / "model.safetensors", options.folder / "weights.pt"

    def ours() -> object:
        save_model(model, file)
        return open_model(file)

    def theirs() -> object:
        torch.save(model.module.state_dict(), weights)
        return model.module.load_state_dict(torch.load(weights))

    return Task(
        "keeping",
        "Saving and opening 784-512-256-32 (4.3 MB of weights), beside torch.save and torch.load of its weights.",
        [Contestant("isthmus", lambda: ours, 1), Contestant("torch", lambda: theirs, 1)],
        [Ratio("over torch's weights alone", over("torch"))],
        rounds=(5, 7),
    )


def importance(_: Options) -> Task:
    """IWAE with 50 draws of binarised digits, beside the loop over draws."""
    digits = bundled("mnist-test")
    rows = (digits.read(slice(0, N_EVALUATED)).reshape(N_EVALUATED, -1) > 127).astype(np.float32)
    model = Model(code_size=32, network=Dense((256,)), code=GaussianCode(), likelihood="bernoulli")
    source = ArraySource(rows)
    prepared = prepare(source, Config(model=model, training=Training(seed=0, device="cpu", start="random")))
    inference, module = Inference(prepared.model), prepared.model.module.eval()
    x = torch.from_numpy(prepared.model.scaling.to_model(rows))

    def ours() -> float:
        found = evidence(inference, source, n_samples=N_DRAWS, bounds=())
        assert found is not None
        return float(found.log_likelihood.mean())

    def by_hand() -> float:
        total = 0.0
        with torch.no_grad():
            for batch in x.split(128):
                mean, scale = module.code_distribution(batch)
                assert scale is not None
                weights = list[Tensor]()
                for _ in range(N_DRAWS):
                    noise = torch.randn_like(mean)
                    h = mean + scale * noise
                    logits = module.decoder(h)
                    density = (
                        -torch.nn.functional.binary_cross_entropy_with_logits(logits, batch, reduction="none")
                        .flatten(1)
                        .sum(1)
                    )
                    ratio = (0.5 * noise.square() - 0.5 * h.square() + scale.log()).sum(1)
                    weights.append(density + ratio)
                total += float((torch.logsumexp(torch.stack(weights), 0) - math.log(N_DRAWS)).sum())
        return total / len(x)

    return Task(
        "importance",
        f"The importance-weighted bound of {N_EVALUATED} binarised digits, {N_DRAWS} draws each, 784-256-32, beside a "
        "loop over the draws of the same module. Errors are the bounds, in nats, of different draws.",
        [
            Contestant("isthmus", lambda: ours, 2, lambda bound: -bound),
            Contestant("by hand", lambda: by_hand, 2, lambda bound: -bound),
        ],
        [Ratio("over the loop", over("by hand"))],
        rounds=(3, 5),
    )

"""Steps of a table with words and gaps: our loop beside the plain one with a loss for each kind of column."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from loop import plain_loop, plain_model
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.config import Config, Model, Training
from isthmus.config.parts.networks import Dense
from isthmus.likelihoods.mixed import Mixed
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.sources import TableSource
from isthmus.training.loop import Trainer
from isthmus.training.rows import SourceRows
from isthmus.workflows.fit import prepare
from speed.harness import Contestant, Options, Ratio, Task, Work, over

N_ROWS, N_HELD_OUT, EPOCHS, BATCH, GAPS = 10_000, 2_000, 8, 64, 0.05
WORDS = ("red", "green", "blue", "black", "white", "grey")


def mixed_table(_: Options) -> Task:
    rows, held_out = _table().slice(0, N_ROWS - N_HELD_OUT), _table().slice(N_ROWS - N_HELD_OUT)
    config = Config(
        model=Model(code_size=8, network=Dense((64,))),
        training=Training(
            epochs=EPOCHS, batch_size=BATCH, learning_rate=1e-3, schedule="constant", warm_up_share=0.0,
            validation_share=0.0, seed=0, start="random", device="cpu",
        ),
    )  # fmt: skip
    prepared = prepare(TableSource(rows), config)
    module, scaling, source = prepared.model.module, prepared.model.scaling, prepared.training.source
    plan = prepared.model.config.training
    tests = torch.from_numpy(scaling.to_model(TableSource(held_out).read(slice(0, N_HELD_OUT))))
    x = torch.from_numpy(scaling.to_model(source.read(slice(0, len(source)))))

    def error(outputs: Callable[[Tensor], Tensor]) -> float:
        """The loss of a held-out row, as it counts in training."""
        with torch.no_grad():
            return float(module.distortion(outputs(tests), tests, module.likelihood.balance()).mean())

    def ours() -> Work:
        own = copy.deepcopy(module)
        trainer = Trainer(own, plan)

        def work() -> Any:
            trainer.fit(SourceRows(source, scaling))
            return lambda rows: own.decoder(own.encode(rows))

        return work

    def by_hand() -> Work:
        model = Plain(module)

        def work() -> Any:
            plain_loop(model, model.beside(x), BATCH, EPOCHS, model.loss)
            return lambda rows: model(model.beside(rows))

        return work

    rate = float(EPOCHS * len(x)), "rows/s"
    return Task(
        "mixed-table",
        f"Training {x.shape[1]} values of 8 numbers, 4 categories and 2 booleans (a twentieth of them gaps) -64-8-64-, "
        f"batches of {BATCH}, {EPOCHS} epochs of {len(x):,} rows.",
        [Contestant("isthmus", ours, int(plan.threads), error), Contestant("plain", by_hand, error=error)],
        [Ratio("over the plain loop", over("plain"))],
        rates=dict.fromkeys(("isthmus", "plain"), rate),
    )


class Plain(nn.Module):
    """The same layers and weights; rows are values with zeros at gaps, a flag a column, and what is seen of values."""

    def __init__(self, module: AutoencoderModule) -> None:
        super().__init__()
        likelihood = module.likelihood
        assert isinstance(likelihood, Mixed)
        assert module.gaps is not None
        self.layers, self.gaps = plain_model(module, Dense((64,))), module.gaps
        self.numbers, self.booleans, self.weights = (
            likelihood.numbers,
            likelihood.booleans,
            likelihood.weights,
        )
        ends = np.cumsum([block.size for block in likelihood.layout])
        self.n, self.blocks = int(ends[-1]), list[slice]()
        for block, end in zip(likelihood.layout, ends, strict=True):
            if block.kind == "category":
                self.blocks.append(slice(int(end) - block.size, int(end)))

    def beside(self, x: Tensor) -> Tensor:
        return torch.cat([self.gaps(x), (~x.isnan()).float()], dim=1)

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(rows[:, : -self.n])

    def loss(self, outputs: Tensor, rows: Tensor) -> Tensor:
        x, weight = rows[:, : self.n], rows[:, -self.n :] * self.weights
        some = self.numbers
        found = (weight[:, some] * (outputs[:, some] - x[:, some]).square()).sum()
        some = self.booleans
        found = found + F.binary_cross_entropy_with_logits(
            outputs[:, some], x[:, some], weight[:, some], reduction="sum"
        )
        for block in self.blocks:
            of_block = F.cross_entropy(outputs[:, block], x[:, block], reduction="none")
            found = found + (weight[:, block.start] * of_block).sum()
        return found


def _table() -> pa.Table:
    """Columns that hang together: of six hidden numbers."""
    chance = np.random.default_rng(0)
    hidden = chance.normal(size=(N_ROWS, 6))
    seen = np.concatenate([hidden, np.sin(2 * hidden)], axis=1) @ chance.normal(size=(12, 14))
    seen += 0.1 * chance.normal(size=seen.shape)
    is_gap, columns = chance.random(seen.shape) < GAPS, dict[str, pa.Array]()
    for place in range(seen.shape[1]):
        values: Any = seen[:, place]
        if place % 7 in (1, 4):  # words between the numbers, as tables have them
            n = 3 + place % 4
            values = np.array(WORDS[:n])[
                np.digitize(values, np.quantile(values, np.linspace(0, 1, n + 1)[1:-1]))
            ]
        elif place % 7 == 6:
            values = values > 0
        columns[f"column {place}"] = pa.array(values, mask=is_gap[:, place])
    return pa.table(columns)

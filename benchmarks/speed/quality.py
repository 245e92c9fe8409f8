"""Time to a held-out squared error of 5.0 a picture on MNIST, at a code of 30: the long form alone, of given files."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from loop import plain_model
from torch import Tensor, nn

from isthmus.config import Config, Model, Training
from isthmus.config.parts.networks import Dense
from isthmus.sources import open_source
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.loop import Trainer
from isthmus.training.rows import SourceRows
from isthmus.workflows.fit import prepare
from speed import peers
from speed.harness import Contestant, Options, Ratio, Taken, Task, Work

GOAL, BATCH, CODE = 5.0, 128, 30
NETWORK = Dense((1000, 500, 250))
RATES = (5e-4, 1e-3, 2e-3)
EPOCHS, MOST_EPOCHS = 12, 60
"""Of our schedule, and of those that stay at their rate until they are there."""


class ReachedError(Exception):
    """The goal is met, or is given up."""


class Clock:
    """Seconds of training alone: it stands while held-out rows are rebuilt, after each epoch."""

    def __init__(self, rebuild: Callable[[Tensor], Tensor], held_out: Tensor) -> None:
        self._rebuild, self._held_out = rebuild, held_out
        self._n_epochs, self.error, self.seconds = 0, math.inf, 0.0
        self._last = time.perf_counter()

    def epoch(self) -> None:
        """Held-out error now; raises once the goal is met."""
        self.seconds += time.perf_counter() - self._last
        with torch.no_grad():
            errors = [
                (self._rebuild(x) - x).square().flatten(1).sum(dim=1) for x in self._held_out.split(1000)
            ]
        self.error, self._n_epochs = float(torch.cat(errors).mean()), self._n_epochs + 1
        if self.error <= GOAL or self._n_epochs == MOST_EPOCHS:
            raise ReachedError
        self._last = time.perf_counter()

    @property
    def figure(self) -> float:
        """Seconds to the goal; infinity where it was not met."""
        return self.seconds if self.error <= GOAL else math.inf


class Watch(Callback):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def epoch(self, epoch: Epoch) -> None:
        self._clock.epoch()


def to_goal(options: Options) -> Task | None:
    if options.quick or options.mnist is None:
        return None
    train, test = (open_source(options.mnist / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k"))
    config = Config(
        model=Model(code_size=CODE, network=NETWORK, likelihood="squared_error"),
        training=Training(
            epochs=EPOCHS, batch_size=BATCH, validation_share=0.0, seed=0, start="random", device="cpu"
        ),
    )
    prepared = prepare(train, config)
    scaling, plan = prepared.model.scaling, prepared.model.config.training
    x, held_out = (
        torch.from_numpy(scaling.to_model(each.read(slice(0, len(each)))))
        for each in (prepared.training.source, test)
    )
    rows = SourceRows(prepared.training.source, scaling)

    def ours() -> Work:
        module = copy.deepcopy(prepared.model.module)
        trainer = Trainer(module, plan)

        def work() -> Clock:
            clock = Clock(module.reconstruct, held_out)
            return _until_reached(clock, lambda: trainer.fit(rows, callbacks=[Watch(clock)]))

        return work

    def plain(rate: float) -> Work:
        model = plain_model(prepared.model.module, NETWORK)
        optimiser = torch.optim.AdamW(model.parameters(), lr=rate, fused=True)

        def epochs(clock: Clock) -> None:
            for _ in range(MOST_EPOCHS):
                for indices in torch.randperm(len(x)).split(BATCH):
                    batch = x[indices]
                    optimiser.zero_grad()
                    ((model(batch) - batch).square().sum() / len(batch)).backward()
                    optimiser.step()
                clock.epoch()

        def work() -> Clock:
            clock = Clock(model, held_out)
            return _until_reached(clock, lambda: epochs(clock))

        return work

    def pythae(rate: float) -> Work:
        layers = list(plain_model(prepared.model.module, NETWORK))
        halves = nn.Sequential(*layers[:8]), nn.Sequential(*layers[8:])
        trainer = peers.pythae_trainer(*halves, x, BATCH, MOST_EPOCHS, options.folder, rate)

        def work() -> Clock:
            parts = trainer.model
            clock = Clock(lambda x: parts.decoder.layers(parts.encoder.layers(x)), held_out)
            trainer.callbacks = [peers.at_epoch_end(clock.epoch)]
            return _until_reached(clock, lambda: peers.silently(trainer.train))

        return work

    rivals = {"plain": plain, **({"pythae": pythae} if peers.is_installed("pythae") else {})}
    return Task(
        "time-to-goal",
        f"Seconds of training until 10,000 held-out pictures of MNIST have a squared error of {GOAL:g}, "
        f"784-1000-500-250-{CODE}, batches of {BATCH}; ours with {EPOCHS} epochs and the rate and schedule of its "
        f"defaults, the others at their best of the rates {', '.join(f'{rate:g}' for rate in RATES)}.",
        [
            Contestant("isthmus", ours, taken=lambda clock: clock.figure, error=lambda clock: clock.error),
            *(
                Contestant(
                    f"{name} at {rate:g}",
                    lambda make=make, rate=rate: make(rate),
                    taken=lambda clock: clock.figure,
                    error=lambda clock: clock.error,
                )
                for name, make in rivals.items()
                for rate in RATES
            ),
        ],
        [Ratio(f"sooner than {name}'s best", _over_best(name), 1.5, 3.0) for name in rivals],
        rounds=(1, 1),
    )


def _until_reached(clock: Clock, training: Callable[[], Any]) -> Clock:
    with suppress(ReachedError):
        training()
    return clock


def _over_best(name: str) -> Callable[[Taken], float]:
    return lambda taken: min(taken[f"{name} at {rate:g}"] for rate in RATES) / taken["isthmus"]

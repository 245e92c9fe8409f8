"""Steps: our loop beside the plain one, the peers', and the products that no loop can do without."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from loop import plain_loop, plain_model, table
from torch import Tensor, nn

from isthmus import AnomalyDetector
from isthmus.codes.gaussian import Gaussian
from isthmus.config import Config, Model, Training
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.config.training import Precision
from isthmus.sources import ArraySource, bundled
from isthmus.training.loop import Trainer
from isthmus.training.rows import SourceRows
from isthmus.workflows.fit import Prepared, prepare
from speed import peers
from speed.harness import Contestant, Options, Ratio, Task, Work, over
from speed.limits import faster, repeated, step_calls

RATE, VARIATIONAL = 1e-3, GaussianCode(beta=2.0)
LONGER = 20
"""Times as many epochs on an accelerator, whose steps are short beside what is made ready before the first."""
N_HELD_OUT = 2000


@dataclass(frozen=True, slots=True)
class Begun:
    """A model at its random start and its rows: everything before the first step."""

    prepared: Prepared
    network: Dense | Conv2d
    batch: int
    epochs: int
    x: Tensor
    """Training rows in model units."""
    held_out: Tensor

    @property
    def plain(self) -> nn.Module:
        """The same layers with the same weights, written by hand."""
        return plain_model(self.prepared.model.module, self.network)

    @property
    def n_steps(self) -> int:
        """Of a training."""
        return self.epochs * -(-len(self.x) // self.batch)

    @property
    def widths(self) -> tuple[int, ...]:
        """Of a dense network, from input to output."""
        hidden = tuple(self.network.hidden_sizes)
        size = self.prepared.model.module.code.size
        return (self.x[0].numel(), *hidden, size, *hidden[::-1], self.x[0].numel())

    @property
    def is_variational(self) -> bool:
        """Whether the code is drawn."""
        return isinstance(self.prepared.model.module.code, Gaussian)

    def halves(self) -> tuple[nn.Module, nn.Module]:
        """Encoder and decoder of the plain model."""
        layers, is_dense = list(self.plain), isinstance(self.network, Dense)
        n = 2 * len(self.network.hidden_sizes) + 2 if is_dense else 2 * len(self.network.channels) + 2
        return nn.Sequential(*layers[:n]), nn.Sequential(*layers[n:])

    def error(self, model: Any) -> float:
        """Squared error of a held-out row, summed over its values, model units."""
        held_out = self.held_out.to(self.device)
        with torch.no_grad():
            rebuilt = model(held_out)
        return float((rebuilt - held_out).square().flatten(1).sum(dim=1).mean())

    @property
    def device(self) -> str:
        """Where steps are made."""
        return self.prepared.model.config.training.device

    def ours(self, name: str = "isthmus", precision: Precision = "float32") -> Contestant:
        """Our loop: rows as they are held, schedule, means, callbacks' questions and all."""
        rows = SourceRows(self.prepared.training.source, self.prepared.model.scaling)
        plan = self.prepared.model.config.training.replace(precision=precision)

        def ready() -> Work:
            module = copy.deepcopy(self.prepared.model.module)
            trainer = Trainer(module, plan)

            def work() -> Any:
                trainer.fit(rows)
                return module.reconstruct

            return work

        return Contestant(name, ready, int(plan.threads), self.error)

    def by_hand(self) -> Contestant:
        """The loop that everybody writes, with a fused optimiser; its rows are held as floats, where steps are made."""
        x = self.x.to(self.device)

        def ready() -> Work:
            if self.is_variational:
                model = peers.Variational(*self.halves()).to(self.device)
                loss, result = model.loss, model.reconstruct
            else:
                result = model = self.plain.to(self.device)
                loss = nn.MSELoss(reduction="sum")

            def work() -> Callable[[Tensor], Tensor]:
                plain_loop(model, x, self.batch, self.epochs, loss)
                return result

            return work

        return Contestant("plain", ready, error=self.error)

    def limit(self) -> tuple[Contestant, float]:
        """What no loop can do without, and the operations of a step."""
        rows = self.x[: self.batch]
        formats = [torch.contiguous_format]
        if isinstance(self.network, Conv2d):
            formats.append(torch.channels_last)
        found = [step_calls(self.plain, rows, each) for each in formats]
        return Contestant("limit", repeated(faster(*(calls for calls, _ in found)), self.n_steps)), found[0][
            1
        ]

    def peer(self, name: str, make: Callable[[], peers.Ready]) -> list[Contestant]:
        """A peer, where it is installed."""
        return [Contestant(name, make(), error=self.error)] if peers.is_installed(name) else []

    def like_pythae(self, options: Options) -> list[Contestant]:
        return self.peer(
            "pythae",
            lambda: peers.pythae(
                *self.halves(),
                self.x,
                self.batch,
                self.epochs,
                options.folder,
                variational=self.is_variational,
            ),
        )


def begun(
    network: Dense | Conv2d,
    batch: int,
    epochs: int,
    code_size: int = 32,
    *,
    is_table: bool = False,
    n_rows: int | None = None,
    device: str = "cpu",
    **model: Any,
) -> Begun:
    """Prepare a training on the bundled digits, the first ``n_rows`` of them, or on a made table of 30 columns."""
    epochs *= 1 if device == "cpu" else LONGER
    if is_table:
        rows = table()
        everything = rows.read(slice(0, len(rows)))
        source, held_out = ArraySource(everything[:-N_HELD_OUT]), ArraySource(everything[-N_HELD_OUT:])
    else:
        source, held_out = bundled("mnist-train"), bundled("mnist-test")
        if n_rows is not None:
            source = ArraySource(source.read(slice(0, n_rows)))
    config = Config(
        model=Model(code_size=code_size, network=network, likelihood="squared_error", **model),
        training=Training(
            epochs=epochs,
            batch_size=batch,
            learning_rate=RATE,
            schedule="constant",
            warm_up_share=0.0,
            validation_share=0.0,
            seed=0,
            start="random",
            device=device,
        ),
    )
    prepared = prepare(source, config)
    scaling = prepared.model.scaling
    x, tests = (
        torch.from_numpy(scaling.to_model(each.read(slice(0, len(each)))))
        for each in (prepared.training.source, held_out)
    )
    return Begun(prepared, network, batch, epochs, x, tests)


def rows_a_second(start: Begun) -> dict[str, tuple[float, str]]:
    """The rate of every contestant that trains."""
    names = ("isthmus", "isthmus in bfloat16", "plain", "pythae", "autoencoders", "keras", "MLPRegressor")
    return dict.fromkeys(names, (float(start.epochs * len(start.x)), "rows/s"))


def on_device(start: Begun, name: str, words: str) -> Task:
    """On an accelerator our loop, in either precision, stands beside the plain one alone."""
    return Task(
        name,
        f"Training {words}, {start.epochs} epochs of {len(start.x):,} rows, on {start.device}.",
        [start.ours(), start.ours("isthmus in bfloat16", "bfloat16"), start.by_hand()],
        [
            Ratio("over the plain loop", over("plain")),
            Ratio("bfloat16 over float32", over("isthmus", "isthmus in bfloat16")),
        ],
        rates=rows_a_second(start),
    )


def dense_512(options: Options) -> Task:
    start = begun(Dense((512, 256)), 512, 2, device=options.device)
    if options.device != "cpu":
        return on_device(start, "dense-512", "784-512-256-32, batches of 512")
    limit, operations = start.limit()
    rate = {"limit": (operations * start.n_steps / 1e9, "GFLOP/s")}
    return Task(
        "dense-512",
        "Training 784-512-256-32, batches of 512, 2 epochs of 8,000 digits.",
        [start.ours(), start.by_hand(), limit],
        [
            Ratio("over the plain loop", over("plain"), 1.0, 1.05),
            Ratio("share of the limit", over("limit"), 0.85, 0.92),
        ],
        rounds=(5, 21),  # of a third of a second each, in which a neighbour's work shows
        facts={"operations_a_step": operations},
        rates=rows_a_second(start) | rate,
    )


def dense_128(options: Options) -> Task:
    start = begun(Dense((512, 256)), 128, 1, device=options.device)
    if options.device != "cpu":
        return on_device(start, "dense-128", "784-512-256-32, batches of 128")
    others, size = list[Contestant](), start.widths[len(start.widths) // 2]
    if not options.quick:
        given = (start.widths, start.x, start.batch, start.epochs)
        others = [
            *start.peer(
                "autoencoders",
                lambda: peers.autoencoders(
                    *start.halves(), start.x, start.batch, start.epochs, options.folder
                ),
            ),
            *start.peer("keras", lambda: peers.keras(*given)),
            Contestant("MLPRegressor", peers.mlp_regressor(*given), error=start.error),
            Contestant("PCA", peers.principal_components(size, start.x), error=start.error),
        ]
    return Task(
        "dense-128",
        "Training 784-512-256-32, batches of 128, an epoch of 8,000 digits.",
        [start.ours(), start.by_hand(), *start.like_pythae(options), *others],
        [
            Ratio("over pythae", over("pythae"), 1.3, 1.6),
            *(
                Ratio(f"over {name}", over(rival))
                for name, rival in (
                    ("the plain loop", "plain"),
                    ("autoencoders", "autoencoders"),
                    ("Keras on PyTorch", "keras"),
                    ("MLPRegressor", "MLPRegressor"),
                )
            ),
        ],
        rates=rows_a_second(start),
    )


def convolutions(options: Options) -> Task:
    start = begun(Conv2d((32, 64)), 128, 1, n_rows=4096, device=options.device)
    if options.device != "cpu":
        return on_device(start, "convolutions", "1-32-64 (4 x 4, stride 2), code 32, batches of 128")
    limit, operations = start.limit()
    return Task(
        "convolutions",
        "Training convolutions 1-32-64 (4 x 4, stride 2), code 32, batches of 128, an epoch of 4,096 digits.",
        [start.ours(), start.by_hand(), *start.like_pythae(options), limit],
        [
            Ratio("over pythae", over("pythae"), 1.6, 2.0),
            Ratio("over the plain loop", over("plain")),
            Ratio("share of the limit", over("limit"), 0.5, 0.65),
        ],
        facts={"operations_a_step": operations},
        rates=rows_a_second(start) | {"limit": (operations * start.n_steps / 1e9, "GFLOP/s")},
    )


def variational(options: Options) -> Task:
    start = begun(Dense((512, 256)), 128, 1, device=options.device, code=VARIATIONAL)
    words = "784-512-256-32 with a variational code, batches of 128", "an epoch of 8,000 digits"
    return _variational(options, start, "variational", *words)


def variational_table(options: Options) -> Task:
    start = begun(Dense((64,)), 64, 8, 8, is_table=True, device=options.device, code=VARIATIONAL)
    words = "30-64-8-64-30 with a variational code, batches of 64", "8 epochs of 8,000 rows of 30 numbers"
    return _variational(options, start, "variational-table", *words)


def _variational(options: Options, start: Begun, name: str, words: str, rows: str) -> Task:
    if options.device != "cpu":
        return on_device(start, name, words)
    return Task(
        name,
        f"Training {words}, {rows}; the rate counts twice, for pythae halves the squared error.",
        [start.ours(), start.by_hand(), *start.like_pythae(options)],
        [Ratio("over pythae", over("pythae")), Ratio("over the plain loop", over("plain"))],
        rates=rows_a_second(start),
    )


def of_table(options: Options) -> Task:
    start = begun(Dense((64,)), 64, 8, 8, is_table=True, device=options.device)
    if options.device != "cpu":
        return on_device(start, "table", "30-64-8-64-30, batches of 64")

    def ready() -> Work:
        rows = start.x.numpy()
        model = AnomalyDetector(
            8,
            hidden_sizes=(64,),
            corruption=None,
            activation="silu",
            batch_size=64,
            learning_rate=RATE,
            schedule="constant",
            warm_up_share=0.0,
            max_epochs=start.epochs,
            patience=None,
            validation_share=0.0,
            start="random",
            scaling="raw",
            random_state=0,
            device="cpu",
        )

        def work() -> Any:
            return model.fit(rows).module_.reconstruct

        return work

    detector = Contestant("isthmus detector", ready, 1, start.error)
    pyod = start.peer("pyod", lambda: peers.pyod(start.widths, start.x, start.batch, start.epochs))
    return Task(
        "table",
        "Training 30-64-8-64-30, batches of 64, 8 epochs of 8,000 rows of 30 numbers; beside PyOD all of fit, "
        "scores of the rows included.",
        [start.ours(), start.by_hand(), detector, *pyod],
        [
            Ratio("over the plain loop", over("plain"), 3.0, 7.0),
            Ratio("fit over PyOD's", over("pyod", "isthmus detector"), 5.0, 12.0),
            Ratio("loop over PyOD's fit", over("pyod")),
        ],
        rates=rows_a_second(start) | {"pyod": (float(start.epochs * len(start.x)), "rows/s")},
    )

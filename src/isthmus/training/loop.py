"""The loop: the only place that steps an optimiser or averages over batches.

The mean over the examples of one batch is the objective's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from isthmus.config.training import Training
from isthmus.errors import TrainingError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.objective import Objective, Trainable
from isthmus.numerics.randomness import Randomness
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.dead_units import LAST_SHARE, revive_dead_units
from isthmus.training.rows import Rows
from isthmus.training.schedule import rate_factor
from isthmus.training.threads import training_threads

STANDARD_ERRORS = 2.0
"""How far beyond its standard error a difference in validation loss must be to count."""
VALIDATION_BATCH = 256
"""Fixed, so that the noise of a validation row is a function of the seed and its position."""
MOST_HELD_STEPS = 256
"""Steps whose log values wait on the device until they are fetched together."""


@dataclass(slots=True)
class History:
    """What happened in a training."""

    epochs: list[Epoch] = field(default_factory=list[Epoch])
    best_epoch: int = 0
    """The epoch whose weights the module holds now, counted from 1; 0 before the first."""
    reason: str = "all epochs"
    """Why it ended: ``"all epochs"``, ``"patience"`` or ``"interrupted"``."""


class Trainer:
    """Fits a module by what it says a batch costs: fused AdamW, warm-up, clipping, early stopping by validation loss.

    The last weights stand, unless those of the epoch of lowest validation loss are better by more
    than two standard errors; only epochs that are worse by so much count for patience.

    Everything random is a function of the seed, the epoch and the step.

    Parameters
    ----------
    module
        Trained in place, on the device of ``plan``.
    plan
        Every ``"auto"`` already replaced.
    n_epochs_done
        Epochs that the module was trained before: orders and noise go on after theirs, the
        schedule begins anew.
    """

    def __init__(self, module: Trainable, plan: Training, *, n_epochs_done: int = 0) -> None:
        self.module = module
        self.plan = plan
        self.device = torch.device(plan.device)
        self.n_epochs_done = n_epochs_done
        self.n_steps_done = 0
        module.to(self.device)
        self._groups = [(list(parameters), share) for parameters, share in module.parameter_groups()]
        self._parameters = [parameter for parameters, _ in self._groups for parameter in parameters]
        self._rate = _number(plan.learning_rate)
        self.optimiser = torch.optim.AdamW(
            [{"params": parameters} for parameters, _ in self._groups],
            lr=self._rate,
            weight_decay=plan.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )

    def fit(
        self,
        rows: Rows[Any],
        validation: Rows[Any] | None = None,
        *,
        sample_weight: Tensor | None = None,
        validation_weight: Tensor | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Train for all epochs or until patience ends.

        Raises
        ------
        TrainingError
            If the loss is no longer finite; the module then holds the best measured weights.
        """
        n_epochs = int(_number(self.plan.epochs))
        batches_an_epoch = self._n_batches(len(rows))
        first, n_steps = self._begin(batches_an_epoch), n_epochs * batches_an_epoch
        patience = n_epochs if self.plan.patience is None else _number(self.plan.patience) * n_epochs
        history, best = History(), _Best()
        for callback in callbacks:
            callback.begin(n_epochs, len(rows))
        with training_threads(int(_number(self.plan.threads))):
            try:
                for epoch in range(1, n_epochs + 1):
                    order = epoch + self.n_epochs_done
                    training = self._pass(rows, (first, n_steps), order, sample_weight, callbacks)
                    _check_finite(training["loss"], f"epoch {epoch}")
                    held_out, losses = None, None
                    if validation is not None:
                        held_out, losses = self.validate(validation, validation_weight)
                    record = Epoch(epoch, self._rate, training, held_out)
                    history.epochs.append(record)
                    best.offer(epoch, losses, self.module)
                    for callback in callbacks:
                        callback.epoch(record)
                    self._revive(rows, epoch, n_epochs)
                    if best.n_worse >= max(1.0, patience) and epoch < n_epochs:
                        history.reason = "patience"
                        break
            except KeyboardInterrupt:
                history.reason = "interrupted"
            except TrainingError:
                best.restore(self.module, interrupted=True)
                self.module.eval()
                raise
        history.best_epoch = best.restore(self.module, interrupted=history.reason == "interrupted")
        for callback in callbacks:
            callback.end(history.reason)
        self.module.eval()
        return history

    def one_pass(self, rows: Rows[Any], sample_weight: Tensor | None = None) -> Epoch:
        """One pass over the rows at the highest rate, without validation: for data that comes in parts."""
        self.module.to(self.device)
        self._begin(self._n_batches(len(rows)))
        with training_threads(int(_number(self.plan.threads))):
            terms = self._pass(rows, None, self.n_steps_done, sample_weight, ())
        self.module.eval()
        _check_finite(terms["loss"], "this pass")
        return Epoch(self.n_steps_done, _number(self.plan.learning_rate), terms, None)

    def _revive(self, rows: Rows[Any], epoch: int, n_epochs: int) -> None:
        """Give dead units new weights, if the plan says so and enough of the training is left."""
        if self.plan.dead_units == "left" or not isinstance(self.module, AutoencoderModule):
            return
        if epoch <= LAST_SHARE * n_epochs and epoch < n_epochs:
            chance = Randomness(int(self.plan.seed or 0), "dead units", epoch + self.n_epochs_done)
            revive_dead_units(self.module, self.optimiser, rows, chance, self.device)

    def _begin(self, batches_an_epoch: int) -> int:
        """The step to begin at: after those of the epochs done, so that chance is not replayed."""
        self.n_steps_done = max(self.n_steps_done, self.n_epochs_done * batches_an_epoch)
        return self.n_steps_done

    def _n_batches(self, n_rows: int) -> int:
        return math.ceil(n_rows / int(_number(self.plan.batch_size)))

    def _pass(
        self,
        rows: Rows[Any],
        schedule: tuple[int, int] | None,
        order: int,
        sample_weight: Tensor | None,
        callbacks: Sequence[Callback],
    ) -> dict[str, float]:
        """Every row once, in an order that is a function of the seed and ``order``.

        ``schedule`` is the first step of the training and how many there are; None stays at the
        highest rate, with whatever warms up at its full strength.
        """
        self.module.train()
        means = _Means()
        chance = Randomness(int(self.plan.seed or 0), "order", order)
        with closing(rows.in_order(chance, self._n_batches(len(rows)))) as batches:
            for indices, x in batches:
                rate, progress = _number(self.plan.learning_rate), 1.0
                if schedule is not None:
                    step = self.n_steps_done - schedule[0]
                    rate *= rate_factor(step, schedule[1], self.plan.warm_up_share, self.plan.schedule)
                    progress = step / schedule[1]
                weight = None if sample_weight is None else sample_weight[indices].to(self.device)
                batch = x.to(self.device, non_blocking=True)
                means.add(self._step(batch, weight, rate, progress), len(indices))
                for callback in callbacks:
                    callback.step(len(indices))
        return means.fetch()

    def _step(self, batch: Any, weight: Tensor | None, rate: float, progress: float) -> Objective:
        self._rate = rate
        for group, (_, share) in zip(self.optimiser.param_groups, self._groups, strict=True):
            group["lr"] = rate * share
        result = self.module.objective(batch, self.n_steps_done, sample_weight=weight, progress=progress)
        for parameter in self._parameters:
            parameter.grad = None
        result.loss.backward()
        if self.plan.gradient_clip is not None:
            self._clip(_number(self.plan.gradient_clip))
        self.optimiser.step()
        self.n_steps_done += 1
        return result

    def _clip(self, largest: float) -> None:
        """Scale the gradient down to a norm of ``largest``; on the CPU touch it only if it is larger."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if self.device.type != "cpu" or norm.item() > largest:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, largest, norm)

    @torch.no_grad()
    def validate(
        self, rows: Rows[Any], sample_weight: Tensor | None = None
    ) -> tuple[dict[str, float], Tensor]:
        """Mean loss and terms over rows, and each row's loss ``(rows,)``.

        The noise of a row is a function of the seed and its position.
        """
        self.module.eval()
        means, losses = _Means(), list[Tensor]()
        root = Randomness(int(self.plan.seed or 0), "validation")
        for block, indices in enumerate(torch.arange(len(rows)).split(VALIDATION_BATCH)):
            batch = rows.gather(indices).to(self.device)
            weight = None if sample_weight is None else sample_weight[indices].to(self.device)
            result = self.module.objective_at(batch, root.at(block), sample_weight=weight)
            means.add(result, len(indices))
            losses.append(result.per_example.detach())
        return means.fetch(), torch.cat(losses).cpu()


class _Best:
    """The best weights so far, and whether the present ones are worse beyond chance.

    A validation set of ten rows has a lowest epoch by luck alone. So the present weights stand
    unless the best ones are better by more than two standard errors of the paired difference; only
    such epochs count for patience. With many rows this is the lowest validation loss. A loss that is
    not finite is worse than any.
    """

    def __init__(self) -> None:
        self.n_worse = 0
        self._present = 0
        self._epoch = 0
        self._losses: Tensor | None = None
        self._weights: dict[str, Tensor] = {}

    def offer(self, epoch: int, losses: Tensor | None, module: Trainable) -> None:
        """Take note of an epoch; without validation the last one is the best."""
        self._present = epoch
        if losses is None:
            return
        if not torch.isfinite(losses).all():
            self.n_worse += 1
            return
        if self._losses is None or losses.mean() < self._losses.mean():
            self._epoch, self._losses = epoch, losses
            self._weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
        worse = (losses - self._losses).double()
        error = worse.std() / math.sqrt(len(worse)) if len(worse) > 1 else worse.new_zeros(())
        self.n_worse = self.n_worse + 1 if worse.mean() > STANDARD_ERRORS * error else 0

    def restore(self, module: Trainable, *, interrupted: bool = False) -> int:
        """Put the best weights back if the present ones are worse; the epoch that they are of.

        Weights of half an epoch were never measured, so after an interruption the measured ones return.
        """
        if not self._weights or (self.n_worse == 0 and not interrupted):
            return self._present
        module.load_state_dict(self._weights)
        return self._epoch


class _Means:
    """Weighted means of an objective's terms, fetched from the device rarely."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._sizes: list[int] = []
        self._sums: dict[str, float] = {}
        self._n = 0

    def add(self, result: Objective, n: int) -> None:
        for name, value in (("loss", result.loss), *result.terms.items()):
            self._values.setdefault(name, []).append(value.detach())
        self._sizes.append(n)
        if len(self._sizes) == MOST_HELD_STEPS:
            self._add_up()

    def fetch(self) -> dict[str, float]:
        self._add_up()
        return {name: value / self._n for name, value in self._sums.items()}

    def _add_up(self) -> None:
        sizes = torch.tensor(self._sizes, dtype=torch.float64)
        for name, values in self._values.items():
            self._sums[name] = (
                self._sums.get(name, 0.0) + torch.stack(values).cpu().double().dot(sizes).item()
            )
        self._n += sum(self._sizes)
        self._values.clear()
        self._sizes.clear()


def _check_finite(loss: float, when: str) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"training: the loss was no longer finite in {when}. "
            "Lower learning_rate, or look for extreme values in the data."
        )


def _number(value: Any) -> float:
    if isinstance(value, str):
        raise TrainingError(f"training: {value!r} was not replaced by a number. Resolve the config first.")
    return value

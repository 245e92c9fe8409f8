"""The loop: the only place that steps an optimiser or averages over batches.

The mean over the examples of one batch is the objective's own.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from isthmus.config.training import Training
from isthmus.errors import TrainingError
from isthmus.memory import freed_memory_kept, gaps_given_back
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.objective import Cost, Trainable
from isthmus.numerics.randomness import Randomness
from isthmus.training.best import Best
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.dead_units import LAST_SHARE, revive_dead_units
from isthmus.training.dense_step import DenseStep
from isthmus.training.diagnosis import diagnose
from isthmus.training.means import Means
from isthmus.training.micro import MicroBatches, is_out_of_memory
from isthmus.training.optimiser import AdamW
from isthmus.training.precision import check_precision, in_precision
from isthmus.training.rows import Rows, rows_at
from isthmus.training.schedule import rate_factor
from isthmus.training.state import Keeper, Snapshot, State, moments_of, set_moments
from isthmus.training.threads import training_threads
from isthmus.training.transfer import near

VALIDATION_BATCH = 256
"""Fixed, so that the noise of a validation row is a function of the seed and its position."""
MOST_SKIPPED = 3
"""Batches of an epoch that may be left out because their loss or gradient is not finite."""


@dataclass(slots=True)
class History:
    """What happened in a training."""

    epochs: list[Epoch] = field(default_factory=list[Epoch])
    best_epoch: int = 0
    """The epoch whose weights the module holds now, counted from 1; 0 before the first."""
    reason: str = "all epochs"
    """Why it ended: ``"all epochs"``, ``"patience"`` or ``"interrupted"``."""
    notes: list[str] = field(default_factory=list[str])
    """What a user should know of it, one sentence each."""


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
        check_precision(plan.precision, self.device)
        self.n_epochs_done = n_epochs_done
        self.n_steps_done = 0
        self._epoch, self._n_batches_done, self._n_steps_before, self._first = 1, 0, 0, 0
        self._n_skipped, self._n_left_out = 0, 0
        self._rate_share, self._watches_steps, self._trouble = 1.0, False, ""
        self._history, self._best, self._means = History(), Best(), Means()
        self._keeper: Keeper | None = None
        module.to(self.device)
        self._groups = [(list(parameters), share) for parameters, share in module.parameter_groups()]
        self._parameters = [parameter for parameters, _ in self._groups for parameter in parameters]
        self._rate = _number(plan.learning_rate)
        self.optimiser = AdamW(
            [{"params": parameters} for parameters, _ in self._groups],
            lr=self._rate,
            weight_decay=plan.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self._snapshot = Snapshot(module, self.optimiser)
        self._callbacks: Sequence[Callback] = ()
        self._micro_batches = MicroBatches(
            module, self._parameters, plan.micro_batch, batch_size=int(_number(plan.batch_size))
        )

    def fit(
        self,
        rows: Rows[Any],
        validation: Rows[Any] | None = None,
        *,
        sample_weight: Tensor | None = None,
        validation_weight: Tensor | None = None,
        callbacks: Sequence[Callback] = (),
        keeper: Keeper | None = None,
        state: State | None = None,
    ) -> History:
        """Train for all epochs or until patience ends.

        A batch whose loss or gradient is not finite is left out, at most three in an epoch; after one more
        the weights go back to those of the epoch's beginning and the learning rate is halved, once.

        Parameters
        ----------
        rows, validation
            To learn from, and to stop and choose the weights by.
        sample_weight, validation_weight
            ``(rows,)`` each.
        callbacks
            What watches.
        keeper
            Offered the state after every step.
        state
            One that a keeper was offered by a training of the same module, plan and rows: this one ends as that
            one would have, bit for bit.

        Raises
        ------
        TrainingError
            If the loss is not finite for all that; the module then holds the best measured weights.
        """
        n_epochs = int(_number(self.plan.epochs))
        self._history, self._best = History(), Best()
        self._epoch, self._n_left_out, self._rate_share, self._watches_steps = 1, 0, 1.0, False
        self._first = self._begin(self._n_batches(len(rows)))
        self._callbacks, self._keeper = callbacks, keeper
        rows = near(rows, self.device)
        validation = None if validation is None else near(validation, self.device)
        for callback in callbacks:
            callback.begin(n_epochs, len(rows))
        if state is not None:
            self._load(state)
            for callback in callbacks:
                callback.goes_on(self._history.epochs, self._n_rows_done(len(rows)))
        history, best = self._history, self._best
        weights = sample_weight, validation_weight
        most_rows = math.ceil(len(rows) / self._n_batches(len(rows)))
        with freed_memory_kept(), self._as_planned(), self._dense_steps(most_rows):
            try:
                history.reason = self._train(rows, validation, weights, begun=state is not None)
            except (KeyboardInterrupt, _StoppedError):
                history.reason = "interrupted"
            except (RuntimeError, MemoryError) as error:
                best.restore(self.module, interrupted=True)
                self.module.eval()
                if isinstance(error, TrainingError) or not is_out_of_memory(error):
                    raise
                raise TrainingError(
                    f"training: memory ran out beside the steps' own in epoch {self._epoch}, where rows are gathered, "
                    "weights moved or validation rows measured. Lower batch_size or memory, or take a smaller network."
                ) from None
        if self._n_left_out > 1 and history.reason != "interrupted":
            history.notes.append(
                f"{self._n_left_out:,} batches were left out in all, for such a reason each."
            )
        history.best_epoch = best.restore(self.module, interrupted=history.reason == "interrupted")
        for callback in callbacks:
            callback.end(history.reason)
        self.module.eval()
        for parameter in self._parameters:
            parameter.grad = None  # nobody's any more, and as large as the weights
        return history

    def _train(
        self,
        rows: Rows[Any],
        validation: Rows[Any] | None,
        weights: tuple[Tensor | None, Tensor | None],
        *,
        begun: bool,
    ) -> str:
        """All epochs from the present one, which may have ``begun``, or until patience ends; why it ended."""
        n_epochs, n_batches = int(_number(self.plan.epochs)), self._n_batches(len(rows))
        patience = n_epochs if self.plan.patience is None else _number(self.plan.patience) * n_epochs
        for epoch in range(self._epoch, n_epochs + 1):
            if not begun:
                self._begin_epoch(epoch)
            begun = False
            training = self._whole_pass(rows, (self._first, n_epochs * n_batches), weights[0])
            held_out, losses = None, None
            if validation is not None:
                held_out, losses = self.validate(validation, weights[1])
            record = Epoch(epoch, self._rate, training, held_out)
            self._history.epochs.append(record)
            self._best.offer(epoch, losses, self.module)
            for callback in self._callbacks:
                callback.epoch(record)
            self._revive(rows, epoch, n_epochs)
            if self._best.n_worse >= max(1.0, patience) and epoch < n_epochs:
                return "patience"
        return "all epochs"

    @contextmanager
    def _as_planned(self) -> Generator[None]:
        """The threads and the precision of the plan."""
        threads = int(_number(self.plan.threads))
        with training_threads(threads), in_precision(self.module, self.plan.precision):
            yield

    @contextmanager
    def _dense_steps(self, most_rows: int) -> Generator[None]:
        """Steps of a plain dense module without a graph, on so many rows or one fewer."""
        if self.plan.precision != "float32" or not DenseStep.fits(self.module, self.optimiser):
            yield
            return
        steps = DenseStep(self.module, self.optimiser, most_rows)
        self._micro_batches.dense = steps
        try:
            yield
        finally:
            self._micro_batches.dense = None
            steps.release()

    # State

    def state(self) -> State:
        """All that :meth:`fit` needs to go on from here; tensors are the trainer's own."""
        means, mean_tensors = self._means.state()
        best, best_tensors = self._best.state()
        values = {
            "epoch": self._epoch,
            "n_batches_done": self._n_batches_done,
            "n_steps_done": self.n_steps_done,
            "n_steps_before": self._n_steps_before,
            "first": self._first,
            "rate": self._rate,
            "rate_share": self._rate_share,
            "watches_steps": self._watches_steps,
            "n_skipped": self._n_skipped,
            "n_left_out": self._n_left_out,
            "trouble": self._trouble,
            "rows_at_a_time": self._micro_batches.most,
            "means": means,
            "best": best,
            "epochs": [asdict(epoch) for epoch in self._history.epochs],
            "notes": list(self._history.notes),
        }
        groups = {
            "weights": dict(self.module.state_dict()),
            "moments": moments_of(self.optimiser),
            "means": mean_tensors,
            "best": best_tensors,
            **self._snapshot.groups(),
        }
        return State(values, groups)

    def _load(self, state: State) -> None:
        values, groups = state.values, state.groups
        self.module.load_state_dict(groups["weights"])
        set_moments(self.optimiser, groups["moments"])
        self._snapshot.load(state, self.device)
        self._means.load(values["means"], groups["means"], self.device)
        self._best.load(values["best"], groups["best"], self.device)
        self._epoch, self._n_batches_done = values["epoch"], values["n_batches_done"]
        self.n_steps_done, self._n_steps_before = values["n_steps_done"], values["n_steps_before"]
        self._first, self._rate, self._rate_share = values["first"], values["rate"], values["rate_share"]
        self._watches_steps, self._n_skipped = values["watches_steps"], values["n_skipped"]
        self._n_left_out, self._trouble = values["n_left_out"], values["trouble"]
        self._micro_batches.most = values["rows_at_a_time"]
        self._history.epochs = [Epoch(**epoch) for epoch in values["epochs"]]
        self._history.notes = list(values["notes"])

    def _n_rows_done(self, n_rows: int) -> int:
        """Rows of all steps so far."""
        least, n_larger = divmod(n_rows, self._n_batches(n_rows))
        in_epoch = least * self._n_batches_done + min(n_larger, self._n_batches_done)
        return (self._epoch - 1) * n_rows + in_epoch

    def one_pass(self, rows: Rows[Any], sample_weight: Tensor | None = None) -> Epoch:
        """One pass over the rows at the highest rate, without validation: for data that comes in parts."""
        self.module.to(self.device)
        self._begin(self._n_batches(len(rows)))
        self._means, self._n_batches_done = Means(), 0
        self._callbacks, self._keeper = (), None
        rows = near(rows, self.device)
        with self._as_planned():
            try:
                terms = self._pass(rows, None, self.n_steps_done, sample_weight)
            except NotFiniteError:
                raise TrainingError(
                    "training: the loss was no longer finite in this pass. "
                    "Lower learning_rate, or look for extreme values in the data."
                ) from None
        self.module.eval()
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

    def _begin_epoch(self, epoch: int) -> None:
        self._epoch, self._n_batches_done, self._n_skipped = epoch, 0, 0
        self._means = Means()
        self._n_steps_before = self.n_steps_done
        self._snapshot.take()

    def _whole_pass(
        self,
        rows: Rows[Any],
        schedule: tuple[int, int],
        sample_weight: Tensor | None,
    ) -> dict[str, float]:
        """The pass of an epoch, or what is left of it, again from its beginning where it runs into trouble.

        Steps are first made without a look at each: what is not finite is seen when log values are fetched,
        and the epoch done again with a look at every step. So the outcome is the same as with one all along.
        """
        while True:
            try:
                return self._pass(rows, schedule, self._epoch + self.n_epochs_done, sample_weight)
            except NotFiniteError as trouble:
                if self._watches_steps:
                    self._halve_rate(trouble)
                self._watches_steps = True
                n_taken_back = self._n_rows_done(len(rows)) - (self._epoch - 1) * len(rows)
                self._snapshot.go_back()
                self.n_steps_done, self._n_batches_done, self._n_skipped = self._n_steps_before, 0, 0
                self._means = Means()
                for callback in self._callbacks:
                    callback.step(-n_taken_back)

    def _halve_rate(self, trouble: NotFiniteError) -> None:
        """Once; or else end the training with what is known of the trouble."""
        if self._rate_share < 1.0:
            raise TrainingError(str(trouble)) from None
        self._rate_share = 0.5
        self._note(
            f"Epoch {self._epoch} was begun again with half the learning rate, for more than {MOST_SKIPPED} of its "
            f"batches had a loss or gradient that is not finite."
        )

    def _note(self, text: str) -> None:
        self._history.notes.append(text)
        for callback in self._callbacks:
            callback.note(text)

    def _pass(
        self,
        rows: Rows[Any],
        schedule: tuple[int, int] | None,
        order: int,
        sample_weight: Tensor | None,
    ) -> dict[str, float]:
        """Every row once that was not had yet, in an order that is a function of the seed and ``order``.

        ``schedule`` is the first step of the training and how many there are; None stays at the
        highest rate, with whatever warms up at its full strength.
        """
        self.module.train()
        weights = None if sample_weight is None else sample_weight.to(self.device)
        chance, n_batches = Randomness(int(self.plan.seed or 0), "order", order), self._n_batches(len(rows))
        highest = self._rate_share * _number(self.plan.learning_rate)
        with closing(rows.in_order(chance, n_batches, self._n_batches_done)) as batches:
            for indices, x in batches:
                n = indices.shape[0]
                rate, progress = highest, 1.0
                if schedule is not None:
                    step = self.n_steps_done - schedule[0]
                    rate *= rate_factor(step, schedule[1], self.plan.warm_up_share, self.plan.schedule)
                    progress = step / schedule[1]
                weight = None if weights is None else rows_at(weights, indices)
                batch = x.to(self.device)  # and waits: a batch may stand where the next one will
                if self._watches_steps:
                    self._watched_step(batch, rows.given(indices), weight, rate, progress)
                else:
                    result = self._step(batch, weight, rate, progress)
                    if self._means.add(result, n) and not math.isfinite(self._means.loss_of_fetched()):
                        raise NotFiniteError
                self._n_batches_done += 1
                gaps_given_back()
                for callback in self._callbacks:
                    callback.step(n)
                self._stop_if_asked()
                if self._keeper is not None:
                    self._keeper.offer(self.state)
        means = self._means.fetch()
        if not math.isfinite(means.get("loss", math.nan)):
            raise NotFiniteError(self._trouble)
        if not self._weights_are_finite():
            raise NotFiniteError(
                f"training: after step {self.n_steps_done} the weights are not finite. Lower learning_rate, or set "
                "gradient_clip."
            )
        return means

    def _stop_if_asked(self) -> None:
        if self._keeper is not None and self._keeper.stopping:
            self._keeper.offer(self.state, now=True)
            raise _StoppedError

    def _weights_are_finite(self) -> bool:
        norms = [torch.linalg.vector_norm(parameter.detach()) for parameter in self._parameters]
        return math.isfinite(torch.stack(norms).sum().item())

    def _step(self, batch: Any, weight: Tensor | None, rate: float, progress: float) -> Cost:
        result = self._differentiate(batch, weight, progress)
        self._update(rate)
        return result

    def _watched_step(
        self,
        batch: Any,
        given: Tensor,
        weight: Tensor | None,
        rate: float,
        progress: float,
    ) -> None:
        """A step that changes nothing if its loss or gradient is not finite; ``given`` are the rows' own numbers."""
        buffers = [buffer.clone() for buffer in self.module.buffers()]
        result = self._differentiate(batch, weight, progress)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        if math.isfinite(result.loss.item()) and math.isfinite(
            torch.nn.utils.get_total_norm(gradients).item()
        ):
            self._update(rate)
            self._means.add(result, len(given))
            return
        with torch.no_grad():
            for buffer, before in zip(self.module.buffers(), buffers, strict=True):
                buffer.copy_(before)
        self._rate = rate
        self._trouble = diagnose(
            self.module,
            batch,
            given,
            self.n_steps_done,
            sample_weight=weight,
            progress=progress,
            micro_batch=self._micro_batches.most,
        ).sentence()
        self.n_steps_done += 1
        self._n_skipped += 1
        if self._n_skipped > MOST_SKIPPED:
            raise NotFiniteError(self._trouble)
        text = f"A batch of epoch {self._epoch} was left out: {self._trouble.removeprefix('training: ')}"
        if self._n_left_out == 0:
            self._history.notes.append(text)
        self._n_left_out += 1
        for callback in self._callbacks:
            callback.note(text)

    def _differentiate(self, batch: Any, weight: Tensor | None, progress: float) -> Cost:
        """The batch's cost, and its gradient where the optimiser looks for it."""
        return self._micro_batches.differentiate(batch, self.n_steps_done, weight, progress, tell=self._note)

    def _update(self, rate: float) -> None:
        self._rate = rate
        for group, (_, share) in zip(self.optimiser.param_groups, self._groups, strict=True):
            group["lr"] = rate * share
        if self.plan.gradient_clip is not None:
            self._clip(_number(self.plan.gradient_clip))
        dense = self._micro_batches.dense
        if dense is None:
            self.optimiser.step()
        else:
            dense.update()
        self.n_steps_done += 1

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
        means, losses = Means(), list[Tensor]()
        weights = None if sample_weight is None else sample_weight.to(self.device)
        root = Randomness(int(self.plan.seed or 0), "validation")
        for block, indices in enumerate(torch.arange(len(rows)).split(VALIDATION_BATCH)):
            batch = rows.gather(indices).to(self.device)
            weight = None if weights is None else rows_at(weights, indices)
            result = self.module.objective_at(batch, root.at(block), sample_weight=weight)
            means.add(result, len(indices))
            losses.append(result.per_example.detach())
            self._stop_if_asked()
        return means.fetch(), torch.cat(losses).cpu()


class NotFiniteError(Exception):
    """A loss, a gradient or weights that are not finite, and what is known of it."""


class _StoppedError(Exception):
    """Somebody asked for the end of the training, whose state is kept."""


def _number(value: Any) -> float:
    if isinstance(value, str):
        raise TrainingError(f"training: {value!r} was not replaced by a number. Resolve the config first.")
    return value

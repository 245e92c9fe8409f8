"""Layer by layer, then end to end: each layer first learns to rebuild what the one below it gives."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from isthmus.codes.base import Code
from isthmus.codes.deterministic import Deterministic
from isthmus.config.training import Training
from isthmus.errors import IsthmusError, ParameterError
from isthmus.likelihoods.base import Likelihood
from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.likelihoods.squared_error import SquaredError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.dense import DenseDecoder, DenseEncoder, DenseLevel
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import Penalty
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.loop import History, Trainer
from isthmus.training.rows import ActivationRows, Rows
from isthmus.training.state import Keeper, State
from isthmus.training.threads import training_threads


@dataclass(frozen=True, slots=True)
class Level:
    """One layer of a deep autoencoder with its mirror, as a shallow autoencoder."""

    module: AutoencoderModule
    """Its layers are the deep model's own: what it learns, the deep model knows."""
    width: int
    """Units of the layer."""

    def activations(self, x: Tensor) -> Tensor:
        """What the layer gives for clean inputs, ``(rows, width)``."""
        return self.module.encode(x)


def levels_of(module: AutoencoderModule) -> list[Level]:
    """The shallow autoencoders that a deep one is made of, from the input to the code.

    Level l is ``min L(a, g_l(h))`` with ``h = act(W_l a~ + b_l)``, a the clean activations of the
    level below (of the first level the data) and a~ their corruption. The first level keeps the
    model's likelihood; above it L is the log loss where activations lie in (0, 1) (sigmoid), else
    the squared error, of outputs that pass through the activation as they do in the deep model.
    Corruption and penalties are the model's at every level. A code with a distribution is no level:
    its noise says nothing before the layers around it know the data.

    Raises
    ------
    ParameterError
        If the network is not dense.
    """
    encoder, decoder = module.encoder, module.decoder
    if not (isinstance(encoder, DenseEncoder) and isinstance(decoder, DenseDecoder)):
        raise ParameterError(
            "training: scheme = 'layer_by_layer' needs a dense network, whose layers mirror each other one by "
            f"one, got {type(encoder).__name__.removesuffix('Encoder')}. Set scheme = 'end_to_end'."
        )
    name = encoder.activation.name
    n_layers, levels = len(encoder.layers), list[Level]()
    shape, output_shape = module.sample_shape, decoder.output_shape
    for number, (down, up) in enumerate(zip(encoder.layers, reversed(decoder.layers), strict=True), 1):
        first, last = number == 1, number == n_layers
        if last and not _is_plain(module.code):
            break
        width = module.code.size if last else down.get_parameter("bias").numel()
        likelihood: Likelihood = Bernoulli() if name == "sigmoid" else SquaredError()
        level = AutoencoderModule(
            network=DenseLevel(down, up, output_shape, name, bent=not first and name != "sigmoid"),
            code=module.code if last else Deterministic(width, name),
            likelihood=module.likelihood if first else likelihood,
            corruption=module.corruption,
            penalties=_penalties(module, own=last),
            sample_shape=shape,
            seed=_seed(module.seed, number),
        )
        levels.append(Level(level, width))
        shape = output_shape = (width,)
    return levels


def check_can_stack(module: AutoencoderModule, plan: Training) -> None:
    """Refuse, before the first step, what cannot be trained layer by layer."""
    levels = levels_of(copy.deepcopy(module).eval())
    if not levels:
        raise ParameterError(
            "training: scheme = 'layer_by_layer' needs a layer under the code, got a linear network and a code "
            "with a distribution, which is trained end to end. Set hidden_sizes, or scheme = 'end_to_end'."
        )
    split_epochs(plan, len(levels))
    for number, level in enumerate(levels, 1):
        rows = torch.zeros(2, *level.module.sample_shape)
        try:
            level.module.objective(rows, 0)
        except (IsthmusError, RuntimeError, IndexError, ValueError) as error:
            if number == 1:
                raise
            reason = str(error).splitlines()[0].rstrip(".")
            raise ParameterError(
                "training: scheme = 'layer_by_layer' applies corruption and penalties to every layer, and layer "
                f"{number}, {level.width} units, cannot have them: {reason}. Set scheme = 'end_to_end'."
            ) from None


def split_epochs(plan: Training, n_levels: int) -> tuple[int, int]:
    """Epochs of each level, and of all layers together.

    >>> split_epochs(Training(epochs=20), 2), split_epochs(Training(epochs=20, pretraining_share=0.1), 3)
    ((5, 10), (1, 17))
    """
    n_epochs = int(plan.epochs)
    each = max(1, round(plan.pretraining_share * n_epochs / n_levels))
    if n_epochs - n_levels * each < 1:
        raise ParameterError(
            f"training: scheme = 'layer_by_layer' needs an epoch for each of {n_levels} layers and one end to "
            f"end, got epochs = {n_epochs} and pretraining_share = {plan.pretraining_share:g}, which leave "
            f"{n_epochs - n_levels * each}. Set epochs to {2 * n_levels + 1} or more, or a smaller share."
        )
    return each, n_epochs - n_levels * each


def fit_layer_by_layer(
    module: AutoencoderModule,
    plan: Training,
    rows: Rows[Tensor],
    validation: Rows[Tensor] | None = None,
    *,
    sample_weight: Tensor | None = None,
    validation_weight: Tensor | None = None,
    callbacks: Sequence[Callback] = (),
    keeper: Keeper | None = None,
    state: State | None = None,
) -> History:
    """Train each level of ``module`` in turn, then all layers together: one history of all epochs.

    Every level is trained as the whole model is: same optimiser, schedule and patience, over its
    own epochs; validation rows pass through the trained layers as the training rows do. Everything
    random is a function of the seed, the level, the epoch and the step. Greedy training: Bengio et
    al. (2007); from corrupted inputs: Vincent et al. (2010); then end to end: Hinton and
    Salakhutdinov (2006).
    """
    each, rest = split_epochs(plan, len(levels_of(module)))
    weights = {"sample_weight": sample_weight, "validation_weight": validation_weight}
    watched, reason = Watched(callbacks), "all epochs"
    if state is not None:
        watched.load(state)
    with training_threads(int(plan.threads)):
        if state is None or watched.level is not None:
            reason = pretrain(
                module,
                plan.replace(epochs=each),
                rows,
                validation,
                n_more=rest,
                watched=watched,
                keeper=keeper,
                state=state,
                **weights,
            )
            state = None
        else:
            watched.begin_again(len(levels_of(module)) * each + rest, len(rows))
        history = History(list(watched.epochs), len(watched.epochs), reason, watched.notes)
        if reason != "interrupted":
            if state is None:
                watched.level, watched.n_done = None, len(watched.epochs)
            trainer = Trainer(module, plan.replace(epochs=rest), n_epochs_done=watched.n_done)
            found = trainer.fit(
                rows,
                validation,
                callbacks=(watched,),
                keeper=None if keeper is None else _LevelKeeper(keeper, module, watched),
                state=None if state is None else _of_level(state),
                **weights,
            )
            history = History(
                watched.epochs,
                watched.n_done + found.best_epoch,
                found.reason,
                [*watched.notes, *found.notes],
            )
    for callback in callbacks:
        callback.end(history.reason)
    module.eval()
    return history


def pretrain(
    module: AutoencoderModule,
    plan: Training,
    rows: Rows[Tensor],
    validation: Rows[Tensor] | None = None,
    *,
    sample_weight: Tensor | None = None,
    validation_weight: Tensor | None = None,
    n_more: int = 0,
    watched: Watched | None = None,
    keeper: Keeper | None = None,
    state: State | None = None,
) -> str:
    """Train every level for ``plan.epochs``, ``watched`` as one training; why the last level ended.

    ``n_more`` is how many epochs will follow, for whoever shows how far the training is.
    """
    device = torch.device(plan.device)
    module.to(device)
    watched = Watched(()) if watched is None else watched
    if state is not None:
        module.load_state_dict(state.groups["whole"])
    levels, reason, begun = levels_of(module), "all epochs", watched.level
    watched.begin_again(len(levels) * int(plan.epochs) + n_more, len(rows))
    inputs, held_out = rows, validation
    for number, level in enumerate(levels, 1):
        if begun is None or number >= begun:
            goes_on = number == begun and state is not None
            if not goes_on:
                watched.level, watched.n_done = number, len(watched.epochs)
            own = plan.replace(seed=_seed(plan.seed or 0, number))
            history = Trainer(level.module, own).fit(
                inputs,
                held_out,
                sample_weight=sample_weight,
                validation_weight=validation_weight,
                callbacks=(watched,),
                keeper=None if keeper is None else _LevelKeeper(keeper, module, watched),
                state=_of_level(state) if goes_on and state is not None else None,
            )
            watched.notes += history.notes
            reason = history.reason
            if reason == "interrupted":
                break
        level.module.eval()
        if number < len(levels):
            inputs = ActivationRows(inputs, level.activations, level.width, device)
            if held_out is not None:
                held_out = ActivationRows(held_out, level.activations, level.width, device)
    return reason


class Watched(Callback):
    """Hands several trainings on as one: epochs are numbered over all of them, and know their level."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = callbacks
        self.level: int | None = None
        self.n_done = 0
        """Epochs of the trainings before this one."""
        self.epochs: list[Epoch] = []
        self.notes: list[str] = []
        self._n_rows = 0
        """Of all steps so far."""

    def begin_again(self, n_epochs: int, n_rows: int) -> None:
        """Tell of the whole: epochs at most, rows an epoch, and what was done before."""
        for callback in self._callbacks:
            callback.begin(n_epochs, n_rows)
            if self._n_rows:
                callback.goes_on(self.epochs, self._n_rows)

    def step(self, n_rows: int) -> None:
        """Hand it on."""
        self._n_rows += n_rows
        for callback in self._callbacks:
            callback.step(n_rows)

    def epoch(self, epoch: Epoch) -> None:
        """Number it and hand it on."""
        record = replace(epoch, epoch=self.n_done + epoch.epoch, level=self.level)
        self.epochs.append(record)
        for callback in self._callbacks:
            callback.epoch(record)

    def note(self, text: str) -> None:
        """Hand it on."""
        for callback in self._callbacks:
            callback.note(text)

    def values(self) -> dict[str, Any]:
        """Where the whole training stands, as plain values."""
        return {
            "level": self.level,
            "n_done": self.n_done,
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "notes": list(self.notes),
            "n_rows": self._n_rows,
        }

    def load(self, state: State) -> None:
        """Stand where a kept state says."""
        values = state.values["levels"]
        self.level, self.n_done = values["level"], values["n_done"]
        self.epochs = [Epoch(**epoch) for epoch in values["epochs"]]
        self.notes, self._n_rows = list(values["notes"]), values["n_rows"]


class _LevelKeeper(Keeper):
    """Adds to the state of a level's training where the whole one stands."""

    def __init__(self, keeper: Keeper, module: AutoencoderModule, watched: Watched) -> None:
        super().__init__(lambda: keeper.stopping)
        self._keeper, self._module, self._watched = keeper, module, watched

    def offer(self, state: Callable[[], State], *, now: bool = False) -> None:
        """Offer the state of the whole."""

        def whole() -> State:
            own = state()
            values = {**own.values, "levels": self._watched.values()}
            return State(values, {**own.groups, "whole": dict(self._module.state_dict())})

        self._keeper.offer(whole, now=now)


def _of_level(state: State) -> State:
    """What the trainer of the present level kept."""
    groups = {name: tensors for name, tensors in state.groups.items() if name != "whole"}
    return State({name: value for name, value in state.values.items() if name != "levels"}, groups)


def _is_plain(code: Code) -> bool:
    """Whether a code is a function of as many numbers as it has units, without a rate."""
    if code.n_inputs(code.size) != code.size:
        return False
    return code.rate_per_unit(torch.zeros(1, code.size)) is None


def _penalties(module: AutoencoderModule, *, own: bool) -> dict[str, Penalty]:
    """The model's own penalties, or copies for a layer whose units are not the code's."""
    return {name: penalty if own else copy.deepcopy(penalty) for name, penalty in module.named_penalties()}


def _seed(seed: int, level: int) -> int:
    """Each level has chance of its own."""
    return Randomness(seed, "level", level).generator().initial_seed() % 2**32

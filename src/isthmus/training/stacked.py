"""Layer by layer, then end to end: each layer first learns to rebuild what the one below it gives."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    with training_threads(int(plan.threads)):
        watched, reason = pretrain(
            module, plan.replace(epochs=each), rows, validation, n_more=rest, callbacks=callbacks, **weights
        )
        history = History(list(watched.epochs), len(watched.epochs), reason)
        if reason != "interrupted":
            watched.level, watched.n_done = None, len(watched.epochs)
            trainer = Trainer(module, plan.replace(epochs=rest), n_epochs_done=watched.n_done)
            found = trainer.fit(rows, validation, callbacks=(watched,), **weights)
            history = History(watched.epochs, watched.n_done + found.best_epoch, found.reason)
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
    callbacks: Sequence[Callback] = (),
) -> tuple[Watched, str]:
    """Train every level for ``plan.epochs``; what was recorded, and why the last level ended.

    ``n_more`` is how many epochs will follow, for whoever shows how far the training is.
    """
    device = torch.device(plan.device)
    module.to(device)
    levels, watched, reason = levels_of(module), Watched(callbacks), "all epochs"
    for callback in callbacks:
        callback.begin(len(levels) * int(plan.epochs) + n_more, len(rows))
    inputs, held_out = rows, validation
    for number, level in enumerate(levels, 1):
        watched.level, watched.n_done = number, len(watched.epochs)
        own = plan.replace(seed=_seed(plan.seed or 0, number))
        reason = (
            Trainer(level.module, own)
            .fit(
                inputs,
                held_out,
                sample_weight=sample_weight,
                validation_weight=validation_weight,
                callbacks=(watched,),
            )
            .reason
        )
        if reason == "interrupted":
            break
        if number < len(levels):
            inputs = ActivationRows(inputs, level.activations, level.width, device)
            if held_out is not None:
                held_out = ActivationRows(held_out, level.activations, level.width, device)
    return watched, reason


class Watched(Callback):
    """Hands several trainings on as one: epochs are numbered over all of them, and know their level."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = callbacks
        self.level: int | None = None
        self.n_done = 0
        """Epochs of the trainings before this one."""
        self.epochs: list[Epoch] = []

    def step(self, n_rows: int) -> None:
        """Hand it on."""
        for callback in self._callbacks:
            callback.step(n_rows)

    def epoch(self, epoch: Epoch) -> None:
        """Number it and hand it on."""
        record = replace(epoch, epoch=self.n_done + epoch.epoch, level=self.level)
        self.epochs.append(record)
        for callback in self._callbacks:
            callback.epoch(record)


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

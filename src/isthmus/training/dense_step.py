"""Steps of plain dense autoencoders with their gradient written out: no graph is built, all weights move at once.

A step of a small network is almost all overhead of dispatch, autograd and the optimiser's bookkeeping. Here
back-propagation (Rumelhart et al. 1986) is a fixed list of matrix products into memory that is kept, and weights,
gradients and moments lie in one vector each, which one fused call of AdamW moves; but for the gradients of large
matrices, which are the memory of the product that made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from isthmus.codes.base import Code
from isthmus.codes.deterministic import Deterministic
from isthmus.codes.gaussian import Gaussian
from isthmus.config.parts.activations import Activation
from isthmus.likelihoods.base import Likelihood
from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.likelihoods.mixed import Mixed
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.objective import Cost, Trainable, emphasised
from isthmus.networks.dense import DenseDecoder, DenseEncoder
from isthmus.networks.linear import Linear
from isthmus.numerics.products import is_large
from isthmus.penalties.contractive import Contractive
from isthmus.training.dense_calls import BENT
from isthmus.training.dense_losses import FORWARDS, Loss, MixedLoss, PlainLoss
from isthmus.training.dense_memory import DenseMemory
from isthmus.training.dense_plans import Plan, by_rows, by_units
from isthmus.training.dense_terms import Contraction, Draw, Noise, Term
from isthmus.training.graphs import captured
from isthmus.training.optimiser import ONE, fused_adamw

MOST_SIZES = 4
"""Sizes of batches for which memory is kept."""

_inference_mode: Any = torch._C._InferenceMode  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
"""As ``torch.inference_mode``, which takes three times as long to enter."""


class DenseStep:
    """The cost and gradient of batches, and the optimiser's step, of a module that :meth:`fits`.

    The module's parameters are views of one vector until :meth:`release`.

    Parameters
    ----------
    module
        Of a dense network with layers of its own, a deterministic code or a Gaussian one, squared error, log
        loss or a table's losses, and nothing else in the objective but the exact contractive penalty of an
        encoder of one layer; inputs may be corrupted, and tables have gaps.
    optimiser
        AdamW with all of its parameters in one group.
    most_rows
        Of a batch, where others may be one row shorter: large products of these are made with a row of zeros. Where no
        product of so many rows is large, values lie by units.
    """

    def __init__(
        self, module: AutoencoderModule, optimiser: torch.optim.AdamW, most_rows: int | None = None
    ) -> None:
        self._optimiser, self._most_rows = optimiser, most_rows
        self._parameters: list[nn.Parameter] = optimiser.param_groups[0]["params"]
        self._sample_shape, self._gaps = module.sample_shape, module.gaps
        layers, penalties = _layers_of(module), list(module.named_penalties())
        self._by_units = (
            most_rows is not None
            and not penalties
            and self._parameters[0].device.type == "cpu"
            and not any(is_large(most_rows, *layer.weight.shape) for layer, _ in layers)
        )
        self._chance, self._corrupted = module.chance, None if module.corruption is None else module.corrupted
        self._emphasising = module.corruption if module.corruption and module.corruption.emphasis else None
        self._code_size = module.code.size
        may_turn = not penalties and self._parameters[0].device.type == "cpu"
        turned = [may_turn and _is_turned(parameter, most_rows or 0) for parameter in self._parameters]
        self._memory = DenseMemory(layers, self._parameters, joined=self._by_units, turned=turned)
        self._n_steps = torch.zeros((), device=self._memory.device)
        self._loss = _loss_of(module.likelihood, self._parameters, self._memory.gradients)
        self._term: Term | None = None
        for name, penalty in penalties:
            assert isinstance(penalty, Contractive)
            self._term = Contraction(name, penalty, self._memory.layers[0])
        code, last = module.code, _n_encoder(module) - 1
        if isinstance(code, Gaussian):
            self._term = Draw(code, last, self._memory.device)
        elif isinstance(code, Deterministic) and (code.noise or code.final_noise):
            self._term = Noise(code, last, self._memory.device)
        self._plans: dict[int, Plan] = {}
        self._adopt(are_zero=True)

    @staticmethod
    def fits(module: Trainable, optimiser: torch.optim.Optimizer) -> TypeGuard[AutoencoderModule]:
        """Whether the steps of a module can be made here."""
        if not isinstance(module, AutoencoderModule) or not isinstance(optimiser, torch.optim.AdamW):
            return False
        code, likelihood = module.code, module.likelihood
        encoder, decoder = module.network.encoder, module.network.decoder
        if not (
            isinstance(encoder, DenseEncoder)
            and isinstance(decoder, DenseDecoder)
            and {type(encoder), type(decoder)} == {DenseEncoder, DenseDecoder}
            and (_is_plain(code) or ((Draw.fits(code) or Noise.fits(code)) and not len(module.penalties)))
            and type(likelihood) in FORWARDS
            and type(likelihood).forward is FORWARDS[type(likelihood)]
            and not getattr(likelihood, "sampled", False)
            and (likelihood.balance() is None or isinstance(likelihood, Mixed))
            and (module.corruption is None or not module.corruption.emphasis or isinstance(likelihood, Mixed))
            and module.condition is None
            and (module.gaps is None or isinstance(likelihood, Mixed))
            and (not len(module.penalties) or (Contraction.fits(module) and module.gaps is None))
        ):
            return False
        layers = [*encoder.layers, *decoder.layers]
        of_layers = [parameter for layer in layers for parameter in layer.parameters()]
        held = [*of_layers, *likelihood.parameters()]
        (group, *others) = optimiser.param_groups
        return (
            {encoder.activation.name, decoder.activation.name, _bend(code)} <= {"identity", *BENT}
            and all(type(layer) is Linear for layer in layers)
            and len(of_layers) == 2 * len(layers)
            and not others
            and {id(one) for one in group["params"]} == {id(one) for one in held}
            and {id(one) for one in module.parameters()} == {id(one) for one in held}
            and all(one.dtype == torch.float32 and one.device == held[0].device for one in held)
            and held[0].device.type in (("cpu",) if isinstance(likelihood, Mixed) else ("cpu", "cuda"))
            and not any(_is_hooked(each) for each in module.modules())
            and not (group["amsgrad"] or group["maximize"])
        )

    def differentiate(self, batch: Tensor, progress: float = 1.0, step: int = 0) -> Cost:
        """The batch's cost, ``(rows, *sample_shape)``, and its gradient where the optimiser looks for it.

        What is drawn is that of the module's own objective in this step.
        """
        n_rows, shown = batch.shape[0], batch
        emphasis = None
        if self._corrupted is not None:
            chance = self._chance(step).at("corruption")
            with torch.no_grad():
                shown = self._corrupted(batch, chance, progress)
                if self._emphasising is not None:
                    emphasis = emphasised(self._emphasising, batch, chance, progress)
        plan = self._plans.get(n_rows)
        if plan is None and n_rows + 1 == self._most_rows:
            longer = self._plans.get(n_rows + 1) or self._planned(n_rows + 1)
            if longer.backwards:
                return self._a_row_short(longer, batch, shown)
        if plan is None:
            plan = self._planned(n_rows)
        term = self._term
        if term is not None:
            term.begin(n_rows, progress)
        with _inference_mode(True):  # a tenth of a small product's time is spared at each call
            if plan.noise is not None:
                plan.noise.copy_(self._chance(step).at("code").normal((n_rows, self._code_size)))
            plan.shown.put(shown, as_it_lies=bool(plan.backwards))
            if self._corrupted is not None:
                plan.clean.put(batch, as_it_lies=bool(plan.backwards))
            if plan.emphasis is not None:
                plan.emphasis.fill_(1.0) if emphasis is None else plan.emphasis.copy_(emphasis)
            loss = plan.made()
            mean = None if plan.term is None else plan.term()
        self._show_gradients()
        if term is None or mean is None:
            return Cost(loss, {"distortion": loss})
        return Cost(loss + term.strength * mean, {"distortion": loss, term.name: mean})

    def _a_row_short(self, plan: Plan, batch: Tensor, shown: Tensor) -> Cost:
        """As :meth:`differentiate`, of one row fewer than a plan is for: a row of zeros has no gradient.

        Batches of an epoch are of two such sizes, and for each that oneDNN is to multiply it takes half a megabyte.
        """
        n_rows = len(batch)
        assert isinstance(self._loss, PlainLoss)
        assert plan.scale is not None
        with _inference_mode(True):
            plan.shown.put(pad(shown.flatten(1), (0, 0, 0, 1)), as_it_lies=True)
            if self._corrupted is not None:
                plan.clean.put(pad(batch.flatten(1), (0, 0, 0, 1)), as_it_lies=True)
            plan.scale.fill_(self._loss.slope / n_rows)
            loss = plan.made(n_rows)
            plan.scale.fill_(self._loss.slope / (n_rows + 1))
        self._show_gradients()
        return Cost(loss, {"distortion": loss})

    def _show_gradients(self) -> None:
        """Put them where the optimiser looks for them."""
        if self._parameters[0].grad is not self._memory.gradients[0]:
            for parameter, gradient in zip(self._parameters, self._memory.gradients, strict=True):
                parameter.grad = gradient

    def update(self) -> None:
        """A step of the optimiser along the gradients that parameters have."""
        if self._parameters[0].grad is not self._memory.gradients[0]:  # autograd has put them elsewhere
            for parameter, gradient in zip(self._parameters, self._memory.gradients, strict=True):
                gradient.zero_() if parameter.grad is None else gradient.copy_(parameter.grad)
        if self._optimiser.state[self._parameters[0]].get("exp_avg") is not self._memory.moments[0][0]:
            self._adopt()
        group = self._optimiser.param_groups[0]
        self._n_steps.add_(ONE)
        weights, gradients, first, second = self._memory.pieces
        fused_adamw(group, weights, gradients, first, second, [self._n_steps] * len(weights))

    def forget(self) -> None:
        """Let go of the memory that is kept for batches."""
        self._plans.clear()

    def release(self) -> None:
        """Give parameters memory of their own again, without gradients, and have moments lie as parameters do.

        For torch's fused AdamW goes from number to number of a moment as of the parameter, wherever these belong.
        """
        self._plans.clear()
        del self._memory
        self._term = None
        for parameter in self._parameters:
            parameter.grad = None
            parameter.data = parameter.detach().clone(memory_format=torch.contiguous_format)
        for held in (self._optimiser.state[parameter] for parameter in self._parameters):
            for name in ("exp_avg", "exp_avg_sq"):
                if name in held:
                    held[name] = held[name].contiguous()
            if "step" in held:
                held["step"] = held["step"].clone()

    @torch.no_grad()
    def _adopt(self, *, are_zero: bool = False) -> None:
        """Take over the optimiser's moments; from here on it has views of the vectors, which ``are_zero`` now."""
        held = [self._optimiser.state[parameter] for parameter in self._parameters]
        if held[0]:
            self._n_steps.copy_(held[0]["step"])
        else:
            self._n_steps.zero_()
        for name, views in zip(("exp_avg", "exp_avg_sq"), self._memory.moments, strict=True):
            for own, view in zip(held, views, strict=True):
                if name in own:
                    view.copy_(own[name])
                elif not are_zero:
                    view.zero_()
                own[name] = view
        for own in held:
            own["step"] = self._n_steps

    def _planned(self, n_rows: int) -> Plan:
        """What is computed of a batch."""
        if len(self._plans) == MOST_SIZES:
            self._plans.clear()
        plan = (by_units if self._by_units else by_rows)(
            n_rows,
            self._memory.layers,
            self._sample_shape,
            loss=self._loss,
            gaps=self._gaps,
            corrupted=self._corrupted is not None,
            emphasised=self._emphasising is not None,
            term=self._term,
        )
        self._plans[n_rows] = replace(plan, calls=captured(plan.calls, self._memory.device))
        return self._plans[n_rows]


def _is_turned(parameter: Tensor, n_rows: int) -> bool:
    """Whether the gradient of a matrix is made in less time as its transpose.

    oneDNN lays the first of two factors anew where it lies turned, as one of the two does here: that of fewer values.
    """
    return (
        parameter.ndim == 2 and parameter.shape[0] > parameter.shape[1] and is_large(n_rows, *parameter.shape)
    )


def _layers_of(module: AutoencoderModule) -> list[tuple[Linear, Activation]]:
    """Layers and their activations, from the first of the encoder to the last of the decoder."""
    network, code = module.network, module.code
    assert isinstance(network.encoder, DenseEncoder)
    assert isinstance(network.decoder, DenseDecoder)
    found = list[tuple[Linear, Activation]]()
    ends: tuple[Activation, Activation] = (_bend(code), "identity")
    for half, at_end in zip((network.encoder, network.decoder), ends, strict=True):
        for layer in half.layers:
            assert isinstance(layer, Linear)
            found.append((layer, at_end if layer is half.layers[-1] else half.activation.name))
    return found


def _loss_of(likelihood: Likelihood, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> Loss:
    """The loss of a likelihood, whose own parameters are among those."""
    if not isinstance(likelihood, Mixed):
        return PlainLoss(bernoulli=isinstance(likelihood, Bernoulli))
    own = {id(parameter) for parameter in likelihood.parameters()}
    of_scale = [view for one, view in zip(parameters, gradients, strict=True) if id(one) in own]
    return MixedLoss(likelihood, of_scale[0] if of_scale else None)


def _n_encoder(module: AutoencoderModule) -> int:
    """Layers of the encoder."""
    assert isinstance(module.network.encoder, DenseEncoder)
    return len(module.network.encoder.layers)


def _is_plain(code: Code) -> bool:
    """Whether a code is the encoder's output, bent at most."""
    return type(code) is Deterministic and not (code.noise or code.final_noise)


def _bend(code: Code) -> Activation:
    """What bends the encoder's outputs."""
    return code.activation_name if isinstance(code, Deterministic) else "identity"


def _is_hooked(module: nn.Module) -> bool:
    """Whether somebody is told of a module's steps, who would not be."""
    return bool(
        module._forward_hooks  # pyright: ignore[reportPrivateUsage]
        or module._forward_pre_hooks  # pyright: ignore[reportPrivateUsage]
        or module._backward_hooks  # pyright: ignore[reportPrivateUsage]
        or module._backward_pre_hooks  # pyright: ignore[reportPrivateUsage]
    )

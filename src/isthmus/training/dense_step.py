"""Steps of plain dense autoencoders with their gradient written out: no graph is built, all weights move at once.

A step of a small network is almost all overhead of dispatch, autograd and the optimiser's bookkeeping. Here
back-propagation (Rumelhart et al. 1986) is a fixed list of matrix products into memory that is kept, and weights,
gradients and moments lie in one vector each, which one fused call of AdamW moves; but for the gradients of large
matrices, which are the memory of the product that made them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from isthmus.codes.deterministic import Deterministic
from isthmus.config.parts.activations import Activation
from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.likelihoods.squared_error import SquaredError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.objective import Objective, Trainable
from isthmus.networks.dense import DenseDecoder, DenseEncoder
from isthmus.networks.linear import Linear
from isthmus.numerics.products import is_large, large_product
from isthmus.penalties.contractive import Contractive
from isthmus.training.graphs import captured

ALIGNMENT = 16
"""Numbers, of 64 bytes: where matrix products begin elsewhere, they round in another order."""
OWN_MEMORY = 1 << 14
"""Numbers of a weight from which on its gradient is no part of a vector: a large product brings its own memory."""
MOST_SIZES = 4
"""Sizes of batches for which memory is kept."""

Call = Callable[[], object]
Forward = Callable[[Tensor, Tensor], Call]
"""``(a, into)``: what puts act(a) into a tensor."""
Backward = Callable[[Tensor, Tensor, Tensor, Tensor], Call]
"""``(gradient, a, act(a), into)``: what puts the gradient of a into a tensor."""

_aten: Any = torch.ops.aten
_fused_adamw: Any = torch._fused_adamw_  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
_BENT: dict[Activation, tuple[Forward, Backward]] = {
    "relu": (
        lambda a, into: partial(torch.clamp_min, a, 0.0, out=into),
        lambda g, a, _, into: partial(_aten.threshold_backward.grad_input, g, a, 0.0, grad_input=into),
    ),
    "leaky_relu": (
        lambda a, into: partial(_aten.leaky_relu.out, a, 0.01, out=into),
        lambda g, a, _, into: partial(_aten.leaky_relu_backward.grad_input, g, a, 0.01, False, grad_input=into),
    ),
    "silu": (
        lambda a, into: partial(_aten.silu.out, a, out=into),
        lambda g, a, _, into: partial(_aten.silu_backward.grad_input, g, a, grad_input=into),
    ),
    "gelu": (
        lambda a, into: partial(_aten.gelu.out, a, out=into),
        lambda g, a, _, into: partial(_aten.gelu_backward.grad_input, g, a, grad_input=into),
    ),
    "softplus": (
        lambda a, into: partial(_aten.softplus.out, a, out=into),
        lambda g, a, _, into: partial(_aten.softplus_backward.grad_input, g, a, 1.0, 20.0, grad_input=into),
    ),
    "sigmoid": (
        lambda a, into: partial(torch.sigmoid, a, out=into),
        lambda g, _, bent, into: partial(_aten.sigmoid_backward.grad_input, g, bent, grad_input=into),
    ),
    "tanh": (
        lambda a, into: partial(torch.tanh, a, out=into),
        lambda g, _, bent, into: partial(_aten.tanh_backward.grad_input, g, bent, grad_input=into),
    ),
}  # fmt: skip
"""Activations that can be written into memory that is there; ``identity`` needs none."""


_SLOPES: dict[Activation, tuple[Callable[[Tensor, Tensor], list[Call]], bool]] = {
    "sigmoid": (lambda h, into: [partial(torch.addcmul, h, h, h, value=-1, out=into)], True),
    "tanh": (lambda h, into: [partial(torch.mul, h, h, out=into), into.neg_, partial(into.add_, 1)], False),
}
"""What puts act'(a) into a tensor, given h = act(a); and of act''(a) = act'(a) (c - 2 h) whether c is 1, not 0."""
_ONE = torch.ones(())
"""A number that is a tensor already takes half the time of one that becomes it."""
_LOSSES: dict[type[Any], Any] = {SquaredError: SquaredError.forward, Bernoulli: Bernoulli.forward}


@dataclass(frozen=True, slots=True)
class _Layer:
    """Views of a layer's part of the vectors."""

    weight: Tensor
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor
    activation: Activation


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that is computed of a batch of some size, in order, into memory that is kept."""

    x: Tensor
    """``(rows, *sample_shape)``, where a batch is copied to."""
    flat: Any
    """``(rows, n_values)``: the same, or the batch itself where products are large."""
    n_rows: Tensor
    scale: Tensor
    """By which the gradient of the sum of losses is multiplied: that of their mean."""
    losses: Tensor
    """Of each value, ``(rows, n_values)``."""
    of_outputs: Tensor
    """The gradient of the outputs, ``(rows, n_values)``."""
    omega: Tensor
    """Of each row, ``(rows,)``; 0 where nothing is penalised."""
    calls: Sequence[Call]
    backwards: Sequence[Call]
    """The rest of them, from the gradient of the outputs on, where a batch may be a row short; else it is empty."""


class _Contraction:
    """The closed form of the contractive penalty of one layer (Rifai et al. 2011, equation 5) and its gradient.

    Of a row with slopes s = act'(W x + b) it is the sum of s_j^2 |w_j|^2 over units j.

    Parameters
    ----------
    name, penalty
        As the module has them.
    layer
        The encoder's.
    """

    def __init__(self, name: str, penalty: Contractive, layer: _Layer) -> None:
        self.name, self._penalty, self._layer = name, penalty, layer
        self.strength = 0.0
        self._twice = layer.bias.new_zeros(())  # of the strength, over the rows
        self._norms, self._scaled, self._squares = (torch.empty_like(layer.bias) for _ in range(3))

    @staticmethod
    def fits(module: AutoencoderModule) -> bool:
        """Whether a module has no penalty but this one."""
        (penalty, *others) = module.penalties.values()
        encoder, code = module.network.encoder, module.code
        return (
            not others
            and type(penalty) is Contractive
            and type(penalty).forward is _CONTRACTIVE
            and penalty.method != "estimate"
            and isinstance(encoder, DenseEncoder)
            and len(encoder.layers) == 1
            and isinstance(code, Deterministic)
            and code.activation_name in _SLOPES
        )

    def begin(self, n_rows: int, progress: float) -> None:
        """Take the strength that a step has."""
        self.strength = self._penalty.weight_at(progress)
        self._twice.fill_(2 * self.strength / n_rows)

    def calls(self, x: Tensor, h: Tensor, gradient: Tensor, omega: Tensor) -> list[Call]:
        """What computes Omega ``(rows,)``, adds to the gradient of W x + b, and makes all of that of W."""
        layer = self._layer
        squares, weighed = torch.empty_like(h), torch.empty_like(h)
        slope, is_shifted = _SLOPES[layer.activation]
        return [
            *slope(h, squares),
            partial(squares.mul_, squares),
            partial(torch.linalg.vector_norm, layer.weight, dim=1, out=self._norms),
            partial(self._norms.mul_, self._norms),
            partial(torch.mv, squares, self._norms, out=omega),
            partial(torch.mul, self._norms, self._twice, out=self._scaled),
            partial(torch.mul, squares, self._scaled, out=weighed),
            partial(gradient.addcmul_, weighed, h, value=-2),
            *([partial(gradient.add_, weighed)] if is_shifted else []),
            partial(torch.sum, squares, 0, out=self._squares),
            partial(self._squares.mul_, self._twice),
            _of_weight(gradient, x, layer.weight_gradient, stays=False),
            partial(layer.weight_gradient.addcmul_, layer.weight, self._squares.unsqueeze(1)),
        ]


_CONTRACTIVE = Contractive.forward


class DenseStep:
    """The cost and gradient of batches, and the optimiser's step, of a module that :meth:`fits`.

    The module's parameters are views of one vector until :meth:`release`.

    Parameters
    ----------
    module
        Of a dense network with layers of its own, a deterministic code without noise, squared error or log loss, and
        nothing else in the objective but the exact contractive penalty of an encoder of one layer.
    optimiser
        AdamW with all of its parameters in one group.
    most_rows
        Of a batch, where others may be one row shorter: large products of these are made with a row of zeros.
    """

    def __init__(
        self, module: AutoencoderModule, optimiser: torch.optim.AdamW, most_rows: int | None = None
    ) -> None:
        self._optimiser, self._most_rows = optimiser, most_rows
        self._parameters: list[nn.Parameter] = optimiser.param_groups[0]["params"]
        self._is_bernoulli = isinstance(module.likelihood, Bernoulli)
        self._slope = 1.0 if self._is_bernoulli else 2.0
        n, self._device = sum(_aligned(one.numel()) for one in self._parameters), self._parameters[0].device
        weights, first, second, self._n_steps = (
            torch.zeros(shape, device=self._device) for shape in (n, n, n, ())
        )
        self._views = [_views(vector, self._parameters) for vector in (first, second)]
        self._gradients, pieces = _gradients(self._parameters)
        self._pieces = [[cut(vector) for cut, _ in pieces] for vector in (weights, first, second)]
        self._pieces.insert(1, [gradient for _, gradient in pieces])
        for parameter, view in zip(self._parameters, _views(weights, self._parameters), strict=True):
            view.copy_(parameter.detach())
            parameter.data = view
        self._layers, self._sample_shape = self._of_module(module), module.sample_shape
        self._contraction: _Contraction | None = None
        for name, penalty in module.named_penalties():
            assert isinstance(penalty, Contractive)
            self._contraction = _Contraction(name, penalty, self._layers[0])
        self._plans: dict[int, _Plan] = {}
        self._adopt()

    @staticmethod
    def fits(module: Trainable, optimiser: torch.optim.Optimizer) -> TypeGuard[AutoencoderModule]:
        """Whether the steps of a module can be made here."""
        if not isinstance(module, AutoencoderModule) or not isinstance(optimiser, torch.optim.AdamW):
            return False
        code, likelihood = module.code, module.likelihood
        encoder, decoder = module.network.encoder, module.network.decoder
        loss = _LOSSES.get(type(likelihood))
        if not (
            isinstance(encoder, DenseEncoder)
            and isinstance(decoder, DenseDecoder)
            and isinstance(code, Deterministic)
            and {type(encoder), type(decoder), type(code)} == {DenseEncoder, DenseDecoder, Deterministic}
            and not (code.noise or code.final_noise)
            and loss is not None
            and type(likelihood).forward is loss  # and nobody has put another in its place
            and not getattr(likelihood, "sampled", False)
            and likelihood.balance() is None
            and all(part is None for part in (module.corruption, module.condition, module.gaps))
            and (not len(module.penalties) or _Contraction.fits(module))
        ):
            return False
        layers = [*encoder.layers, *decoder.layers]
        held = [parameter for layer in layers for parameter in layer.parameters()]
        (group, *others) = optimiser.param_groups
        return (
            {encoder.activation.name, decoder.activation.name, code.activation_name} <= {"identity", *_BENT}
            and all(type(layer) is Linear for layer in layers)
            and len(held) == 2 * len(layers)
            and not others
            and {id(one) for one in group["params"]} == {id(one) for one in held}
            and {id(one) for one in module.parameters()} == {id(one) for one in held}
            and all(one.dtype == torch.float32 and one.device == held[0].device for one in held)
            and held[0].device.type in ("cpu", "cuda")
            and not any(_is_hooked(each) for each in module.modules())
            and not (group["amsgrad"] or group["maximize"])
        )

    def differentiate(self, batch: Tensor, progress: float = 1.0) -> Objective:
        """The batch's cost, ``(rows, *sample_shape)``, and its gradient where the optimiser looks for it."""
        n_rows = batch.shape[0]
        plan = self._plans.get(n_rows)
        if plan is None and n_rows + 1 == self._most_rows:
            longer = self._plans.get(n_rows + 1) or self._planned(n_rows + 1)
            if longer.backwards:
                return self._a_row_short(longer, batch)
        if plan is None:
            plan = self._planned(n_rows)
        if plan.backwards:
            plan.flat.set_(batch.flatten(1))
        else:
            plan.x.copy_(batch)
        contraction = self._contraction
        if contraction is not None:
            contraction.begin(n_rows, progress)
        for call in plan.calls:
            call()
        for call in plan.backwards:
            call()
        self._show_gradients()
        per_example = plan.losses.sum(1)
        loss = per_example.sum().div_(plan.n_rows)  # as mean() has it, in less time
        terms = {"distortion": loss}
        if contraction is not None:
            terms[contraction.name] = plan.omega.mean()
            per_example.add_(plan.omega, alpha=contraction.strength)
            loss = per_example.mean()
        return Objective(loss, terms, per_example)

    def _a_row_short(self, plan: _Plan, batch: Tensor) -> Objective:
        """As :meth:`differentiate`, of one row fewer than a plan is for: a row of zeros has no gradient.

        Batches of an epoch are of two such sizes, and for each that oneDNN is to multiply it takes half a megabyte.
        """
        n_rows = len(batch)
        plan.flat.set_(pad(batch.flatten(1), (0, 0, 0, 1)))
        plan.scale.fill_(self._slope / n_rows)
        for call in plan.calls:
            call()
        plan.of_outputs[n_rows:].zero_()
        for call in plan.backwards:
            call()
        plan.scale.fill_(self._slope / (n_rows + 1))
        self._show_gradients()
        per_example = plan.losses[:n_rows].sum(1)
        loss = per_example.mean()
        return Objective(loss, {"distortion": loss}, per_example)

    def _show_gradients(self) -> None:
        """Put them where the optimiser looks for them."""
        if self._parameters[0].grad is not self._gradients[0]:
            for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
                parameter.grad = gradient

    def update(self) -> None:
        """A step of the optimiser along the gradients that parameters have."""
        if self._parameters[0].grad is not self._gradients[0]:  # autograd has put them elsewhere
            for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
                gradient.zero_() if parameter.grad is None else gradient.copy_(parameter.grad)
        if self._optimiser.state[self._parameters[0]].get("exp_avg") is not self._views[0][0]:
            self._adopt()
        group = self._optimiser.param_groups[0]
        self._n_steps.add_(_ONE)
        _fused_adamw(
            *self._pieces, [], [self._n_steps] * len(self._pieces[0]),
            lr=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=group["weight_decay"],
            eps=group["eps"], amsgrad=False, maximize=False, grad_scale=None, found_inf=None,
        )  # fmt: skip

    def forget(self) -> None:
        """Let go of the memory that is kept for batches."""
        self._plans.clear()

    def release(self) -> None:
        """Give parameters, gradients and moments memory of their own again, one vector after the other."""
        self._plans.clear()
        del self._pieces, self._views, self._gradients, self._layers
        self._contraction = None
        for parameter in self._parameters:
            parameter.grad = None if parameter.grad is None else _with_own_memory(parameter.grad)
        for parameter in self._parameters:
            parameter.data = parameter.detach().clone()
        for name in ("step", "exp_avg", "exp_avg_sq"):
            for held in (self._optimiser.state[parameter] for parameter in self._parameters):
                if name in held:
                    held[name] = held[name].clone()

    @torch.no_grad()
    def _adopt(self) -> None:
        """Take over the optimiser's moments; from here on it has views of the vectors."""
        held = [self._optimiser.state[parameter] for parameter in self._parameters]
        if held[0]:
            self._n_steps.copy_(held[0]["step"])
        else:
            self._n_steps.zero_()
        for name, views in zip(("exp_avg", "exp_avg_sq"), self._views, strict=True):
            for own, view in zip(held, views, strict=True):
                view.copy_(own[name]) if name in own else view.zero_()
                own[name] = view
        for own in held:
            own["step"] = self._n_steps

    def _of_module(self, module: AutoencoderModule) -> list[_Layer]:
        gradients = {id(one): view for one, view in zip(self._parameters, self._gradients, strict=True)}
        network, code = module.network, module.code
        assert isinstance(network.encoder, DenseEncoder)
        assert isinstance(network.decoder, DenseDecoder)
        assert isinstance(code, Deterministic)
        found = list[_Layer]()
        ends: tuple[Activation, Activation] = (code.activation_name, "identity")
        for half, at_end in zip((network.encoder, network.decoder), ends, strict=True):
            for layer in half.layers:
                assert isinstance(layer, Linear)
                own = gradients[id(layer.weight)], gradients[id(layer.bias)]
                activation = at_end if layer is half.layers[-1] else half.activation.name
                found.append(_Layer(layer.weight.detach(), layer.bias.detach(), *own, activation))
        return found

    def _planned(self, n_rows: int) -> _Plan:
        """What is computed of a batch: outputs layer by layer, the loss, gradients from the last layer to the first."""
        if len(self._plans) == MOST_SIZES:
            self._plans.clear()
        empty, zeros = (partial(make, device=self._device) for make in (torch.empty, torch.zeros))
        a = x = empty(n_rows, self._layers[0].weight.shape[1])
        forwards, backwards = list[Call](), list[Call]()
        outwards: Tensor | None = None  # the gradient of what the layer before gives
        omega = zeros(n_rows)
        stays = not any(_is_large(x, layer.weight.shape) for layer in self._layers)
        for layer in self._layers:
            n_out = len(layer.bias)
            before, of_output = empty(n_rows, n_out), empty(n_rows, n_out)
            bent, of_before = before, of_output
            forwards.append(_forward(a, layer, before))
            back = list[Call]()
            if layer.activation != "identity":
                bent, of_before = torch.empty_like(before), torch.empty_like(of_output)
                forward, backward = _BENT[layer.activation]
                forwards.append(forward(before, bent))
                back.append(backward(of_output, before, bent, of_before))
            if self._contraction is not None and layer is self._layers[0]:
                back += self._contraction.calls(a, bent, of_before, omega)
            else:
                back.append(_of_weight(of_before, a, layer.weight_gradient, stays=stays))
            back.append(partial(torch.sum, of_before, 0, out=layer.bias_gradient))
            if outwards is not None:
                back.append(_of_input(of_before, layer.weight, outwards))
            backwards = [*back, *backwards]
            a, outwards = bent, of_output
        assert outwards is not None
        losses, of_outputs = torch.empty_like(a) if self._is_bernoulli else a, outwards
        scale = torch.tensor(self._slope / n_rows)
        if self._is_bernoulli:
            middle = [
                partial(_aten.binary_cross_entropy_with_logits.out, a, x, None, None, 0, out=losses),
                partial(torch.sigmoid, a, out=outwards),
                partial(outwards.sub_, x),
                partial(outwards.mul_, scale),
            ]
        else:
            middle = [
                partial(torch.sub, a, x, out=outwards),
                partial(torch.mul, outwards, outwards, out=losses),
                partial(outwards.mul_, scale),
            ]
        may_be_short = not stays and self._contraction is None
        calls = [*forwards, *middle] if may_be_short else [*forwards, *middle, *backwards]
        self._plans[n_rows] = _Plan(
            x.view(n_rows, *self._sample_shape),
            x,
            torch.tensor(float(n_rows), device=self._device),
            scale,
            losses,
            of_outputs,
            omega,
            captured(calls, self._device),
            backwards if may_be_short else (),
        )
        return self._plans[n_rows]


def _with_own_memory(tensor: Tensor) -> Tensor:
    """The same, or a copy where it is a part of a larger one."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _is_large(rows: Tensor, shape: Sequence[int]) -> bool:
    """Whether the product of rows with a matrix is oneDNN's, on the CPU alone."""
    return rows.device.type == "cpu" and is_large(len(rows), *shape)


def _forward(a: Tensor, layer: _Layer, into: Any) -> Call:
    """What puts ``a W^T + b`` into a tensor; that of a large product has its memory from then on, each time another."""
    if _is_large(a, layer.weight.shape):
        return lambda: into.set_(large_product(a, layer.weight, layer.bias))
    return partial(torch.addmm, layer.bias, a, layer.weight.t(), out=into)


def _of_input(gradient: Tensor, weight: Tensor, into: Any) -> Call:
    """What puts ``gradient W`` into a tensor."""
    if _is_large(gradient, weight.shape):
        weights = weight.t()
        return lambda: into.set_(large_product(gradient, weights))
    return partial(torch.mm, gradient, weight, out=into)


def _of_weight(gradient: Tensor, a: Tensor, into: Any, *, stays: bool) -> Call:
    """What puts ``gradient^T a`` into a tensor; ``stays`` says that no product's memory is ever another."""
    if not _is_large(a, into.shape):
        return (
            partial(torch.mm, gradient.t(), a, out=into)
            if stays
            else lambda: torch.mm(gradient.t(), a, out=into)
        )
    put = into.set_ if into.numel() >= OWN_MEMORY else into.copy_
    return lambda: put(large_product(gradient.t(), a.t()))


def _gradients(
    parameters: Sequence[nn.Parameter],
) -> tuple[list[Tensor], list[tuple[Callable[[Tensor], Tensor], Tensor]]]:
    """A gradient for each parameter; and how a vector of all is cut into pieces that have a gradient in one.

    Those of large matrices have memory of their own, all between these is one vector.
    """
    found, pieces = list[Tensor](), list[tuple[Callable[[Tensor], Tensor], Tensor]]()
    start = stop = 0
    between = list[nn.Parameter]()

    def close() -> None:
        if between:
            vector = between[0].new_zeros(stop - start)
            found.extend(_views(vector, between))
            pieces.append((lambda all, ends=slice(start, stop): all[ends], vector))
            between.clear()

    for parameter in parameters:
        n = parameter.numel()
        if n < OWN_MEMORY:
            between.append(parameter)
            stop += _aligned(n)
            continue
        close()
        gradient = parameter.new_zeros(parameter.shape)
        found.append(gradient)
        pieces.append(
            (lambda all, ends=slice(stop, stop + n), as_=gradient: all[ends].view_as(as_), gradient)
        )
        start = stop = stop + _aligned(n)
    close()
    return found, pieces


def _views(vector: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Parts of a vector with the shapes of parameters."""
    found, start = list[Tensor](), 0
    for parameter in parameters:
        found.append(vector[start : start + parameter.numel()].view(parameter.shape))
        start += _aligned(parameter.numel())
    return found


def _aligned(n: int) -> int:
    """Numbers from the beginning of a part to that of the next."""
    return -(-n // ALIGNMENT) * ALIGNMENT


def _is_hooked(module: nn.Module) -> bool:
    """Whether somebody is told of a module's steps, who would not be."""
    return bool(
        module._forward_hooks  # pyright: ignore[reportPrivateUsage]
        or module._forward_pre_hooks  # pyright: ignore[reportPrivateUsage]
        or module._backward_hooks  # pyright: ignore[reportPrivateUsage]
        or module._backward_pre_hooks  # pyright: ignore[reportPrivateUsage]
    )

"""What a step of dense layers has beside layers and loss: a contractive penalty, a code that is drawn or noisy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from isthmus.codes.base import Code
from isthmus.codes.deterministic import Deterministic
from isthmus.codes.gaussian import LOG_VARIANCE_RANGE, Gaussian
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.dense import DenseEncoder
from isthmus.numerics.ramp import between
from isthmus.penalties.contractive import Contractive
from isthmus.training.dense_calls import BENT, SLOPES, Call, Layer, aten, gradient_of_weight

_CONTRACTIVE = Contractive.forward
_GAUSSIAN = Gaussian.forward, Gaussian.cost
_DETERMINISTIC = Deterministic.forward
SMALLEST_SPREAD = 1e-18


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a batch of some size has of a :class:`Draw` or :class:`Noise`."""

    noise: Tensor
    """``(rows, size)``, where standard normal numbers are copied to."""
    rate: Callable[[], Tensor] | None
    """The mean of the rows' rates, in nats, if there are some."""
    forwards: Sequence[Call]
    """From the encoder's outputs to the code."""
    backwards: Sequence[Call]
    """From the gradient of the code to that of the encoder's outputs, with the rate's."""


class Draw:
    """The draw of a Gaussian code, its rate and the gradients of both (Kingma and Welling 2014, appendix B).

    Of a mean m, a log variance v within its range and noise e the code is ``h = m + exp(v / 2) e``; with g the
    gradient of h and b the weight of the rate, over the rows, those of m and v are ``g + b m`` and
    ``(g exp(v / 2) e + b (exp(v) - 1)) / 2``.

    Parameters
    ----------
    code
        The module's.
    place
        The number of the encoder's last layer among all.
    device
        Where steps are made.
    """

    n_inputs = 2
    """Numbers that the encoder gives, a unit."""

    def __init__(self, code: Gaussian, place: int, device: torch.device) -> None:
        self.name, self._code, self.place = "rate", code, place
        self.strength = 0.0
        self._share, self._half = torch.zeros((), device=device), torch.zeros((), device=device)
        self._minus_one = torch.full((), -1.0, device=device)

    @staticmethod
    def fits(code: Code) -> bool:
        """Whether a code is Gaussian, drawn once a row, and its rate is of each row alone."""
        return (
            type(code) is Gaussian
            and (type(code).forward, type(code).cost) == _GAUSSIAN
            and code.n_draws == 1
            and code.scope == "example"
        )

    def begin(self, n_rows: int, progress: float) -> None:
        """Take the weight that the rate has in a step."""
        self.strength = self._code.weight_at(progress)
        self._share.fill_(self.strength / n_rows)
        self._half.fill_(self.strength / (2 * n_rows))

    def drawn(
        self, n_rows: int, pre_code: Tensor, h: Tensor, of_h: Tensor, of_pre_code: Tensor, *, axis: int
    ) -> Drawn:
        """What puts the code into ``h``, and the gradient of the encoder's outputs into ``of_pre_code``.

        Units lie along ``axis``; if that is the first, there may be more columns than rows, whose gradient is 0 then.
        """
        (mean, raw), (of_mean, of_raw) = pre_code.chunk(2, axis), of_pre_code.chunk(2, axis)
        log_variance, scale, moved, excess, sums, part = (torch.empty_like(h) for _ in range(6))
        noise = torch.zeros_like(h)
        rows = slice(None) if axis else slice(n_rows)
        forwards: list[Call] = [
            partial(torch.clamp, raw, *LOG_VARIANCE_RANGE, out=log_variance),
            partial(torch.mul, log_variance, 0.5, out=scale),
            partial(torch.exp, scale, out=scale),
            partial(torch.mul, scale, noise, out=moved),
            partial(torch.add, mean, moved, out=h),
            partial(torch.addcmul, self._minus_one, scale, scale, out=excess),
            partial(torch.addcmul, excess, mean, mean, out=sums),
            partial(sums.sub_, log_variance),
        ]
        backwards: list[Call] = [
            partial(torch.mul, excess, self._half, out=part),
            partial(part.addcmul_, moved, of_h, value=0.5),
            partial(
                aten("hardtanh_backward", "grad_input"), part, raw, *LOG_VARIANCE_RANGE, grad_input=of_raw
            ),
            partial(torch.addcmul, of_h, mean, self._share, out=of_mean),
        ]
        backwards += _none_behind(of_pre_code, n_rows, axis)
        rate = partial(_mean_rate, sums[..., rows], n_rows)
        return Drawn(_by_rows(noise, n_rows, axis), rate, forwards, backwards)


def _mean_rate(sums: Tensor, n_rows: int) -> Tensor:
    return sums.sum().div_(2 * n_rows)


def _none_behind(gradient: Tensor, n_rows: int, axis: int) -> list[Call]:
    """What sets the gradient of columns behind the rows to 0, where there are some."""
    return [] if axis or n_rows == gradient.shape[1] else [gradient[:, n_rows:].zero_]


def _by_rows(noise: Tensor, n_rows: int, axis: int) -> Tensor:
    """``(rows, size)``, wherever units lie."""
    return noise if axis else noise[:, :n_rows].t()


class Noise:
    """Noise on a code's units of some share of their spread over the batch, and the gradient of both.

    With e the noise, s a unit's standard deviation over n rows and m its mean, the code is ``h + share s e``; with g
    its gradient, that of h is ``g + share (h - m) sum(g e) / (n s)``, for the spread is no constant.

    Parameters
    ----------
    code
        The module's.
    place
        The number of the encoder's last layer among all.
    device
        Where steps are made.
    """

    n_inputs = 1

    def __init__(self, code: Deterministic, place: int, device: torch.device) -> None:
        self.name, self.strength = "noise", 0.0
        self._code, self.place = code, place
        self._share, self._by_row = torch.zeros((), device=device), torch.zeros((), device=device)

    @staticmethod
    def fits(code: Code) -> bool:
        """Whether a code is deterministic but for noise."""
        return type(code) is Deterministic and type(code).forward is _DETERMINISTIC

    def begin(self, n_rows: int, progress: float) -> None:
        """Take the share that a step has."""
        share = between(self._code.noise, self._code.final_noise, progress)
        self._share.fill_(share)
        self._by_row.fill_(share / n_rows)

    def drawn(
        self, n_rows: int, pre_code: Tensor, h: Tensor, of_h: Tensor, of_pre_code: Tensor, *, axis: int
    ) -> Drawn:
        """As of :class:`Draw`."""
        forwards, backwards = list[Call](), list[Call]()
        bent, of_bent, rest, moved = (torch.empty_like(h) for _ in range(4))
        noise = torch.zeros_like(h)
        along = 1 - axis
        mean, spread, pull = (torch.empty_like(h.narrow(along, 0, 1)) for _ in range(3))
        name = self._code.activation_name
        if name == "identity":
            bent, of_bent = pre_code, of_pre_code
        else:
            forwards.append(BENT[name][0](pre_code, bent))
        forwards += [
            partial(torch.mean, bent.narrow(along, 0, n_rows), along, keepdim=True, out=mean),
            partial(torch.sub, bent, mean, out=rest),
            partial(torch.mul, rest, rest, out=moved),
            partial(torch.mean, moved.narrow(along, 0, n_rows), along, keepdim=True, out=spread),
            spread.sqrt_,
            partial(torch.mul, spread, self._share, out=pull),
            partial(torch.addcmul, bent, noise, pull, out=h),
        ]
        backwards += [
            partial(torch.mul, of_h, noise, out=moved),
            partial(torch.sum, moved, along, keepdim=True, out=pull),
            partial(pull.mul_, self._by_row),
            partial(spread.clamp_min_, SMALLEST_SPREAD),  # where it is 0, h - m is
            partial(pull.div_, spread),
            partial(torch.addcmul, of_h, rest, pull, out=of_bent),
        ]
        if name != "identity":
            backwards.append(BENT[name][1](of_bent, pre_code, bent, of_pre_code))
        backwards += _none_behind(of_pre_code, n_rows, axis)
        return Drawn(_by_rows(noise, n_rows, axis), None, forwards, backwards)


class Contraction:
    """The closed form of the contractive penalty of one layer (Rifai et al. 2011, equation 5) and its gradient.

    Of a row with slopes s = act'(W x + b) it is the sum of s_j^2 |w_j|^2 over units j.

    Parameters
    ----------
    name, penalty
        As the module has them.
    layer
        The encoder's.
    """

    def __init__(self, name: str, penalty: Contractive, layer: Layer) -> None:
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
            and code.activation_name in SLOPES
        )

    def begin(self, n_rows: int, progress: float) -> None:
        """Take the strength that a step has."""
        self.strength = self._penalty.weight_at(progress)
        self._twice.fill_(2 * self.strength / n_rows)

    def calls(self, x: Tensor, h: Tensor, gradient: Tensor, omega: Tensor) -> list[Call]:
        """What computes Omega ``(rows,)``, adds to the gradient of W x + b, and makes all of that of W."""
        layer = self._layer
        squares, weighed = torch.empty_like(h), torch.empty_like(h)
        slope, is_shifted = SLOPES[layer.activation]
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
            gradient_of_weight(gradient, x, layer, stays=False),
            partial(layer.weight_gradient.addcmul_, layer.weight, self._squares.unsqueeze(1)),
        ]


Term = Contraction | Draw | Noise
"""Has a name, and a strength once a step has begun."""

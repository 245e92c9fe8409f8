"""Why a loss or a gradient is not finite: a step is done again and watched."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.objective import Trainable
from isthmus.training.micro import Part, n_rows_of, parts_of, safe_convolutions

MOST_NAMED = 3
"""Rows, values and weights that are named."""
LARGE_WEIGHT = 1e9
"""A weight beyond it is the learning rate's work: sums of squares are near the end of single precision."""
EXTREME = 1e3
"""A value so many times the median of the batch stands out, in a batch of which it is not typical."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a row."""

    row: int
    """Among the training rows, from 0."""
    place: tuple[int, ...]
    """Of the value in the row, torch side, from 0: its column; or channel and place."""
    value: float
    """In model units."""

    def __str__(self) -> str:
        where = f"column {self.place[0]}" if len(self.place) == 1 else f"place {self.place}"
        return f"row {self.row} holds {_number(self.value)} in {where}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known of a step whose loss or gradient is not finite."""

    step: int
    """Counted from 0."""
    term: str | None = None
    """The first term of the loss that is not finite; None where all are."""
    layer: str | None = None
    """The first layer whose output is not finite; None where the forward pass is finite."""
    parameter: str | None = None
    """Of a finite loss: the parameter nearest to it whose gradient is not; None where all are."""
    weights: tuple[str, ...] = ()
    """Weights that were not finite, or beyond 1e9, before the step."""
    largest_weight: float = 0.0
    """Absolute value; nan or infinity if one is not finite."""
    rows: tuple[int, ...] = ()
    """Rows to which the trouble comes down, numbers among the training rows; none where it is the whole batch."""
    values: tuple[Value, ...] = ()
    """Of these rows, or else of the batch: those not finite; where all are, the largest of each row."""
    sample_weights: tuple[int, ...] = ()
    """Rows whose weight is not finite."""
    extreme: bool = False
    """Whether the first of ``values`` is not finite, or a thousand times the batch's median."""

    @property
    def found(self) -> bool:
        """Whether the step is not finite when it is done again."""
        return self.term is not None or self.layer is not None or self.parameter is not None

    def sentence(self) -> str:
        """What happened, where, and what to do."""
        if not self.found and not self.weights:
            return (
                f"training: step {self.step + 1} was not finite, and is when it is done again with the weights as "
                "they are now. Lower learning_rate."
            )
        return f"training: in step {self.step + 1} {self._what()}{self._where()}. {self._advice()}"

    def _what(self) -> str:
        if self.parameter is not None:
            return f"the loss was finite, and the gradient of {self.parameter} was not"
        if self.term is not None:
            return f"the {self.term.replace('_', ' ')} was not finite"
        return "a layer's output was not finite" if self.layer is not None else "weights were out of bounds"

    def _where(self) -> str:
        said = "" if self.layer is None else f", first in the output of {self.layer}"
        if self.sample_weights:
            return f"{said}: the weight of row {self.sample_weights[0]} is not finite"
        if self.weights and not self._data_is_broken():
            size = (
                f"up to {_number(self.largest_weight)}"
                if math.isfinite(self.largest_weight)
                else "not finite"
            )
            return f"{said}: the weights {_named(self.weights)} were {size} already"
        if self.rows and not self.extreme:
            few = self.rows[:MOST_NAMED]
            more = f" and {len(self.rows) - len(few):,} more" if len(self.rows) > len(few) else ""
            said += f", for row{'s' if len(self.rows) > 1 else ''} {', '.join(map(str, few))}{more}"
        if not self.values:
            return said
        if self.extreme:
            return f"{said}: {'; '.join(map(str, self.values[:MOST_NAMED]))}, in model units"
        return f"{said}; the largest value is not extreme: {self.values[0]}, in model units"

    def _data_is_broken(self) -> bool:
        return bool(self.values) and not math.isfinite(self.values[0].value)

    def _advice(self) -> str:
        if self.sample_weights:
            return "Give every row a finite weight."
        if self._data_is_broken():
            return "Mend these rows, or leave them out."
        if self.weights:
            return "Lower learning_rate, or set gradient_clip."
        if self.extreme:
            return "Look at these rows, leave them out, or try scaling='quantile'; else lower learning_rate."
        return "Lower learning_rate, or set gradient_clip."


def diagnose(
    module: Trainable,
    batch: Any,
    indices: Tensor,
    step: int,
    *,
    sample_weight: Tensor | None = None,
    progress: float = 1.0,
    micro_batch: int | None = None,
) -> Diagnosis:
    """Do a step again, without any change to the module, and see where it is no longer finite.

    Weights, buffers, gradients and modes are afterwards what they were. It takes a few
    times as long as a step, and holds the outputs of all layers.

    Parameters
    ----------
    module
        With the weights that it had before the step.
    batch
        What the step was done on, on the module's device: ``(rows, *sample_shape)`` in model units, or the
        pair of it and labels.
    indices
        Number of each row among the training rows, ``(rows,)``.
    step
        The number that the objective was told, from 0.
    sample_weight
        ``(rows,)``, as the objective was told.
    progress
        Share of the training done, in [0, 1].
    micro_batch
        Rows at a time, where the whole batch does not fit; None: all.

    Examples
    --------
    >>> from isthmus.config import Model
    >>> from isthmus.model.build import build
    >>> network = {"type": "dense", "hidden_sizes": []}
    >>> module = build(Model(code_size=1, network=network, likelihood="squared_error"), (3,), seed=0)
    >>> x = torch.zeros(4, 3)
    >>> x[2, 1] = torch.nan
    >>> diagnose(module, x, torch.tensor([7, 5, 3, 1]), 0).sentence()
    'training: in step 1 the distortion was not finite, first in the output of network.encoder.layers.0: \
row 3 holds nan in column 1, in model units. Mend these rows, or leave them out.'
    """
    large, largest = _large_weights(module)
    bad_weights = [] if sample_weight is None else indices[~sample_weight.cpu().isfinite()].tolist()
    with _unchanged(module), safe_convolutions():
        seen = [
            _watch(module, part, progress)
            for part in parts_of(module, batch, step, sample_weight, micro_batch)
        ]
    offset, at = 0, list[int]()
    for part in seen:
        at += [offset + row for row in part.rows]
        offset += part.n_rows
    # Trouble in every row is none of a row.
    rows = indices[at].tolist() if len(at) < n_rows_of(batch) else []
    values, extreme = _values(module, _inputs(batch), indices, at)
    first = next((part for part in seen if part.term is not None or part.layer is not None), None)
    bent = next((part for part in seen if part.parameter is not None), None)
    return Diagnosis(
        step=step,
        term=None if first is None else first.term,
        layer=None if first is None else first.layer,
        parameter=None if first is not None or bent is None else bent.parameter,
        weights=tuple(large),
        largest_weight=largest,
        rows=tuple(rows),
        values=tuple(values),
        sample_weights=tuple(bad_weights),
        extreme=extreme,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a part of a batch shows."""

    n_rows: int
    term: str | None = None
    layer: str | None = None
    parameter: str | None = None
    rows: Sequence[int] = ()


def _watch(module: Trainable, part: Part, progress: float) -> _Seen:
    """A forward pass, and where that is finite a backward one."""
    n_rows, batch, x = n_rows_of(part.batch), part.batch, _inputs(part.batch).detach()
    if x.is_floating_point():
        # Rows are told apart by how the loss moves with each.
        x.requires_grad_()
        batch = x if isinstance(batch, Tensor) else (x, *batch[1:])
    with _first_not_finite(module) as watched, torch.enable_grad():
        result = module.objective_at(batch, part.chance, sample_weight=part.weight, progress=progress)
    found, outputs = watched
    term = next((name for name, value in result.terms.items() if not _is_finite(value)), None)
    if term is None and not _is_finite(result.loss):
        term = "loss"
    if term is not None or found:
        rows = (~result.per_example.detach().isfinite()).nonzero().flatten().tolist()
        return _Seen(n_rows, term, found[0] if found else None, None, rows)
    wanted = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    of_rows = [
        tensor
        for tensor in (x, *(tensor for many in outputs.values() for tensor in many))
        if tensor.requires_grad and len(tensor) == n_rows
    ]
    gradients = torch.autograd.grad(result.loss, [*wanted.values(), *of_rows], allow_unused=True)
    not_finite = [gradient is not None and not _is_finite(gradient) for gradient in gradients]  # pyright: ignore[reportUnnecessaryComparison]
    bent = [name for name, odd in zip(wanted, not_finite, strict=False) if odd]
    if not bent:
        return _Seen(n_rows)
    owners = {id(parameter): layer for layer in module.modules() for parameter in layer.parameters(False)}
    order = list(outputs)
    nearest = max(bent, key=lambda name: _place(order, owners[id(wanted[name])]))
    rows = torch.zeros(n_rows, dtype=torch.bool)
    for gradient, odd in zip(gradients[len(wanted) :], not_finite[len(wanted) :], strict=True):
        if odd:
            rows |= ~gradient.isfinite().flatten(1).all(dim=1).cpu()
    return _Seen(n_rows, parameter=nearest, rows=rows.nonzero().flatten().tolist())


def _place(order: Sequence[nn.Module], layer: nn.Module) -> int:
    """When a layer was run, -1 if as a part of others: the later, the nearer to the loss."""
    return next((place for place, other in enumerate(order) if other is layer), -1)


def _inputs(batch: Any) -> Tensor:
    return batch[0] if isinstance(batch, tuple) else batch


def _values(module: Trainable, x: Tensor, indices: Tensor, at: Sequence[int]) -> tuple[list[Value], bool]:
    """Values that are not finite, or the largest of rows; and whether they stand out."""
    flat = x.detach().flatten(1).cpu()
    odd = ~flat.isfinite()
    if isinstance(module, AutoencoderModule) and module.gaps is not None:
        odd &= ~flat.isnan()
    if odd.any():
        places = odd.nonzero()[: 4 * MOST_NAMED].tolist()
    else:
        size = flat.abs().nan_to_num()
        rows = torch.tensor(at or range(len(flat)))
        largest = size[rows].max(dim=1)
        order = largest.values.argsort(descending=True, stable=True)[: MOST_NAMED if at else 1]
        places = [[int(rows[n]), int(largest.indices[n])] for n in order]
    shape = x.shape[1:]
    values = [
        Value(
            int(indices[row]),
            tuple(int(n) for n in torch.unravel_index(torch.tensor(place), shape)),
            float(flat[row, place]),
        )
        for row, place in places
    ]
    if odd.any() or not values:
        return values, bool(values)
    size = flat.abs()[~flat.isnan()]
    return values, abs(values[0].value) > EXTREME * max(float(size.median()), 1.0)


def _large_weights(module: nn.Module) -> tuple[list[str], float]:
    """Names of weights that are not finite or beyond bounds, and the largest of all."""
    names, largest = list[str](), 0.0
    for name, value in module.named_parameters():
        most = float(value.detach().abs().max()) if value.numel() else 0.0
        if not most <= LARGE_WEIGHT:  # so that nan counts
            names.append(name)
        if most > largest or math.isnan(most):
            largest = most
    return names, largest


@contextmanager
def _unchanged(module: nn.Module) -> Generator[None]:
    """In training, and afterwards as before: a pass may move buffers."""
    modes = {layer: layer.training for layer in module.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    module.train()
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for layer, mode in modes.items():
            layer.training = mode


@contextmanager
def _first_not_finite(module: nn.Module) -> Generator[tuple[list[str], dict[nn.Module, list[Tensor]]]]:
    """Names of layers whose first output is not finite, as they come; and the first outputs of all layers."""
    found, outputs = list[str](), dict[nn.Module, list[Tensor]]()
    gaps = module.gaps if isinstance(module, AutoencoderModule) else None

    def watch(name: str) -> Any:
        def hook(layer: nn.Module, _: Any, output: Any) -> None:
            if layer in outputs:
                return
            outputs[layer] = [tensor for tensor in _tensors(output) if tensor.ndim]
            # A corruption marks what it hides as a gap.
            hides = gaps is not None and name == "corruption"
            if any(not _is_finite(tensor, gaps=hides) for tensor in _tensors(output)):
                found.append(name)

        return hook

    handles = [layer.register_forward_hook(watch(name)) for name, layer in module.named_modules() if name]
    try:
        yield found, outputs
    finally:
        for handle in handles:
            handle.remove()


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (tuple, list)):
        for member in output:  # pyright: ignore[reportUnknownVariableType]
            yield from _tensors(member)


def _is_finite(tensor: Tensor, *, gaps: bool = False) -> bool:
    if not tensor.is_floating_point():
        return True
    finite = tensor.detach().isfinite()
    return bool((finite | tensor.isnan() if gaps else finite).all())


def _named(names: Sequence[str]) -> str:
    few = ", ".join(names[:MOST_NAMED])
    return few if len(names) <= MOST_NAMED else f"{few} and {len(names) - MOST_NAMED} more"


def _number(value: float) -> str:
    return f"{value:.3g}"

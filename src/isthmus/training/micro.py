"""One batch in parts: the loss, the terms and the gradient of the whole, in less memory.

With parts P of a batch of n rows, ``L = sum_P |P| / n L_P``: as long as no row knows the rows beside it,
and each part is given the chance that the whole batch would give it.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from isthmus.errors import ParameterError, TrainingError
from isthmus.model.objective import Cost, Trainable
from isthmus.numerics.randomness import Randomness
from isthmus.training.dense_step import DenseStep

try:
    import resource
except ImportError:  # Windows knows no such limits
    resource = None

OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
    "could not create a memory",
    "could not create a primitive",
    "could not execute a primitive",
)
"""What torch, oneDNN and the libraries of accelerators say in a plain RuntimeError."""


class Part(NamedTuple):
    """Consecutive rows of a batch."""

    batch: Any
    chance: Randomness
    """Gives the rows what the whole batch would give them."""
    weight: Tensor | None
    share: float
    """Of the batch's rows, in (0, 1]."""


class MicroBatches:
    """Costs and gradients of batches, of at most so many rows at a time; of fewer once memory runs out.

    A batch is cut into parts of nearly equal size. Where torch itself draws (a layer of dropout in a
    network of the user's own), a part is no longer what it is in the whole.

    Parameters
    ----------
    module
        What it costs.
    parameters
        Whose gradients are wanted.
    most
        Rows at a time, at least 1; ``"auto"``: all of a batch.
    batch_size
        Rows of a batch at most.

    Raises
    ------
    ParameterError
        If batches are larger than ``most``, and a term of the module needs them whole.
    """

    def __init__(
        self,
        module: Trainable,
        parameters: Sequence[nn.Parameter],
        most: int | Literal["auto"],
        *,
        batch_size: int,
    ) -> None:
        check_can_split(module, most, batch_size)
        self._module, self._parameters = module, parameters
        self._convolutions = safe_convolutions if memory_is_limited() else nullcontext
        self.most: int | None = None if most == "auto" else most
        """Rows at a time; None: all of a batch."""
        self.dense: DenseStep | None = None
        """What makes steps of a plain dense module."""

    def differentiate(
        self,
        batch: Any,
        step: int,
        weight: Tensor | None = None,
        progress: float = 1.0,
        *,
        tell: Callable[[str], None],
    ) -> Cost:
        """The batch's cost, and its gradient where the optimiser looks for it.

        Where memory runs out, again with half as many rows at a time: of the same rows, with the same chance. Of that
        ``tell`` is told in a sentence.

        Raises
        ------
        TrainingError
            If memory runs out with one row at a time, or a term needs the whole batch.
        """
        while True:
            try:
                if self.dense is not None and self.most is None and weight is None:
                    return self.dense.differentiate(batch, progress, step)
                for parameter in self._parameters:
                    parameter.grad = None
                with self._convolutions():
                    return self._differentiate(batch, step, weight, progress)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                trouble = str(error)
            # Only here, where the error is gone, are the tensors gone that its frames held.
            self._make_room()
            self._halve(n_rows_of(batch), step, trouble, tell)

    def _differentiate(self, batch: Any, step: int, weight: Tensor | None, progress: float) -> Cost:
        if self.most is None or self.most >= n_rows_of(batch):
            whole = self._module.objective(batch, step, sample_weight=weight, progress=progress)
            whole.loss.backward()
            return Cost(whole.loss, whole.terms)
        loss, terms = 0.0, dict[str, Tensor]()
        for part in parts_of(self._module, batch, step, weight, self.most):
            found = self._module.objective_at(
                part.batch, part.chance, sample_weight=part.weight, progress=progress
            )
            share = part.share * found.loss
            share.backward()
            loss = loss + share.detach()
            for name, term in found.terms.items():
                mean = part.share * term.detach()
                terms[name] = terms[name] + mean if name in terms else mean
        return Cost(torch.as_tensor(loss), terms)

    def _make_room(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
        if self.dense is not None:
            self.dense.forget()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _halve(self, n_rows: int, step: int, trouble: str, tell: Callable[[str], None]) -> None:
        now = n_rows if self.most is None else min(self.most, n_rows)
        terms = self._module.whole_batch_terms()
        if terms:
            raise TrainingError(
                f"training: memory ran out in step {step + 1}, and its batch of {n_rows:,} rows cannot be done in "
                f"parts, for {_needs(terms)} Lower batch_size, take a smaller network, or leave that out."
            )
        if now == 1:
            first = " ".join(trouble.splitlines()[:1])[:120] or "no reason given"
            raise TrainingError(
                f"training: memory ran out in step {step + 1} with one row at a time ({first}). Take a smaller "
                "network, or free memory."
            )
        self.most = math.ceil(now / 2)
        tell(
            f"Memory ran out in step {step + 1} with {_rows(now)} at a time; from here on it is {_rows(self.most)} "
            "at a time, of the same batches and with the same result but for rounding."
        )


def check_can_split(module: Trainable, most: int | Literal["auto"], batch_size: int) -> None:
    """Refuse, before the first step, parts of batches that a term of the module needs whole."""
    if most == "auto" or most >= batch_size:
        return
    terms = module.whole_batch_terms()
    if terms:
        raise ParameterError(
            f"training: micro_batch = {most} would do batches of {batch_size} rows in parts, and {_needs(terms)} "
            "Leave micro_batch at 'auto', lower batch_size, or leave that out."
        )


def parts_of(
    module: Trainable, batch: Any, step: int, weight: Tensor | None, most: int | None
) -> Iterator[Part]:
    """A batch in as few parts of at most ``most`` rows as can be, of nearly equal size; None: in one."""
    n_rows = n_rows_of(batch)
    if most is None or most >= n_rows:
        yield Part(batch, module.chance(step), weight, 1.0)
        return
    n_parts = math.ceil(n_rows / most)
    least, n_larger = divmod(n_rows, n_parts)
    sizes = [least + (number < n_larger) for number in range(n_parts)]
    weights = [None] * n_parts if weight is None else weight.split(sizes)
    for size, part, chance, own in zip(
        sizes, _split(batch, sizes), module.chance(step).split(sizes), weights, strict=True
    ):
        yield Part(part, chance, own, size / n_rows)


def n_rows_of(batch: Any) -> int:
    """Rows of a batch: of a tensor, or of the first of several.

    >>> n_rows_of(torch.zeros(5, 2)), n_rows_of((torch.zeros(5, 2), torch.zeros(5)))
    (5, 5)
    """
    return n_rows_of(batch[0]) if isinstance(batch, tuple) else len(batch)


def memory_is_limited() -> bool:
    """Whether the system limits the memory of the process itself, as ``ulimit -v`` and ``ulimit -d`` do."""
    if resource is None:
        return False
    limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    return any(limit != resource.RLIM_INFINITY for limit in limits)


@contextmanager
def safe_convolutions() -> Generator[None]:
    """Where memory is limited, convolutions of torch itself.

    oneDNN's transposed ones end the process when memory is refused to them.
    """
    before = torch.backends.mkldnn.enabled
    if not (before and memory_is_limited()):
        yield
        return
    torch.backends.mkldnn.enabled = False
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    True
    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in OUT_OF_MEMORY)


def _split(batch: Any, sizes: Sequence[int]) -> Sequence[Any]:
    """Consecutive parts of a tensor, or of several tensors alike."""
    if isinstance(batch, Tensor):
        return batch.split(sizes)  # pyright: ignore[reportUnknownMemberType]
    if not isinstance(batch, tuple):
        raise ParameterError(
            f"training: micro_batch can cut tensors, and tuples of them, got a batch of {type(batch).__name__}. "
            "Leave micro_batch at 'auto', and lower batch_size if memory is short."
        )
    members: list[Sequence[Any]] = [_split(member, sizes) for member in batch]  # pyright: ignore[reportUnknownVariableType]
    kind: Any = type(batch)  # pyright: ignore[reportUnknownVariableType]
    make: Callable[..., Any] = kind._make if hasattr(kind, "_make") else kind
    return [make(part) for part in zip(*members, strict=True)]


def _needs(terms: Sequence[str]) -> str:
    return f"{' and '.join(terms)} need{'s' if len(terms) == 1 else ''} all rows of a batch at once."


def _rows(n: int) -> str:
    return f"{n:,} row{'s' if n != 1 else ''}"

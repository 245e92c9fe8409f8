"""The one autoencoder: parts put together, in model units."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from isthmus.codes.base import Code
from isthmus.corruptions.base import Corruption
from isthmus.errors import ParameterError
from isthmus.likelihoods.base import Likelihood
from isthmus.model.condition import ConditionedDecoder, ConditionedEncoder, LabelCondition
from isthmus.model.gaps import GapEncoder, Gaps
from isthmus.model.objective import Objective, Trainable, evaluate
from isthmus.networks.base import Decoder, Encoder, Network
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import DenseTrace, Penalty
from isthmus.shapes import Shape


@final
class AutoencoderModule(Trainable):
    """An autoencoder as a torch module, composed of six kinds of parts.

    It speaks model units: pixels in [0, 1], channels first; standardised columns. Files and
    estimators speak data units and bring their own preprocessing.

    Parameters
    ----------
    network, code, likelihood
        The parts that every model has.
    corruption
        Applied to the encoder's input by :meth:`objective` alone, or None.
    penalties
        By name; each adds its weighted Omega.
    sample_shape
        Shape of one example, torch side.
    seed
        Root of all chance in :meth:`objective`.
    condition
        How encoder and decoder are told a label, or None. With one, :meth:`given` hands the labels in.
    gaps
        How the encoder is told of gaps, or None. With one, NaN in x is a gap, of which no loss knows.

    Examples
    --------
    >>> import torch
    >>> from isthmus.config import Model
    >>> from isthmus.model.build import build
    >>> module = build(
    ...     Model(code_size=2, network={"type": "dense", "hidden_sizes": []}, likelihood="squared_error"),
    ...     (5,),
    ...     seed=0,
    ... )
    >>> x = torch.zeros(3, 5)
    >>> module.encode(x).shape, module.reconstruct(x).shape
    (torch.Size([3, 2]), torch.Size([3, 5]))
    """

    def __init__(
        self,
        network: Network,
        code: Code,
        likelihood: Likelihood,
        corruption: Corruption | None,
        penalties: dict[str, Penalty],
        sample_shape: Shape,
        seed: int = 0,
        condition: LabelCondition | None = None,
        gaps: Gaps | None = None,
    ) -> None:
        super().__init__()
        if corruption is not None:
            corruption.check_sample_shape(sample_shape)
        self.network = network
        self.code = code
        self.likelihood = likelihood
        self.corruption = corruption
        self.penalties = nn.ModuleDict(penalties)
        self.sample_shape = sample_shape
        self.seed = seed
        self.condition = condition
        self.gaps = gaps
        self._labels: Tensor | None = None

    @property
    def encoder(self) -> Encoder:
        """f: ``(rows, *sample_shape)`` to ``(pre_code, context)``."""
        encoder: Encoder = self.network.encoder  # pyright: ignore[reportAssignmentType]
        if self.gaps is not None:
            encoder = GapEncoder(encoder, self.gaps)
        return (
            encoder if self.condition is None else ConditionedEncoder(encoder, self.condition, self._labels)
        )

    @property
    def decoder(self) -> Decoder:
        """g: ``(rows, code_size)`` to the likelihood's parameters."""
        decoder: Decoder = self.network.decoder  # pyright: ignore[reportAssignmentType]
        return (
            decoder if self.condition is None else ConditionedDecoder(decoder, self.condition, self._labels)
        )

    def given(self, y: Tensor) -> AutoencoderModule:
        """The autoencoder that this is once labels are known: the same weights, of rows with labels y.

        Parameters
        ----------
        y
            Numbers of classes from 0, ``(rows,)``; ``(1,)`` is the label of all rows alike.

        Raises
        ------
        ParameterError
            If the model is not conditional on a label.

        Examples
        --------
        >>> import torch
        >>> from isthmus.config import Model
        >>> from isthmus.model.build import build
        >>> network = {"type": "dense", "hidden_sizes": []}
        >>> described = Model(code_size=2, network=network, likelihood="squared_error", condition="label")
        >>> module = build(described, (5,), seed=0, n_classes=3)
        >>> module.given(torch.tensor([2])).reconstruct(torch.zeros(4, 5)).shape
        torch.Size([4, 5])
        """
        if self.condition is None:
            raise ParameterError(
                "model: it is not conditional on a label, got some. Leave them out, or fit with condition='label'."
            )
        told = copy.copy(self)
        told._labels = y
        return told

    def tiled(self, n: int) -> AutoencoderModule:
        """Itself, for n copies of a batch one after another: each with the labels of the batch."""
        return self if self._labels is None else self.given(self._labels.repeat(n))

    def target(self, x: Tensor, randomness: Randomness) -> Tensor:
        """What this use of x is, see :meth:`isthmus.likelihoods.base.Likelihood.target`; gaps stay gaps."""
        if self.gaps is None:
            return self.likelihood.target(x, randomness)
        missing = x.isnan()
        return self.likelihood.target(x.masked_fill(missing, 0.0), randomness).masked_fill(missing, torch.nan)

    def corrupted(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """x as the corruption leaves it, or itself without one; gaps stay gaps, whatever it sets."""
        if self.corruption is None:
            return x
        shown = self.corruption(x, randomness, progress)
        return shown if self.gaps is None else shown.masked_fill(x.isnan(), torch.nan)

    def distortion(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        """L of x under the decoder's outputs, ``(rows,)``; gaps are left out."""
        if self.gaps is None:
            return self.likelihood(outputs, x, value_weight)
        missing = x.isnan()
        seen = (~missing).to(outputs.dtype)
        weight = seen if value_weight is None else seen * value_weight
        return self.likelihood(outputs, x.masked_fill(missing, 0.0), weight)

    def encode(self, x: Tensor) -> Tensor:
        """The code of x, ``(rows, code_size)``; of a distribution its mean."""
        return self.code.mean(self.encoder(x)[0])

    def code_distribution(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and standard deviation of the code, each ``(rows, code_size)``; None if it has none."""
        pre_code, _ = self.encoder(x)
        return self.code.mean(pre_code), self.code.scale(pre_code)

    def decode(self, h: Tensor) -> Tensor:
        """The reconstruction from a code, ``(rows, *sample_shape)``, without any context."""
        return self.likelihood.mean(self.decoder(h))

    def reconstruct(self, x: Tensor, *, with_context: bool = False) -> Tensor:
        """``decode(encode(x))``, ``(rows, *sample_shape)``.

        ``with_context`` hands the decoder what the encoder gives beside the code (the switches of
        unpooling), as training does: no stored code decodes to that. Where there is nothing beside
        the code it changes nothing.
        """
        if not with_context:
            return self.decode(self.encode(x))
        pre_code, context = self.encoder(x)
        return self.likelihood.mean(self.decoder(self.code.mean(pre_code), context))

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction of x."""
        return self.reconstruct(x)

    def objective(
        self,
        batch: Tensor | tuple[Tensor, Tensor],
        step: int,
        *,
        sample_weight: Tensor | None = None,
        value_weight: Tensor | None = None,
        progress: float = 1.0,
    ) -> Objective:
        """Loss and terms of a batch in training, a function of the seed, the batch and the step.

        ``batch`` is ``(rows, *sample_shape)``, or the pair of it and its labels' numbers ``(rows,)`` where
        the model is conditional; ``objective(batch, step).loss.backward()`` is all
        that a loop of your own needs. ``progress``, the share of the training done, in [0, 1],
        matters to parts that warm up or fall.
        """
        told, x = self._told(batch)
        return evaluate(told, x, self.chance(step), sample_weight, value_weight, progress)

    def objective_at(
        self,
        batch: Tensor | tuple[Tensor, Tensor],
        randomness: Randomness,
        *,
        sample_weight: Tensor | None = None,
        progress: float = 1.0,
    ) -> Objective:
        """Loss and terms of a batch, a function of the batch and the chance that is handed in."""
        told, x = self._told(batch)
        return evaluate(told, x, randomness, sample_weight, progress=progress)

    def _told(self, batch: Tensor | tuple[Tensor, Tensor]) -> tuple[AutoencoderModule, Tensor]:
        """The module that knows a batch's labels, and the rows."""
        return (self.given(batch[1]), batch[0]) if isinstance(batch, tuple) else (self, batch)

    def start_at(self, mean: Tensor) -> None:
        """Let the untrained decoder begin at the data's mean, ``sample_shape`` in model units."""
        self.decoder.start_at(self.likelihood.outputs_at(mean.unsqueeze(0)).squeeze(0))

    def dense_trace(self, x: Tensor) -> DenseTrace | None:
        """Weights and slopes of the dense layers from x to the code's mean, if that is what they are."""
        trace = self.encoder.dense_trace(x)
        return None if trace is None else self.through_code(*trace)

    def through_code(
        self, weights: Sequence[Tensor], slopes: Sequence[Tensor], pre_code: Tensor
    ) -> DenseTrace:
        """The trace of a dense encoder, see :meth:`dense_trace`, up to the code's mean."""
        return [*weights[:-1], weights[-1][: self.code.size]], [*slopes, self.code.slope(pre_code)]

    def weights(self) -> Sequence[Tensor]:
        """Weight matrices and kernels of encoder and decoder, biases left out."""
        return [parameter for parameter in self.network.parameters() if parameter.ndim > 1]

    def whole_batch_terms(self) -> list[str]:
        """The parts of scope ``"batch"``, and layers that normalise over a batch."""
        names = super().whole_batch_terms()
        if self.code.scope == "batch":
            names.append(self.code.batch_term)
        penalties = (name for name, penalty in self.named_penalties() if penalty.scope == "batch")
        return [*names, *(f"the penalty {name}" for name in penalties)]

    def named_penalties(self) -> Iterable[tuple[str, Penalty]]:
        """Penalties by name."""
        return self.penalties.items()  # pyright: ignore[reportReturnType]

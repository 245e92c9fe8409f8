"""What a report shows, as plain values: no model, no source, no torch.

Whoever evaluates a model fills in a :class:`ReportData`; :mod:`isthmus.evaluation.report` turns it
into a page. Everything is finished here: display units for what people look at, model units for
errors, channels last for pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus.schema import Column
from isthmus.shapes import Shape, n_values

Numbers = npt.NDArray[np.floating[Any]]
"""Any array of real numbers."""

Role = Literal["best", "typical", "worst"]
"""Why an example was chosen: by its squared error under the model."""


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What the model and its data are, in a few words and numbers.

    Parameters
    ----------
    kind
        The recipe or composition, for example ``"variational"``.
    code_size
        How many units the code has.
    n_parameters
        How many numbers were learned.
    n_rows
        How many rows the report was computed on.
    likelihood
        The likelihood in words, for example ``"Bernoulli (log loss)"``.
    schema
        One line about the rows, as ``Schema.describe`` gives it.
    rows_are
        Which rows these are: ``"held-out"``, ``"training"``. The headline starts with it.
    """

    kind: str
    code_size: int
    n_parameters: int
    n_rows: int
    likelihood: str
    schema: str
    rows_are: str = "held-out"


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """How far one way of rebuilding is from the data, in model units.

    Parameters
    ----------
    sse
        Squared error summed over an example, mean over examples.
    mse
        Squared error per value.
    per_example
        Squared error of each example, ``(n,)``; None where only the summary is known.
    """

    sse: float
    mse: float
    per_example: Numbers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """A few rows, rebuilt: best, typical and worst under the model.

    Parameters
    ----------
    rows
        Numbers of the rows in their source, ``(m,)``.
    roles
        ``"best"``, ``"typical"`` or ``"worst"`` for each, ``(m,)``; three of each suit pictures,
        one of each vectors (more are left out there).
    originals, reconstructions
        Display units, ``(m, *sample_shape)``: pictures in [0, 1], vectors in data units.
    errors
        The model's squared error of each, model units, ``(m,)``.
    pca_reconstructions, pca_errors
        The same for PCA at the same code size; None where the artifact holds no components.
    """

    rows: Sequence[int] | npt.NDArray[np.integer[Any]]
    roles: Sequence[Role]
    originals: Numbers
    reconstructions: Numbers
    errors: Sequence[float] | Numbers
    pca_reconstructions: Numbers | None = None
    pca_errors: Sequence[float] | Numbers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SoundExample:
    """A row of sound beside what became of it, mixed to mono.

    Parameters
    ----------
    row
        Its number in the source.
    role
        ``"best"``, ``"typical"`` or ``"worst"``.
    rate
        Samples a second, in Hz.
    sounds
        ``(samples,)`` each, under ``"original"``, ``"model"`` and, where it is known, ``"pca"``.
    distances
        Multi-resolution spectral distance to the original, under the same names without the first.
    """

    row: int
    role: Role
    rate: int
    sounds: Mapping[str, Numbers]
    distances: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.sounds["original"]) / self.rate


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The codes of all rows, and what each unit of the code does.

    Parameters
    ----------
    values
        Codes (the means of a Gaussian code), ``(n, k)``.
    mean, variance
        Over the rows, of each unit, ``(k,)``.
    dead
        True for a unit that carries nothing, ``(k,)``; whoever evaluates decides by which rule.
    active_shares
        Share of rows in which each unit is active (not zero), in [0, 1], ``(k,)``; None where the
        code has no notion of it.
    labels
        A class for each row, whole numbers or words, ``(n,)``; None where there are none.
    rates
        Rate of each unit in nats, mean over rows, ``(k,)``.
    """

    values: Numbers
    mean: Numbers
    variance: Numbers
    dead: npt.NDArray[np.bool_]
    active_shares: Numbers | None = None
    labels: Sequence[int] | Sequence[str] | npt.NDArray[Any] | None = None
    rates: Numbers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Filters:
    """Learned weights that live in the space of the data.

    Parameters
    ----------
    title
        What they are, for example ``"First-layer weights of the encoder"``.
    weights
        ``(m, *sample_shape)``, or ``(m, height, width, channels)`` of any size for kernels.
    names
        What each value of rows is called in model units, if they have names.
    """

    title: str
    weights: Numbers
    names: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Denoising:
    """Rows that were corrupted on purpose, and what became of them; errors against the clean rows.

    Parameters
    ----------
    corruption
        What was done to them, in words.
    corrupted, restored, pca
        Errors of the corrupted rows as they are, of the model's and of PCA's reconstruction.
    linear
        The least mean error of any affine map, summed over an example; None where it is not known.
    rows
        Numbers of the rows shown, ``(m,)``.
    clean, damaged, rebuilt
        Those rows, display units, ``(m, *sample_shape)``.
    damaged_errors, rebuilt_errors
        Squared errors of what is shown, model units, ``(m,)``.
    """

    corruption: str
    corrupted: Errors
    restored: Errors
    pca: Errors | None
    linear: float | None
    rows: Sequence[int] | npt.NDArray[np.integer[Any]]
    clean: Numbers
    damaged: Numbers
    rebuilt: Numbers
    damaged_errors: Sequence[float] | Numbers
    rebuilt_errors: Sequence[float] | Numbers


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """What the model makes of codes that no row has: pictures in [0, 1].

    Parameters
    ----------
    prior
        Where the codes of the new examples come from, in words.
    samples
        New examples, ``(m, *sample_shape)``.
    between
        Paths between two rows, ``(paths, steps, *sample_shape)``; both ends are reconstructions.
    ends
        The numbers of the rows at the ends of each path, ``(paths, 2)``.
    """

    prior: str
    samples: Numbers
    between: Numbers
    ends: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """Everything that a report shows.

    Parameters
    ----------
    title
        Heading of the page.
    facts
        What the model and its data are.
    sample_shape
        Shape of one row, channels last. Three axes mean pictures, two sequences, one a vector.
    model, pca, mean
        Errors of the model, of PCA at the same code size and of the training rows' mean; the
        baselines may be unknown (None).
    examples
        A few rows, rebuilt.
    codes
        All codes and the state of each unit.
    filters
        Learned weights, where the network has any that can be shown.
    values_a_row
        What errors a value are averaged over: values of a row in model units that are there, mean over rows;
        None for all of ``sample_shape``.
    columns
        Names of a vector's values; None where they have none (a signal).
    table
        The columns of a table, whose values are shown as they were written; None for other rows.
    column_scales
        Standard deviation of each column in data units, ``(features,)``: misses are drawn in it.
    history
        One mapping per epoch: ``{"epoch": int, "learning_rate": float, "training": {"loss": ...},
        "validation": {"loss": ...} or None}``.
    best_epoch
        The ``epoch`` whose weights were kept.
    config
        The TOML text of the run, every default explicit.
    notes
        Sentences that a reader should know, for example ``"Column 3 is constant."``
    generated
        New examples and what lies between two, of a model whose code has a prior; None otherwise.
    numbers
        What this likelihood or code measures besides: name -> (value, unit), for example
        ``{"Evidence lower bound": (-98.2, "nats")}``.
    denoising
        Of a model with a corruption, what it makes of corrupted rows.
    sounds
        Of rows that are sound, one of each role, to be seen and heard.
    """

    title: str
    facts: Facts
    sample_shape: Shape
    model: Errors
    pca: Errors | None
    mean: Errors | None
    examples: Examples
    codes: Codes
    filters: Filters | None = None
    values_a_row: float | None = None
    columns: Sequence[str] | None = None
    table: Sequence[Column] | None = None
    column_scales: Numbers | None = None
    history: Sequence[Mapping[str, Any]] = ()
    best_epoch: int | None = None
    config: str = ""
    notes: Sequence[str] = ()
    generated: Generated | None = None
    numbers: Mapping[str, tuple[float, str]] = field(default_factory=dict[str, tuple[float, str]])
    denoising: Denoising | None = None
    sounds: Sequence[SoundExample] = ()

    @property
    def is_pictures(self) -> bool:
        """Whether rows are shown as pictures."""
        return len(self.sample_shape) == 3

    @property
    def is_sequences(self) -> bool:
        """Whether rows are shown as curves, one a channel."""
        return len(self.sample_shape) == 2

    @property
    def noun(self) -> str:
        """What one row is called on the page."""
        if self.sounds:
            return "window"
        return "image" if self.is_pictures else "sequence" if self.is_sequences else "row"

    @property
    def n_values(self) -> int:
        """How many numbers one row holds."""
        return n_values(self.sample_shape)

    @property
    def n_averaged(self) -> float:
        """How many values the squared error of a row is averaged over."""
        return self.n_values if self.values_a_row is None else self.values_a_row

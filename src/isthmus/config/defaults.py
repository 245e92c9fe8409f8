"""What ``"auto"`` becomes: one set of rules for all data, functions of sizes alone.

Each rule is measured in ``docs/decisions/0003-defaults.md``; none looks at what the data is called.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from isthmus.config.config import Config
from isthmus.config.model import Model
from isthmus.config.parts.codes import BatchTopKCode, GaussianCode, TopKCode, n_active_of
from isthmus.config.parts.corruptions import SaltAndPepper
from isthmus.config.parts.likelihoods import Mixed
from isthmus.config.parts.networks import Conv1d, Conv2d, Dense, Transformer
from isthmus.config.training import Training
from isthmus.errors import ParameterError
from isthmus.shapes import Shape, n_values

LONGEST_CODE = 64
NARROWEST, WIDEST = 64, 1024
SMALLEST_BATCH, LARGEST_BATCH = 32, 256
STEPS_A_ROOT_ROW, MOST_STEPS = 50, 5_000
FEWEST_EPOCHS = 10
FIRST_CHANNELS = 32
SMALLEST_MAP = 7
"""Convolution stages go on until a side of the feature maps is this or smaller; of steps, its square."""
PATCHES_A_SIDE, LARGEST_PATCH = 2, 16
"""Patches along the longest side of a picture, as far as they are no larger than 16 pixels."""
STRETCHES, LONGEST_STRETCH = 16, 64
MOST_COLUMNS = 64
"""Columns of a table that are a token each; more than these share tokens."""
NARROWEST_TOKEN, WIDEST_TOKEN = 32, 128
HEAD_WIDTH = 32
LEARNING_RATE = 2e-3
LEARNING_RATE_OF_TOKENS = 4e-3
LEARNING_RATE_FROM_PCA = 1e-3
LARGEST_MOVE = 0.15
"""From PCA on, the rate times the number of values a row stays under this: an Adam step moves each
weight by about the rate, and so an output by the rate times the number of its inputs."""
PATIENCE = 0.3


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules may look at."""

    sample_shape: Shape
    """Shape of a row, NumPy side."""
    n_rows: int
    """Training rows, validation rows left out."""
    likelihood: str
    """Name that the values suggest."""
    value_range: tuple[float, float] | None = None
    """Lowest and highest value in model units where the scaling, or the likelihood, knows them."""


def resolve(config: Config, facts: Facts) -> Config:
    """The config with every ``"auto"`` that depends on the data's sizes replaced."""
    model = config.model
    filling = fills(model)
    if model.code_size == "auto":
        model = model.replace(code_size=code_size(facts.sample_shape, filling=filling))
    if isinstance(model.code, (TopKCode, BatchTopKCode)):
        chosen = n_active_of(model.code.n_active, int(model.code_size))
        model = model.replace(code=model.code.replace(n_active=chosen))
    if model.likelihood == "auto":
        model = model.replace(likelihood=facts.likelihood)
    if isinstance(model.likelihood, Mixed) and model.likelihood.numbers == "auto":
        # A density, so that rows and fillings can be drawn from it.
        numbers = "gaussian" if filling or isinstance(model.code, GaussianCode) else "squared_error"
        model = model.replace(likelihood=model.likelihood.replace(numbers=numbers))
    if isinstance(model.corruption, SaltAndPepper) and model.corruption.low == "auto":
        model = model.replace(corruption=_with_ends(model.corruption, facts.value_range))
    network = model.network
    if isinstance(network, Dense) and network.hidden_sizes == "auto":
        widths = hidden_sizes(facts.n_rows)
        model = model.replace(network=network.replace(hidden_sizes=widths[:1] if filling else widths))
    if isinstance(network, (Conv1d, Conv2d)) and network.channels == "auto":
        model = model.replace(network=network.replace(channels=channels(facts.sample_shape, network.stride)))
    if isinstance(network, Transformer):
        model = model.replace(network=_resolved(network, facts))

    return replace(config, model=model, training=_trained(config.training, model, facts))


def _trained(training: Training, model: Model, facts: Facts) -> Training:
    """How a model that is resolved is trained."""
    if training.batch_size == "auto":
        training = training.replace(batch_size=batch_size(facts.n_rows))
    if training.epochs == "auto":
        training = training.replace(epochs=epochs(facts.n_rows, int(training.batch_size)))
    if training.patience == "auto":
        training = training.replace(patience=PATIENCE)
    if training.learning_rate == "auto" and isinstance(model.network, Transformer):
        training = training.replace(learning_rate=LEARNING_RATE_OF_TOKENS)
    return training


def _with_ends(corruption: SaltAndPepper, value_range: tuple[float, float] | None) -> SaltAndPepper:
    if value_range is None:
        raise ParameterError(
            "SaltAndPepper: low and high 'auto' want data scaled to a range, got standardised or raw values, "
            "which have no ends. Give both, as low=-2, high=2, or set scaling='range'."
        )
    return corruption.replace(low=value_range[0], high=value_range[1])


def fills(model: Model) -> bool:
    """Whether the values that a corruption damaged are all that counts: the model learns to fill them.

    They cannot be copied, so that neither the code nor a layer need be narrow. Each is told from the values
    at hand as in a regression, to which a second layer adds little but chance.

    >>> from isthmus.config.recipes import denoising, imputing
    >>> fills(imputing()), fills(denoising())
    (True, False)
    """
    return getattr(model.corruption, "emphasis", 0.0) == 1.0


def code_size(sample_shape: Shape, *, filling: bool = False) -> int:
    """Square root of the number of values, at most 64: 28 for MNIST, 8 for 64 columns, 2 for 4.

    Of what :func:`fills`, as many units as values, at most 64.
    """
    n = n_values(sample_shape)
    return max(1, min(n if filling else round(math.sqrt(n)), LONGEST_CODE))


def hidden_sizes(n_rows: int) -> tuple[int, ...]:
    """More rows carry wider and deeper networks; each layer is half as wide as the one before.

    >>> hidden_sizes(100), hidden_sizes(1_500), hidden_sizes(60_000)
    ((64,), (256, 128), (1024, 512, 256))
    """
    width = _power_of_two(8 * math.sqrt(n_rows), NARROWEST, WIDEST)
    depth = 1 if n_rows < 250 else 2 if n_rows < 30_000 else 3
    return tuple(width >> layer for layer in range(depth))


def channels(sample_shape: Shape, stride: int) -> tuple[int, ...]:
    """Twice the channels after each stage, strided or pooled, until the maps are small.

    A map of steps is small when it holds as many places as a small map of pixels.

    >>> channels((28, 28, 1), 2), channels((64, 64, 3), 2), channels((1_000, 2), 4)
    ((32, 64), (32, 64, 128, 256), (32, 64, 128))
    """
    *sides, _ = sample_shape
    side, stages = max(sides, default=1), 1
    smallest = SMALLEST_MAP ** (3 - len(sides))
    while stride > 1 and side / stride**stages > smallest:
        stages += 1
    return tuple(FIRST_CHANNELS << stage for stage in range(stages))


def _resolved(network: Transformer, facts: Facts) -> Transformer:
    patch, width, heads = network.patch_size, network.width, network.n_heads
    if width == "auto":
        width = token_width(facts.n_rows)
        width = width if heads == "auto" else math.lcm(width, heads)
    return network.replace(
        patch_size=patch_size(facts.sample_shape) if patch == "auto" else patch,
        width=width,
        n_heads=n_heads(width) if heads == "auto" else heads,
    )


def patch_size(sample_shape: Shape) -> int:
    """Few patches, as far as none becomes too large; a token a column of a table.

    >>> patch_size((28, 28, 1)), patch_size((256, 256, 3)), patch_size((400, 2)), patch_size((30,))
    (14, 16, 25, 1)
    """
    *sides, _ = sample_shape
    if not sides:
        return math.ceil(n_values(sample_shape) / MOST_COLUMNS)
    if len(sides) == 1:
        return min(math.ceil(sides[0] / STRETCHES), LONGEST_STRETCH)
    return min(math.ceil(max(sides) / PATCHES_A_SIDE), LARGEST_PATCH)


def token_width(n_rows: int) -> int:
    """Square root of the number of rows as a power of two, in [32, 128].

    >>> token_width(100), token_width(7_000), token_width(60_000)
    (32, 64, 128)
    """
    return _power_of_two(math.sqrt(n_rows), NARROWEST_TOKEN, WIDEST_TOKEN)


def n_heads(width: int) -> int:
    """One for each 32 numbers of a token; fewer where that does not divide the width.

    >>> n_heads(128), n_heads(30), n_heads(200)
    (4, 1, 5)
    """
    return max(n for n in range(1, max(1, width // HEAD_WIDTH) + 1) if width % n == 0)


def batch_size(n_rows: int) -> int:
    """Square root of the number of rows as a power of two, in [32, 256].

    >>> batch_size(100), batch_size(7_000), batch_size(60_000)
    (32, 64, 256)
    """
    return _power_of_two(1.42 * math.sqrt(n_rows), SMALLEST_BATCH, LARGEST_BATCH)


def epochs(n_rows: int, batch: int) -> int:
    """As many as make ``50 sqrt(rows)`` steps, at most 5,000; at least 10 epochs.

    >>> epochs(100, 32), epochs(7_000, 64), epochs(60_000, 256)
    (125, 39, 22)
    """
    steps = min(STEPS_A_ROOT_ROW * math.sqrt(n_rows), MOST_STEPS)
    return max(FEWEST_EPOCHS, math.ceil(steps / math.ceil(n_rows / batch)))


def learning_rate(sample_shape: Shape, start: str) -> float:
    """Lower where the weights begin as PCA and every step may only bend them.

    >>> learning_rate((64,), "random"), learning_rate((64,), "pca"), learning_rate((3_000,), "pca")
    (0.002, 0.001, 5e-05)
    """
    if start == "random":
        return LEARNING_RATE
    return min(LEARNING_RATE_FROM_PCA, float(f"{LARGEST_MOVE / n_values(sample_shape):.2g}"))


def _power_of_two(value: float, low: int, high: int) -> int:
    return max(low, min(2 ** int(math.log2(max(1.0, value))), high))

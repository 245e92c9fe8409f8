"""Attention between the patches of a picture, the stretches of a sequence or the columns of a table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.networks.base import Decoder, Encoder, Ends, Layer, Network
from isthmus.networks.linear import Linear
from isthmus.numerics.products import linear
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape


@dataclass(frozen=True, slots=True)
class Patches:
    """How one example is cut into equal patches, and how these are put together again.

    Where a patch does not divide a side, the last patches are filled up with zeros, and what they
    hold beyond the side is dropped when they are joined: every size comes back exactly.
    """

    channels: int
    sides: Shape
    """Of one example, without its channels."""
    patch: Shape
    """Sides of a patch: ``patch_size``, or the whole side where that is shorter."""
    counts: Shape
    """Patches along each side."""

    @classmethod
    def of(cls, shape: Shape, patch_size: int) -> Patches:
        """The patches of examples of ``shape``, ``(channels, *sides)``; of vectors ``(features,)``."""
        channels, sides = (1, shape) if len(shape) == 1 else (shape[0], shape[1:])
        patch = tuple(min(patch_size, side) for side in sides)
        counts = tuple(-(-side // step) for side, step in zip(sides, patch, strict=True))
        return cls(channels, sides, patch, counts)

    @property
    def n_tokens(self) -> int:
        """Patches in one example."""
        return math.prod(self.counts)

    @property
    def n_values(self) -> int:
        """Values in one patch, all channels."""
        return self.channels * math.prod(self.patch)

    def cut(self, x: Tensor) -> Tensor:
        """``(rows, n_tokens, n_values)`` of ``(rows, *shape)``; a patch lies channel by channel."""
        a = x.reshape(len(x), self.channels, *self.sides)
        missing = [n * step - side for n, step, side in zip(self.counts, self.patch, self.sides, strict=True)]
        if any(missing):
            a = F.pad(a, [end for extra in reversed(missing) for end in (0, extra)])
        split = [part for pair in zip(self.counts, self.patch, strict=True) for part in pair]
        axes = range(len(self.sides))
        a = a.reshape(len(x), self.channels, *split)
        a = a.permute(0, *(2 + 2 * axis for axis in axes), 1, *(3 + 2 * axis for axis in axes))
        return a.reshape(len(x), self.n_tokens, self.n_values)

    def join(self, patches: Tensor) -> Tensor:
        """``(rows, channels, *sides)`` of ``(rows, n_tokens, n_values)``: :meth:`cut` undone."""
        n = len(self.sides)
        a = patches.reshape(len(patches), *self.counts, self.channels, *self.patch)
        pairs = (axis for pair in zip(range(1, n + 1), range(n + 2, 2 * n + 2), strict=True) for axis in pair)
        whole = [count * step for count, step in zip(self.counts, self.patch, strict=True)]
        a = a.permute(0, n + 1, *pairs).reshape(len(patches), self.channels, *whole)
        for axis, side in enumerate(self.sides, start=2):
            a = a.narrow(axis, 0, side)
        return a.contiguous()


class TokenLinear(Layer):
    """``W a_t + b_t`` for each token t, or ``W_t a_t + b_t`` where no two tokens mean the same.

    The biases are the learned positions of an encoder's tokens, and the mean of a decoder's values.
    """

    def __init__(self, n_tokens: int, n_in: int, n_out: int, *, shared: bool) -> None:
        super().__init__()
        self.n_out = n_out
        self.weight = nn.Parameter(torch.empty((n_out, n_in) if shared else (n_tokens, n_out, n_in)))
        self.bias = nn.Parameter(torch.empty(n_tokens * n_out))

    def initialise(self, randomness: Randomness) -> None:
        """Uniform within ``1 / sqrt(n_in)``, as every other layer."""
        bound = self.weight.shape[-1] ** -0.5
        for name, parameter in self.named_parameters():
            parameter.copy_((2 * randomness.at(name).uniform(parameter.shape) - 1) * bound)

    def forward(self, a: Tensor) -> Tensor:
        """``(rows, n_tokens, n_out)`` of ``(rows, n_tokens, n_in)``."""
        if self.weight.ndim == 2:
            mapped = linear(a, self.weight)
        else:  # a product for each token, of (rows, n_in) and (n_in, n_out)
            mapped = (a.transpose(0, 1) @ self.weight.transpose(1, 2)).transpose(0, 1)
        return mapped + self.bias.unflatten(0, (-1, self.n_out))


class Attention(nn.Module):
    """``softmax(q k^T / sqrt(d)) v`` in several heads of d units (Vaswani et al. 2017, section 3.2).

    Products written out, not the fused kernel: that one has no second derivative, which the
    contractive penalty needs. The maps to q, k and v have no bias: before them stands a
    normalisation that has one, and a bias of k alone would change nothing.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.to_queries_keys_values = Linear(width, 3 * width, bias=False)
        self.to_tokens = Linear(width, width)

    def forward(self, a: Tensor) -> Tensor:
        """``(rows, n_tokens, width)`` of the same."""
        heads = self.to_queries_keys_values(a).unflatten(2, (3, self.n_heads, -1))
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind()
        shares = torch.softmax(q @ (k * k.shape[-1] ** -0.5).transpose(2, 3), dim=-1)
        return self.to_tokens((shares @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention between tokens, then an MLP in each; both are added to what they were given.

    ``a + Attention(norm(a))``, then ``a + MLP(norm(a))``: the normalisation stands inside the
    branch, so that the sum goes through unhindered (Xiong et al. 2020, figure 1 b).
    """

    def __init__(self, width: int, n_heads: int, n_hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, n_heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.to_hidden = Linear(width, n_hidden)
        self.to_tokens = Linear(n_hidden, width)

    def forward(self, a: Tensor) -> Tensor:
        """``(rows, n_tokens, width)`` of the same."""
        a = a + self.attention(self.attention_norm(a))
        return a + self.to_tokens(F.gelu(self.to_hidden(self.mlp_norm(a))))


class TransformerEncoder(Encoder):
    """Patches to tokens, blocks, and one dense layer from all tokens to the code."""

    def __init__(
        self, patches: Patches, n_out: int, width: int, depth: int, n_heads: int, n_hidden: int, shared: bool
    ) -> None:
        super().__init__()
        self.patches = patches
        self.embedding = TokenLinear(patches.n_tokens, patches.n_values, width, shared=shared)
        self.blocks = nn.ModuleList(Block(width, n_heads, n_hidden) for _ in range(depth))
        self.to_code = Linear(patches.n_tokens * width, n_out)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """pre_code of ``(rows, *sample_shape)``; no context."""
        a = self.embedding(self.patches.cut(x))
        for block in self.blocks:
            a = block(a)
        return self.to_code(a.flatten(1)), None

    def filters(self) -> tuple[str, Tensor] | None:
        """What each number of a token looks for in a patch of a picture, or takes from each column."""
        weight, sides = self.embedding.weight.detach(), self.patches.sides
        if len(sides) == 2:
            shape = (self.patches.channels, *self.patches.patch)
            return "Patches of the first layer", weight.unflatten(1, shape)
        if weight.ndim == 3:
            columns = weight.transpose(0, 1).flatten(1)[:, : sides[0]]
            return "First-layer weights of the encoder, each column in its own token", columns
        return None


class TransformerDecoder(Decoder):
    """One dense layer from the code to all tokens, blocks, and each token's patch."""

    def __init__(
        self,
        patches: Patches,
        shape: Shape,
        code_size: int,
        width: int,
        depth: int,
        n_heads: int,
        n_hidden: int,
        shared: bool,
    ) -> None:
        super().__init__()
        self.patches, self.shape = patches, shape
        self.from_code = Linear(code_size, patches.n_tokens * width)
        self.blocks = nn.ModuleList(Block(width, n_heads, n_hidden) for _ in range(depth))
        self.to_values = TokenLinear(patches.n_tokens, width, patches.n_values, shared=shared)

    def forward(self, h: Tensor, context: object = None) -> Tensor:
        """Outputs of ``(rows, code_size)``; a context is not used."""
        a = self.from_code(h).unflatten(1, (self.patches.n_tokens, -1))
        for block in self.blocks:
            a = block(a)
        return self.patches.join(self.to_values(a)).reshape(len(h), *self.shape)

    def start_at(self, outputs: Tensor) -> None:
        """Put ``outputs`` into the biases of the last layer, one for each value."""
        with torch.no_grad():
            self.to_values.bias.copy_(self.patches.cut(outputs[None]).flatten())


class Transformer(Network):
    """Vaswani et al. (2017) between a code and patches, stretches or columns.

    All tokens side by side lead to the code, and the code to each token, by one dense layer. Measured
    on MNIST (60,000 rows, 16 patches, width 64, codes of 32, 12 seconds of one thread): squared error
    4.9 an image; with a last normalisation of the encoder's tokens 5.1; with their mean in place of
    all of them 10.9, because a mean forgets which patch held what.
    """

    def __init__(
        self, ends: Ends, patch_size: int, width: int, depth: int, n_heads: int, mlp_ratio: float
    ) -> None:
        super().__init__()
        n_hidden = max(1, round(mlp_ratio * width))
        inputs, outputs = (Patches.of(shape, patch_size) for shape in (ends.sample_shape, ends.output_shape))
        sizes = width, depth, n_heads, n_hidden
        self.encoder = TransformerEncoder(inputs, ends.pre_code_size, *sizes, len(ends.sample_shape) > 1)
        self.decoder = TransformerDecoder(
            outputs, ends.output_shape, ends.code_size, *sizes, len(ends.output_shape) > 1
        )

"""What the machine can do, measured in the same run: the products of a step alone, its convolutions alone, copying."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.cores import n_cores
from isthmus.numerics.products import is_large, large_product

Call = Callable[[], object]
_aten: Any = torch.ops.aten
SQUARE, COPIED = 2048, 1 << 28


def step_calls(model: nn.Module, x: Tensor, memory_format: torch.memory_format) -> tuple[list[Call], float]:
    """What cannot be left out of a training step of ``model``, and its floating-point operations.

    Of each layer the product with its weights, the gradient of these and, behind the first layer, that of its inputs:
    into memory that is there, of numbers that are there. No activations, no loss, no optimiser, no rows gathered.
    """
    seen = list[tuple[nn.Module, Tensor, Tensor]]()
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    hooks = [
        layer.register_forward_hook(lambda layer, given, out: seen.append((layer, given[0], out)))
        for layer in model.modules()
        if isinstance(layer, kinds)
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    calls, n_operations = list[Call](), 0.0
    for place, (layer, given, out) in enumerate(seen):
        weight = layer.get_parameter("weight").detach()
        if isinstance(layer, nn.Linear):
            calls += _products(weight, given, out, is_first=place == 0)
            a_pass = 2.0 * len(given) * weight.numel()
        else:
            calls += _convolutions(layer, weight, given, out, memory_format, is_first=place == 0)
            positions = (given if isinstance(layer, nn.ConvTranspose2d) else out)[0, 0].numel()
            a_pass = 2.0 * len(given) * weight.numel() * positions
        n_operations += a_pass * (2 if place == 0 else 3)
    return calls, n_operations


def repeated(calls: Sequence[Call], n_steps: int) -> Callable[[], Callable[[], None]]:
    """The calls of so many steps."""

    def work() -> None:
        with torch.no_grad():
            for _ in range(n_steps):
                for call in calls:
                    call()

    return lambda: work


def faster(*all_calls: Sequence[Call]) -> Sequence[Call]:
    """Those calls of which a few steps take the least time."""

    def seconds(calls: Sequence[Call]) -> float:
        work = repeated(calls, 3)()
        work()
        return min(_seconds(work) for _ in range(3))

    return min(all_calls, key=seconds)


def machine() -> dict[str, Any]:
    """What stands beside every table: the machine, what it can do, and how busy it is."""
    a, b = torch.randn(2, SQUARE, SQUARE)
    out = torch.empty_like(a)
    source = torch.zeros(COPIED // 4)
    copy = torch.empty_like(source)
    calls: list[Call] = [_product(a, b, out), partial(copy.copy_, source)]
    product, copying = (min(_seconds(call) for _ in range(5)) for call in calls)
    return {
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": n_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "square_gflops": round(2 * SQUARE**3 / product / 1e9, 1),
        "copied_gb_a_second": round(2 * COPIED / copying / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _products(weight: Tensor, x: Tensor, out: Tensor, *, is_first: bool) -> list[Call]:
    x, gradient = x.detach().flatten(0, -2).contiguous(), torch.randn_like(out).flatten(0, -2)
    products = [(x, weight, gradient), (gradient.t(), x.t(), weight)]
    if not is_first:
        products.append((gradient, weight.t(), x))
    return [_product(a, b, like) for a, b, like in products]


def _product(a: Tensor, b: Tensor, like: Tensor) -> Call:
    """``a b^T``, or its transpose, by the faster of PyTorch's two libraries."""
    calls: list[Call] = [partial(torch.mm, a, b.t(), out=torch.empty_like(like))]
    if is_large(*a.shape, len(b)):
        calls += [partial(large_product, a, b), partial(large_product, b, a)]
    return faster(*([call] for call in calls))[0]


def _convolutions(
    layer: Any, weight: Tensor, x: Tensor, out: Tensor, memory_format: torch.memory_format, *, is_first: bool
) -> list[Call]:
    x, weight, gradient = (
        tensor.detach().clone(memory_format=memory_format) for tensor in (x, weight, torch.randn_like(out))
    )
    given = (list(layer.stride), list(layer.padding), list(layer.dilation))
    given += (layer.transposed, list(layer.output_padding), layer.groups)
    wanted = [not is_first, True, False]
    return [
        partial(_aten.convolution, x, weight, None, *given),
        partial(_aten.convolution_backward, gradient, x, weight, None, *given, wanted),
    ]


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _processor() -> str:
    """Its name and, where Linux tells them, its family and model: makers sell several under one name."""
    path = Path("/proc/cpuinfo")
    text = path.read_text("utf-8") if path.exists() else ""
    about = dict(map(str.strip, line.split(":", 1)) for line in text.splitlines() if ":" in line)
    name = about.get("model name") or platform.processor() or platform.machine()
    kinds = [f"{key.removeprefix('cpu ')} {about[key]}" for key in ("cpu family", "model") if key in about]
    return f"{name} ({', '.join(kinds)})" if kinds else name

"""Calls that are always the same, launched as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

N_WARM_UPS = 3
"""Of the calls, before their capture: what libraries set up at a first call must not be captured."""


class Captured:
    """Calls that write into memory that is kept, captured once and replayed: a launch for all of them.

    Only kernels are captured. What a call reads from the CPU, a number for example, stays what it was.

    Parameters
    ----------
    calls
        The same kernels on the same memory each time, without a look at any result on the CPU. They are run here,
        on whatever is in their memory.
    device
        Where that memory is, a CUDA device.
    """

    def __init__(self, calls: Sequence[Callable[[], object]], device: torch.device) -> None:
        self._calls = calls  # the graph knows addresses alone: their memory is held here
        stream, self._graph = torch.cuda.Stream(device), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for call in N_WARM_UPS * [*calls]:
                call()
        torch.cuda.current_stream(device).wait_stream(stream)
        # A thread beside this one may use the device for work of its own.
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            for call in calls:
                call()

    def __call__(self) -> None:
        """Run them, after whatever is on the present stream."""
        self._graph.replay()


def captured(calls: Sequence[Callable[[], object]], device: torch.device) -> Sequence[Callable[[], object]]:
    """One call for all of them on a CUDA device; on any other themselves."""
    return [Captured(calls, device)] if device.type == "cuda" else calls

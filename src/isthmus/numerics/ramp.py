"""How a strength grows or falls over a training."""

from __future__ import annotations


def ramp(progress: float, share: float) -> float:
    """Rises linearly from 0 to 1 over the first ``share`` of a training, then stays at 1.

    Parameters
    ----------
    progress
        Share of the training done, in [0, 1].
    share
        In [0, 1]; 0 is 1 from the first step on.

    >>> [ramp(progress, 0.5) for progress in (0.0, 0.25, 0.5, 1.0)]
    [0.0, 0.5, 1.0, 1.0]
    """
    return 1.0 if share <= progress or share == 0 else progress / share


def between(first: float, last: float | None, progress: float) -> float:
    """From ``first`` to ``last`` in a straight line; without a last it stays.

    >>> [between(0.4, 0.0, progress) for progress in (0.0, 0.5, 1.0)], between(0.4, None, 0.7)
    ([0.4, 0.2, 0.0], 0.4)
    """
    return first if last is None else first + (last - first) * progress


def ratio_between(first: float, last: float, progress: float) -> float:
    """From ``first`` to ``last`` by equal ratios; in a straight line where either is 0.

    >>> [ratio_between(100.0, 1.0, progress) for progress in (0.0, 0.5, 1.0)], ratio_between(0.0, 2.0, 0.5)
    ([100.0, 10.0, 1.0], 1.0)
    """
    if first > 0 and last > 0:
        return first ** (1 - progress) * last**progress
    return between(first, last, progress)

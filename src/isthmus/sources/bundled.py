"""The data that ships with isthmus: 10,000 digits of MNIST, balanced."""

from __future__ import annotations

from pathlib import Path

from isthmus.errors import unknown_name
from isthmus.sources.arrays import ArraySource
from isthmus.sources.idx import read_idx

_MNIST = Path(__file__).parent / "bundled_data" / "mnist"
BUNDLED_NAMES = ("mnist-test", "mnist-train")


def bundled(name: str) -> ArraySource:
    """Open data that ships with the package, with its labels.

    Parameters
    ----------
    name
        ``"mnist-train"``: 8,000 handwritten digits, 800 of each; ``"mnist-test"``: 2,000 others,
        200 of each. Both are drawn from MNIST's training images, so that MNIST's own test images
        stay unseen. Pictures of 28 x 28 x 1, uint8.

    Raises
    ------
    UnknownNameError
        No data of that name ships with isthmus.

    Examples
    --------
    >>> digits = bundled("mnist-test")
    >>> len(digits), digits.schema.describe()
    (2000, 'pictures 28 x 28 x 1, uint8')
    """
    if name not in BUNDLED_NAMES:
        raise unknown_name("bundled", "data", name, BUNDLED_NAMES)
    part = name.removeprefix("mnist-")
    images = read_idx(_MNIST / f"{part}-images-idx3-ubyte.gz")
    return ArraySource(images, labels=read_idx(_MNIST / f"{part}-labels-idx1-ubyte.gz"), who=name)

"""The laws that a part must obey, for parts of your own too.

Each ``check_*`` returns nothing when every law holds and raises :class:`LawBroken`, with one
sentence that names the law and the part, when one does not.
"""

from isthmus.testing.code import check_code
from isthmus.testing.corruption import check_corruption
from isthmus.testing.laws import LawBroken
from isthmus.testing.likelihood import check_likelihood
from isthmus.testing.module import check_module
from isthmus.testing.network import check_network
from isthmus.testing.penalty import check_penalty

__all__ = [
    "LawBroken",
    "check_code",
    "check_corruption",
    "check_likelihood",
    "check_module",
    "check_network",
    "check_penalty",
]

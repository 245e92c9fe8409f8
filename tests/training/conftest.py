"""What tests of training share: a person who stops one, and keeps where it stood; a step beside its twin's."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from isthmus.model.objective import Cost, Objective
from isthmus.training.state import Keeper, State


class Stopping(Keeper):
    """Keeps the state, copied as a file would hold it, and stops after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.state: State | None = None

    @property
    def stopping(self) -> bool:
        return self.left == 1

    def offer(self, state: Callable[[], State], *, now: bool = False) -> None:
        self.left -= 1
        if now:
            found = state()
            copied = {
                name: {key: value.cpu().clone() for key, value in own.items()}
                for name, own in found.groups.items()
            }
            self.state = State(json.loads(json.dumps(found.values)), copied)


@pytest.fixture
def stopping() -> type[Stopping]:
    return Stopping


def _same_terms(found: Cost, expected: Objective) -> None:
    torch.testing.assert_close(found.loss, expected.loss.detach(), rtol=1e-5, atol=1e-5)
    assert list(found.terms) == list(expected.terms)
    for name, term in expected.terms.items():
        torch.testing.assert_close(found.terms[name], term.detach(), rtol=1e-5, atol=1e-5)


@pytest.fixture
def same_terms() -> Callable[[Cost, Objective], None]:
    """Asserts that the loss and the terms of a step are those of an objective."""
    return _same_terms

"""Every public name says what it does, what it takes, and shows a use."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest

import isthmus


def takes_parameters(thing: object) -> bool:
    """Whether a caller has to know parameters to use ``thing``."""
    if not callable(thing) or (inspect.isclass(thing) and issubclass(thing, BaseException)):
        return False
    return len(inspect.signature(thing).parameters) > 0


@pytest.mark.parametrize("name", [name for name in isthmus.__all__ if not name.startswith("__")])
def test_documented(name: str) -> None:
    thing = getattr(isthmus, name)
    text = inspect.getdoc(thing) or ""
    assert len(text.splitlines()[0]) > 10, f"{name} has no line that says what it does"
    if takes_parameters(thing):
        assert "Parameters\n---" in text, f"{name} does not say what it takes"
        assert ">>>" in text, f"{name} shows no use"


def test_dir_lists_the_public_names() -> None:
    assert set(isthmus.__all__) <= set(dir(isthmus))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="Autoencodr"):
        _ = isthmus.Autoencodr


def test_one_version(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    citation = re.search(r"^version: (.+)$", (repository / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert citation is not None
    assert project["version"] == isthmus.__version__ == citation[1]

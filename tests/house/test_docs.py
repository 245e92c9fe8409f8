"""The code blocks of the documentation run: Python and shell, page by page, in order, in an empty folder.

A block below the comment ``<!-- not run: reason -->`` is left out.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?P<mark><!-- not run: \S.*? -->\n+)?^```(?P<language>python|bash|sh|shell)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


Process = Callable[..., "CompletedProcess[str]"]


class Block(NamedTuple):
    """One piece of code of a page."""

    language: str
    code: str


def blocks(text: str) -> list[Block]:
    """Code of a page that is to be run."""
    return [Block(m["language"], m["code"]) for m in BLOCK.finditer(text) if not m["mark"]]


def pictures(folder: Path) -> None:
    """The reader's own pictures: soft spots of three colours and sizes, one file each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    folder.mkdir()
    for number in range(60):
        row, column = rng.uniform(4, 12, 2)
        spot = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (4 + 4 * (number % 3)))
        colour = np.roll([255, 120, 40], number % 3)
        Image.fromarray((spot[..., None] * colour).astype(np.uint8)).save(folder / f"{number:03}.png")


def people(folder: Path) -> None:
    """The reader's own tables: ``people.csv`` with gaps, and others of the same kind."""
    random = np.random.default_rng(0)
    for name, n in (("people", 120), ("others", 60)):
        age = random.normal(50, 12, n)
        ward = np.where(age + 9 * random.normal(size=n) > 50, "north", "south")
        since = [f"20{int(each) % 24:02}-0{at % 9 + 1}-01" for at, each in enumerate(age)]
        known = ["" if at % 7 == 0 else f"{each:.1f}" for at, each in enumerate(age)]
        lines = [",".join(cells) for cells in zip(known, ward, since, strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(["age,ward,since", *lines]) + "\n", "utf-8")


def commands(folder: Path) -> str:
    """PATH of a shell that finds the ``isthmus`` of this checkout first."""
    folder.mkdir()
    script = folder / "isthmus"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m isthmus "$@"\n', "utf-8")
    script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.skipif(shutil.which("bash") is None, reason="the shell blocks want bash")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page.read_text("utf-8"))], ids=lambda p: p.stem
)
def test_page_runs(page: Path, tmp_path: Path, process: Process) -> None:
    work = tmp_path / "work"
    work.mkdir()
    pictures(work / "pictures")
    people(work)
    path = commands(tmp_path / "bin")
    for language, code in blocks(page.read_text("utf-8")):
        shell = ("python", "-c") if language == "python" else ("bash", "-euo", "pipefail", "-c")
        done = process(*shell, code, cwd=work, PATH=path, MPLBACKEND="Agg")
        assert done.returncode == 0, f"{page.name}:\n{code}\n{done.stdout}\n{done.stderr}"


def test_the_readme_shows_both_uses() -> None:
    assert {language for language, _ in blocks(PAGES[0].read_text("utf-8"))} == {"python", "bash"}


def test_the_readme_shows_a_picture() -> None:
    pictures = re.findall(r'!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]*src="([^"]+)"', PAGES[0].read_text("utf-8"))
    assert pictures


def test_marked_blocks_are_left_out() -> None:
    page = "```python\na\n```\n\n<!-- not run: it fetches -->\n```bash\nb\n```\n\n```bash\nc\n```\n"
    assert blocks(page) == [Block("python", "a\n"), Block("bash", "c\n")]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_and_pictures_of_html_lead_somewhere(page: Path) -> None:
    targets = re.findall(
        r'(?:href|src|srcset)="(?!https?://|#|mailto:|data:)([^"#\s]+)', page.read_text("utf-8")
    )
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []

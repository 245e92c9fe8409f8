"""The page: complete, self-contained, honest, the same every time, and escaped."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from isthmus.errors import OutputError
from isthmus.evaluation.report import render_report, write_report
from isthmus.evaluation.report_data import Codes, Errors, Examples, Facts, Filters, ReportData
from isthmus.evaluation.words import headline

EVIL = "<script>alert('x')</script> & \"quoted\" $x^2$ 数据"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What a page holds; refuses elements that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def errors(values: np.ndarray, n_values: int) -> Errors:
    return Errors(float(values.mean()), float(values.mean() / n_values), values)


def report_data(
    sample_shape: tuple[int, ...] = (8, 8, 1), n_rows: int = 40, size: int = 3, **changes: Any
) -> ReportData:
    rng = np.random.default_rng(7)
    n_values = int(np.prod(sample_shape))
    rows = np.arange(min(n_rows, 3))
    shown = rng.uniform(0, 1, (3, len(rows), *sample_shape))
    own, pca, mean = rng.gamma(4, 1, (3, n_rows)) * np.array([[1.0], [2.0], [6.0]])
    values = rng.normal(0, 1, (n_rows, size))
    data = ReportData(
        title="A model",
        facts=Facts("basic", size, 1234, n_rows, "squared error", "pictures 8 x 8 x 1, float64"),
        sample_shape=sample_shape,
        model=errors(own, n_values),
        pca=errors(pca, n_values),
        mean=errors(mean, n_values),
        examples=Examples(
            rows,
            ("best", "typical", "worst")[: len(rows)],
            shown[0],
            shown[1],
            own[rows],
            shown[2],
            pca[rows],
        ),
        codes=Codes(values, values.mean(axis=0), values.var(axis=0), np.arange(size) == 1),
        filters=Filters("Columns of the decoder", rng.normal(0, 1, (size, *sample_shape))),
        history=[
            {
                "epoch": i,
                "learning_rate": 0.001,
                "training": {"loss": 9.0 / i},
                "validation": {"loss": 10.0 / i},
            }
            for i in range(1, 6)
        ],
        best_epoch=4,
        config='[model]\nkind = "basic"\n',
        notes=("Column 3 is constant.",),
        numbers={"Evidence lower bound": (-98.21, "nats")},
    )
    return replace(data, **changes)


def test_the_page_is_whole() -> None:
    page = Page(render_report(report_data()))
    sections = [attributes["aria-labelledby"] for attributes in page.all("section")]
    assert sections == [
        "comparison",
        "examples",
        "errors",
        "codes",
        "filters",
        "units",
        "training",
        "notes",
        "config",
    ]
    assert len(page.all("img")) == 3 * 3 + 3, "original, model and PCA of three rows, and three filters"
    assert all(image["alt"] for image in page.all("img"))
    assert all(drawing["aria-label"] and drawing["role"] == "img" for drawing in page.all("svg"))
    for words in (
        "Evidence lower bound −98.21 nats",
        "Column 3 is constant.",
        'kind = "basic"',
        "1 of 3 units is dead",
    ):
        assert words in page.text


def test_ids_are_unique_and_every_reference_is_met() -> None:
    text = render_report(report_data())
    ids = [attributes["id"] for _, attributes in Page(text).elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#|aria-labelledby=")([^")]+)', text)) <= set(ids)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 3), (5,), (40,)])
def test_nothing_is_asked_from_outside(shape: tuple[int, ...]) -> None:
    text = render_report(report_data(shape))
    page = Page(text)
    assert not page.all("script")
    assert not page.all("iframe")
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("data:", "#")), value
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r'xmlns(:\w+)?="[^"]*"|data:[^"]*', "", text))
    assert not re.findall(r"@import|url\((?!#)", text)


def test_the_same_data_give_the_same_bytes() -> None:
    assert render_report(report_data()) == render_report(report_data())


def test_no_library_is_left_changed() -> None:
    before = dict(mpl.rcParams)
    state = np.random.get_state()[1].tolist()
    render_report(report_data())
    assert dict(mpl.rcParams) == before
    assert np.random.get_state()[1].tolist() == state


def test_whatever_a_user_named_is_escaped() -> None:
    labels = [EVIL if i % 2 else "plain" for i in range(40)]
    data = report_data(
        (5,),
        columns=[EVIL, "b", "c", "d", "e"],
        title=EVIL,
        notes=(EVIL,),
        config=EVIL,
        numbers={EVIL: (1.0, EVIL)},
    )
    data = replace(data, codes=replace(data.codes, labels=labels), facts=replace(data.facts, kind=EVIL))
    text = render_report(data)
    page = Page(text)
    assert not page.all("script")
    assert "<script" not in text
    assert page.text.count(EVIL) >= 6


@pytest.mark.parametrize(
    ("own", "theirs", "mean", "said"),
    [
        (
            9.8,
            10.0,
            52.7,
            "Held-out squared error per image 9.80, 0.98 of PCA’s 10.00 at the same code size of 3.",
        ),
        (
            5.53,
            13.19,
            52.7,
            "Held-out squared error per image 5.53, 0.42 of PCA’s 13.19 at the same code size of 3.",
        ),
        (
            13.2,
            13.19,
            52.7,
            "Held-out squared error per image 13.20, the same as PCA’s 13.19 at the same code size of 3.",
        ),
        (
            20.0,
            10.0,
            52.7,
            "Held-out squared error per image 20.00: worse than "
            "PCA’s 10.00 (2.00 times it) at the same code size of 3.",
        ),
    ],
)
def test_the_headline_is_honest(own: float, theirs: float, mean: float, said: str) -> None:
    data = report_data(
        model=Errors(own, own / 64), pca=Errors(theirs, theirs / 64), mean=Errors(mean, mean / 64)
    )
    assert headline(data) == said


def test_the_headline_says_when_the_mean_would_do() -> None:
    assert "no better than guessing the mean" in headline(report_data(model=Errors(99.0, 1.5)))
    assert "mean" not in headline(report_data())


def test_a_baseline_without_error_is_no_measure() -> None:
    data = report_data(pca=Errors(1e-28, 1e-30))
    assert headline(data).endswith("PCA loses nothing there.")
    assert "e+" not in render_report(data)


@pytest.mark.parametrize(
    ("size", "n_rows", "labels"),
    [
        (1, 1, None),
        (1, 40, "few"),
        (1, 40, "many"),
        (2, 3, None),
        (2, 40, "many"),
        (3, 1, "few"),
        (70, 3, "many"),
    ],
)
def test_every_size_has_a_page(size: int, n_rows: int, labels: str | None) -> None:
    data = report_data(n_rows=n_rows, size=size)
    if labels is not None:
        data = replace(
            data,
            codes=replace(data.codes, labels=[i % (2 if labels == "few" else 100) for i in range(n_rows)]),
        )
    page = Page(render_report(data))
    assert ("the code itself" in page.text.lower()) == (size == 2)
    assert ("first two principal axes" in page.text) == (size > 2)


def test_what_is_unknown_is_left_out() -> None:
    data = report_data(
        filters=None, history=[], best_epoch=None, config="", notes=(), numbers={}, pca=None, mean=None
    )
    data = replace(
        data,
        model=Errors(1.0, 0.1),
        examples=replace(data.examples, pca_reconstructions=None, pca_errors=None),
    )
    sections = [attributes["aria-labelledby"] for attributes in Page(render_report(data)).all("section")]
    assert sections == ["comparison", "examples", "codes", "units"]


def test_training_without_validation_says_so() -> None:
    history = [
        {"epoch": i, "learning_rate": 0.1, "training": {"loss": 3.0 - i}, "validation": None}
        for i in range(3)
    ]
    assert "There was no validation." in Page(render_report(report_data(history=history, best_epoch=2))).text


def test_constant_data_and_perfect_models_have_a_page() -> None:
    zeros = np.zeros(40)
    data = report_data((5,), model=errors(zeros, 5), pca=errors(zeros, 5), mean=errors(zeros, 5))
    codes = Codes(
        np.zeros((40, 3)), np.zeros(3), np.zeros(3), np.ones(3, np.bool_), active_shares=np.zeros(3)
    )
    Page(
        render_report(
            replace(data, codes=codes, column_scales=np.zeros(5), filters=Filters("w", np.zeros((3, 5))))
        )
    )


def test_a_page_of_large_pictures_stays_small() -> None:
    text = render_report(report_data((300, 400, 3), size=70))
    assert len(text.encode()) < 1_500_000
    assert "averaged down" in text


def test_many_rows_stay_small() -> None:
    text = render_report(report_data(n_rows=60_000))
    assert len(text.encode()) < 500_000
    assert "5,000 of 60,000 rows" in text


def test_written_files_hold_the_page_and_nothing_lies_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(report_data(), path)
    assert path.read_text(encoding="utf-8") == render_report(report_data())
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere.*: cannot be written: .+\. Nothing was changed"):
        write_report(report_data(), tmp_path / "nowhere" / "report.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        write_report(report_data(), tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"], "no temporary file is left"

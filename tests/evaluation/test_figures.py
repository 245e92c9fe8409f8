"""Figures: colours of the page, numbers in the right place, the same bytes."""

from __future__ import annotations

import base64
import re
import struct
import threading
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest

from isthmus.evaluation import figures
from isthmus.evaluation.code_map import code_map, principal_plane
from isthmus.evaluation.examples import WIDEST_MISS, _at
from isthmus.evaluation.pictures import diverging, filter_uri, picture_uri, png_uri, reduced
from isthmus.evaluation.report_data import Codes, Errors


def decoded(uri: str) -> np.ndarray:
    """A slow reader of the PNGs that are written here, checking every sum."""
    raw = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    position, chunks = 8, {}
    while position < len(raw):
        (length,) = struct.unpack(">I", raw[position : position + 4])
        kind, body = raw[position + 4 : position + 8], raw[position + 8 : position + 8 + length]
        assert struct.unpack(">I", raw[position + 8 + length : position + 12 + length])[0] == zlib.crc32(
            kind + body
        )
        chunks[kind] = body
        position += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert depth == 8
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape((height, width, 3) if colour == 2 else (height, width))


def codes(values: np.ndarray, labels: list[str] | None = None) -> Codes:
    return Codes(values, values.mean(axis=0), values.var(axis=0), values.var(axis=0) < 1e-3, labels=labels)


def dots_of(svg: str) -> np.ndarray:
    return np.array([[float(x), float(y)] for x, y in re.findall(r"M([\d.e+-]+) ([\d.e+-]+)h0", svg)])


@pytest.mark.parametrize("shape", [(3, 5), (4, 2, 3), (1, 1)])
def test_png_gives_the_pixels_back(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(decoded(png_uri(pixels)), pixels)


def test_pictures_are_clipped_and_rounded() -> None:
    picture = np.array([-1.0, 0.0, 0.5, 1.0, 7.0]).reshape(1, 5, 1)
    assert decoded(picture_uri(picture)).tolist() == [[0, 0, 128, 255, 255]]
    assert decoded(picture_uri(np.ones((2, 2, 4)))).shape == (2, 2, 3), "of many channels, the first three"
    assert decoded(picture_uri(np.ones((2, 2, 2)))).shape == (2, 2)


def test_reduction_is_the_mean_of_square_blocks() -> None:
    picture = np.arange(36.0).reshape(6, 6, 1)
    expected = [[picture[i : i + 2, j : j + 2].mean() for j in (0, 2, 4)] for i in (0, 2, 4)]
    np.testing.assert_allclose(reduced(picture, 3)[..., 0], expected)
    assert reduced(picture, 6) is picture
    assert reduced(np.ones((1, 50, 1)), 10).shape == (1, 10, 1)


def test_filters_tell_signs_apart_and_stand_zeros() -> None:
    blue, white, orange = diverging(np.array([-1.0, 0.0, 1.0]))
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
    assert np.ptp(white) == 0
    assert np.ptp(decoded(filter_uri(np.zeros((3, 3, 1))))) == 0
    assert decoded(filter_uri(np.zeros((3, 3, 3)))).max() == 128


def test_a_miss_is_drawn_in_standard_deviations() -> None:
    assert _at(0.0) == 50
    assert _at(WIDEST_MISS) == 96
    assert _at(-100.0) == 4


def test_principal_plane_agrees_with_singular_values() -> None:
    values = np.random.default_rng(1).normal(0, 1, (50, 4)) * [3, 1, 0.2, 5]
    plane, _ = principal_plane(values)
    left, singular, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(plane), np.abs(left[:, :2] * singular[:2]), atol=1e-9)
    np.testing.assert_allclose(principal_plane(values[:, ::-1])[0], plane, atol=1e-9)


def test_map_places_every_row() -> None:
    values = np.random.default_rng(2).normal(0, 1, (300, 2))
    svg, legend, said = code_map(codes(values), "row")
    drawn = dots_of(svg)
    assert len(drawn) == 300
    for axis, sign in ((0, 1), (1, -1)):
        order = np.corrcoef(np.sort(drawn[:, axis]), np.sort(sign * values[:, axis]))[0, 1]
        assert order > 0.9999, "an affine picture of the codes"
    assert said == "The code itself."
    assert [entry.text for entry in legend] == [""]


def test_map_thins_evenly_and_says_so() -> None:
    svg, _, said = code_map(codes(np.random.default_rng(3).normal(0, 1, (12_000, 3))), "row")
    assert len(dots_of(svg)) == 5_000
    assert "5,000 of 12,000 rows" in said
    assert len(svg) < 150_000


def test_map_groups_the_rare_classes() -> None:
    labels = [f"class {i % 30 if i < 60 else i % 3}" for i in range(300)]
    _, legend, _ = code_map(codes(np.random.default_rng(4).normal(0, 1, (300, 2)), labels), "row")
    assert len(legend) == 10
    assert legend[-1].text == "21 other classes"
    assert {"class 0", "class 1", "class 2"} < {entry.text for entry in legend}


def test_map_orders_numbers_as_numbers() -> None:
    values = np.random.default_rng(5).normal(0, 1, (40, 2))
    _, legend, _ = code_map(
        Codes(values, values[0], values[0], np.zeros(2, np.bool_), labels=[10, 9, 2, 1] * 10), "row"
    )
    assert [entry.text for entry in legend] == ["1", "2", "9", "10"]


def test_duel_draws_the_closer_model_below_the_line() -> None:
    pca = np.linspace(1, 2, 50)
    drawn = dots_of(figures.error_duel(pca * 0.5, pca, "row"))
    equal = dots_of(figures.error_duel(pca, pca, "row"))
    assert len(drawn) == len(equal) == 50
    assert drawn[:, 1].mean() > equal[:, 1].mean(), "SVG counts downwards"


@pytest.mark.parametrize(
    "values", [np.zeros(5), np.ones(5), np.geomspace(1e-4, 1e4, 50), np.array([0.0, 1e5]), np.ones(1)]
)
def test_distributions_of_any_range_are_drawn(values: np.ndarray) -> None:
    errors = Errors(float(values.mean()), 1.0, values)
    ElementTree.fromstring(figures.error_distribution(errors, None, errors, "row"))
    ElementTree.fromstring(figures.error_duel(values, values, "row"))


def test_colours_are_the_page_s_and_no_setting_leaks() -> None:
    errors = Errors(1.0, 1.0, np.random.default_rng(6).gamma(2, 1, 100))
    svg = figures.error_distribution(errors, errors, errors, "row")
    assert {"var(--model)", "var(--pca)", "var(--mean)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert not re.findall(r"#[0-9a-f]{6}", svg), "no colour that the dark could swallow"
    assert "<style" not in svg
    assert "font-family" not in svg


def test_threads_draw_the_same() -> None:
    history = [{"epoch": i, "training": {"loss": 1.0 / (i + 1)}, "validation": None} for i in range(20)]
    expected = figures.loss_curves(history, 3)
    drawn: list[str] = []
    threads = [
        threading.Thread(target=lambda: drawn.append(figures.loss_curves(history, 3))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [expected] * 4


def test_dead_units_are_marked() -> None:
    variance = np.array([1.0, 0.0, 2.0])
    alive = figures.unit_bars(variance, np.zeros(3, np.bool_), "variance", "v")
    dead = figures.unit_bars(variance, variance == 0, "variance", "v")
    assert "var(--mean)" not in alive
    assert "var(--mean)" in dead

import numpy as np
import pytest

from isthmus.preprocessing import Scaling, infer_likelihood, is_black_and_white
from isthmus.sources import ArraySource, bundled


def chosen(array, method="auto"):
    source = ArraySource(array)
    return infer_likelihood(source, Scaling.fit(source, np.arange(len(source)), method=method))


def test_mnist_is_black_and_white():
    digits = bundled("mnist-train")
    choice = infer_likelihood(digits, Scaling.fit(digits, np.arange(8000)))
    assert choice.name == "bernoulli"
    pixels = digits.read(slice(None)).astype(float)
    share = 100 * np.mean((pixels <= 0.02 * 255) | (pixels >= 0.98 * 255))
    assert (
        choice.reason
        == f"{share:.1f} % of the values lie within 2 % of black or white, at least 75 %: log loss."
    )


@pytest.mark.parametrize(("n_middle", "name"), [(4, "bernoulli"), (5, "squared_error")])
def test_three_quarters_at_the_ends(n_middle, name):
    pictures = np.zeros((2, 2, 4), np.uint8)
    pictures.ravel()[:8] = [5, 250, 255, 250, 5, 0, 0, 0]
    pictures.ravel()[16 - n_middle :] = [6, 249, 100, 200, 128][:n_middle]
    choice = chosen(pictures)
    assert choice.name == name
    assert choice.reason.startswith(f"{100 * (16 - n_middle) / 16:.1f} % of the values")


def test_colour_takes_squared_error_however_stark():
    choice = chosen(np.array([0, 255], np.uint8).repeat(12).reshape(2, 2, 2, 3))
    assert (choice.name, choice.reason) == ("squared_error", "pictures of 3 channels: squared error.")


def test_pictures_that_leave_the_unit_interval():
    stark = np.array([0, 255], np.uint8).repeat(4).reshape(2, 2, 2)
    assert chosen(stark).name == "bernoulli"
    assert chosen(stark, method="none").reason == "values leave [0, 1] in model units: squared error."


@pytest.mark.parametrize(
    ("array", "method", "name"),
    [
        (np.eye(3), "auto", "bernoulli"),
        (np.eye(3, dtype=bool), "auto", "bernoulli"),
        (np.eye(3, dtype=np.uint8), "auto", "bernoulli"),
        (np.eye(3, dtype=np.uint8) * 255, "auto", "bernoulli"),
        (np.eye(3) * 0.999, "none", "squared_error"),
        (np.eye(3), "standardise", "squared_error"),
        (np.arange(12.0).reshape(4, 3), "auto", "squared_error"),
    ],
)
def test_vectors_of_0_and_1_alone(array, method, name):
    assert chosen(array, method).name == name


def test_evenly_spaced_rows_are_looked_at(monkeypatch):
    monkeypatch.setattr("isthmus.preprocessing.likelihood.LOOKED_AT", 3)
    rows = np.eye(2)[[0, 1, 0, 1, 0]]
    rows[1] = 0.5
    assert chosen(rows, "none").name == "bernoulli"
    rows[4] = 0.5
    assert chosen(rows, "none").name == "squared_error"


def test_is_black_and_white_counts_the_borders_in():
    assert is_black_and_white(np.array([0.02, 0.98, 0.0, 0.5]))
    assert not is_black_and_white(np.array([0.021, 0.979, 0.0, 1.0]))

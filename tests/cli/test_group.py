"""``group``: what it writes is what the groups say, and what it draws is what it writes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from isthmus import AutoencoderClusterer
from isthmus.artifact import open_model
from isthmus.exploration.groups import agreement, examples, find_groups
from isthmus.inference import Inference
from isthmus.workflows.open_data import open_data

torch.set_num_threads(1)
Command = Callable[..., Any]


def test_a_table_of_groups(place: Path, isthmus: Command) -> None:
    done = isthmus("group", "model.safetensors", "labelled.npz", "--groups", "3", "-o", "g.csv", "--json")
    assert done.status == 0, done.err
    fitted, source = open_model("model.safetensors"), open_data("labelled.npz")
    codes = Inference(fitted).encode(source)
    found = find_groups(codes, 3, seed=0)
    members, odds = found.members(codes), found.probabilities(codes)
    with Path("g.csv").open(encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert header == ["row", "group", "probability", "label"]
    assert [line[0] for line in lines] == [str(row) for row in range(20)]
    assert [int(line[1]) for line in lines] == members.tolist()
    assert [float(line[2]) for line in lines] == pytest.approx(odds.max(axis=1), rel=1e-5)
    assert [line[3] for line in lines] == [str(row % 4) for row in range(20)]
    shown = examples(found, codes, 8)
    got = done.json
    assert (got["rows"], got["groups"], got["method"], got["criterion"], got["seed"]) == (
        20,
        3,
        "mixture",
        "bic",
        0,
    )
    assert source.labels is not None
    assert got["agreement"] == agreement(members, source.labels).to_dict()
    assert list(got["curve"]) == ["3"]
    for at, each in enumerate(got["each"]):
        rows = np.flatnonzero(members == at)
        assert (each["group"], each["rows"]) == (at, len(rows))
        assert each["centre"] == shown.centre[at].tolist()
        assert each["edge"] == shown.edge[at].tolist()


def test_arrays_of_groups(place: Path, isthmus: Command) -> None:
    common = ("group", "gaussian.safetensors", "table.npy", "--groups", "2", "--method", "k-means")
    assert isthmus(*common, "-o", "g.npy").status == 0
    assert isthmus(*common, "-o", "g.npz").status == 0
    groups, held = np.load("g.npy"), np.load("g.npz")
    np.testing.assert_array_equal(held["groups"], groups)
    np.testing.assert_array_equal(held["probabilities"].argmax(axis=1), groups)
    assert (held["probabilities"].shape, "labels" in held) == ((50, 2), False)


def test_a_number_is_chosen_and_shown(place: Path, isthmus: Command) -> None:
    done = isthmus("group", "model.safetensors", "pictures.npy", "-o", "g.csv", "--criterion", "icl")
    assert done.status == 0, done.err
    assert "ICL" in done.out
    assert "labels" not in done.out
    again = isthmus(
        "group", "model.safetensors", "pictures.npy", "-o", "h.csv", "--criterion", "icl", "--json"
    ).json
    best = min(again["curve"], key=lambda n: again["curve"][n])
    assert again["groups"] == int(best)
    assert again["agreement"] is None
    assert Path("g.csv").read_bytes() == Path("h.csv").read_bytes()


def test_examples_are_a_sheet(place: Path, isthmus: Command) -> None:
    done = isthmus(
        "group", "model.safetensors", "labelled.npz", "--groups", "2", "-o", "g.npy", "--examples", "e.png", "--json"
    )  # fmt: skip
    assert done.status == 0, done.err
    pictures = np.load("labelled.npz")["x"]
    with Image.open("e.png") as image:
        sheet = np.asarray(image)
    assert sheet.shape == (2 * 10 - 2, 13 * 10 - 2 + 16)
    for at, each in enumerate(done.json["each"]):
        line = sheet[at * 10 : at * 10 + 8]
        np.testing.assert_array_equal(line[:, 18:26], pictures[each["centre"][0]])
        np.testing.assert_array_equal(line[:, 106:114], pictures[each["edge"][0]])
        for column in range(len(each["centre"]), 8):
            assert (line[:, 18 + 10 * column : 26 + 10 * column] == 255).all()


def test_model_and_groups_are_kept(place: Path, isthmus: Command) -> None:
    done = isthmus(
        "group", "model.safetensors", "pictures.npy", "--groups", "2", "-o", "g.npy", "--save", "g.safetensors"
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "AutoencoderClusterer.open" in done.out
    opened = AutoencoderClusterer.open("g.safetensors")
    np.testing.assert_array_equal(opened.labels_, np.load("g.npy"))
    np.testing.assert_array_equal(opened.predict(np.load("pictures.npy")), np.load("g.npy"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("model.safetensors", "pictures.npy", "--groups", "41"), "41 groups need at least as many rows, got 40"),
        (("model.safetensors", "pictures.npy:0"), "at least 2 rows to group, got 1"),
        (("model.safetensors", "pictures.npy", "--groups", "0"), "must be at least 1, got 0"),
        (("model.safetensors", "pictures.npy", "--groups", "-3"), "must be at least 1, got -3"),
        (("model.safetensors", "pictures.npy", "--groups", "many"), "expected a number or auto, got 'many'"),
        (("model.safetensors", "pictures.npy", "--method", "ward"), "--method"),
        (("model.safetensors", "table.npy", "--groups", "2"), "expected"),
        (("gaussian.safetensors", "table.npy", "--examples", "e.png"), "examples are drawn of pictures"),
        (("model.safetensors", "pictures.npy", "--examples", "e.html"), "ends in .png"),
        (("model.safetensors", "pictures.npy", "--save", "model.safetensors"), "--force"),
        (("model.safetensors", "pictures.npy", "--save", "m.bin"), "ends in .safetensors"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(place: Path, isthmus: Command, arguments: tuple[str, ...], said: str) -> None:
    done = isthmus("group", *arguments, "-o", "x.csv")
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("x.csv").exists()


def test_what_is_there_stays(place: Path, isthmus: Command) -> None:
    done = isthmus("group", "model.safetensors", "pictures.npy", "-o", "pictures.npy")
    assert (done.status, "--force" in done.err) == (2, True)
    done = isthmus("group", "model.safetensors", "pictures.npy", "-o", "g.txt")
    assert (done.status, "ends in .csv or .npy or .npz" in done.err) == (2, True)


def test_a_model_that_knows_labels_is_refused(place: Path, isthmus: Command, quick: tuple[str, ...]) -> None:
    fit = ("fit", "labelled.npz", "-o", "told.safetensors", "--set", "model.condition=label", *quick)
    assert isthmus(*fit).status == 0
    done = isthmus("group", "told.safetensors", "labelled.npz", "-o", "x.csv")
    assert (done.status, "conditional" in done.err) == (2, True)

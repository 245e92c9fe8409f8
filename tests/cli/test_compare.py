import csv
from pathlib import Path

from PIL import Image

from isthmus.artifact import open_model


def test_a_table_a_picture_and_models(place, isthmus):
    command = (
        "compare",
        "table.npy",
        "--kinds",
        "basic,variational",
        "--code-size",
        "2",
        "--epochs",
        "1",
        "-o",
    )
    done = isthmus(*command, "out")
    assert done.status == 0, done.err
    for word in ("about", "held out", "PCA", "variational", "Take "):
        assert word in done.out
    with Path("out/comparison.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["kind"] for row in table] == ["mean", "PCA", "basic", "variational"]
    with Image.open("out/comparison.png") as picture:
        assert picture.width > 500
    assert open_model("out/variational.safetensors").module.code.size == 2
    assert isthmus(*command, "out").status == 2
    found = isthmus(*command, "out", "--force", "--json").json
    assert found["recommended"] in ("PCA", "basic", "variational")
    assert [f"{row['sse']:.6g}" for row in found["results"]] == [f"{float(row['sse']):.6g}" for row in table]
    assert found["notes"] == []
    fewer = [word.removesuffix(",variational") for word in command]
    (note,) = isthmus(*fewer, "out", "--force", "--json").json["notes"]
    assert note.startswith(f"{Path('out') / 'variational.safetensors'} was there before and stays")


def test_mistakes(place, isthmus):
    for options, said in (
        (("table.npy", "--kinds", "basic,foo", "-o", "new"), "unknown kind 'foo'"),
        (("table.npy:3", "-o", "new"), "5 different rows"),
        (("table.npy", "-o", "table.npy"), "got a file"),
    ):
        done = isthmus("compare", *options)
        assert (done.status, done.out) == (2, "")
        assert said in done.err
        assert done.err.count("\n") == 1
        assert not Path("new").exists()

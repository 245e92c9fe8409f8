import gzip
import runpy
from pathlib import Path

import numpy as np
import pytest

import isthmus.sources
from isthmus.errors import UnknownNameError
from isthmus.sources import bundled

FOLDER = Path(isthmus.sources.__file__).parent / "bundled_data" / "mnist"
SCRIPT = Path(__file__).parents[2] / "scripts" / "bundle_mnist.py"


@pytest.mark.parametrize(("name", "each"), [("mnist-train", 800), ("mnist-test", 200)])
def test_balanced_digits(name, each):
    source = bundled(name)
    assert source.schema.describe() == "pictures 28 x 28 x 1, uint8"
    assert np.bincount(source.labels).tolist() == [each] * 10
    assert len(source) == 10 * each


def test_no_picture_is_in_both_parts():
    train, test = (
        {picture.tobytes() for picture in bundled(name).read(slice(None))}
        for name in ("mnist-train", "mnist-test")
    )
    assert (len(train), len(test)) == (8000, 2000)
    assert not train & test


def test_the_order_is_shuffled():
    assert len(set(bundled("mnist-train").labels[:50].tolist())) == 10


def test_small_and_with_a_notice():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000
    notice = (FOLDER / "NOTICE").read_text()
    assert all(word in notice for word in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0", "Changed"))
    for path in FOLDER.glob("*.gz"):
        assert path.read_bytes()[3:8] == bytes(5), "no name and no time in the header"


def test_the_script_draws_disjoint_and_repeats():
    script = runpy.run_path(str(SCRIPT))
    labels = np.random.default_rng(0).integers(0, 10, 12_000).astype(np.uint8)
    one, two = script["draw"](labels), script["draw"](labels)
    assert np.array_equal(one["train"], two["train"])
    assert not set(one["train"]) & set(one["test"])
    assert np.bincount(labels[one["test"]]).tolist() == [200] * 10
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert script["idx_bytes"](array) == script["idx_bytes"](array)
    assert gzip.decompress(script["idx_bytes"](array)) == bytes.fromhex(
        "00000802 00000002 00000003 000102030405"
    )


def test_an_unknown_name():
    with pytest.raises(
        UnknownNameError, match="bundled: unknown data 'mnist-tset'; did you mean 'mnist-test'"
    ):
        bundled("mnist-tset")

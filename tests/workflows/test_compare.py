from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA

from isthmus.config import Config
from isthmus.errors import DataError, ParameterError
from isthmus.sources import ArraySource, TableSource
from isthmus.training.callbacks import Callback
from isthmus.workflows.compare import KINDS, Compared, candidates, compare, recommendation

torch.set_num_threads(1)


def config(kind="basic", epochs=2, **model):
    return Config.from_dict(
        {"model": {"kind": kind, **model}, "training": {"seed": 0, "epochs": epochs, "batch_size": 32}}
    )


def rows(n=120, seed=0):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 2))
    x = hidden @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(n, 6))
    return ArraySource(x, labels=(hidden[:, 0] > 0).astype(int))


def compared(source, configs):
    planned, test = candidates(source, configs)
    told = []
    found = compare(planned, test, watch=lambda _: nullcontext(Callback()), done=told.append)
    assert [one.name for one in told] == [one.name for one in found.results]
    return planned, test, found


def test_all_on_the_same_rows_that_none_has_seen():
    source = rows()
    names = KINDS["vectors"]
    planned, test, found = compared(source, {name: config(name, code_size=2) for name in names})
    assert [one.name for one in found.results] == ["mean", "PCA", *names]
    assert (found.n_training, found.n_test, found.code_size) == (87, 24, 2)
    given = source.read(slice(0, 120))
    held_out = test.read(slice(0, 24))
    for one in planned:
        assert one.seconds > 0
        for part in (one.prepared.training, one.prepared.validation):
            seen = part.source.read(slice(0, len(part.source)))
            assert not (seen[:, None] == held_out[None]).all(axis=2).any()
    assert all((given == row).all(axis=1).any() for row in held_out)
    assert {one.model.module.code.size for one in found.results[2:]} == {2}
    assert all(0 <= one.label_accuracy <= 1 for one in found.results[1:])


def test_a_table_with_gaps():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=80)
    height = np.where(rng.random(80) < 0.1, np.nan, hidden)
    frame = pd.DataFrame({"height": height, "kind": np.where(hidden > 0, "oak", "elm"), "age": hidden**2})
    source = TableSource(frame, labels=(hidden > 0).astype(int))
    _, _, found = compared(source, {"basic": config(code_size=2)})
    assert all(np.isfinite(one.errors).all() and one.sse >= 0 for one in found.results)
    assert all(one.label_accuracy > 0.6 for one in found.results[1:])


def test_pca_is_the_pca_of_the_training_rows():
    planned, test, found = compared(rows(), {"basic": config(code_size=2)})
    prepared = planned[0].prepared
    scaling = prepared.model.scaling
    training, held_out = (
        scaling.to_model(source.read(slice(0, len(source)))).astype(np.float64)
        for source in (prepared.training.source, test)
    )
    pca = PCA(2).fit(training)
    error = np.square(held_out - pca.inverse_transform(pca.transform(held_out))).sum(axis=1)
    np.testing.assert_allclose(found.results[1].errors, error, rtol=1e-4)


def test_every_kind_has_the_code_size_of_the_first():
    _, _, found = compared(rows(), {"basic": config(), "variational": config("variational")})
    assert len({one.model.module.code.size for one in found.results[2:]}) == 1


def test_the_simpler_of_two_that_chance_may_order():
    rng = np.random.default_rng(0)
    base = rng.gamma(2, 1, 500).astype(np.float32)
    noise = rng.normal(scale=0.5, size=500).astype(np.float32)
    results = [Compared("mean", base + 9), Compared("PCA", base + 2), Compared("basic", base + noise - noise.mean()),
               Compared("variational", base - 0.001)]  # fmt: skip
    name, words = recommendation(results)
    assert name == "basic"
    assert "no more than chance below it" in words
    assert "can also make new rows" in words
    assert recommendation([*results[:2], Compared("basic", base + 2.5)])[0] == "PCA"
    assert recommendation([*results[:2], Compared("sparse", base)])[1].endswith("the lowest of all.")


def test_pca_where_no_network_is_better():
    pca, worse = (Compared(name, np.full(3, error, np.float32)) for name, error in (("PCA", 1), ("basic", 2)))
    assert recommendation([pca, worse])[1].startswith(
        "Take PCA: no network has a lower squared error than its 1 a"
    )


def test_too_few_rows_and_labels_told():
    with pytest.raises(DataError, match="expected 5 different rows at least"):
        candidates(ArraySource(np.eye(4)), {"basic": config()})
    with pytest.raises(ParameterError, match=r"cannot stand beside PCA.*condition='label'"):
        candidates(rows(), {"basic": config(condition="label")})

"""Sparse matrices in estimators: the same models and results as their dense rows, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from isthmus import AnomalyDetector, Autoencoder, VariationalAutoencoder
from isthmus.errors import ParameterError

torch.set_num_threads(1)
MATRIX = sparse.random(120, 20, density=0.2, format="csr", random_state=0)
QUICK: dict[str, Any] = {"n_components": 3, "max_epochs": 2, "random_state": 0}


@pytest.mark.parametrize("kind", [Autoencoder, VariationalAutoencoder, AnomalyDetector])
def test_sparse_is_dense(kind: Any) -> None:
    thin, dense = kind(**QUICK).fit(MATRIX), kind(**QUICK).fit(MATRIX.toarray())
    verb = "score_samples" if kind is AnomalyDetector else "transform"
    wanted = getattr(dense, verb)(MATRIX.toarray())
    for given in (MATRIX, MATRIX.tocoo(), sparse.csc_matrix(MATRIX), MATRIX.toarray()):
        assert np.array_equal(getattr(thin, verb)(given), wanted)


def test_words_of_a_pipeline() -> None:
    texts = ["a cat sat there", "a dog ran off", "the bird flew over"] * 9
    codes = make_pipeline(TfidfVectorizer(), Autoencoder(**QUICK)).fit_transform(texts)
    assert codes.shape == (27, 3)


def test_a_sparse_matrix_holds_no_pictures() -> None:
    with pytest.raises(ParameterError, match="a sparse matrix holds vectors, got sample_shape="):
        Autoencoder(sample_shape=(4, 5), **QUICK).fit(MATRIX)

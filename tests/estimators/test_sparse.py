"""Sparse matrices in estimators: the same models and results as their dense rows, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from isthmus import (
    AnomalyDetector,
    Autoencoder,
    AutoencoderClusterer,
    AutoencoderImputer,
    VariationalAutoencoder,
)
from isthmus.errors import DataError, ParameterError

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


def test_groups_of_sparse_rows_are_those_of_dense_rows() -> None:
    thin, dense = (
        AutoencoderClusterer(2, Autoencoder(**QUICK), random_state=0).fit(rows)
        for rows in (MATRIX, MATRIX.toarray())
    )
    assert np.array_equal(thin.labels_, dense.labels_)
    for given in (sparse.csr_array(MATRIX), MATRIX.tocsc()):
        assert np.array_equal(thin.predict_proba(given), dense.predict_proba(MATRIX.toarray()))


def test_a_sparse_matrix_has_no_gaps_to_fill() -> None:
    with pytest.raises(DataError, match="a sparse matrix has a value in every cell"):
        AutoencoderImputer().fit(MATRIX)


def test_words_of_a_pipeline() -> None:
    texts = ["a cat sat there", "a dog ran off", "the bird flew over"] * 9
    codes = make_pipeline(TfidfVectorizer(), Autoencoder(**QUICK)).fit_transform(texts)
    assert codes.shape == (27, 3)


def test_a_sparse_matrix_holds_no_pictures() -> None:
    with pytest.raises(ParameterError, match="a sparse matrix holds vectors, got sample_shape="):
        Autoencoder(sample_shape=(4, 5), **QUICK).fit(MATRIX)

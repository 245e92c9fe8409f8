"""Every check that scikit-learn has for an estimator, with parameters as they come; none is skipped."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import SkipTest

import pytest
import torch
from sklearn.base import clone
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator

from isthmus import Autoencoder

NEEDS_A_PROCESS = "check_array_api_input"
"""Reads SCIPY_ARRAY_API at scipy's import, and skips itself without it."""


def name_of(check: Callable[..., Any]) -> str:
    keywords = check.keywords if isinstance(check, partial) else {}
    plain = check.func if isinstance(check, partial) else check
    return "-".join([plain.__name__, *(f"{key}={value}" for key, value in keywords.items())])


CHECKS = [
    (name_of(check), estimator, check) for estimator, check in estimator_checks_generator(Autoencoder())
]
HERE = [entry for entry in CHECKS if not entry[0].startswith(NEEDS_A_PROCESS)]

FRAMES = [
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_global_set_output_transform_polars,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
]
"""scikit-learn runs these over its own transformers only. The one on the order of columns wants reordered
frames refused; here they are put in order (see test_reading)."""

ALONE = """
import warnings
from sklearn.utils.estimator_checks import check_estimator
from isthmus import Autoencoder
import torch
torch.set_num_threads(1)
import sklearn.utils.estimator_checks as checks
every = checks.estimator_checks_generator
checks.estimator_checks_generator = lambda *args, **kwargs: (
    (estimator, check) for estimator, check in every(*args, **kwargs)
    if "check_array_api_input" in checks._check_name(check)
)
found = check_estimator(Autoencoder(), on_skip=None, on_fail="raise")
print([(one["check_name"], one["status"]) for one in found])
"""


@pytest.mark.parametrize(
    ("estimator", "check"), [entry[1:] for entry in HERE], ids=[entry[0] for entry in HERE]
)
def test_check(estimator: Autoencoder, check: Callable[[Any], None]) -> None:
    """A check that skips itself here has not been passed."""
    torch.set_num_threads(1)
    try:
        check(estimator)
    except SkipTest as reason:
        pytest.fail(f"skipped: {reason}")


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@pytest.mark.parametrize("check", FRAMES, ids=name_of)
def test_check_of_names_and_frames(check: Callable[[str, Any], None]) -> None:
    torch.set_num_threads(1)
    try:
        check("Autoencoder", Autoencoder(max_epochs=2))
    except SkipTest as reason:
        pytest.fail(f"skipped: {reason}")


def test_array_api_input(process: Callable[..., Any]) -> None:
    """For estimators without array API support: NumPy arrays still do once dispatch is on."""
    done = process("python", "-W", "error", "-c", ALONE, SCIPY_ARRAY_API="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[('check_array_api_input', 'passed')]"


def test_all_checks_are_run_and_none_is_expected_to_fail() -> None:
    """Defaults are defaults, and no tag of ours turns a check off."""
    assert len(CHECKS) == len(HERE) + 1 > 45
    names = {name.split("-")[0] for name, _, _ in CHECKS}
    assert {"check_estimators_pickle", "check_sample_weight_equivalence_on_dense_data"} <= names
    assert {"check_methods_subset_invariance", "check_transformer_general", "check_fit1d"} <= names
    defaults = {p.name: p.default for p in inspect.signature(Autoencoder.__init__).parameters.values()}
    del defaults["self"]
    assert all(estimator.get_params(deep=False) == defaults for _, estimator, _ in CHECKS)
    assert clone(Autoencoder()).get_params(deep=False) == defaults
    tags = get_tags(Autoencoder())
    assert tags.input_tags.two_d_array
    assert not tags.input_tags.positive_only
    assert not tags.input_tags.allow_nan
    assert not tags._skip_test
    assert not tags.no_validation
    assert not tags.non_deterministic
    masked = get_tags(Autoencoder(missing="mask"))
    masked.input_tags.allow_nan = False
    assert masked == tags

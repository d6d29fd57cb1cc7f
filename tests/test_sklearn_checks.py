"""scikit-learn's own checks of estimators, all of them, with array-API dispatching off and on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import pytest

sklearn = pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from xpnet.sklearn import MLPClassifier, MLPRegressor

ESTIMATORS = [MLPClassifier(), MLPRegressor()]
# The checks fit with few rows and the default max_iter.
pytestmark = pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning",
                                        "ignore:Skipping check:sklearn.exceptions.SkipTestWarning")


@pytest.fixture(autouse=True)
def _whole_standard() -> Iterator[None]:
    """Let array-api-strict have what scikit-learn uses of the standard."""
    strict = pytest.importorskip("array_api_strict")
    strict.set_array_api_strict_flags(boolean_indexing=True, data_dependent_shapes=True)
    yield
    strict.reset_array_api_strict_flags()


def wants_gpu(check: Any) -> bool:
    """Tell the checks for which scikit-learn asks CuPy for a GPU, and gets an error for an answer."""
    if "'cupy'" not in repr(check) and getattr(check, "keywords", {}).get("array_namespace") != "cupy":
        return False
    if importlib.util.find_spec("cupy") is None:
        return False
    return not importlib.import_module("cupy").is_available()


@parametrize_with_checks(ESTIMATORS)
def test_without_dispatch(estimator: Any, check: Callable[[Any], None]) -> None:
    if wants_gpu(check):
        pytest.skip("no CUDA GPU here")
    check(estimator)


@parametrize_with_checks(ESTIMATORS)
def test_with_dispatch(estimator: Any, check: Callable[[Any], None]) -> None:
    if wants_gpu(check):
        pytest.skip("no CUDA GPU here")
    with sklearn.config_context(array_api_dispatch=True):
        check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_it_says_what_it_supports(estimator: Any) -> None:
    tags = sklearn.utils.get_tags(estimator)
    assert tags.array_api_support
    assert tags.input_tags.sparse
    assert tags.classifier_tags.multi_label if tags.classifier_tags else tags.target_tags.multi_output

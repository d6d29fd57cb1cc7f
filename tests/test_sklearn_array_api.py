"""The estimators on other arrays than NumPy's: everything follows X."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from variants import Variant, make, params

from xpnet import backend_of
from xpnet.functional._array import device
from xpnet.sklearn import MLPClassifier, MLPRegressor

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
QUICK: dict[str, Any] = {"max_iter": 40, "random_state": 0, "learning_rate_init": 0.01}
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:invalid value encountered in divide:RuntimeWarning:array_api_strict",  # StandardScaler's 0 / 0
)


@pytest.fixture(params=params("numpy", "strict", "torch", "cupy"))
def xp(request: pytest.FixtureRequest) -> Iterator[Variant]:
    """The libraries with which all of scikit-learn's own parts that are used here work."""
    variant = make(request.param)
    strict = pytest.importorskip("array_api_strict")
    strict.set_array_api_strict_flags(boolean_indexing=True, data_dependent_shapes=True)
    with sklearn.config_context(array_api_dispatch=True):
        yield variant
    strict.reset_array_api_strict_flags()


@pytest.fixture(params=params("jax"))
def jax(request: pytest.FixtureRequest) -> Iterator[Variant]:
    """JAX, whose arrays cannot be written into, as StandardScaler does."""
    with sklearn.config_context(array_api_dispatch=True):
        yield make(request.param)


def lies_where(a: Any, like: Any) -> bool:
    return backend_of(a) == backend_of(like) and device(a) == device(like)


# StandardScaler indexes by truth values, for which a GPU has to be waited for: the stand-in for CuPy refuses.
Scaler = MinMaxScaler if "XPNET_CUDA_ON_CPU" in os.environ else StandardScaler


def expected(dtype: str = "float64") -> Any:
    with sklearn.config_context(array_api_dispatch=False):
        return make_pipeline(Scaler(), MLPClassifier(**QUICK)).fit(X.astype(dtype), Y)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_pipeline_stays_where_its_data_are(xp: Variant, dtype: str) -> None:
    x, y = xp.asarray(X, dtype), xp.asarray(Y)
    pipeline = make_pipeline(Scaler(), MLPClassifier(**QUICK)).fit(x, y)
    mlp = pipeline[-1]
    for a in (*mlp.coefs_, *mlp.intercepts_, pipeline.predict_proba(x), pipeline.predict_log_proba(x)):
        assert lies_where(a, x)
        assert a.dtype == x.dtype
    for a in (mlp.classes_, pipeline.predict(x)):
        assert lies_where(a, x)
        assert a.dtype == y.dtype
    on_numpy = expected(dtype)
    rtol, atol = (1e-9, 1e-12) if dtype == "float64" else (2e-2, 1e-4)
    xp.check(pipeline.predict_proba(x), on_numpy.predict_proba(X.astype(dtype)), rtol=rtol, atol=atol)
    score = pipeline.score(x, y)
    assert isinstance(score, float)
    assert score == pytest.approx(accuracy_score(y, pipeline.predict(x)), abs=1e-6)
    assert score > 0.9


def test_what_scikit_learn_does_with_estimators(xp: Variant) -> None:
    x, y = xp.asarray(X), xp.asarray(Y)
    pipeline = make_pipeline(Scaler(), MLPClassifier(**QUICK))
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
    assert lies_where(x_test, x)
    assert accuracy_score(y_test, pipeline.fit(x_train, y_train).predict(x_test)) > 0.9
    with sklearn.config_context(array_api_dispatch=False):
        scores = cross_val_score(pipeline, X, Y, cv=3)
    np.testing.assert_allclose(cross_val_score(pipeline, x, y, cv=3), scores, atol=1e-6)
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 10.0]}, cv=3).fit(x, y)
    assert search.best_params_ == {"mlpclassifier__alpha": 1e-4}
    assert lies_where(search.best_estimator_[-1].coefs_[0], x)
    assert lies_where(search.predict(x), x)


WAYS: list[dict[str, Any]] = [
    {"dropout": 0.1, "batch_norm": True, "class_weight": "balanced", "early_stopping": True}, {"solver": "lbfgs"},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2},
    {"solver": "sgd", "learning_rate": "invscaling", "class_weight": {0: 1.0, 1: 2.0, 2: 1.0}},
    {"activation": "gelu", "hidden_layer_sizes": [6, 5], "batch_size": 40},
]


@pytest.mark.parametrize("options", WAYS[:2], ids=" ".join)
def test_ways_to_train(xp: Variant, options: dict[str, Any]) -> None:
    see_that_it_trains(xp, options)


@pytest.mark.parametrize("xp", params("numpy", "strict", "torch"), indirect=True)  # a GPU has kernels to compile
@pytest.mark.parametrize("options", WAYS[2:], ids=" ".join)
def test_more_ways_to_train(xp: Variant, options: dict[str, Any]) -> None:
    see_that_it_trains(xp, options)


def see_that_it_trains(xp: Variant, options: dict[str, Any]) -> None:
    """Compare with what is trained on NumPy."""
    scaled = StandardScaler().fit_transform(X)
    x, y, weight = xp.asarray(scaled), xp.asarray(Y), xp.asarray(np.arange(150.0) % 3)
    with sklearn.config_context(array_api_dispatch=False):
        on_numpy = MLPClassifier(**{**QUICK, **options}).fit(scaled, Y, np.arange(150.0) % 3)
    found = MLPClassifier(**{**QUICK, **options}).fit(x, y, weight)
    assert lies_where(found.coefs_[0], x)
    loose = options.get("solver") == "lbfgs"  # which looks along lines, and doubles what is rounded
    xp.check(found.predict_proba(x), on_numpy.predict_proba(scaled), rtol=1e-2 if loose else 1e-8,
             atol=1e-3 if loose else 1e-11)


def test_labels_follow_x(xp: Variant) -> None:
    x = xp.asarray(X)
    mlp = MLPClassifier(**QUICK)
    numbers = mlp.fit(x, Y, np.ones(150)).predict(x)
    assert lies_where(numbers, x)
    names = mlp.fit(x, NAMES[Y])
    assert isinstance(names.classes_, np.ndarray)
    assert set(names.predict(x)) <= {*NAMES}
    assert (names.predict(x) == NAMES[backend_of(x).to_numpy(numbers)]).all()
    assert names.score(x, NAMES[Y]) > 0.8
    assert lies_where(names.predict_proba(x), x)


def test_what_lists_and_numpy_say_follows_x(xp: Variant) -> None:
    x = xp.asarray(X)
    expected = MLPClassifier(**QUICK).fit(x, xp.asarray(Y), xp.asarray(np.arange(150.0))).coefs_[0]
    series = pytest.importorskip("pandas").Series
    for y, weight in ((Y.astype("u2"), [*range(150)]), (Y[::-1][::-1], series(range(150))),
                      (Y.tolist(), np.arange(150.0)[::-1][::-1]), (Y.astype(">i4"), np.arange(150, dtype=">i2"))):
        found = MLPClassifier(**QUICK).fit(x, y, weight)
        xp.check(found.coefs_[0], backend_of(x).to_numpy(expected), rtol=1e-12)
        assert lies_where(found.predict(x), x)


def test_tensors_on_a_tape_are_refused() -> None:
    torch = pytest.importorskip("torch")
    x, y = torch.asarray(X), torch.asarray(Y)
    taped = x.clone().requires_grad_()
    with sklearn.config_context(array_api_dispatch=True):
        fitted = MLPClassifier(**QUICK).fit(x, y)
        with pytest.raises(TypeError, match=r"requires_grad=True: pass x.detach\(\)"):
            MLPClassifier(**QUICK).fit(taped, y)
        with pytest.raises(TypeError, match=r"requires_grad=True: pass x.detach\(\)"):
            fitted.predict(taped)


def test_several_labels_and_numbers_follow_x(xp: Variant) -> None:
    x, labels = xp.asarray(X), (X.mean(axis=0) < X).astype(np.int64)
    found = MLPClassifier(**QUICK).fit(x, xp.asarray(labels)).predict(x)
    assert lies_where(found, x)
    assert found.shape == (150, 4)
    assert (backend_of(x).to_numpy(found) == labels).mean() > 0.8
    for y, shape in ((X[:, 0], (150,)), (X[:, :2], (150, 2))):
        numbers = MLPRegressor(**QUICK).fit(x, xp.asarray(y)).predict(x)
        assert lies_where(numbers, x)
        assert numbers.shape == shape


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_another_library_is_refused_in_scikit_learns_words(xp: Variant, method: str) -> None:
    fitted = MLPClassifier(**QUICK).fit(xp.asarray(X), xp.asarray(Y))
    other = make("torch") if xp.id != "torch" else make("numpy")
    words = rf"Inputs passed to MLPClassifier.{method}\(\) must use the same namespace and the same device"
    with pytest.raises(ValueError, match=words):
        getattr(fitted, method)(other.asarray(X))


def test_without_dispatch_tensors_are_numpys(xp: Variant) -> None:
    with sklearn.config_context(array_api_dispatch=True):
        fitted = MLPClassifier(**QUICK).fit(xp.asarray(X), xp.asarray(Y))
    with sklearn.config_context(array_api_dispatch=False):
        if xp.id == "torch":
            found = MLPClassifier(**QUICK).fit(xp.asarray(X), xp.asarray(Y))
            assert isinstance(found.predict(xp.asarray(X)), np.ndarray)
            assert isinstance(found.coefs_[0], np.ndarray)
        if xp.id != "numpy":
            with pytest.raises(ValueError, match=r"fitted on <xpnet backend .*array_api_dispatch=True"):
                fitted.predict(X)


def test_an_estimator_moves(xp: Variant) -> None:
    move = pytest.importorskip("sklearn.utils._array_api").move_estimator_to
    x, y = xp.asarray(X), xp.asarray(Y)
    there = MLPClassifier(**QUICK, early_stopping=True).fit(x, y)
    here = move(there, np, "cpu")
    np.testing.assert_allclose(here.predict_proba(X), backend_of(x).to_numpy(there.predict_proba(x)),
                               rtol=1e-12)
    assert lies_where(there.coefs_[0], x)
    assert isinstance(here.classes_, np.ndarray)
    back = move(here, backend_of(x).namespace, device(x))
    again = [e.set_params(early_stopping=False).partial_fit(x, y).coefs_[0] for e in (there, back)]
    xp.check(again[1], backend_of(x).to_numpy(again[0]), rtol=1e-12)
    assert move(MLPClassifier(), np, "cpu").get_params() == MLPClassifier().get_params()


def test_tensors_are_pickled() -> None:
    pytest.importorskip("torch")
    x = make("torch").asarray(X)
    with sklearn.config_context(array_api_dispatch=True):
        fitted = MLPClassifier(**QUICK).fit(x, make("torch").asarray(Y))
        again = pickle.loads(pickle.dumps(fitted))
        assert bool((again.predict_proba(x) == fitted.predict_proba(x)).all())


def test_jax(jax: Variant) -> None:
    x, y = jax.asarray(X), jax.asarray(Y)
    with sklearn.config_context(array_api_dispatch=False):
        on_numpy = MLPClassifier(**QUICK, early_stopping=True).fit(X, Y)
    found = MLPClassifier(**QUICK, early_stopping=True).fit(x, y)
    jax.check(found.predict_proba(x), on_numpy.predict_proba(X), rtol=1e-9)
    assert found.score(x, y) == pytest.approx(on_numpy.score(X, Y), abs=1e-6)
    assert lies_where(found.predict(x), x)
    assert cross_val_score(found, x, y, cv=2).min() > 0.5
    numbers = MLPRegressor(**QUICK).fit(x, x[:, 0]).predict(x)
    assert lies_where(numbers, x)

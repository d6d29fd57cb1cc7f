"""What programs do with scikit-learn's estimators, done with these."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
import scipy.sparse
from shell import environment
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.utils.class_weight import compute_class_weight
from variants import params

from xpnet.sklearn import MLPClassifier, MLPRegressor

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
QUICK: dict[str, Any] = {"max_iter": 20, "random_state": 0, "learning_rate_init": 0.01}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_the_parameters_are_scikit_learns_and_some_more() -> None:
    for ours, theirs, more in (
        (MLPClassifier(), neural_network.MLPClassifier(), {"dropout", "batch_norm", "class_weight", "device"}),
        (MLPRegressor(), neural_network.MLPRegressor(), {"dropout", "batch_norm", "device"}),
    ):
        found = ours.get_params()
        assert found.items() >= theirs.get_params().items()
        assert found.keys() - theirs.get_params().keys() == more


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_copies_predict_the_same_and_clones_are_unfitted(make: Any, tmp_path: Path) -> None:
    fitted = make(**QUICK, early_stopping=True, dropout=0.1, batch_norm=True).fit(X, Y)
    joblib.dump(fitted, tmp_path / "mlp.joblib")
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted),
                  joblib.load(tmp_path / "mlp.joblib")):
        np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
        for each in (again, fitted_copy := copy.deepcopy(fitted)):
            each.set_params(early_stopping=False).partial_fit(X, Y)
        np.testing.assert_array_equal(again.coefs_[0], fitted_copy.coefs_[0])
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        again.predict(X)


def test_the_random_state_decides_everything() -> None:
    options = {**QUICK, "dropout": 0.2, "batch_norm": True, "early_stopping": True, "batch_size": 30}
    one, same, other = (MLPClassifier(**{**options, "random_state": seed}).fit(X, Y) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.coefs_[0], same.coefs_[0])
    assert one.loss_curve_ == same.loss_curve_
    assert (one.coefs_[0] != other.coefs_[0]).any()
    first, second = (MLPClassifier(**{**options, "random_state": np.random.RandomState(3)}).fit(X, Y)
                     for _ in range(2))
    np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_have_feature_names(library: str) -> None:
    frames = pytest.importorskip(library)
    names = ["sepal length", "sepal width", "petal length", "petal width"]
    frame = frames.DataFrame(dict(zip(names, X.T, strict=True)))
    fitted = MLPClassifier(**QUICK).fit(frame, frames.Series(NAMES[Y].tolist()))
    assert [*fitted.feature_names_in_] == names
    np.testing.assert_array_equal(fitted.predict(frame), MLPClassifier(**QUICK).fit(X, NAMES[Y]).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[names[::-1]])


@pytest.mark.parametrize("options", [{}, {"solver": "lbfgs"}, {"batch_size": 40, "early_stopping": True}])
def test_sparse_rows_are_made_dense(options: dict[str, Any]) -> None:
    x = np.where(X > 2, X, 0)
    dense = MLPClassifier(**QUICK, **options).fit(x, Y, np.arange(150) % 2 + 1.0)
    for kind in (scipy.sparse.csr_array, scipy.sparse.csc_matrix):
        sparse = MLPClassifier(**QUICK, **options).fit(kind(x), Y, np.arange(150) % 2 + 1.0)
        np.testing.assert_allclose(sparse.predict_proba(kind(x)), dense.predict_proba(x), rtol=1e-6)
        np.testing.assert_allclose(sparse.predict_proba(x), dense.predict_proba(x), rtol=1e-6)


def test_sparse_labels() -> None:
    x, y = make_multilabel_classification(60, random_state=0)
    found = [MLPClassifier(**QUICK).fit(x, labels).predict(x) for labels in (y, scipy.sparse.csr_array(y))]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("device", params("torch", "strict", "jax", "cupy"))
def test_a_device_for_numpy_arrays(device: str) -> None:
    device = {"strict": "strict:device1", "jax": "jax:cpu"}.get(device, device)
    if "jax" in device:
        pytest.importorskip("jax").config.update("jax_enable_x64", True)
    on_numpy = MLPClassifier(**QUICK).fit(X, NAMES[Y])
    there = MLPClassifier(**QUICK, device=device).fit(X, NAMES[Y])
    assert type(there.coefs_[0]).__module__.partition(".")[0] != "numpy"
    proba = there.predict_proba(X)
    assert isinstance(proba, np.ndarray)
    np.testing.assert_allclose(proba, on_numpy.predict_proba(X), rtol=1e-9)
    np.testing.assert_array_equal(there.predict(X), on_numpy.predict(X))
    more = there.partial_fit(X, NAMES[Y]).predict(scipy.sparse.csr_array(X))
    np.testing.assert_array_equal(more, on_numpy.partial_fit(X, NAMES[Y]).predict(X))
    backwards = MLPClassifier(**QUICK, device=device).fit(X[::-1], NAMES[Y][::-1])
    np.testing.assert_array_equal(backwards.predict(X[::-1])[::-1], backwards.predict(X))
    swapped = MLPRegressor(**QUICK, device=device).fit(X, X[:, 0].astype(">f8"))
    np.testing.assert_array_equal(swapped.predict(X.astype(">f8")), swapped.predict(X))


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no backend 'tpu'"):
        MLPClassifier(device="tpu").fit(X, Y)
    torch = pytest.importorskip("torch")
    sklearn = pytest.importorskip("sklearn")
    with sklearn.config_context(array_api_dispatch=True), pytest.raises(
            ValueError, match=r"device='strict' moves NumPy arrays .* X lies on <xpnet backend torch"):
        MLPClassifier(device="strict").fit(torch.asarray(X), torch.asarray(Y))


def test_class_weights_are_sample_weights() -> None:
    weights = {0: 1.0, 1: 3.0, 2: 0.5}
    by_row = np.array([weights[k] for k in Y])
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=Y[:120])[Y[:120]]
    for given, x, y, equal in ((weights, X, Y, by_row), ("balanced", X[:120], Y[:120], balanced)):
        one = MLPClassifier(**QUICK, class_weight=given).fit(x, y)
        other = MLPClassifier(**QUICK).fit(x, y, equal)
        np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], rtol=1e-9, atol=1e-12)
    rows = np.arange(150.0) % 4
    one = MLPClassifier(**QUICK, class_weight=weights).fit(X, Y, rows)
    np.testing.assert_allclose(one.coefs_[0], MLPClassifier(**QUICK).fit(X, Y, rows * by_row).coefs_[0],
                               rtol=1e-9, atol=1e-12)
    one = MLPClassifier(**QUICK, class_weight=dict(zip(NAMES, weights.values(), strict=True)))
    other = MLPClassifier(**QUICK)
    for part in (slice(0, 100), slice(50, 150), slice(100, 150)):  # none has all classes
        one.partial_fit(X[part], NAMES[Y[part]], classes=NAMES)
        other.partial_fit(X[part], NAMES[Y[part]], by_row[part], classes=NAMES)
    np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], rtol=1e-9, atol=1e-12)
    x, y = make_multilabel_classification(60, random_state=0)
    by_label = [{0: 1, 1: 2}] * 5
    one = MLPClassifier(**QUICK, class_weight=by_label).fit(x, y)
    np.testing.assert_allclose(one.coefs_[0], MLPClassifier(**QUICK).fit(x, y, 2.0 ** y.sum(1)).coefs_[0],
                               rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="class_weight 'balanced' wants all rows at once"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])


def test_dropout_and_batch_norm_are_in_the_network() -> None:
    fitted = MLPClassifier([8, 6], **QUICK, dropout=0.25, batch_norm=True).fit(X, Y)
    names = [type(layer).__name__ for layer in fitted.network_.leaves()]
    assert names == ["Affine", "BatchNormalization", "Relu", "Dropout"] * 2 + ["Affine"]
    assert fitted.network_.leaves()[3].dropout_ratio == 0.25
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(X))
    assert [c.shape for c in fitted.coefs_] == [(4, 8), (8, 6), (6, 3)]
    assert [b.shape for b in fitted.intercepts_] == [(8,), (6,), (3,)]
    for option in ({"dropout": 0.1}, {"batch_norm": True}):
        with pytest.raises(ValueError, match="dropout and batch_norm want 'adam' or 'sgd'"):
            MLPClassifier(solver="lbfgs", **option).fit(X, Y)


def test_no_hidden_layer_is_a_linear_model() -> None:
    fitted = MLPClassifier([], solver="lbfgs", max_iter=2000, alpha=1.0).fit(X, Y)
    assert len(fitted.coefs_) == 1
    linear = pytest.importorskip("sklearn.linear_model").LogisticRegression(C=1.0, max_iter=5000, tol=1e-8)
    assert (fitted.predict(X) == linear.fit(X, Y).predict(X)).mean() > 0.98


def test_one_class_is_always_predicted() -> None:
    fitted = MLPClassifier(**QUICK).fit(X, np.full(150, "only"))
    assert set(fitted.predict(X)) == {"only"}
    np.testing.assert_array_equal(fitted.predict_proba(X), np.ones((150, 1)))


@pytest.mark.parametrize(("options", "words"), [
    ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes must be > 0, got"),
    ({"activation": "swish"}, "'activation' parameter of MLPClassifier must be a str among"),
    ({"dropout": 1.0}, r"'dropout' parameter of MLPClassifier must be a float in the range \[0.0, 1.0\)"),
    ({"batch_norm": 3}, "'batch_norm' parameter of MLPClassifier must be an instance of 'bool'"),
    ({"class_weight": "even"}, "'class_weight' parameter of MLPClassifier must be"),
    ({"class_weight": {7: 1.0}}, "are not in class_weight"),
    ({"momentum": 1.0}, "'momentum' parameter of MLPClassifier must be a float"),
    ({"early_stopping": True, "validation_fraction": 0.005}, "The validation set is too small"),
])
def test_parameters_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MLPClassifier(**options).fit(X, Y)


def test_data_that_makes_no_sense() -> None:
    mlp = MLPClassifier(**QUICK)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        mlp.fit(X, Y, -np.ones(150))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        mlp.fit(X, X[:, 0])
    with pytest.raises(ValueError, match="Multioutput target data is not supported"):
        mlp.fit(X, np.stack([Y, Y], axis=1))
    with pytest.raises(ValueError, match="loss='poisson' wants y of 0 or more; got -1"):
        MLPRegressor("poisson").fit(X, Y - 1.0)
    with pytest.warns(DataConversionWarning):
        mlp.fit(X, Y[:, None])
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
        mlp.predict(X[:, :3])
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"), np.errstate(all="ignore"):
        MLPRegressor(solver="sgd", learning_rate_init=1e9, max_iter=50).fit(X, Y)


def test_what_can_be_gone_on_with() -> None:
    mlp = MLPClassifier(5, **QUICK, warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"goes on with hidden layers of \[5\] neurons.*got \[6\]"):
        mlp.set_params(hidden_layer_sizes=6).fit(X, Y)
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same classes"):
        mlp.set_params(hidden_layer_sizes=5).fit(X, Y % 2)
    with pytest.raises(ValueError, match="y of the kind of the first fit wanted, multiclass; got multilabel"):
        mlp.partial_fit(X, (X > 3).astype(int))
    with pytest.raises(ValueError, match=r"`y` has classes not in `self\.classes_`"):
        mlp.partial_fit(X, Y + 1)
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        mlp.partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="y of 1 numbers a row wanted, and the loss as before; got 2"):
        MLPRegressor(**QUICK).fit(X, Y).partial_fit(X, X[:, :2])
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")


def test_a_search_does_not_take_more_threads_than_there_are(tmp_path: Path) -> None:
    program = tmp_path / "search.py"
    program.write_text("""
import joblib, numpy as np, threadpoolctl
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from xpnet.sklearn import MLPClassifier

class Watched(MLPClassifier):
    def fit(self, X, y):
        from xpnet.sklearn._steps import Steps
        take, seen = Steps.__call__, []

        def watched(*arguments):
            seen.extend(p["num_threads"] for p in threadpoolctl.threadpool_info())
            return take(*arguments)

        Steps.__call__ = watched
        try:
            super().fit(X, y)
        finally:
            Steps.__call__ = take
        self.threads_ = max(seen)
        return self

def threads(estimator, X, y):
    return estimator.threads_

X, y = load_digits(return_X_y=True)
jobs = 2
search = GridSearchCV(Watched(max_iter=1), {"alpha": [1e-4, 1e-3]}, cv=2, n_jobs=jobs, scoring=threads,
                      refit=False).fit(X, y)
most = max(v.max() for k, v in search.cv_results_.items() if k.startswith("split"))
print(int(most), max(1, joblib.cpu_count() // jobs))
""")
    free = {name: value for name, value in environment().items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-W", "ignore", program], env=free, capture_output=True, text=True,
                          timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    most, share = map(int, done.stdout.split())
    assert most <= share


def test_fits_side_by_side_leave_the_threads_as_they_were(tmp_path: Path) -> None:
    program = tmp_path / "side_by_side.py"
    program.write_text("""
import threading, numpy as np, threadpoolctl
from xpnet.sklearn import MLPClassifier

X, y = np.random.default_rng(0).random((100, 4)), np.arange(100) % 3
threads = lambda: [p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
before = threads()
fits = [threading.Thread(target=MLPClassifier(max_iter=n).fit, args=(X, y)) for n in (5, 100, 40)]
for fit in fits: fit.start()
for fit in fits: fit.join()
print(before == threads())
""")
    free = {name: value for name, value in environment().items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-W", "ignore", program], env=free, capture_output=True, text=True,
                          timeout=200, check=False)
    assert done.stdout == "True\n", done.stderr


def test_jobs_give_the_same_scores() -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    x, y = load_digits(return_X_y=True)
    scores = [selection.cross_val_score(MLPClassifier(**QUICK), x[:300], y[:300], cv=2, n_jobs=n)
              for n in (1, 2)]
    np.testing.assert_array_equal(*scores)
    with joblib.parallel_backend("threading", n_jobs=2):
        threaded = selection.cross_val_score(MLPClassifier(**QUICK), x[:300], y[:300], cv=2)
    np.testing.assert_array_equal(threaded, scores[0])


def test_what_is_refused_changes_nothing() -> None:
    mlp = MLPClassifier(**QUICK).fit(X, Y)
    before = mlp.predict_proba(X)
    for options in ({"solver": "lbfgs", "dropout": 0.1}, {"early_stopping": True, "validation_fraction": 0.001}):
        with pytest.raises(ValueError, match=r"dropout|validation set"):
            clone(mlp).set_params(**options).fit(X, Y).predict(X)
        with pytest.raises(ValueError, match=r"dropout|validation set"):
            mlp.set_params(**options).fit(X, Y)
        mlp.set_params(**clone(mlp).set_params(solver="adam", dropout=0.0, early_stopping=False).get_params())
        np.testing.assert_array_equal(mlp.predict_proba(X), before)
    going = [MLPRegressor(**QUICK, solver="sgd", learning_rate="adaptive").fit(X, Y) for _ in range(2)]
    with pytest.raises(ValueError, match="non-finite"), np.errstate(all="ignore"):
        going[0].partial_fit(X * 1e200, Y)
    assert going[0].loss_curve_ == going[1].loss_curve_
    again = [mlp.partial_fit(X, Y).coefs_[0] for mlp in going]
    np.testing.assert_array_equal(*again)
    new = MLPClassifier(**QUICK)
    with pytest.raises(ValueError, match="NaN"):
        new.partial_fit(X * np.nan, Y, classes=[0, 1])
    with pytest.raises(NotFittedError):
        new.predict(X)
    assert new.partial_fit(X, Y, classes=[0, 1, 2]).predict(X).shape == (150,)


def test_another_device_or_loss_to_go_on_with_is_refused() -> None:
    pytest.importorskip("array_api_strict")
    mlp = MLPClassifier(**QUICK).fit(X, Y).set_params(device="strict")
    with pytest.raises(ValueError, match=r"was fitted on .*numpy.*; device='strict' is another place"):
        mlp.partial_fit(X, Y)
    numbers = MLPRegressor(**QUICK, warm_start=True).fit(X, Y).set_params(loss="poisson")
    with pytest.raises(ValueError, match="the loss as before; got 1, and 'poisson'"):
        numbers.fit(X, Y)


def test_labels_of_every_kind() -> None:
    expected = MLPClassifier(**QUICK).fit(X, Y).predict(X)
    for dtype in ("u1", "u2", "u8", ">i4", "i1", "f4", "f8"):
        found = MLPClassifier(**QUICK).fit(X, Y.astype(dtype))
        np.testing.assert_array_equal(found.predict(X), expected)
        assert found.classes_.dtype == np.dtype(dtype).newbyteorder("=")
    objects = MLPClassifier(**QUICK).fit(X, NAMES[Y].astype(object))
    assert objects.classes_.dtype.kind == "U"
    np.testing.assert_array_equal(objects.predict(X), NAMES[expected])
    x, y = make_multilabel_classification(60, random_state=0)
    masks = [MLPClassifier(**QUICK).fit(x, labels).predict(x) for labels in (y, y * 255, y == 1)]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])
    with pytest.raises(ValueError, match="`y` has"):
        MLPClassifier(**QUICK).fit(x, y).partial_fit(x, y[:, :4])


def test_weights_of_classes_that_make_no_sense() -> None:
    for weights in ({0: -1.0, 1: 1.0, 2: 1.0}, dict.fromkeys(range(3), 0.0), dict.fromkeys(range(3), np.nan)):
        with pytest.raises(ValueError, match="class_weight wants numbers of 0 or more"):
            MLPClassifier(**QUICK, class_weight=weights).fit(X, Y)


def test_balanced_weights_count_rows_by_their_weights() -> None:
    x, y, rows = X[::3], Y[::3] // 2, np.random.default_rng(0).integers(1, 4, 50)  # all in one batch
    one = MLPClassifier(**QUICK, class_weight="balanced").fit(x, y, rows)
    other = MLPClassifier(**QUICK, class_weight="balanced").fit(x.repeat(rows, axis=0), y.repeat(rows))
    np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], rtol=1e-8, atol=1e-11)


def test_predictions_have_the_dtype_of_their_rows() -> None:
    fitted = MLPClassifier(**QUICK).fit(X.astype("f4"), Y)
    assert fitted.coefs_[0].dtype == np.float32
    assert fitted.predict_proba(X.astype("f4")).dtype == np.float32
    assert fitted.predict_proba(X).dtype == np.float64


def test_sizes_are_whole_numbers() -> None:
    with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
        MLPClassifier([5.7]).fit(X, Y)  # type: ignore[list-item]


def test_without_scikit_learn(tmp_path: Path) -> None:
    program = "import sys; sys.modules['sklearn'] = None; import xpnet.sklearn"
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True,
                          cwd=tmp_path, timeout=100, check=False)
    assert 'ImportError: xpnet.sklearn needs sklearn, which is not installed: pip install "xpnet[sklearn]"' in (
        done.stderr)

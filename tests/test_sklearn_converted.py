"""Fitted estimators in other libraries, and in other processes, which may not have the device."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shell import Shell, environment
from variants import make, params

sklearn = pytest.importorskip("sklearn")

from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score

from xpnet import backend_of
from xpnet.functional._array import device
from xpnet.sklearn import MLPClassifier

X, Y = load_iris(return_X_y=True)
QUICK: dict[str, Any] = {"max_iter": 20, "random_state": 0, "learning_rate_init": 0.01}
ALL: dict[str, Any] = QUICK | {"dropout": 0.1, "batch_norm": True, "early_stopping": True}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(where: str) -> MLPClassifier:
    """Fit with everything that a next call goes on with."""
    make(where)  # which sets the library up
    mlp = MLPClassifier(**ALL, device={"strict": "strict:device1"}.get(where, where))
    for _ in range(3):
        mlp.partial_fit(X, Y, classes=range(3))
    return mlp


@pytest.mark.parametrize("where", params("strict", "torch", "cupy"))
def test_a_pickle_goes_on_where_it_was(where: str) -> None:
    mlp = fitted(where)
    for again in (pickle.loads(pickle.dumps(mlp)), copy.deepcopy(mlp)):
        for a, b in zip(again.coefs_, mlp.coefs_, strict=True):
            assert backend_of(a) == backend_of(b)
            assert device(a) == device(b)
            assert a.dtype == b.dtype
        np.testing.assert_array_equal(again.predict_proba(X), mlp.predict_proba(X))
        again.partial_fit(X, Y)
        expected = fitted(where).partial_fit(X, Y)
        np.testing.assert_allclose(again.predict_proba(X), expected.predict_proba(X), rtol=1e-12)


def test_a_pickle_predicts_where_the_device_is_not(tmp_path: Path) -> None:
    pytest.importorskip("array_api_strict")
    mlp = fitted("strict")
    (tmp_path / "mlp.pickle").write_bytes(pickle.dumps(mlp))
    (tmp_path / "program.py").write_text("""
import pathlib, pickle, sys, warnings, numpy as np
sys.modules["array_api_strict"] = None  # not to be imported
from sklearn.datasets import load_iris
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    mlp = pickle.loads(pathlib.Path("mlp.pickle").read_bytes())
print(*(w.message for w in caught), type(mlp.coefs_[0]).__module__)
X, y = load_iris(return_X_y=True)
np.save("found.npy", mlp.predict_proba(X))
try:
    mlp.partial_fit(X, y)
except ValueError as error:
    print(error)
np.save("further.npy", mlp.set_params(device=None).partial_fit(X, y).predict_proba(X))
""")
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, env=environment(), capture_output=True,
                          text=True, timeout=200, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    missing = "the backend strict needs array_api_strict, which is not installed: pip install array-api-strict"
    assert done.stdout.splitlines() == [
        f"MLPClassifier was fitted with device='strict:device1', and predicts on the host here: {missing} numpy",
        missing]
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), mlp.predict_proba(X), rtol=1e-9)
    np.testing.assert_allclose(np.load(tmp_path / "further.npy"), mlp.partial_fit(X, Y).predict_proba(X), rtol=1e-9)


def test_what_is_moved_goes_on_after_partial_fit() -> None:
    pytest.importorskip("array_api_strict")
    move = pytest.importorskip("sklearn.utils._array_api").move_estimator_to
    mlp = fitted("strict")
    here = move(mlp, np, "cpu")
    assert isinstance(here.coefs_[0], np.ndarray)
    np.testing.assert_allclose(here.partial_fit(X, Y).predict_proba(X), mlp.partial_fit(X, Y).predict_proba(X),
                               rtol=1e-12)


@pytest.mark.parametrize("library", params("strict", "torch"))
def test_arrays_of_other_libraries_go_to_other_processes(library: str) -> None:
    xp, strict = make(library), pytest.importorskip("array_api_strict")
    strict.set_array_api_strict_flags(boolean_indexing=True, data_dependent_shapes=True)
    with sklearn.config_context(array_api_dispatch=True):
        alone, beside = (cross_val_score(MLPClassifier(**QUICK), xp.asarray(X), xp.asarray(Y), cv=2, n_jobs=n)
                         for n in (1, 2))
    strict.reset_array_api_strict_flags()
    np.testing.assert_array_equal(beside, alone)


def test_a_search_says_which_device_its_workers_have_not() -> None:
    pytest.importorskip("array_api_strict")
    search = GridSearchCV(MLPClassifier(**QUICK, device="strict:device9"), {"alpha": [0.1, 1]}, cv=2, n_jobs=2)
    with pytest.raises(ValueError, match=r"array-api-strict has no device 'device9'; there are "):
        search.fit(X, Y)


def test_a_cluster_has_a_device_that_this_process_has_not(shell: Shell) -> None:
    for module in ("distributed", "array_api_strict"):
        pytest.importorskip(module)
    program = shell.folder / "search.py"
    program.write_text("""
import sys, warnings, numpy as np
from distributed import Client
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from xpnet.sklearn import MLPClassifier

if __name__ == "__main__":
    sys.modules["array_api_strict"] = None  # but for the workers
    X, y = load_iris(return_X_y=True)
    mlp = MLPClassifier(max_iter=20, random_state=0, learning_rate_init=0.01)
    there, grid = MLPClassifier(**mlp.get_params() | {"device": "strict:device1"}), {"alpha": [1e-4, 10.0]}
    warnings.simplefilter("ignore")
    expected = GridSearchCV(mlp, grid, cv=2).fit(X, y)
    with Client(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as client:
        client.run(warnings.simplefilter, "ignore")
        with parallel_config(backend="dask"):
            search = GridSearchCV(there, grid, cv=2, refit=False).fit(X, y)
            np.testing.assert_array_equal(*(s.cv_results_["mean_test_score"] for s in (search, expected)))
            back = cross_validate(there, X, y, cv=2, return_estimator=True)["estimator"]
            try:
                GridSearchCV(there, grid, cv=2).fit(X, y)
            except ValueError as error:
                print(error)
    print(*(type(e.coefs_[0]).__module__ for e in back), *(e.score(X, y) > 0.6 for e in back))
""")
    with shell.within(60):
        done = shell.python(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("the backend strict needs array_api_strict, which is not installed: "
                           "pip install array-api-strict\nnumpy numpy True True\n")
